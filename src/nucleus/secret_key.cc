// EC: a key of one use agrees with the device's on a secret (ECDH), from which the wrapping key is
// derived. RSA: OAEP.
#include "nucleus/secret_key.h"

#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/sealed.h"
#include "base/sha256.h"
#include "net/openssl.h"
#include "net/private_key.h"

namespace skerry::nucleus {
namespace {

using net::openssl::Bio;
using net::openssl::Key;
using nlohmann::json;
using KeyContext = Owned<EVP_PKEY_CTX, EVP_PKEY_CTX_free>;

constexpr uint64_t kMaxKeyFileBytes = 64 << 10;
constexpr const char* kPlain = "none";
constexpr const char* kEc = "ec";
constexpr const char* kRsa = "rsa";
constexpr std::string_view kPlace = "skerry secret key";

unsigned char* bytes_of(std::string& text) {
  return reinterpret_cast<unsigned char*>(text.data());
}
const unsigned char* bytes_of(const std::string& text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

std::string random_bytes(io::Random& random, size_t size) {
  std::string bytes(size, '\0');
  random.fill(bytes.data(), size);
  return bytes;
}

Result<Key> read_private_key(io::Files& files, const std::string& path) {
  if (net::is_in_token(path)) return net::load_private_key(path);
  SKERRY_ASSIGN(const std::string pem, io::read_file(files, path, kMaxKeyFileBytes));
  const Bio memory(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  Key key(memory ? PEM_read_bio_PrivateKey(memory.get(), nullptr, nullptr, nullptr) : nullptr);
  if (!key) return fail(Code::kInvalidArgument, path + " holds no private key that can be read");
  return key;
}

Error not_usable(const std::string& what) {
  return Error(Code::kInternal, "OpenSSL cannot " + what + " with the device's private key");
}

// What both sides can compute, and nobody else.
Result<std::string> agree(EVP_PKEY* own, EVP_PKEY* other) {
  const KeyContext context(EVP_PKEY_CTX_new(own, nullptr));
  size_t size = 0;
  if (!context || EVP_PKEY_derive_init(context.get()) != 1 ||
      EVP_PKEY_derive_set_peer(context.get(), other) != 1 ||
      EVP_PKEY_derive(context.get(), nullptr, &size) != 1) {
    return fail(not_usable("agree on a secret"));
  }
  std::string shared(size, '\0');
  if (EVP_PKEY_derive(context.get(), bytes_of(shared), &size) != 1) {
    return fail(not_usable("agree on a secret"));
  }
  shared.resize(size);
  return hmac_sha256(kPlace, shared);
}

Result<std::string> public_der(EVP_PKEY* key) {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key, &der);
  if (size <= 0) return fail(not_usable("write a public key"));
  std::string point(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return point;
}

Result<json> wrap_ec(io::Random& random, EVP_PKEY* device, const std::string& key) {
  // A copy: what is to be done with the public key of one in a token is not done there.
  SKERRY_ASSIGN(const std::string known, public_der(device));
  const unsigned char* at = bytes_of(known);
  const Key peer(d2i_PUBKEY(nullptr, &at, static_cast<long>(known.size())));
  char curve[64];
  if (!peer || EVP_PKEY_get_group_name(peer.get(), curve, sizeof curve, nullptr) != 1)
    return fail(not_usable("make a key to agree"));
  const Key once(EVP_EC_gen(curve));
  if (!once) return fail(not_usable("make a key to agree"));
  SKERRY_ASSIGN(const std::string wrapping, agree(once.get(), peer.get()));
  SKERRY_ASSIGN(const std::string point, public_der(once.get()));
  return json{
      {"wrapped", kEc},
      {"point", base64_encode(point)},
      {"key", base64_encode(seal(wrapping, random_bytes(random, kSealNonceBytes), kPlace, key))}};
}

Result<std::string> unwrap_ec(EVP_PKEY* device, const std::string& point,
                              const std::string& wrapped) {
  const unsigned char* at = bytes_of(point);
  const Key once(d2i_PUBKEY(nullptr, &at, static_cast<long>(point.size())));
  if (!once) return fail(Code::kCorrupt, "no public key");
  SKERRY_ASSIGN(const std::string wrapping, agree(device, once.get()));
  return unseal(wrapping, kPlace, wrapped);
}

using Crypt = int (*)(EVP_PKEY_CTX*, unsigned char*, size_t*, const unsigned char*, size_t);

Result<std::string> crypt_rsa(EVP_PKEY* device, int (*init)(EVP_PKEY_CTX*), Crypt crypt,
                              const std::string& input) {
  const KeyContext context(EVP_PKEY_CTX_new(device, nullptr));
  size_t size = 0;
  if (!context || init(context.get()) != 1 ||
      EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_OAEP_PADDING) != 1 ||
      crypt(context.get(), nullptr, &size, bytes_of(input), input.size()) != 1) {
    return fail(not_usable("wrap a key"));
  }
  std::string output(size, '\0');
  if (crypt(context.get(), bytes_of(output), &size, bytes_of(input), input.size()) != 1) {
    return fail(Code::kCorrupt, "was wrapped for another private key");
  }
  output.resize(size);
  return output;
}

Result<json> wrap(io::Random& random, EVP_PKEY* device, const std::string& key) {
  if (!device) return json{{"wrapped", kPlain}, {"key", base64_encode(key)}};
  if (EVP_PKEY_get_base_id(device) != EVP_PKEY_RSA) return wrap_ec(random, device, key);
  SKERRY_ASSIGN(const std::string wrapped,
                crypt_rsa(device, EVP_PKEY_encrypt_init, EVP_PKEY_encrypt, key));
  return json{{"wrapped", kRsa}, {"key", base64_encode(wrapped)}};
}

// "" where there is no such text.
std::string member_text(const json& document, const char* key) {
  const auto found = document.find(key);
  return found != document.end() && found->is_string() ? found->get<std::string>() : "";
}

Result<std::string> unwrap(const json& document, EVP_PKEY* device) {
  SKERRY_ASSIGN(std::string wrapped, base64_decode(member_text(document, "key")));
  const std::string how = member_text(document, "wrapped");
  if (how == kPlain) return wrapped;
  if (!device) return fail(Code::kFailedPrecondition, "this device has no private key any more");
  if (how == kRsa) return crypt_rsa(device, EVP_PKEY_decrypt_init, EVP_PKEY_decrypt, wrapped);
  SKERRY_ASSIGN(const std::string point, base64_decode(member_text(document, "point")));
  return unwrap_ec(device, point, wrapped);
}

}  // namespace

Result<std::string> open_secret_key(io::Files& files, io::Random& random, const std::string& path,
                                    const std::string& private_key_file) {
  Key device;
  if (!private_key_file.empty()) {
    SKERRY_ASSIGN(device, read_private_key(files, private_key_file));
  }
  std::string key;
  bool is_wrapped = false;
  if (auto text = io::read_file(files, path, kMaxKeyFileBytes)) {
    const json document = json::parse(*text, nullptr, false);
    auto opened = document.is_object() ? unwrap(document, device.get())
                                       : Result<std::string>(fail(Code::kCorrupt, "is damaged"));
    if (opened && opened->size() != kSealKeyBytes) opened = fail(Code::kCorrupt, "is damaged");
    if (!opened) {
      return fail(Code::kFailedPrecondition,
                  path + ": " + opened.error().message() +
                      ": restore it together with the device's private key, or remove its folder "
                      "and give the device its secrets again");
    }
    key = *std::move(opened);
    is_wrapped = member_text(document, "wrapped") != kPlain;
  } else if (text.error().code() == Code::kNotFound) {
    key = random_bytes(random, kSealKeyBytes);
  } else {
    return fail(text.error());
  }
  if (is_wrapped || (!device && io::exists(files, path))) return key;
  SKERRY_ASSIGN(const json document, wrap(random, device.get(), key));
  SKERRY_TRY(io::make_directories(files, io::parent_of(path), 0700));
  SKERRY_TRY(io::write_file_atomic(files, path, document.dump(), 0600));
  return key;
}

}  // namespace skerry::nucleus
