// The access keys that may use the API, in memory: signatures are checked on the loop.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fleet/access/access_store.h"
#include "fleet/access/roles.h"
#include "fleet/store_pool.h"
#include "io/task.h"
#include "net/sigv4.h"

namespace skerry::fleet {

class AccessKeys : public EffectListener {
 public:
  // `root`: the key in the fleet's directory, an admin that only the file's removal ends.
  static io::Task<Result<std::unique_ptr<AccessKeys>>> open(StorePool& stores,
                                                            const net::AwsCredentials& root);
  ~AccessKeys() override;

  // net::SecretLookup; nothing for a key that is disabled or comes with a session token.
  std::optional<std::string> secret_of(std::string_view id, std::string_view session_token) const;
  // Of a key that secret_of knows.
  std::optional<Identity> identity_of(std::string_view id) const;

  void committed(const Effects& effects) override;

 private:
  explicit AccessKeys(StorePool& stores) : stores_(stores) {}
  io::Task<Result<void>> load(std::string root_id);
  const AccessKey* find(std::string_view id) const;

  StorePool& stores_;
  std::map<std::string, AccessKey, std::less<>> keys_;  // enabled ones
};

}  // namespace skerry::fleet
