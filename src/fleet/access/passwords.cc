// OpenSSL's scrypt; the cost stands in each hash, so that it can be raised later.
#include "fleet/access/passwords.h"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <charconv>
#include <cstdint>
#include <vector>

#include "base/encoding.h"

namespace skerry::fleet {
namespace {

constexpr size_t kLeastBytes = 10;
constexpr size_t kMostBytes = 256;
constexpr size_t kSaltBytes = 16;
constexpr size_t kHashBytes = 32;
constexpr uint64_t kMostMemory = uint64_t{256} << 20;

struct Cost {
  uint64_t n = 1 << 15;
  uint64_t r = 8;
  uint64_t p = 1;
};

std::string derive(std::string_view password, const std::string& salt, const Cost& cost) {
  std::string key(kHashBytes, '\0');
  const int done = EVP_PBE_scrypt(password.data(), password.size(),
                                  reinterpret_cast<const unsigned char*>(salt.data()), salt.size(),
                                  cost.n, cost.r, cost.p, kMostMemory,
                                  reinterpret_cast<unsigned char*>(key.data()), key.size());
  return done == 1 ? key : std::string();
}

std::vector<std::string_view> parts_of(std::string_view text) {
  std::vector<std::string_view> parts;
  for (;;) {
    const size_t end = text.find('$');
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

bool read_number(std::string_view text, uint64_t& number) {
  return std::from_chars(text.data(), text.data() + text.size(), number).ec == std::errc();
}

}  // namespace

Result<void> check_password(std::string_view password) {
  if (password.size() >= kLeastBytes && password.size() <= kMostBytes) return {};
  return fail(Code::kInvalidArgument, fmt::format("password: must have {} to {} bytes, has {}",
                                                  kLeastBytes, kMostBytes, password.size()));
}

Result<std::string> hash_password(std::string_view password, io::Random& random) {
  SKERRY_TRY(check_password(password));
  std::string salt(kSaltBytes, '\0');
  random.fill(salt.data(), salt.size());
  const Cost cost;
  const std::string hash = derive(password, salt, cost);
  if (hash.empty()) return fail(Code::kInternal, "scrypt failed: too little memory?");
  return fmt::format("scrypt${}${}${}${}${}", cost.n, cost.r, cost.p, base64_encode(salt),
                     base64_encode(hash));
}

bool is_password(std::string_view password, std::string_view hash) {
  const auto parts = parts_of(hash);
  Cost cost;
  if (parts.size() != 6 || parts[0] != "scrypt" || !read_number(parts[1], cost.n) ||
      !read_number(parts[2], cost.r) || !read_number(parts[3], cost.p)) {
    return false;
  }
  const auto salt = base64_decode(parts[4]);
  const auto wanted = base64_decode(parts[5]);
  if (!salt || !wanted || wanted->size() != kHashBytes) return false;
  const std::string derived = derive(password, *salt, cost);
  return derived.size() == kHashBytes &&
         CRYPTO_memcmp(derived.data(), wanted->data(), kHashBytes) == 0;
}

}  // namespace skerry::fleet
