// One certificate more for a thing that has one.
#include "fleet/certificate_renewal.h"

#include <gtest/gtest.h>

#include "fleet/test_fleet.h"
#include "net/x509.h"

namespace skerry::fleet {
namespace {

constexpr int64_t kLifeS = 100 * 86'400;

struct CertificateRenewalTest : testing::Test {
  CertificateRenewalTest() {
    fleet.add_thing("press");
    fleet.clock.wall = 1'800'000'000'000;
    auto opened = CertificateAuthority::open(fleet.env, fleet.directory.path() + "/ca", kLifeS);
    EXPECT_TRUE(opened);
    ca = std::move(*opened);
  }
  std::string request() { return net::x509::make_key_request("press")->request_pem; }
  Result<std::string> renew(const std::string& csr, const std::string& caller = "") {
    return fleet.write([&](Store& store) {
      return renew_certificate(store, *ca, fleet.clock, ThingName("press"), csr, caller);
    });
  }
  std::vector<Certificate> certificates() {
    return *fleet.write(
        [](Store& store) { return store.certificates_of_thing(ThingName("press")); });
  }
  TestFleet fleet;
  std::unique_ptr<CertificateAuthority> ca;
};

TEST_F(CertificateRenewalTest, AKeyThatStaysGetsANewCertificateForTheOneThatAsks) {
  const std::string csr = request();
  const std::string first = *renew(csr);
  const auto id_of = [](const std::string& pem) {
    return net::x509::fingerprint(net::x509::parse_certificate(pem).get());
  };
  fleet.clock.wall += 1'000'000;
  const auto second = renew(csr, id_of(first));
  ASSERT_TRUE(second) << second.error().message();
  EXPECT_NE(*second, first);
  EXPECT_EQ(*renew(csr, id_of(first)), *second);  // its answer was lost
  fleet.clock.wall += 1'000'000;
  const auto third = renew(csr, id_of(*second));
  EXPECT_NE(*third, first);
  EXPECT_NE(*third, *second);
}

TEST_F(CertificateRenewalTest, TheSameRequestHasTheSameAnswer) {
  const std::string csr = request();
  const auto first = renew(csr);
  ASSERT_TRUE(first) << first.error().message();
  EXPECT_EQ(*renew(csr), *first);
  EXPECT_NE(*renew(request()), *first);
  ASSERT_EQ(certificates().size(), 2u);
  for (const Certificate& one : certificates()) {
    EXPECT_EQ(one.status, CertificateStatus::kActive);
    EXPECT_EQ(one.expires_ms, fleet.clock.wall + kLifeS * 1000);
  }
  fleet.clock.wall += kLifeS * 1000;
  EXPECT_NE(*renew(csr), *first) << "it has ended";
}

TEST_F(CertificateRenewalTest, AThingHasSoManyAndWhatEndedLongAgoIsForgotten) {
  for (size_t i = 0; i < kCertificatesOfThing; ++i) ASSERT_TRUE(renew(request()));
  EXPECT_EQ(renew(request()).error().code(), Code::kResourceExhausted);
  fleet.clock.wall += kLifeS * 1000;
  ASSERT_TRUE(renew(request()));
  EXPECT_EQ(certificates().size(), kCertificatesOfThing + 1);
  fleet.clock.wall += kRenewalGraceS * 1000 + 1;
  ASSERT_TRUE(renew(request()));
  EXPECT_EQ(certificates().size(), 2u);
}

TEST_F(CertificateRenewalTest, WhatIsNoRequestIsRefused) {
  for (const char* csr : {"", "no", "-----BEGIN CERTIFICATE REQUEST-----"})
    EXPECT_EQ(renew(csr).error().code(), Code::kInvalidArgument) << csr;
  EXPECT_TRUE(certificates().empty());
}

TEST_F(CertificateRenewalTest, CertificatesMayComeForAWhileAfterTheirEnd) {
  const RenewalTimes times(fleet.clock);
  const int64_t now_s = fleet.clock.wall / 1000;
  EXPECT_TRUE(times.may_be_valid(0, now_s + 1));
  EXPECT_TRUE(times.may_be_valid(0, now_s - kRenewalGraceS + 1));
  EXPECT_FALSE(times.may_be_valid(0, now_s - kRenewalGraceS));
  EXPECT_FALSE(times.may_be_valid(now_s + 1, now_s + 2));
}

}  // namespace
}  // namespace skerry::fleet
