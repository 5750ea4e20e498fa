// X.509 with OpenSSL. Every file is written whole or not at all, the key before its certificate.
#include "fleet/ca.h"

#include <arpa/inet.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>

#include "base/encoding.h"
#include "base/sha256.h"
#include "net/openssl.h"

namespace skerry::fleet {
namespace {

using net::openssl::Bio;
using net::openssl::Extension;
using net::openssl::Key;
using net::openssl::Number;
using net::openssl::Request;
using net::openssl::text_of;

constexpr int64_t kDayS = 24 * 3600;
constexpr int64_t kYearS = 365 * kDayS;
constexpr int64_t kCaLifeS = 30 * kYearS;
constexpr int64_t kOwnLifeS = 5 * kYearS;
constexpr int64_t kOwnLeastLeftS = kYearS;
// Until devices renew by themselves, a certificate has to outlast the device.
constexpr int64_t kDeviceLifeS = 20 * kYearS;
// 2024-01-01: no clock that is right shows an earlier time. Certificates are valid from then on,
// whatever this machine's clock shows when they are made: clocks of devices may be behind ours, and
// ours may have been ahead.
constexpr int64_t kFloorS = 1'704'067'200;

constexpr std::string_view kControlPlaneOrganization = "Skerry control plane";
constexpr size_t kMaxCommonName = 64;  // of X.509
constexpr std::string_view kDeviceOrganization = "Skerry device";
constexpr size_t kMaxCsrBytes = 4096;  // as CreateCertificateFromCsr has it

std::unexpected<Error> openssl_error(std::string_view what) {
  char reason[256] = "no reason given";
  if (unsigned long code = ERR_get_error()) ERR_error_string_n(code, reason, sizeof reason);
  ERR_clear_error();
  return fail(Code::kInternal, "OpenSSL: " + std::string(what) + ": " + reason);
}

Bio reader(std::string_view bytes) {
  return Bio(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
}

std::string certificate_pem(X509* certificate) {
  const Bio memory(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(memory.get(), certificate);
  return text_of(memory);
}

std::string key_pem(EVP_PKEY* key) {
  const Bio memory(BIO_new(BIO_s_mem()));
  PEM_write_bio_PrivateKey(memory.get(), key, nullptr, nullptr, 0, nullptr, nullptr);
  return text_of(memory);
}

std::string fingerprint(X509* certificate) {
  unsigned char* der = nullptr;
  int size = i2d_X509(certificate, &der);
  std::string_view bytes(reinterpret_cast<char*>(der), static_cast<size_t>(std::max(size, 0)));
  std::string hex = hex_encode(sha256(bytes));
  OPENSSL_free(der);
  return hex;
}

// The only common name of a subject, or "".
std::string common_name(X509_NAME* subject) {
  int index = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (index < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, index) >= 0) return "";
  unsigned char* utf8 = nullptr;
  int size =
      ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, index)));
  if (size < 0) return "";
  std::string name(reinterpret_cast<char*>(utf8), static_cast<size_t>(size));
  OPENSSL_free(utf8);
  return name;
}

bool add_name(X509_NAME* name, const char* field, std::string_view value) {
  return X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8,
                                    reinterpret_cast<const unsigned char*>(value.data()),
                                    static_cast<int>(value.size()), -1, 0) == 1;
}

bool is_address(const std::string& name) {
  unsigned char bytes[16];
  return ::inet_pton(AF_INET, name.c_str(), bytes) == 1 ||
         ::inet_pton(AF_INET6, name.c_str(), bytes) == 1;
}

struct Template {
  std::string_view common_name;
  std::string_view organization;
  int64_t life_s = 0;
  std::vector<std::pair<int, std::string>> extensions;  // NID and value in OpenSSL's notation
};

Template authority_template() {
  return {"Skerry fleet CA",
          kControlPlaneOrganization,
          kCaLifeS,
          {{NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
           {NID_key_usage, "critical,keyCertSign,cRLSign"},
           {NID_subject_key_identifier, "hash"}}};
}

Template end_template(std::string_view name, std::string_view organization, int64_t life_s,
                      const char* usage) {
  return {name,
          organization,
          life_s,
          {{NID_basic_constraints, "critical,CA:FALSE"},
           {NID_key_usage, "critical,digitalSignature"},
           {NID_ext_key_usage, usage},
           {NID_subject_key_identifier, "hash"},
           {NID_authority_key_identifier, "keyid:always"}}};
}

// A certificate for `key`, signed by `issuer_key`; `issuer` is null for a self-signed one.
Result<net::openssl::Certificate> make_certificate(io::Env& env, const Template& wanted,
                                                   EVP_PKEY* key, X509* issuer,
                                                   EVP_PKEY* issuer_key) {
  net::openssl::Certificate certificate(X509_new());
  unsigned char serial[16];
  env.random.fill(serial, sizeof serial);
  serial[0] = static_cast<unsigned char>((serial[0] & 0x7f) | 0x40);  // positive, full length
  Number number(BN_bin2bn(serial, sizeof serial, nullptr));
  const time_t now = std::max(env.clock.wall_ms() / 1000, kFloorS);
  X509_NAME* subject = X509_get_subject_name(certificate.get());
  bool ok = X509_set_version(certificate.get(), X509_VERSION_3) == 1 &&
            BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate.get())) != nullptr &&
            ASN1_TIME_set(X509_getm_notBefore(certificate.get()), kFloorS) != nullptr &&
            ASN1_TIME_set(X509_getm_notAfter(certificate.get()), now + wanted.life_s) != nullptr &&
            add_name(subject, "O", wanted.organization) &&
            (wanted.common_name.empty() || add_name(subject, "CN", wanted.common_name)) &&
            X509_set_issuer_name(certificate.get(),
                                 issuer ? X509_get_subject_name(issuer) : subject) == 1 &&
            X509_set_pubkey(certificate.get(), key) == 1;
  if (!ok) return openssl_error("fill in a certificate");
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer ? issuer : certificate.get(), certificate.get(), nullptr, nullptr,
                 0);
  for (const auto& [nid, value] : wanted.extensions) {
    Extension extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
    if (!extension || X509_add_ext(certificate.get(), extension.get(), -1) != 1) {
      return openssl_error("certificate extension " + value);
    }
  }
  if (X509_sign(certificate.get(), issuer_key, EVP_sha256()) == 0) {
    return openssl_error("sign a certificate");
  }
  return certificate;
}

Result<Key> make_key() {
  Key key(EVP_EC_gen("P-256"));
  if (!key) return openssl_error("make an EC key");
  return key;
}

Result<net::openssl::Certificate> parse_certificate(const std::string& path, std::string_view pem) {
  net::openssl::Certificate certificate(
      PEM_read_bio_X509(reader(pem).get(), nullptr, nullptr, nullptr));
  ERR_clear_error();
  if (!certificate) {
    return fail(Code::kCorrupt, path + " is not a PEM certificate: restore it from a backup");
  }
  return certificate;
}

Result<Key> parse_key(const std::string& path, std::string_view pem) {
  Key key(PEM_read_bio_PrivateKey(reader(pem).get(), nullptr, nullptr, nullptr));
  ERR_clear_error();
  if (!key) return fail(Code::kCorrupt, path + " is not a PEM key: restore it from a backup");
  return key;
}

// True where its time has not come by our clock; then it is to be made again.
bool is_of_the_future(io::Env& env, X509* certificate) {
  time_t now = std::max(env.clock.wall_ms() / 1000, kFloorS);
  return X509_cmp_time(X509_get0_notBefore(certificate), &now) > 0;
}

// Seconds until the certificate ends.
int64_t seconds_left(io::Env& env, X509* certificate) {
  const time_t now = std::max(env.clock.wall_ms() / 1000, kFloorS);
  const net::openssl::Time asn1_now(ASN1_TIME_set(nullptr, now));
  int days = 0;
  int seconds = 0;
  if (!asn1_now ||
      ASN1_TIME_diff(&days, &seconds, asn1_now.get(), X509_get0_notAfter(certificate)) != 1) {
    return 0;
  }
  return days * kDayS + seconds;
}

Result<void> check_device_key(EVP_PKEY* key) {
  if (EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA && EVP_PKEY_get_bits(key) >= 2048) return {};
  if (EVP_PKEY_get_base_id(key) == EVP_PKEY_EC) {
    char group[32] = "";
    EVP_PKEY_get_group_name(key, group, sizeof group, nullptr);
    const std::string_view name(group);
    if (name == "prime256v1" || name == "secp384r1") return {};
  }
  return fail(Code::kInvalidArgument,
              "the certificate signing request's key must be EC P-256 or P-384, or RSA of at "
              "least 2048 bits");
}

}  // namespace

struct CertificateAuthority::Identity {
  Key key;
  net::openssl::Certificate certificate;
};

CertificateAuthority::CertificateAuthority(io::Env& env, std::string directory,
                                           std::unique_ptr<Identity> identity)
    : env_(env), directory_(std::move(directory)), identity_(std::move(identity)) {}
CertificateAuthority::~CertificateAuthority() = default;

Result<void> CertificateAuthority::write_identity(const std::string& name,
                                                  const Identity& identity) {
  SKERRY_TRY(io::write_file_atomic(env_.files, directory_ + "/" + name + ".key",
                                   key_pem(identity.key.get()), 0600));
  return io::write_file_atomic(env_.files, directory_ + "/" + name + ".pem",
                               certificate_pem(identity.certificate.get()), 0644);
}

Result<std::unique_ptr<CertificateAuthority>> CertificateAuthority::open(io::Env& env,
                                                                         std::string directory) {
  SKERRY_TRY(io::make_directories(env.files, directory, 0700));
  SKERRY_TRY(env.files.sync_directory(io::parent_of(directory)));
  std::unique_ptr<CertificateAuthority> authority(
      new CertificateAuthority(env, std::move(directory), std::make_unique<Identity>()));
  Identity& identity = *authority->identity_;
  const std::string certificate_path = authority->certificate_path();
  const std::string key_path = authority->directory_ + "/ca.key";
  if (!io::exists(env.files, certificate_path)) {
    // A key without a certificate is a first start that was cut short: nobody trusts it yet.
    SKERRY_ASSIGN(identity.key, make_key());
    SKERRY_ASSIGN(identity.certificate,
                  make_certificate(env, authority_template(), identity.key.get(), nullptr,
                                   identity.key.get()));
    SKERRY_TRY(authority->write_identity("ca", identity));
    return authority;
  }
  SKERRY_ASSIGN(std::string certificate, io::read_file(env.files, certificate_path));
  SKERRY_ASSIGN(identity.certificate, parse_certificate(certificate_path, certificate));
  auto key = io::read_file(env.files, key_path);
  if (!key) {
    return fail(key.error().with_context(
        "the CA's key is gone; restore it from a backup, devices trust no other"));
  }
  SKERRY_ASSIGN(identity.key, parse_key(key_path, *key));
  if (X509_check_private_key(identity.certificate.get(), identity.key.get()) != 1) {
    ERR_clear_error();
    return fail(Code::kCorrupt,
                key_path + " is not the key of " + certificate_path + ": restore it from a backup");
  }
  if (is_of_the_future(env, identity.certificate.get())) {
    // Made while the clock was ahead. With the same name and key everything it signed stays good.
    SKERRY_ASSIGN(identity.certificate,
                  make_certificate(env, authority_template(), identity.key.get(), nullptr,
                                   identity.key.get()));
    SKERRY_TRY(authority->write_identity("ca", identity));
  }
  return authority;
}

// True where NAME.pem is ours, has enough time left, fits its key and is for all `names`.
Result<bool> CertificateAuthority::is_current(const std::string& name,
                                              const std::vector<std::string>& names) {
  const std::string path = directory_ + "/" + name;
  auto pem = io::read_file(env_.files, path + ".pem");
  auto key_text = io::read_file(env_.files, path + ".key");
  if (!pem || !key_text) return false;
  auto certificate = parse_certificate(path + ".pem", *pem);
  auto key = parse_key(path + ".key", *key_text);
  if (!certificate || !key) return false;
  X509* x509 = certificate->get();
  bool current = X509_check_private_key(x509, key->get()) == 1 &&
                 X509_verify(x509, identity_->key.get()) == 1 && !is_of_the_future(env_, x509) &&
                 seconds_left(env_, x509) > kOwnLeastLeftS;
  for (const std::string& host : names) {
    current = current && (is_address(host)
                              ? X509_check_ip_asc(x509, host.c_str(), 0)
                              : X509_check_host(x509, host.c_str(), host.size(), 0, nullptr)) == 1;
  }
  ERR_clear_error();
  return current;
}

Result<net::TlsFiles> CertificateAuthority::server_files(const std::vector<std::string>& names) {
  std::vector<std::string> all = {"localhost", "127.0.0.1", "::1"};
  for (const std::string& name : names) {
    if (std::find(all.begin(), all.end(), name) == all.end()) all.push_back(name);
  }
  net::TlsFiles files{certificate_path(), directory_ + "/server.pem", directory_ + "/server.key"};
  SKERRY_ASSIGN(bool current, is_current("server", all));
  if (current) return files;
  std::string alternatives;
  for (const std::string& name : all) {
    if (!alternatives.empty()) alternatives += ",";
    alternatives += (is_address(name) ? "IP:" : "DNS:") + name;
  }
  Template wanted = end_template("localhost", kControlPlaneOrganization, kOwnLifeS, "serverAuth");
  wanted.extensions.emplace_back(NID_subject_alt_name, alternatives);
  Identity server;
  SKERRY_ASSIGN(server.key, make_key());
  SKERRY_ASSIGN(server.certificate,
                make_certificate(env_, wanted, server.key.get(), identity_->certificate.get(),
                                 identity_->key.get()));
  SKERRY_TRY(write_identity("server", server));
  return files;
}

Result<net::TlsFiles> CertificateAuthority::client_files() {
  net::TlsFiles files{certificate_path(), directory_ + "/client.pem", directory_ + "/client.key"};
  SKERRY_ASSIGN(bool current, is_current("client", {}));
  if (current) return files;
  Identity client;
  SKERRY_ASSIGN(client.key, make_key());
  SKERRY_ASSIGN(
      client.certificate,
      make_certificate(
          env_, end_template(kControlPlaneName, kControlPlaneOrganization, kOwnLifeS, "clientAuth"),
          client.key.get(), identity_->certificate.get(), identity_->key.get()));
  SKERRY_TRY(write_identity("client", client));
  return files;
}

Result<IssuedCertificate> CertificateAuthority::issue_device(std::string_view csr_pem) {
  if (csr_pem.size() > kMaxCsrBytes) {
    return fail(Code::kInvalidArgument,
                "the certificate signing request has more than 4096 characters");
  }
  Request request(PEM_read_bio_X509_REQ(reader(csr_pem).get(), nullptr, nullptr, nullptr));
  ERR_clear_error();
  if (!request) {
    return fail(Code::kInvalidArgument, "the certificate signing request is not a PEM CSR");
  }
  EVP_PKEY* key = X509_REQ_get0_pubkey(request.get());
  const bool is_signed = key && X509_REQ_verify(request.get(), key) == 1;
  ERR_clear_error();
  if (!is_signed) {
    return fail(Code::kInvalidArgument,
                "the certificate signing request is not signed by its own key");
  }
  SKERRY_TRY(check_device_key(key));
  const std::string name = common_name(X509_REQ_get_subject_name(request.get()));
  if (name == kControlPlaneName) {
    return fail(Code::kInvalidArgument, "the common name of the certificate signing request is '" +
                                            name + "', which is the control plane's");
  }
  const auto continues = [](char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; };
  if (name.size() - static_cast<size_t>(std::ranges::count_if(name, continues)) > kMaxCommonName) {
    return fail(Code::kInvalidArgument,
                "the common name of the certificate signing request has more than 64 characters: "
                "leave it out, the registry knows the thing");
  }
  SKERRY_ASSIGN(
      auto certificate,
      make_certificate(env_, end_template(name, kDeviceOrganization, kDeviceLifeS, "clientAuth"),
                       key, identity_->certificate.get(), identity_->key.get()));
  IssuedCertificate issued;
  issued.pem = certificate_pem(certificate.get());
  issued.sha256 = fingerprint(certificate.get());
  issued.common_name = name;
  issued.expires_ms = (std::max(env_.clock.wall_ms() / 1000, kFloorS) + kDeviceLifeS) * 1000;
  return issued;
}

}  // namespace skerry::fleet
