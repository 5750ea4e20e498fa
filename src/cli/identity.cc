// Keys and certificate requests by OpenSSL.
#include "cli/identity.h"

#include <openssl/pem.h>

#include "net/openssl.h"

namespace skerry::cli {

Result<Identity> make_identity(const std::string& thing) {
  using namespace net::openssl;
  const Key key(EVP_EC_gen("P-256"));
  const Request request(X509_REQ_new());
  const Bio key_text(BIO_new(BIO_s_mem())), request_text(BIO_new(BIO_s_mem()));
  const auto* name = reinterpret_cast<const unsigned char*>(thing.c_str());
  // For people only. X.509 has no room for a longer one.
  const bool is_named = thing.size() <= 64;
  const bool made =
      key && request && key_text && request_text &&
      (!is_named || X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(request.get()), "CN",
                                               MBSTRING_UTF8, name, -1, -1, 0) == 1) &&
      X509_REQ_set_pubkey(request.get(), key.get()) == 1 &&
      X509_REQ_sign(request.get(), key.get(), EVP_sha256()) > 0 &&
      PEM_write_bio_PrivateKey(key_text.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) ==
          1 &&
      PEM_write_bio_X509_REQ(request_text.get(), request.get()) == 1;
  if (!made)
    return fail(Code::kInternal,
                "OpenSSL cannot make a key and a certificate request for " + thing);
  return Identity{text_of(key_text), text_of(request_text)};
}

}  // namespace skerry::cli
