// The authority of client devices: what it signs, and that it stays the same one.
#include "nucleus/server_certificates.h"

#include <gtest/gtest.h>

#include "io/fault_files.h"
#include "net/x509.h"

namespace skerry::nucleus {
namespace {

constexpr int64_t kNowMs = 1'800'000'000'000;

struct ServerCertificatesTest : ::testing::Test {
  ServerCertificates opened() { return {files_, random_, "/root/client-devices"}; }
  io::FaultFiles files_;
  io::SeededRandom random_{1};
};

TEST_F(ServerCertificatesTest, AreForTheirNamesAndSignedByTheAuthority) {
  const auto made = opened().issue({"localhost", "press.local", "10.1.2.3", "::1"}, 600, kNowMs);
  ASSERT_TRUE(made) << made.error().message();
  const auto certificate = net::x509::parse_certificate(made->certificate_pem);
  const auto ca = net::x509::parse_certificate(made->ca_pem);
  const auto key = net::x509::parse_key(made->key_pem);
  ASSERT_TRUE(certificate && ca && key);
  EXPECT_EQ(X509_verify(certificate.get(), X509_get0_pubkey(ca.get())), 1);
  EXPECT_EQ(X509_check_private_key(certificate.get(), key.get()), 1);
  EXPECT_EQ(net::x509::not_after_s(certificate.get()), kNowMs / 1000 + 600);
  EXPECT_EQ(made->expires_ms, kNowMs + 600'000);
  for (const char* name : {"localhost", "press.local", "10.1.2.3", "::1"})
    EXPECT_TRUE(net::x509::is_for(certificate.get(), name)) << name;
  EXPECT_FALSE(net::x509::is_for(certificate.get(), "10.1.2.4"));
  EXPECT_EQ(files_.stat("/root/client-devices/authority.pem")->mode, 0600u);
  EXPECT_EQ(io::read_file(files_, "/root/client-devices/ca.pem").value(), made->ca_pem);
}

TEST_F(ServerCertificatesTest, NamesThatAreNoneAreRefused) {
  for (const char* name : {"", "a,IP:10.0.0.1", "a b", "-a", ".a", "a\n", "DNS:a"}) {
    EXPECT_EQ(opened().issue({name}, 600, kNowMs).error().code(), Code::kInvalidArgument) << name;
  }
}

TEST_F(ServerCertificatesTest, AnAuthorityThatSomebodyTrustsOutlastsPowerCuts) {
  for (size_t at = 0;; ++at) {
    io::FaultFiles files;
    files.crash_at(at);
    ServerCertificates first(files, random_, "/root/client-devices");
    const auto told = first.issue({"localhost"}, 600, kNowMs);
    files.reboot(at % 2 ? io::CrashPolicy::kSeeded : io::CrashPolicy::kDropUnsynced, at);
    const auto again = first.issue({"localhost"}, 600, kNowMs);
    ASSERT_TRUE(again) << "cut at operation " << at << ": " << again.error().message();
    EXPECT_EQ(io::read_file(files, "/root/client-devices/ca.pem").value(), again->ca_pem);
    if (!told) continue;
    EXPECT_EQ(told->ca_pem, again->ca_pem) << "cut at operation " << at;
    EXPECT_NE(told->key_pem, again->key_pem);
    break;
  }
}

TEST_F(ServerCertificatesTest, ADamagedAuthorityIsNotReplaced) {
  ASSERT_TRUE(opened().issue({"localhost"}, 600, kNowMs));
  const std::string path = "/root/client-devices/authority.pem";
  const std::string good = io::read_file(files_, path).value();
  for (const std::string& damaged : {std::string(), good.substr(0, good.size() / 2)}) {
    ASSERT_TRUE(io::write_file_atomic(files_, path, damaged, 0600));
    EXPECT_EQ(opened().issue({"localhost"}, 600, kNowMs).error().code(), Code::kCorrupt);
    EXPECT_EQ(io::read_file(files_, path).value(), damaged);
  }
}

TEST(NamesOfMachine, HaveTheLoopback) {
  const auto names = names_of_machine();
  ASSERT_GE(names.size(), 3u);
  EXPECT_EQ(names[0], "localhost");
  EXPECT_EQ(names[1], "127.0.0.1");
  EXPECT_EQ(names[2], "::1");
}

}  // namespace
}  // namespace skerry::nucleus
