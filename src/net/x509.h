// Keys, certificate requests and certificates, made with OpenSSL and kept as PEM. For .cc files.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "io/random.h"
#include "net/openssl.h"

namespace skerry::net::x509 {

inline constexpr size_t kMaxCommonName = 64;  // characters, of X.509

// With OpenSSL's own reason, which is cleared.
std::unexpected<Error> openssl_error(std::string_view what);

Result<openssl::Key> make_key();  // EC P-256

std::string pem_of(X509* certificate);
std::string pem_of(EVP_PKEY* key);  // PKCS #8; secret
std::string public_pem_of(EVP_PKEY* key);
// The first in the text; null where there is none.
openssl::Certificate parse_certificate(std::string_view pem);
openssl::Key parse_key(std::string_view pem);
openssl::Request parse_request(std::string_view pem);

// All of the text, for one that has the certificates of several authorities.
std::vector<openssl::Certificate> parse_certificates(std::string_view pem);

// Of a text, with SHA-256: DER of ECDSA, or PKCS #1 of RSA.
Result<std::string> sign(EVP_PKEY* key, std::string_view text);
bool has_signed(X509* certificate, std::string_view text, std::string_view signature);
// Whether `issuer` has signed the certificate; not whether it is good by the clock.
bool is_issued_by(X509* certificate, X509* issuer);

// SHA-256 of the DER form in lower-case hex: what the registry calls a certificate's id.
std::string fingerprint(X509* certificate);

// Seconds since 1970.
int64_t not_before_s(X509* certificate);
int64_t not_after_s(X509* certificate);

bool is_address(const std::string& name);  // of IPv4 or IPv6
// Whether a server with this certificate may be called `name`, a host's name or address.
bool is_for(X509* certificate, const std::string& name);

struct Template {
  std::string_view common_name;  // may be empty
  std::string_view organization;
  int64_t not_before_s = 0, not_after_s = 0;
  std::vector<std::pair<int, std::string>> extensions;  // NID and value in OpenSSL's notation
};
// Of an authority that signs ends only, and of an end: usage "serverAuth", "clientAuth".
Template authority_template(std::string_view common_name, std::string_view organization);
Template end_template(std::string_view common_name, std::string_view organization,
                      const char* usage);
// "DNS:a,IP:127.0.0.1": the value of NID_subject_alt_name.
std::string alternative_names(const std::vector<std::string>& names);

// A certificate for `key`, signed by `issuer_key`; `issuer` is null for a self-signed one.
Result<openssl::Certificate> make_certificate(io::Random& random, const Template& wanted,
                                              EVP_PKEY* key, X509* issuer, EVP_PKEY* issuer_key);

// A device's new private key, and the request for a certificate of it.
struct KeyRequest {
  std::string key_pem;      // PKCS #8, EC P-256; secret
  std::string request_pem;  // PKCS #10; CN = thing, which is for people, where it has room for it
};
Result<KeyRequest> make_key_request(const std::string& thing);
Result<std::string> make_request(EVP_PKEY* key, const std::string& thing);

}  // namespace skerry::net::x509
