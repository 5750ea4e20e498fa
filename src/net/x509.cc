// Every field of a certificate is set here; who signs what for how long, the authorities say.
#include "net/x509.h"

#include <arpa/inet.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/obj_mac.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>

#include "base/encoding.h"
#include "base/sha256.h"

namespace skerry::net::x509 {
namespace {

using openssl::Bio;
using openssl::Certificate;
using openssl::Extension;
using openssl::Key;
using openssl::Number;
using openssl::Request;
using openssl::text_of;

Bio reader_of(std::string_view bytes) {
  return Bio(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
}

bool add_name(X509_NAME* name, const char* field, std::string_view value) {
  return X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8,
                                    reinterpret_cast<const unsigned char*>(value.data()),
                                    static_cast<int>(value.size()), -1, 0) == 1;
}

int64_t seconds_of(const ASN1_TIME* time) {
  const openssl::Time epoch(ASN1_TIME_set(nullptr, 0));
  int days = 0, seconds = 0;
  if (!epoch || ASN1_TIME_diff(&days, &seconds, epoch.get(), time) != 1) return 0;
  return int64_t{days} * 86'400 + seconds;
}

}  // namespace

std::unexpected<Error> openssl_error(std::string_view what) {
  char reason[256] = "no reason given";
  if (unsigned long code = ERR_get_error()) ERR_error_string_n(code, reason, sizeof reason);
  ERR_clear_error();
  return fail(Code::kInternal, "OpenSSL: " + std::string(what) + ": " + reason);
}

Result<Key> make_key() {
  Key key(EVP_EC_gen("P-256"));
  if (!key) return openssl_error("make an EC key");
  return key;
}

std::string pem_of(X509* certificate) {
  const Bio memory(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(memory.get(), certificate);
  return text_of(memory);
}

std::string pem_of(EVP_PKEY* key) {
  const Bio memory(BIO_new(BIO_s_mem()));
  PEM_write_bio_PrivateKey(memory.get(), key, nullptr, nullptr, 0, nullptr, nullptr);
  return text_of(memory);
}

std::string public_pem_of(EVP_PKEY* key) {
  const Bio memory(BIO_new(BIO_s_mem()));
  PEM_write_bio_PUBKEY(memory.get(), key);
  return text_of(memory);
}

Certificate parse_certificate(std::string_view pem) {
  Certificate certificate(PEM_read_bio_X509(reader_of(pem).get(), nullptr, nullptr, nullptr));
  ERR_clear_error();
  return certificate;
}

Key parse_key(std::string_view pem) {
  Key key(PEM_read_bio_PrivateKey(reader_of(pem).get(), nullptr, nullptr, nullptr));
  ERR_clear_error();
  return key;
}

Request parse_request(std::string_view pem) {
  Request request(PEM_read_bio_X509_REQ(reader_of(pem).get(), nullptr, nullptr, nullptr));
  ERR_clear_error();
  return request;
}

std::vector<Certificate> parse_certificates(std::string_view pem) {
  std::vector<Certificate> all;
  const Bio reader = reader_of(pem);
  while (Certificate one{PEM_read_bio_X509(reader.get(), nullptr, nullptr, nullptr)}) {
    all.push_back(std::move(one));
  }
  ERR_clear_error();
  return all;
}

Result<std::string> sign(EVP_PKEY* key, std::string_view text) {
  const openssl::Digest digest(EVP_MD_CTX_new());
  const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
  size_t size = 0;
  std::string signature;
  bool made = digest &&
              EVP_DigestSignInit(digest.get(), nullptr, EVP_sha256(), nullptr, key) == 1 &&
              EVP_DigestSign(digest.get(), nullptr, &size, bytes, text.size()) == 1;
  signature.resize(size);
  made = made && EVP_DigestSign(digest.get(), reinterpret_cast<unsigned char*>(signature.data()),
                                &size, bytes, text.size()) == 1;
  if (!made) return openssl_error("sign");
  signature.resize(size);
  return signature;
}

bool has_signed(X509* certificate, std::string_view text, std::string_view signature) {
  const openssl::Digest digest(EVP_MD_CTX_new());
  EVP_PKEY* key = X509_get0_pubkey(certificate);  // of the certificate's
  const bool verified =
      digest && key != nullptr &&
      EVP_DigestVerifyInit(digest.get(), nullptr, EVP_sha256(), nullptr, key) == 1 &&
      EVP_DigestVerify(digest.get(), reinterpret_cast<const unsigned char*>(signature.data()),
                       signature.size(), reinterpret_cast<const unsigned char*>(text.data()),
                       text.size()) == 1;
  ERR_clear_error();
  return verified;
}

bool is_issued_by(X509* certificate, X509* issuer) {
  const bool issued = X509_check_issued(issuer, certificate) == X509_V_OK &&
                      X509_verify(certificate, X509_get0_pubkey(issuer)) == 1;
  ERR_clear_error();
  return issued;
}

std::string fingerprint(X509* certificate) {
  unsigned char* der = nullptr;
  const int size = i2d_X509(certificate, &der);
  const std::string_view bytes(reinterpret_cast<char*>(der),
                               static_cast<size_t>(std::max(size, 0)));
  std::string hex = hex_encode(sha256(bytes));
  OPENSSL_free(der);
  return hex;
}

int64_t not_before_s(X509* certificate) {
  return seconds_of(X509_get0_notBefore(certificate));
}

int64_t not_after_s(X509* certificate) {
  return seconds_of(X509_get0_notAfter(certificate));
}

bool is_address(const std::string& name) {
  unsigned char bytes[16];
  return ::inet_pton(AF_INET, name.c_str(), bytes) == 1 ||
         ::inet_pton(AF_INET6, name.c_str(), bytes) == 1;
}

bool is_for(X509* certificate, const std::string& name) {
  const int found = is_address(name)
                        ? X509_check_ip_asc(certificate, name.c_str(), 0)
                        : X509_check_host(certificate, name.c_str(), name.size(), 0, nullptr);
  ERR_clear_error();
  return found == 1;
}

Template authority_template(std::string_view common_name, std::string_view organization) {
  Template made;
  made.common_name = common_name;
  made.organization = organization;
  made.extensions = {{NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
                     {NID_key_usage, "critical,keyCertSign,cRLSign"},
                     {NID_subject_key_identifier, "hash"}};
  return made;
}

Template end_template(std::string_view common_name, std::string_view organization,
                      const char* usage) {
  Template made;
  made.common_name = common_name;
  made.organization = organization;
  made.extensions = {{NID_basic_constraints, "critical,CA:FALSE"},
                     {NID_key_usage, "critical,digitalSignature"},
                     {NID_ext_key_usage, usage},
                     {NID_subject_key_identifier, "hash"},
                     {NID_authority_key_identifier, "keyid:always"}};
  return made;
}

std::string alternative_names(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) {
    if (!text.empty()) text += ",";
    text += (is_address(name) ? "IP:" : "DNS:") + name;
  }
  return text;
}

Result<Certificate> make_certificate(io::Random& random, const Template& wanted, EVP_PKEY* key,
                                     X509* issuer, EVP_PKEY* issuer_key) {
  Certificate certificate(X509_new());
  unsigned char serial[16];
  random.fill(serial, sizeof serial);
  serial[0] = static_cast<unsigned char>((serial[0] & 0x7f) | 0x40);  // positive, full length
  const Number number(BN_bin2bn(serial, sizeof serial, nullptr));
  X509_NAME* subject = X509_get_subject_name(certificate.get());
  const bool ok =
      X509_set_version(certificate.get(), X509_VERSION_3) == 1 &&
      BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate.get())) != nullptr &&
      ASN1_TIME_set(X509_getm_notBefore(certificate.get()), wanted.not_before_s) != nullptr &&
      ASN1_TIME_set(X509_getm_notAfter(certificate.get()), wanted.not_after_s) != nullptr &&
      add_name(subject, "O", wanted.organization) &&
      (wanted.common_name.empty() || add_name(subject, "CN", wanted.common_name)) &&
      X509_set_issuer_name(certificate.get(), issuer ? X509_get_subject_name(issuer) : subject) ==
          1 &&
      X509_set_pubkey(certificate.get(), key) == 1;
  if (!ok) return openssl_error("fill in a certificate");
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer ? issuer : certificate.get(), certificate.get(), nullptr, nullptr,
                 0);
  for (const auto& [nid, value] : wanted.extensions) {
    const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
    if (!extension || X509_add_ext(certificate.get(), extension.get(), -1) != 1) {
      return openssl_error("certificate extension " + value);
    }
  }
  if (X509_sign(certificate.get(), issuer_key, EVP_sha256()) == 0) {
    return openssl_error("sign a certificate");
  }
  return certificate;
}

Result<std::string> make_request(EVP_PKEY* key, const std::string& thing) {
  const Request request(X509_REQ_new());
  const Bio text(BIO_new(BIO_s_mem()));
  const bool is_named = !thing.empty() && thing.size() <= kMaxCommonName;
  const bool made =
      request && text &&
      (!is_named || add_name(X509_REQ_get_subject_name(request.get()), "CN", thing)) &&
      X509_REQ_set_pubkey(request.get(), key) == 1 &&
      X509_REQ_sign(request.get(), key, EVP_sha256()) > 0 &&
      PEM_write_bio_X509_REQ(text.get(), request.get()) == 1;
  if (!made) return openssl_error("make a certificate request for " + thing);
  return text_of(text);
}

Result<KeyRequest> make_key_request(const std::string& thing) {
  SKERRY_ASSIGN(const Key key, make_key());
  SKERRY_ASSIGN(std::string request, make_request(key.get(), thing));
  return KeyRequest{pem_of(key.get()), std::move(request)};
}

}  // namespace skerry::net::x509
