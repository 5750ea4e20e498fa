// The CA under power cuts, a moving clock and damaged files.
#include "fleet/ca.h"

#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "io/test_env.h"
#include "net/openssl.h"

namespace skerry::fleet {
namespace {

constexpr int64_t kYearMs = int64_t{365} * 24 * 3600 * 1000;

struct AuthorityMachine : io::TestEnv {
  Result<std::unique_ptr<CertificateAuthority>> open() {
    return CertificateAuthority::open(env, "/ca");
  }
  std::string read(const std::string& path) {
    return io::read_file(files, path).value_or("(unreadable)");
  }
};

net::openssl::Certificate certificate_of(const std::string& pem) {
  const net::openssl::Bio memory(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  return net::openssl::Certificate(PEM_read_bio_X509(memory.get(), nullptr, nullptr, nullptr));
}

bool is_for(const std::string& pem, const std::string& name) {
  const auto certificate = certificate_of(pem);
  return certificate && (X509_check_host(certificate.get(), name.c_str(), 0, 0, nullptr) == 1 ||
                         X509_check_ip_asc(certificate.get(), name.c_str(), 0) == 1);
}

TEST(CertificateAuthority, APowerCutAtTheFirstStartLeavesNothingBroken) {
  for (size_t cut = 0;; ++cut) {
    AuthorityMachine machine;
    machine.files.crash_at(cut);
    bool finished = machine.open().has_value();
    const std::string acknowledged = finished ? machine.read("/ca/ca.pem") : "";
    machine.files.reboot(cut % 2 ? io::CrashPolicy::kSeeded : io::CrashPolicy::kDropUnsynced, cut);
    auto again = machine.open();
    ASSERT_TRUE(again) << "cut at operation " << cut << ": " << again.error().message();
    if (finished) {
      EXPECT_EQ(machine.read("/ca/ca.pem"), acknowledged);
      break;
    }
  }
}

TEST(CertificateAuthority, KeysAreTheOwnersOnly) {
  AuthorityMachine machine;
  auto authority = machine.open();
  ASSERT_TRUE((*authority)->server_files({}));
  ASSERT_TRUE((*authority)->client_files());
  for (const char* key : {"/ca/ca.key", "/ca/server.key", "/ca/client.key"}) {
    EXPECT_EQ(machine.files.stat(key)->mode, 0600u) << key;
  }
}

bool is_valid_at(const std::string& pem, int64_t wall_ms) {
  const auto certificate = certificate_of(pem);
  time_t time = wall_ms / 1000;
  return certificate && X509_cmp_time(X509_get0_notBefore(certificate.get()), &time) < 0 &&
         X509_cmp_time(X509_get0_notAfter(certificate.get()), &time) > 0;
}

TEST(CertificateAuthority, CertificatesHoldWhateverTheClockWasWhenTheyWereMade) {
  for (const int64_t ahead_ms : {20 * kYearMs, 2 * kYearMs, -2 * kYearMs / 365, -56 * kYearMs}) {
    AuthorityMachine machine;
    const int64_t right_ms = machine.clock.wall;
    machine.clock.wall += ahead_ms;
    {
      auto authority = machine.open();
      ASSERT_TRUE(authority) << authority.error().message();
      ASSERT_TRUE((*authority)->server_files({}));
      ASSERT_TRUE((*authority)->client_files());
    }
    machine.clock.wall = right_ms;
    auto authority = machine.open();
    ASSERT_TRUE(authority) << authority.error().message();
    ASSERT_TRUE((*authority)->server_files({}));
    ASSERT_TRUE((*authority)->client_files());
    for (const char* file : {"/ca/ca.pem", "/ca/server.pem", "/ca/client.pem"}) {
      EXPECT_TRUE(is_valid_at(machine.read(file), right_ms)) << file << " " << ahead_ms;
      EXPECT_TRUE(is_valid_at(machine.read(file), right_ms - 2 * kYearMs / 365)) << file;
    }
  }
}

TEST(CertificateAuthority, TheServerCertificateIsRemadeForNewNamesAndNearItsEnd) {
  AuthorityMachine machine;
  auto authority = machine.open();
  ASSERT_TRUE((*authority)->server_files({"10.1.2.3"}));
  const std::string first = machine.read("/ca/server.pem");
  for (const char* name : {"localhost", "127.0.0.1", "::1", "10.1.2.3"}) {
    EXPECT_TRUE(is_for(first, name)) << name;
  }
  EXPECT_FALSE(is_for(first, "fleet.example.com"));
  ASSERT_TRUE((*authority)->server_files({"10.1.2.3"}));
  EXPECT_EQ(machine.read("/ca/server.pem"), first);

  ASSERT_TRUE((*authority)->server_files({"fleet.example.com"}));
  const std::string second = machine.read("/ca/server.pem");
  EXPECT_TRUE(is_for(second, "fleet.example.com"));

  machine.clock.wall += 3 * kYearMs;
  ASSERT_TRUE((*authority)->server_files({"fleet.example.com"}));
  EXPECT_EQ(machine.read("/ca/server.pem"), second);
  machine.clock.wall += kYearMs + 1000;
  ASSERT_TRUE((*authority)->server_files({"fleet.example.com"}));
  EXPECT_NE(machine.read("/ca/server.pem"), second);
}

TEST(CertificateAuthority, ADamagedServerCertificateIsRemade) {
  AuthorityMachine machine;
  auto authority = machine.open();
  ASSERT_TRUE((*authority)->server_files({}));
  ASSERT_TRUE(io::write_file_atomic(machine.files, "/ca/server.key", "not a key"));
  ASSERT_TRUE((*authority)->server_files({}));
  EXPECT_TRUE(machine.read("/ca/server.key").starts_with("-----BEGIN PRIVATE KEY-----"));
}

TEST(CertificateAuthority, ACaThatDevicesTrustIsNeverReplaced) {
  AuthorityMachine machine;
  ASSERT_TRUE(machine.open());
  AuthorityMachine other;
  ASSERT_TRUE(io::make_directories(other.files, "/ca"));
  ASSERT_TRUE(other.open());

  ASSERT_TRUE(io::write_file_atomic(machine.files, "/ca/ca.key", other.read("/ca/ca.key")));
  auto mismatched = machine.open();
  ASSERT_FALSE(mismatched);
  EXPECT_EQ(mismatched.error().code(), Code::kCorrupt);
  EXPECT_NE(mismatched.error().message().find("restore it from a backup"), std::string::npos);

  ASSERT_TRUE(machine.files.remove("/ca/ca.key"));
  auto keyless = machine.open();
  ASSERT_FALSE(keyless);
  EXPECT_NE(keyless.error().message().find("restore it from a backup"), std::string::npos);

  ASSERT_TRUE(io::write_file_atomic(machine.files, "/ca/ca.pem", "not a certificate"));
  EXPECT_EQ(machine.open().error().code(), Code::kCorrupt);
}

}  // namespace
}  // namespace skerry::fleet
