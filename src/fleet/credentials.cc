// HMAC-SHA-256 over claims of the form 1.CERTIFICATE.EXPIRY.NONCE.
#include "fleet/credentials.h"

#include <charconv>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/sha256.h"
#include "formats/json_ptr.h"

namespace skerry::fleet {
namespace {

using nlohmann::json;

constexpr int64_t kLifeMs = 3600 * 1000;
constexpr size_t kKeyBytes = 32;
constexpr size_t kSecretCharacters = 40;

std::string random_bytes(io::Random& random, size_t size) {
  std::string bytes(size, '\0');
  random.fill(bytes.data(), bytes.size());
  return bytes;
}

std::string_view take_part(std::string_view& text) {
  const size_t end = text.find('.');
  std::string_view part = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return part;
}

}  // namespace

net::AwsCredentials new_access_key(io::Random& random) {
  net::AwsCredentials credentials;
  credentials.access_key_id = "AKIA" + random.token(16);
  credentials.secret_access_key =
      base64_encode(random_bytes(random, kSecretCharacters * 3 / 4)).substr(0, kSecretCharacters);
  return credentials;
}

Result<net::AwsCredentials> open_access_key(io::Env& env, const std::string& path) {
  if (io::exists(env.files, path)) {
    SKERRY_ASSIGN(std::string text, io::read_file(env.files, path));
    auto stored = formats::parse_json(text);
    net::AwsCredentials credentials;
    if (stored && stored->is_object()) {
      credentials.access_key_id = stored->value("accessKeyId", "");
      credentials.secret_access_key = stored->value("secretAccessKey", "");
    }
    if (credentials.access_key_id.empty() || credentials.secret_access_key.empty()) {
      return fail(Code::kCorrupt, path +
                                      " must hold {\"accessKeyId\", \"secretAccessKey\"}: restore "
                                      "it, or remove it to get a new key at the next start");
    }
    return credentials;
  }
  net::AwsCredentials credentials = new_access_key(env.random);
  const json document = {{"accessKeyId", credentials.access_key_id},
                         {"secretAccessKey", credentials.secret_access_key}};
  SKERRY_TRY(io::write_file_atomic(env.files, path, document.dump(2) + "\n", 0600));
  return credentials;
}

std::string TemporaryCredentials::fresh_key(io::Env& env) {
  return base64_encode(random_bytes(env.random, kKeyBytes));
}

net::AwsCredentials TemporaryCredentials::derive(const std::string& claim) const {
  net::AwsCredentials credentials;
  credentials.access_key_id = "ASIA" + hex_encode(hmac_sha256(key_, "id " + claim)).substr(0, 16);
  credentials.secret_access_key =
      base64_encode(hmac_sha256(key_, "secret " + claim)).substr(0, kSecretCharacters);
  credentials.session_token =
      base64_encode(claim + "." + hex_encode(hmac_sha256(key_, "mac " + claim)));
  return credentials;
}

TemporaryCredentials::Issued TemporaryCredentials::issue(const std::string& certificate_id) {
  const int64_t expires_ms = env_.clock.wall_ms() + kLifeMs;
  const std::string claim = "1." + certificate_id + "." + std::to_string(expires_ms) + "." +
                            hex_encode(random_bytes(env_.random, 8));
  return {derive(claim), expires_ms};
}

std::optional<std::string> TemporaryCredentials::secret_of(std::string_view access_key_id,
                                                           std::string_view session_token) {
  auto token = base64_decode(session_token);
  if (!token || token->empty()) return std::nullopt;
  const std::string claim = token->substr(0, token->rfind('.'));
  const net::AwsCredentials derived = derive(claim);
  if (!equals_secretly(derived.session_token, session_token) ||
      derived.access_key_id != access_key_id) {
    return std::nullopt;
  }
  std::string_view rest = claim;
  take_part(rest);  // the format's version, which the MAC has vouched for
  const std::string certificate_id(take_part(rest));
  const std::string_view expiry = take_part(rest);
  int64_t expires_ms = 0;
  std::from_chars(expiry.data(), expiry.data() + expiry.size(), expires_ms);
  if (env_.clock.wall_ms() >= expires_ms) return std::nullopt;
  if (!certificates_.thing_of(certificate_id)) return std::nullopt;
  return derived.secret_access_key;
}

}  // namespace skerry::fleet
