// Access keys: the operator's, made at the first start, and temporary ones that devices get for
// their certificate (role aliases).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/named_type.h"
#include "fleet/store.h"
#include "io/env.h"
#include "net/sigv4.h"

namespace skerry::fleet {

net::AwsCredentials new_access_key(io::Random& random);
// The key in `path` ({"accessKeyId", "secretAccessKey"}, mode 0600), made where the file is absent.
Result<net::AwsCredentials> open_access_key(io::Env& env, const std::string& path);

// Temporary credentials are derived, not stored: the session token says for whom and until when,
// and carries a MAC under a key that only the store knows. They end early with their certificate.
class TemporaryCredentials {
 public:
  static Result<std::unique_ptr<TemporaryCredentials>> open(io::Env& env, Store& store);

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
  TemporaryCredentials(io::Env& env, Store& store, std::string key)
      : env_(env), store_(store), key_(std::move(key)) {}
  net::AwsCredentials derive(const std::string& claim) const;

  io::Env& env_;
  Store& store_;
  std::string key_;
};

}  // namespace skerry::fleet
