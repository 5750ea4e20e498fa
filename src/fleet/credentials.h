// Access keys: the operator's, made at the first start, and temporary ones that devices get for
// their certificate (role aliases).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/named_type.h"
#include "fleet/active_certificates.h"
#include "io/env.h"
#include "net/sigv4.h"

namespace skerry::fleet {

net::AwsCredentials new_access_key(io::Random& random);
// The key in `path` ({"accessKeyId", "secretAccessKey"}, mode 0600), made where the file is absent.
Result<net::AwsCredentials> open_access_key(io::Env& env, const std::string& path);

// Temporary credentials are derived, not stored: the session token says for whom and until when,
// and carries a MAC under a key that only the store knows. issue() may be called from any thread.
// They end early with their certificate.
class TemporaryCredentials {
 public:
  // `key` is 32 secret bytes. `certificates` outlives it.
  TemporaryCredentials(io::Env& env, const ActiveCertificates& certificates, std::string key)
      : env_(env), certificates_(certificates), key_(std::move(key)) {}
  // Another one, as text for the store's settings (in base64) under kKeySetting.
  static std::string fresh_key(io::Env& env);
  static constexpr const char* kKeySetting = "temporary_credentials_key";

  struct Issued {
    net::AwsCredentials credentials;
    int64_t expires_ms = 0;
  };
  Issued issue(const std::string& certificate_id);
  // The secret of an access key, where the token goes with it, is not expired and its certificate
  // is still active.
  std::optional<std::string> secret_of(std::string_view access_key_id,
                                       std::string_view session_token);

 private:
  net::AwsCredentials derive(const std::string& claim) const;

  io::Env& env_;
  const ActiveCertificates& certificates_;
  std::string key_;
};

}  // namespace skerry::fleet
