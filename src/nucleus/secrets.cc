// A secret is read, changed and written as a whole.
#include "nucleus/secrets.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/sealed.h"
#include "base/sha256.h"
#include "base/utf8.h"
#include "nucleus/secret_key.h"

namespace skerry::nucleus {
namespace {

using nlohmann::json;

constexpr std::string_view kHeader = "skerry secret 1\n";
constexpr std::string_view kSecretSuffix = ".secret";
constexpr std::string_view kArnMark = ":secret:";
constexpr size_t kArnEnd = 7;  // "-AbCdEf"
constexpr uint64_t kMaxSecretFileBytes = 1 << 20;
constexpr const char* kCurrent = "AWSCURRENT";
constexpr const char* kPrevious = "AWSPREVIOUS";

std::string file_name_of(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

std::string text_of(const Secret& secret) {
  json versions = json::array();
  for (const SecretVersion& version : secret.versions) {
    versions.push_back({{"id", version.id},
                        {"stages", version.stages},
                        {"created_ms", version.created_ms},
                        {"binary", version.is_binary},
                        {"value", base64_encode(version.value)}});
  }
  return json{{"name", secret.name}, {"arn", secret.arn}, {"versions", std::move(versions)}}.dump();
}

Result<Secret> secret_from(const std::string& text) {
  const json document = json::parse(text, nullptr, false);
  try {
    Secret secret{document.at("name"), document.at("arn"), {}};
    for (const json& each : document.at("versions")) {
      SKERRY_ASSIGN(std::string value, base64_decode(each.at("value").get<std::string>()));
      secret.versions.push_back({each.at("id"), each.at("stages").get<std::vector<std::string>>(),
                                 each.at("created_ms"), std::move(value), each.at("binary")});
    }
    return secret;
  } catch (const json::exception& error) {
    return fail(Code::kCorrupt, std::string("a secret lacks a field: ") + error.what());
  }
}

// What the name of a secret may be, where `id` is its name or its ARN.
std::vector<std::string> names_of(const std::string& id) {
  const size_t mark = id.find(kArnMark);
  if (!id.starts_with("arn:") || mark == std::string::npos) return {id};
  const std::string name = id.substr(mark + kArnMark.size());
  std::vector<std::string> names = {name};
  if (name.size() > kArnEnd && name[name.size() - kArnEnd] == '-')
    names.push_back(name.substr(0, name.size() - kArnEnd));
  return names;
}

bool is_meant(const Secret& secret, const std::string& id) {
  return id == secret.name || id == secret.arn ||
         (secret.arn.starts_with(id) && id.size() + kArnEnd == secret.arn.size());
}

}  // namespace

Result<void> check_secret_name(const std::string& name) {
  const bool fits = !name.empty() && name.size() <= 256 &&
                    name.find_first_not_of(
                        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                        "0123456789/_+=.@-") == std::string::npos;
  if (fits) return {};
  return fail(Code::kInvalidArgument,
              "the name of a secret has 1 to 256 of A-Z a-z 0-9 / _ + = . @ -");
}

// Names may have slashes.
std::string SecretStore::path_of(const std::string& name) const {
  return place_.directory + "/" + hex_encode(sha256(name)).substr(0, 32) +
         std::string(kSecretSuffix);
}

Result<const std::string*> SecretStore::key() {
  if (!key_) {
    SKERRY_ASSIGN(
        key_, open_secret_key(files_, random_, place_.directory + "/key", place_.private_key_file));
  }
  return &*key_;
}

Result<Secret> SecretStore::read_file(const std::string& path) {
  SKERRY_ASSIGN(const std::string bytes, io::read_file(files_, path, kMaxSecretFileBytes));
  if (!bytes.starts_with(kHeader)) {
    return fail(Code::kCorrupt, path + " is damaged, or of a newer skerryd");
  }
  SKERRY_ASSIGN(const std::string* const key, this->key());
  auto text = unseal(*key, file_name_of(path), std::string_view(bytes).substr(kHeader.size()));
  if (!text) return fail(text.error().with_context(path));
  return secret_from(*text);
}

Result<Secret> SecretStore::read(const std::string& name) {
  auto secret = read_file(path_of(name));
  if (secret || secret.error().code() != Code::kNotFound) return secret;
  return fail(Code::kNotFound, "there is no secret " + name + " on this device");
}

Result<Secret> SecretStore::find(const SecretQuery& query) {
  for (const std::string& name : names_of(query.secret)) {
    auto secret = read(name);
    if (!secret && secret.error().code() != Code::kNotFound) return secret;
    if (!secret || !is_meant(*secret, query.secret)) continue;
    std::string stage = query.stage;
    if (stage.empty() && query.version_id.empty()) stage = kCurrent;
    std::erase_if(secret->versions, [&](const SecretVersion& version) {
      return (!query.version_id.empty() && version.id != query.version_id) ||
             (!stage.empty() && std::ranges::find(version.stages, stage) == version.stages.end());
    });
    if (!secret->versions.empty()) return secret;
    return fail(Code::kNotFound, "the secret " + query.secret + " has no such version");
  }
  return fail(Code::kNotFound, "there is no secret " + query.secret + " on this device");
}

Result<Secret> SecretStore::put(const std::string& name, std::string value, bool is_binary,
                                int64_t now_ms) {
  SKERRY_TRY(check_secret_name(name));
  if (value.empty() || value.size() > kMaxValueBytes) {
    return fail(Code::kInvalidArgument,
                "a secret has 1 to " + std::to_string(kMaxValueBytes) + " bytes");
  }
  is_binary |= !is_utf8(value);  // what is no text cannot be sent as one
  auto known = read(name);
  if (!known && known.error().code() != Code::kNotFound) return known;
  if (!known) {
    SKERRY_ASSIGN(const auto all, list());
    if (all.size() >= kMaxSecrets) {
      return fail(Code::kResourceExhausted,
                  "this device keeps " + std::to_string(kMaxSecrets) + " secrets: remove some");
    }
    known = Secret{name, place_.arn_prefix + name + "-" + random_.token(kArnEnd - 1), {}};
  }
  Secret secret = *std::move(known);
  std::erase_if(secret.versions, [](SecretVersion& version) {
    const bool was_current = std::ranges::find(version.stages, kCurrent) != version.stages.end();
    version.stages = {kPrevious};
    return !was_current;
  });
  secret.versions.insert(secret.versions.begin(),
                         {random_.uuid(), {kCurrent}, now_ms, std::move(value), is_binary});
  SKERRY_ASSIGN(const std::string* const key, this->key());
  std::string nonce(kSealNonceBytes, '\0');
  random_.fill(nonce.data(), nonce.size());
  const std::string path = path_of(name);
  SKERRY_TRY(io::write_file_atomic(
      files_, path, std::string(kHeader) + seal(*key, nonce, file_name_of(path), text_of(secret)),
      0600));
  return secret;
}

Result<void> SecretStore::remove(const std::string& name) {
  const std::string path = path_of(name);
  if (!io::exists(files_, path)) {
    return fail(Code::kNotFound, "there is no secret " + name + " on this device");
  }
  SKERRY_TRY(files_.remove(path));
  return files_.sync_directory(place_.directory);
}

Result<std::vector<Secret>> SecretStore::list() {
  std::vector<Secret> all;
  auto names = files_.list(place_.directory);
  if (!names && names.error().code() == Code::kNotFound) return all;
  if (!names) return fail(names.error());
  for (const std::string& name : *names) {
    if (!name.ends_with(kSecretSuffix)) continue;
    SKERRY_ASSIGN(Secret secret, read_file(place_.directory + "/" + name));
    for (SecretVersion& version : secret.versions) version.value.clear();
    all.push_back(std::move(secret));
  }
  std::ranges::sort(all, {}, &Secret::name);
  return all;
}

}  // namespace skerry::nucleus
