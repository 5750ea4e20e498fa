// OpenSSL's EVP.
#include "base/sealed.h"

#include <openssl/evp.h>

#include <memory>

#include "base/check.h"

namespace skerry {
namespace {

constexpr size_t kTagBytes = 16;

struct FreeContext {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_CIPHER_CTX, FreeContext>;

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* bytes_of(std::string& text) {
  return reinterpret_cast<unsigned char*>(text.data());
}
int size_of(std::string_view text) {
  return static_cast<int>(text.size());
}

// Begun, with the place taken in.
Context begin(std::string_view key, std::string_view nonce, std::string_view place, bool encrypt) {
  SKERRY_CHECK(key.size() == kSealKeyBytes && nonce.size() == kSealNonceBytes,
               "keys and nonces have one size");
  Context context(EVP_CIPHER_CTX_new());
  int taken = 0;
  const bool begun =
      context &&
      EVP_CipherInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, bytes_of(key), bytes_of(nonce),
                        encrypt ? 1 : 0) == 1 &&
      EVP_CipherUpdate(context.get(), nullptr, &taken, bytes_of(place), size_of(place)) == 1;
  SKERRY_CHECK(begun, "OpenSSL has AES-256-GCM");
  return context;
}

}  // namespace

std::string seal(std::string_view key, std::string_view nonce, std::string_view place,
                 std::string_view plaintext) {
  const Context context = begin(key, nonce, place, true);
  std::string text(plaintext.size(), '\0'), tag(kTagBytes, '\0');
  int written = 0, rest = 0;
  const bool sealed =
      EVP_CipherUpdate(context.get(), bytes_of(text), &written, bytes_of(plaintext),
                       size_of(plaintext)) == 1 &&
      EVP_CipherFinal_ex(context.get(), bytes_of(text) + written, &rest) == 1 &&
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, kTagBytes, tag.data()) == 1;
  SKERRY_CHECK(sealed, "sealing does not fail");
  return std::string(nonce) + text + tag;
}

Result<std::string> unseal(std::string_view key, std::string_view place, std::string_view sealed) {
  if (sealed.size() < kSealNonceBytes + kTagBytes) {
    return fail(Code::kCorrupt, "too short for something sealed");
  }
  const Context context = begin(key, sealed.substr(0, kSealNonceBytes), place, false);
  std::string tag(sealed.substr(sealed.size() - kTagBytes));
  sealed = sealed.substr(kSealNonceBytes, sealed.size() - kSealNonceBytes - kTagBytes);
  std::string text(sealed.size(), '\0');
  int written = 0, rest = 0;
  const bool opened =
      EVP_CipherUpdate(context.get(), bytes_of(text), &written, bytes_of(sealed),
                       size_of(sealed)) == 1 &&
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, kTagBytes, tag.data()) == 1 &&
      EVP_CipherFinal_ex(context.get(), bytes_of(text) + written, &rest) == 1;
  if (!opened) return fail(Code::kCorrupt, "was changed, or was sealed with another key");
  return text;
}

}  // namespace skerry
