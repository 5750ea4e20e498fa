// Inside of net: TLS settings for libmosquitto, which checks no host name in a context that it was
// given and tells no more of a failure than OpenSSL's error code.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "net/socket.h"
#include "net/tls.h"

struct ssl_ctx_st;
struct ssl_st;

namespace skerry::net {

class MqttTls {
 public:
  // Trusts only servers whose certificate is for `host`.
  static Result<std::unique_ptr<MqttTls>> make(const TlsFiles& files, const std::string& host,
                                               std::shared_ptr<const CertificateTimes> times);
  ssl_ctx_st* native() const { return context_->native(); }
  // To be called when a connection has ended: what was wrong with a certificate, where something
  // was.
  std::optional<Error> take_failure();

  // Called by OpenSSL's callbacks.
  void begins(ssl_st* ssl);
  void server_refused(long verify_result);
  void we_are_refused(int alert);

 private:
  MqttTls(std::shared_ptr<TlsContext> context, std::string host);
  std::shared_ptr<TlsContext> context_;
  std::string host_;
  std::string server_name_;  // to be sent as SNI; "" for an address
  std::optional<Error> failure_;
  // The connection under way. With TLS 1.3 the server refuses our certificate when we are writing
  // already; the library then closes on the failed write and leaves the alert unread.
  std::unique_ptr<ssl_st, void (*)(ssl_st*)> ssl_;
  Fd fd_;
};

}  // namespace skerry::net
