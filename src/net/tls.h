// TLS settings for clients and servers: OpenSSL 3, TLS 1.2 and 1.3, only the CA that is named (the
// system's bundle is never loaded).
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/error.h"

struct ssl_ctx_st;

namespace skerry::net {

struct TlsFiles {
  std::string ca_file;  // PEM; trust for the other side
  std::string
      certificate_file;  // PEM chain of this side; may be empty for a client without identity
  std::string key_file;  // PEM, or the name of a key in a token (private_key.h)
  // Of a client that is given new certificates while it runs: PEM with certificate and key, used
  // instead of the two wherever it is there and good. Looked at before each handshake. Of a key in
  // a token it has the certificate alone.
  std::string renewed_file;
};

// Judges the times of certificates where the machine's clock cannot be relied on. Asked only about
// a certificate that is fine but for its time.
class CertificateTimes {
 public:
  virtual ~CertificateTimes() = default;
  // Seconds since 1970.
  virtual bool may_be_valid(int64_t not_before_s, int64_t not_after_s) const = 0;
};

class TlsContext {
 public:
  // Every failure names the file and what is wrong with it. Without `times` the machine's clock
  // decides.
  static Result<std::shared_ptr<TlsContext>> client(
      const TlsFiles& files, std::shared_ptr<const CertificateTimes> times = nullptr);
  // With `require_client_certificate`, connections without a certificate of `ca_file` are refused.
  static Result<std::shared_ptr<TlsContext>> server(
      const TlsFiles& files, bool require_client_certificate,
      std::shared_ptr<const CertificateTimes> times = nullptr);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;
  ssl_ctx_st* native() const { return context_; }
  bool is_server() const { return is_server_; }

 private:
  TlsContext(ssl_ctx_st* context, bool is_server);
  ssl_ctx_st* context_;
  bool is_server_;
  std::shared_ptr<const CertificateTimes> times_;
  struct Renewal;
  std::unique_ptr<Renewal> renewal_;  // of a client with a renewed_file
};

}  // namespace skerry::net
