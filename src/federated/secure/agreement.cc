// OpenSSL's X25519; HKDF is two HMACs.
#include "federated/secure/agreement.h"

#include <openssl/err.h>
#include <openssl/evp.h>

#include "base/check.h"
#include "base/owned.h"
#include "base/sha256.h"

namespace skerry::federated::secure {
namespace {

using Key = Owned<EVP_PKEY, EVP_PKEY_free>;
using KeyContext = Owned<EVP_PKEY_CTX, EVP_PKEY_CTX_free>;

const unsigned char* raw(std::string_view bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

Key secret_key(std::string_view secret) {
  SKERRY_CHECK(secret.size() == kKeyBytes, "keys of X25519 have one size");
  Key key(EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nullptr, raw(secret), secret.size()));
  SKERRY_CHECK(key != nullptr, "OpenSSL has X25519");
  return key;
}

}  // namespace

std::string open_key_of(std::string_view secret) {
  std::string open(kKeyBytes, '\0');
  size_t size = open.size();
  const bool made =
      EVP_PKEY_get_raw_public_key(secret_key(secret).get(),
                                  reinterpret_cast<unsigned char*>(open.data()), &size) == 1;
  SKERRY_CHECK(made && size == kKeyBytes, "a secret key has a public one");
  return open;
}

KeyPair make_key_pair(io::Random& random) {
  KeyPair pair{.secret = std::string(kKeyBytes, '\0'), .open = {}};
  random.fill(pair.secret.data(), pair.secret.size());
  pair.open = open_key_of(pair.secret);
  return pair;
}

Result<std::string> x25519(std::string_view secret, std::string_view other) {
  const auto wrong = [] {
    ERR_clear_error();
    return fail(Code::kInvalidArgument, "a device's public key is none of X25519");
  };
  if (other.size() != kKeyBytes) return wrong();
  const Key mine = secret_key(secret);
  const Key theirs(EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nullptr, raw(other), other.size()));
  const KeyContext context(EVP_PKEY_CTX_new(mine.get(), nullptr));
  std::string shared(kKeyBytes, '\0');
  size_t size = shared.size();
  // Where the result would be nought, whatever the secret, OpenSSL refuses.
  const bool agreed =
      theirs && context && EVP_PKEY_derive_init(context.get()) == 1 &&
      EVP_PKEY_derive_set_peer(context.get(), theirs.get()) == 1 &&
      EVP_PKEY_derive(context.get(), reinterpret_cast<unsigned char*>(shared.data()), &size) == 1;
  if (!agreed || size != kKeyBytes) return wrong();
  return shared;
}

std::string hkdf(std::string_view secret, std::string_view salt, std::string_view use) {
  return hmac_sha256(hmac_sha256(salt, secret), std::string(use) + '\x01');
}

Result<std::string> sealing_key(std::string_view secret, std::string_view other) {
  SKERRY_ASSIGN(const std::string shared, x25519(secret, other));
  return hkdf(shared, "", "skerry secure aggregation: shares");
}

Result<std::string> mask_seed(std::string_view secret, std::string_view other) {
  SKERRY_ASSIGN(const std::string shared, x25519(secret, other));
  return hkdf(shared, "", "skerry secure aggregation: mask");
}

}  // namespace skerry::federated::secure
