// Secrets that components ask for by GetSecretValue: each with versions and their stages, as AWS
// Secrets Manager has them, one sealed file each. Blocks, and is used by one thread (Env::records).
// Bytes: docs/data/secrets.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "io/files.h"
#include "io/random.h"

namespace skerry::nucleus {

struct SecretVersion {
  std::string id;
  std::vector<std::string> stages;  // "AWSCURRENT", "AWSPREVIOUS"
  int64_t created_ms = 0;
  std::string value;
  bool is_binary = false;
};

struct Secret {
  std::string name, arn;
  std::vector<SecretVersion> versions;  // newest first
};

// Which version of which secret; without id and stage the current one.
struct SecretQuery {
  std::string secret;  // its name, its ARN, or that without the random end
  std::string version_id, stage;
};

class SecretStore {
 public:
  static constexpr size_t kMaxValueBytes = 64 << 10;  // Secrets Manager's own
  static constexpr size_t kMaxSecrets = 500;

  struct Place {
    std::string directory;
    std::string private_key_file;  // see open_secret_key()
    std::string arn_prefix;        // "arn:aws:secretsmanager:REGION:ACCOUNT:secret:"
  };
  SecretStore(io::Files& files, io::Random& random, Place place)
      : files_(files), random_(random), place_(std::move(place)) {}

  // kNotFound; the secret of the answer has the one version only.
  Result<Secret> find(const SecretQuery& query);
  // A new version, which becomes current: durable when it returns. What was current is the previous
  // one, and what that was is gone.
  Result<Secret> put(const std::string& name, std::string value, bool is_binary, int64_t now_ms);
  Result<void> remove(const std::string& name);
  // By name, without values.
  Result<std::vector<Secret>> list();

 private:
  std::string path_of(const std::string& name) const;
  Result<const std::string*> key();
  Result<Secret> read(const std::string& name);
  Result<Secret> read_file(const std::string& path);

  io::Files& files_;
  io::Random& random_;
  const Place place_;
  std::optional<std::string> key_;
};

// 1 to 256 of A-Z a-z 0-9 / _ + = . @ -
Result<void> check_secret_name(const std::string& name);

}  // namespace skerry::nucleus
