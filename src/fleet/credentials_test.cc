// Temporary credentials: good for their time, their certificate and their token only.
#include "fleet/credentials.h"

#include <gtest/gtest.h>

#include <optional>

#include "base/encoding.h"
#include "fleet/test_fleet.h"

namespace skerry::fleet {
namespace {

constexpr int64_t kCredentialHourMs = 3'600'000;

class TemporaryCredentialsTest : public testing::Test {
 protected:
  TemporaryCredentialsTest() {
    fleet_.add_thing("t");
    EXPECT_TRUE(fleet_.write([](Store& store) -> Result<void> {
      SKERRY_TRY(
          store.add_certificate({"c1", "PEM", CertificateStatus::kActive, "t", ThingName(), 1, 2}));
      return store.attach_certificate("c1", ThingName("t"));
    }));
    open();
  }
  // As after a start of the control plane.
  void open() {
    certificates_.emplace(fleet_.stores);
    bool loaded = false;
    io::TaskScope scope;
    scope.spawn([](ActiveCertificates& certificates, bool& loaded) -> io::Task<void> {
      loaded = (co_await certificates.load()).has_value();
    }(*certificates_, loaded));
    EXPECT_TRUE(loaded);
    credentials_.emplace(fleet_.env, *certificates_, std::string(32, 'k'));
  }
  bool accepts(const net::AwsCredentials& given) {
    auto secret = credentials_->secret_of(given.access_key_id, given.session_token);
    return secret && *secret == given.secret_access_key;
  }

  TestFleet fleet_;
  std::optional<ActiveCertificates> certificates_;
  std::optional<TemporaryCredentials> credentials_;
};

TEST_F(TemporaryCredentialsTest, AreGoodUntilTheyExpire) {
  auto issued = credentials_->issue("c1");
  EXPECT_EQ(issued.expires_ms, fleet_.clock.wall + kCredentialHourMs);
  EXPECT_TRUE(accepts(issued.credentials));
  fleet_.clock.wall += kCredentialHourMs - 1;
  EXPECT_TRUE(accepts(issued.credentials));
  fleet_.clock.wall += 1;
  EXPECT_FALSE(accepts(issued.credentials));
}

TEST_F(TemporaryCredentialsTest, SurviveARestart) {
  auto issued = credentials_->issue("c1");
  open();
  EXPECT_TRUE(accepts(issued.credentials));
}

TEST_F(TemporaryCredentialsTest, EndWithTheirCertificate) {
  auto issued = credentials_->issue("c1");
  ASSERT_TRUE(fleet_.write([](Store& store) {
    return store.set_certificate_status("c1", CertificateStatus::kRevoked);
  }));
  EXPECT_FALSE(accepts(issued.credentials));
  EXPECT_FALSE(accepts(credentials_->issue("unknown").credentials));
}

TEST_F(TemporaryCredentialsTest, EndWhenTheirCertificateIsDetached) {
  auto issued = credentials_->issue("c1");
  ASSERT_TRUE(fleet_.write([](Store& store) { return store.detach_certificate("c1"); }));
  EXPECT_FALSE(accepts(issued.credentials));
  ASSERT_TRUE(
      fleet_.write([](Store& store) { return store.attach_certificate("c1", ThingName("t")); }));
  EXPECT_TRUE(accepts(issued.credentials));
}

TEST_F(TemporaryCredentialsTest, AForgedTokenIsRefused) {
  auto issued = credentials_->issue("c1");
  const std::string token = base64_decode(issued.credentials.session_token).value();
  // Ten times the life, with the old MAC.
  std::string longer = token;
  longer.insert(longer.find(std::to_string(issued.expires_ms)), "1");
  for (const std::string& forged : {longer, std::string("1.c1.9999999999999.00"), std::string("."),
                                    std::string("x"), std::string()}) {
    EXPECT_FALSE(credentials_->secret_of(issued.credentials.access_key_id, base64_encode(forged)))
        << forged;
  }
  EXPECT_FALSE(credentials_->secret_of("ASIA0000000000000000", issued.credentials.session_token));
  EXPECT_FALSE(credentials_->secret_of(issued.credentials.access_key_id, "not base64!"));
  EXPECT_NE(credentials_->issue("c1").credentials.access_key_id, issued.credentials.access_key_id);
}

TEST(AccessKey, IsMadeOnceAndADamagedOneIsNamed) {
  TestFleet fleet;
  const std::string path = fleet.directory.path() + "/access-key.json";
  auto made = open_access_key(fleet.env, path);
  ASSERT_TRUE(made);
  EXPECT_EQ(made->access_key_id.size(), 20u);
  EXPECT_EQ(made->secret_access_key.size(), 40u);
  EXPECT_EQ(fleet.files.stat(path)->mode, 0600u);
  EXPECT_EQ(open_access_key(fleet.env, path)->secret_access_key, made->secret_access_key);
  ASSERT_TRUE(io::write_file_atomic(fleet.files, path, "{}"));
  auto damaged = open_access_key(fleet.env, path);
  ASSERT_FALSE(damaged);
  EXPECT_NE(damaged.error().message().find(path), std::string::npos);
}

}  // namespace
}  // namespace skerry::fleet
