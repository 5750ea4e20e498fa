// Inside of net: TLS settings for libmosquitto, which checks no host name in a context that it was
// given and tells no more of a failure than OpenSSL's error code.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "net/tls.h"

struct ssl_ctx_st;

namespace skerry::net {

class MqttTls {
 public:
  // Trusts only servers whose certificate is for `host`.
  static Result<std::unique_ptr<MqttTls>> make(const TlsFiles& files, const std::string& host);
  ssl_ctx_st* native() const { return context_->native(); }
  // What went wrong with a certificate since the last call, where something did.
  std::optional<Error> take_failure() { return std::exchange(failure_, std::nullopt); }

  // Called by OpenSSL's callbacks.
  const std::string& server_name() const { return server_name_; }
  void server_refused(long verify_result);
  void we_are_refused(int alert);

 private:
  MqttTls(std::shared_ptr<TlsContext> context, std::string host)
      : context_(std::move(context)), host_(std::move(host)) {}
  std::shared_ptr<TlsContext> context_;
  std::string host_;
  std::string server_name_;  // to be sent as SNI; "" for an address
  std::optional<Error> failure_;
};

}  // namespace skerry::net
