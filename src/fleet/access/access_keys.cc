// A change counts before whoever made it is answered: a new key works, a disabled one does not.
#include "fleet/access/access_keys.h"

namespace skerry::fleet {

io::Task<Result<std::unique_ptr<AccessKeys>>> AccessKeys::open(StorePool& stores,
                                                               const net::AwsCredentials& root) {
  std::unique_ptr<AccessKeys> keys(new AccessKeys(stores));
  keys->keys_[root.access_key_id] = {
      root.access_key_id, root.secret_access_key, "root", Role::kAdmin, true, 0};
  SKERRY_CO_TRY(co_await keys->load(root.access_key_id));
  stores.add_listener(*keys);
  co_return keys;
}

AccessKeys::~AccessKeys() {
  stores_.remove_listener(*this);
}

io::Task<Result<void>> AccessKeys::load(std::string root_id) {
  SKERRY_CO_ASSIGN(auto stored,
                   co_await stores_.read([](Store& store) { return list_access_keys(store); }));
  for (AccessKey& key : stored) {
    if (key.enabled && key.id != root_id) keys_[key.id] = std::move(key);
  }
  co_return Result<void>();
}

void AccessKeys::committed(const Effects& effects) {
  for (const auto& [id, now] : effects.access_keys) {
    keys_.erase(id);
    if (now && now->enabled) keys_[id] = *now;
  }
}

const AccessKey* AccessKeys::find(std::string_view id) const {
  auto found = keys_.find(id);
  return found == keys_.end() ? nullptr : &found->second;
}

std::optional<std::string> AccessKeys::secret_of(std::string_view id,
                                                 std::string_view session_token) const {
  const AccessKey* key = find(id);
  if (!key || !session_token.empty()) return std::nullopt;
  return key->secret;
}

std::optional<Identity> AccessKeys::identity_of(std::string_view id) const {
  const AccessKey* key = find(id);
  if (!key) return std::nullopt;
  return Identity{key->name, key->role, key->id};
}

}  // namespace skerry::fleet
