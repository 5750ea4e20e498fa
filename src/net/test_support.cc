// Test certificates by OpenSSL, scratch directories, running the loop.
#include "net/test_support.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "net/openssl.h"

namespace skerry::net {

bool run_until(io::RealLoop& loop, const std::function<bool()>& done) {
  auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!done()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    loop.run_for(100);
  }
  return true;
}

namespace {

using openssl::Certificate;
using openssl::Extension;
using openssl::Key;

void write_pem(const std::string& path, const std::function<int(FILE*)>& write) {
  FILE* file = std::fopen(path.c_str(), "w");
  ASSERT_TRUE(file) << path;
  EXPECT_EQ(write(file), 1) << path;
  std::fclose(file);
}

void add_extension(X509* certificate, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value));
  ASSERT_TRUE(extension) << value;
  X509_add_ext(certificate, extension.get(), -1);
}

Certificate make_certificate(EVP_PKEY* key, const std::string& common_name, long serial) {
  Certificate certificate(X509_new());
  X509_set_version(certificate.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -86'400);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 86'400);
  X509_set_pubkey(certificate.get(), key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1,
                             0);
  return certificate;
}

}  // namespace

struct TestCa::Impl {
  Key key{EVP_EC_gen("P-256")};
  Certificate certificate;
};

TestCa::TestCa(const ScratchDirectory& directory, std::string name)
    : directory_(directory),
      ca_file_(directory.path(name + ".pem")),
      name_(name),
      impl_(std::make_unique<Impl>()) {
  impl_->certificate = make_certificate(impl_->key.get(), name, 1);
  X509* certificate = impl_->certificate.get();
  X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
  add_extension(certificate, certificate, NID_basic_constraints, "critical,CA:TRUE");
  X509_sign(certificate, impl_->key.get(), EVP_sha256());
  write_pem(ca_file_, [&](FILE* file) { return PEM_write_X509(file, certificate); });
}

TestCa::~TestCa() = default;

TlsFiles TestCa::issue(const CertificateSpec& spec) {
  Key key(EVP_EC_gen("P-256"));
  Certificate certificate = make_certificate(key.get(), spec.common_name, ++issued_ + 1);
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(impl_->certificate.get()));
  if (spec.expired) X509_gmtime_adj(X509_getm_notAfter(certificate.get()), -3'600);
  if (!spec.alternative_names.empty()) {
    add_extension(certificate.get(), impl_->certificate.get(), NID_subject_alt_name,
                  spec.alternative_names.c_str());
  }
  X509_sign(certificate.get(), impl_->key.get(), EVP_sha256());
  std::string stem = directory_.path(name_ + "-" + std::to_string(issued_));
  TlsFiles files{ca_file_, stem + ".crt", stem + ".key"};
  write_pem(files.certificate_file,
            [&](FILE* file) { return PEM_write_X509(file, certificate.get()); });
  write_pem(files.key_file, [&](FILE* file) {
    return PEM_write_PrivateKey(file, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
  return files;
}

}  // namespace skerry::net
