// X.509 with OpenSSL. Every file is written whole or not at all, the key before its certificate.
#include "fleet/ca.h"

#include <openssl/err.h>
#include <openssl/obj_mac.h>
#include <openssl/x509v3.h>

#include <algorithm>

#include "net/x509.h"

namespace skerry::fleet {
namespace {

namespace x509 = net::x509;
using net::openssl::Key;

constexpr int64_t kDayS = 24 * 3600;
constexpr int64_t kYearS = 365 * kDayS;
constexpr int64_t kCaLifeS = 30 * kYearS;
constexpr int64_t kOwnLifeS = 5 * kYearS;
constexpr int64_t kOwnLeastLeftS = kYearS;
// 2024-01-01: no clock that is right shows an earlier time. Certificates are valid from then on,
// whatever this machine's clock shows when they are made: clocks of devices may be behind ours, and
// ours may have been ahead.
constexpr int64_t kFloorS = 1'704'067'200;

constexpr std::string_view kControlPlaneOrganization = "Skerry control plane";
constexpr std::string_view kDeviceOrganization = "Skerry device";
constexpr size_t kMaxCsrBytes = 4096;  // as CreateCertificateFromCsr has it

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

// Self-signed where `issuer` is null.
Result<net::openssl::Certificate> make_certificate(io::Env& env, x509::Template wanted,
                                                   int64_t life_s, EVP_PKEY* key, X509* issuer,
                                                   EVP_PKEY* issuer_key) {
  wanted.not_before_s = kFloorS;
  wanted.not_after_s = std::max(env.clock.wall_ms() / 1000, kFloorS) + life_s;
  return x509::make_certificate(env.random, wanted, key, issuer, issuer_key);
}

Result<net::openssl::Certificate> make_authority(io::Env& env, EVP_PKEY* key) {
  return make_certificate(env,
                          x509::authority_template("Skerry fleet CA", kControlPlaneOrganization),
                          kCaLifeS, key, nullptr, key);
}

Result<net::openssl::Certificate> parse_certificate(const std::string& path, std::string_view pem) {
  net::openssl::Certificate certificate = x509::parse_certificate(pem);
  if (!certificate) {
    return fail(Code::kCorrupt, path + " is not a PEM certificate: restore it from a backup");
  }
  return certificate;
}

Result<Key> parse_key(const std::string& path, std::string_view pem) {
  Key key = x509::parse_key(pem);
  if (!key) return fail(Code::kCorrupt, path + " is not a PEM key: restore it from a backup");
  return key;
}

// True where its time has not come by our clock; then it is to be made again.
bool is_of_the_future(io::Env& env, X509* certificate) {
  return x509::not_before_s(certificate) > std::max(env.clock.wall_ms() / 1000, kFloorS);
}

// Seconds until the certificate ends.
int64_t seconds_left(io::Env& env, X509* certificate) {
  return x509::not_after_s(certificate) - std::max(env.clock.wall_ms() / 1000, kFloorS);
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
                                           int64_t device_life_s,
                                           std::unique_ptr<Identity> identity)
    : env_(env),
      directory_(std::move(directory)),
      device_life_s_(device_life_s),
      identity_(std::move(identity)) {}
CertificateAuthority::~CertificateAuthority() = default;

Result<void> CertificateAuthority::write_identity(const std::string& name,
                                                  const Identity& identity) {
  SKERRY_TRY(io::write_file_atomic(env_.files, directory_ + "/" + name + ".key",
                                   x509::pem_of(identity.key.get()), 0600));
  return io::write_file_atomic(env_.files, directory_ + "/" + name + ".pem",
                               x509::pem_of(identity.certificate.get()), 0644);
}

Result<std::unique_ptr<CertificateAuthority>> CertificateAuthority::open(io::Env& env,
                                                                         std::string directory,
                                                                         int64_t device_life_s) {
  SKERRY_TRY(io::make_directories(env.files, directory, 0700));
  SKERRY_TRY(env.files.sync_directory(io::parent_of(directory)));
  std::unique_ptr<CertificateAuthority> authority(new CertificateAuthority(
      env, std::move(directory), device_life_s, std::make_unique<Identity>()));
  Identity& identity = *authority->identity_;
  const std::string certificate_path = authority->certificate_path();
  const std::string key_path = authority->directory_ + "/ca.key";
  if (!io::exists(env.files, certificate_path)) {
    // A key without a certificate is a first start that was cut short: nobody trusts it yet.
    SKERRY_ASSIGN(identity.key, x509::make_key());
    SKERRY_ASSIGN(identity.certificate, make_authority(env, identity.key.get()));
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
    SKERRY_ASSIGN(identity.certificate, make_authority(env, identity.key.get()));
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
  X509* shown = certificate->get();
  bool current = X509_check_private_key(shown, key->get()) == 1 &&
                 X509_verify(shown, identity_->key.get()) == 1 && !is_of_the_future(env_, shown) &&
                 seconds_left(env_, shown) > kOwnLeastLeftS;
  for (const std::string& host : names) current = current && x509::is_for(shown, host);
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
  x509::Template wanted = x509::end_template("localhost", kControlPlaneOrganization, "serverAuth");
  wanted.extensions.emplace_back(NID_subject_alt_name, x509::alternative_names(all));
  Identity server;
  SKERRY_ASSIGN(server.key, x509::make_key());
  SKERRY_ASSIGN(server.certificate,
                make_certificate(env_, std::move(wanted), kOwnLifeS, server.key.get(),
                                 identity_->certificate.get(), identity_->key.get()));
  SKERRY_TRY(write_identity("server", server));
  return files;
}

Result<net::TlsFiles> CertificateAuthority::client_files() {
  net::TlsFiles files{certificate_path(), directory_ + "/client.pem", directory_ + "/client.key"};
  SKERRY_ASSIGN(bool current, is_current("client", {}));
  if (current) return files;
  Identity client;
  SKERRY_ASSIGN(client.key, x509::make_key());
  SKERRY_ASSIGN(
      client.certificate,
      make_certificate(
          env_, x509::end_template(kControlPlaneName, kControlPlaneOrganization, "clientAuth"),
          kOwnLifeS, client.key.get(), identity_->certificate.get(), identity_->key.get()));
  SKERRY_TRY(write_identity("client", client));
  return files;
}

Result<IssuedCertificate> CertificateAuthority::issue_device(std::string_view csr_pem,
                                                             std::optional<int64_t> life_s) {
  if (csr_pem.size() > kMaxCsrBytes) {
    return fail(Code::kInvalidArgument,
                "the certificate signing request has more than 4096 characters");
  }
  const auto request = x509::parse_request(csr_pem);
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
  if (name.size() - static_cast<size_t>(std::ranges::count_if(name, continues)) >
      x509::kMaxCommonName) {
    return fail(Code::kInvalidArgument,
                "the common name of the certificate signing request has more than 64 characters: "
                "leave it out, the registry knows the thing");
  }
  const int64_t life = life_s.value_or(device_life_s_);
  SKERRY_ASSIGN(auto certificate,
                make_certificate(env_, x509::end_template(name, kDeviceOrganization, "clientAuth"),
                                 life, key, identity_->certificate.get(), identity_->key.get()));
  IssuedCertificate issued;
  issued.pem = x509::pem_of(certificate.get());
  issued.sha256 = x509::fingerprint(certificate.get());
  issued.common_name = name;
  issued.expires_ms = (std::max(env_.clock.wall_ms() / 1000, kFloorS) + life) * 1000;
  return issued;
}

}  // namespace skerry::fleet
