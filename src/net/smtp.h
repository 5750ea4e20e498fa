// Sends mail (RFC 5321): one message a connection, in plain text or over TLS from the first byte
// (RFC 8314, port 465), with AUTH PLAIN where there is a user. No STARTTLS.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "io/loop.h"
#include "io/task.h"
#include "net/tls.h"

namespace skerry::net {

struct SmtpServer {
  std::string host;
  uint16_t port = 25;
  std::shared_ptr<TlsContext> tls;  // null: plain text
  std::string user, password;       // "": no AUTH
};

// "smtp://HOST[:25]" or "smtps://HOST[:465]"; kInvalidArgument for others. Without user and `tls`.
struct SmtpUrl {
  std::string host;
  uint16_t port = 0;
  bool is_tls = false;
};
Result<SmtpUrl> parse_smtp_url(std::string_view url);

struct Mail {
  std::string from;             // addresses that are fit to stand between < and >
  std::vector<std::string> to;  // at least one
  std::string subject;          // UTF-8; control characters become spaces
  std::string id;               // of Message-ID: letters, digits and -; the same when sent again
  int64_t date_ms = 0;          // since 1970
  std::string text;             // UTF-8
};

// As it travels between DATA and the final dot: headers, and the text in Base64.
std::string mail_text(const Mail& mail);

// Success: the server has taken it for every recipient. kUnavailable where it is not there or says
// 4xx, kFailedPrecondition for 5xx, each with the server's words; the password is in none.
io::Task<Result<void>> send_mail(io::Loop& loop, SmtpServer server, Mail mail,
                                 int64_t timeout_ms = 30'000);

}  // namespace skerry::net
