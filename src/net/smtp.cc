// A mail in one dialogue with its server.
#include "net/smtp.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <ctime>

#include "base/encoding.h"
#include "net/stream.h"

namespace skerry::net {
namespace {

constexpr size_t kMaxReplyBytes = 16 << 10;
constexpr size_t kBase64Line = 76;
constexpr size_t kEncodedWordBytes = 42;  // of text: a line of "Subject: " and a word is below 78

bool is_plain(std::string_view text) {
  return std::ranges::all_of(text, [](unsigned char c) { return c >= ' ' && c < 127; });
}

std::string subject_header(std::string text) {
  std::ranges::replace_if(text, [](unsigned char c) { return c < ' ' || c == 127; }, ' ');
  if (is_plain(text) && text.size() < 200) return text;
  std::string words;
  while (!text.empty()) {
    size_t size = std::min(kEncodedWordBytes, text.size());
    // Not in the middle of a character of UTF-8.
    while (size < text.size() && size > 1 &&
           (static_cast<unsigned char>(text[size]) & 0xC0) == 0x80) {
      --size;
    }
    if (!words.empty()) words += "\r\n ";
    words += "=?UTF-8?B?" + base64_encode(std::string_view(text).substr(0, size)) + "?=";
    text.erase(0, size);
  }
  return words;
}

std::string date_header(int64_t time_ms) {
  // English names, whatever the locale.
  constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t seconds = time_ms / 1'000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  return fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} +0000", kDays[parts.tm_wday], parts.tm_mday,
                     kMonths[parts.tm_mon], parts.tm_year + 1900, parts.tm_hour, parts.tm_min,
                     parts.tm_sec);
}

class SmtpSession {
 public:
  explicit SmtpSession(std::unique_ptr<Stream> stream) : stream_(std::move(stream)) {}

  // What the server says next; its code has to begin with `expected`, "2" or "3".
  io::Task<Result<void>> reply(char expected, std::string_view after) {
    std::string text;
    for (;;) {
      const size_t end = read_.find("\r\n");
      if (end == std::string::npos) {
        if (read_.size() + text.size() > kMaxReplyBytes) {
          co_return fail(Code::kUnavailable, "the mail server says too much");
        }
        char bytes[2'048];
        SKERRY_CO_ASSIGN(const size_t count, co_await stream_->read_some(bytes, sizeof bytes));
        if (count == 0) {
          co_return fail(Code::kUnavailable,
                         fmt::format("the mail server has closed after {}", after));
        }
        read_.append(bytes, count);
        continue;
      }
      const std::string line = read_.substr(0, end);
      read_.erase(0, end + 2);
      if (line.size() < 3) co_return fail(Code::kUnavailable, "this is no mail server");
      if (!text.empty()) text += ' ';
      text += line.substr(0, 300);
      if (line.size() > 3 && line[3] == '-') continue;
      if (line.front() == expected) co_return Result<void>();
      std::ranges::replace_if(text, [](unsigned char c) { return c < ' ' || c > 126; }, '?');
      co_return fail(line.front() == '5' ? Code::kFailedPrecondition : Code::kUnavailable,
                     fmt::format("the mail server refuses {}: {}", after, text));
    }
  }

  io::Task<Result<void>> command(std::string line, char expected, std::string_view name) {
    line += "\r\n";
    SKERRY_CO_TRY(co_await stream_->write_all(line));
    co_return co_await reply(expected, name);
  }

  io::Task<Result<void>> data(std::string text) {
    text += ".\r\n";
    SKERRY_CO_TRY(co_await stream_->write_all(text));
    co_return co_await reply('2', "the message");
  }

  Stream& stream() { return *stream_; }

 private:
  std::unique_ptr<Stream> stream_;
  std::string read_;
};

}  // namespace

Result<SmtpUrl> parse_smtp_url(std::string_view url) {
  SmtpUrl found;
  found.is_tls = url.starts_with("smtps://");
  const auto wrong = [&] {
    return fail(Code::kInvalidArgument,
                fmt::format("'{}' is not smtp://HOST[:PORT] or smtps://HOST[:PORT]", url));
  };
  if (!found.is_tls && !url.starts_with("smtp://")) return wrong();
  std::string_view rest = url.substr(url.find("//") + 2);
  if (rest.ends_with('/')) rest.remove_suffix(1);
  found.port = found.is_tls ? 465 : 25;
  const size_t colon = rest.rfind(':');
  // The colons of an IPv6 address stand in brackets.
  if (colon != std::string_view::npos && rest.find(']', colon) == std::string_view::npos) {
    const char* end = rest.data() + rest.size();
    const auto [stop, error] = std::from_chars(rest.data() + colon + 1, end, found.port);
    if (error != std::errc() || stop != end || found.port == 0) return wrong();
    rest = rest.substr(0, colon);
  }
  if (rest.starts_with('[') && rest.ends_with(']')) rest = rest.substr(1, rest.size() - 2);
  if (rest.empty() || rest.find_first_of("/@ ") != std::string_view::npos) return wrong();
  found.host = rest;
  return found;
}

std::string mail_text(const Mail& mail) {
  std::string text = fmt::format(
      "From: <{}>\r\nTo: <{}>\r\nSubject: {}\r\nDate: {}\r\nMessage-ID: <{}@skerry>\r\n"
      "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
      "Content-Transfer-Encoding: base64\r\nAuto-Submitted: auto-generated\r\n\r\n",
      mail.from, fmt::join(mail.to, ">,\r\n <"), subject_header(mail.subject),
      date_header(mail.date_ms), mail.id);
  // Base64 has no line that begins with a dot, none that is too long, and no 8-bit byte.
  const std::string body = base64_encode(mail.text);
  for (size_t at = 0; at < body.size(); at += kBase64Line) {
    text += body.substr(at, kBase64Line) + "\r\n";
  }
  return text;
}

static io::Task<Result<void>> converse(SmtpSession& session, const SmtpServer& server,
                                       const Mail& mail) {
  SKERRY_CO_TRY(co_await session.reply('2', "the connection"));
  SKERRY_CO_TRY(co_await session.command("EHLO skerry.invalid", '2', "EHLO"));
  if (!server.user.empty()) {
    const std::string secret = std::string(1, '\0') + server.user + '\0' + server.password;
    SKERRY_CO_TRY(
        co_await session.command("AUTH PLAIN " + base64_encode(secret), '2', "the login"));
  }
  SKERRY_CO_TRY(co_await session.command("MAIL FROM:<" + mail.from + ">", '2', "the sender"));
  for (const std::string& to : mail.to) {
    SKERRY_CO_TRY(co_await session.command("RCPT TO:<" + to + ">", '2', "the recipient " + to));
  }
  SKERRY_CO_TRY(co_await session.command("DATA", '3', "DATA"));
  SKERRY_CO_TRY(co_await session.data(mail_text(mail)));
  // It is sent, whatever becomes of the farewell.
  co_await session.command("QUIT", '2', "QUIT");
  co_return Result<void>();
}

io::Task<Result<void>> send_mail(io::Loop& loop, SmtpServer server, Mail mail, int64_t timeout_ms) {
  SKERRY_CO_ASSIGN(auto stream, co_await connect_tcp(loop, server.host, server.port, server.tls));
  SmtpSession session(std::move(stream));
  IdleGuard guard(loop, session.stream(), timeout_ms);
  auto sent = co_await converse(session, server, mail);
  if (!sent && guard.expired()) {
    co_return fail(Code::kTimeout, "the mail server has not answered in time");
  }
  co_return sent;
}

}  // namespace skerry::net
