// What a claim gives and what it does not; answers over MQTT.
#include "fleet/claims.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "fleet/provisioning.h"
#include "fleet/test_fleet.h"
#include "net/x509.h"

namespace skerry::fleet {
namespace {

constexpr int64_t kClaimNowMs = 1'800'000'000'000;
constexpr int64_t kClaimLifeMs = 1'000'000;

struct ClaimsTest : testing::Test {
  ClaimsTest() {
    fleet.clock.wall = kClaimNowMs;
    fleet.add_group("plant", {});
    auto opened = CertificateAuthority::open(fleet.env, fleet.directory.path() + "/ca");
    EXPECT_TRUE(opened);
    ca = std::move(*opened);
  }
  Result<void> add(const std::string& names = "press-*", int64_t most = 2,
                   const std::vector<std::string>& serials = {}) {
    return fleet.write([=](Store& store) {
      return add_claim(store,
                       {.name = "line-a",
                        .certificate_id = std::string(64, 'a'),
                        .names = names,
                        .groups = {ThingGroupName("plant")},
                        .has_serials = !serials.empty(),
                        .most = most,
                        .created_ms = kClaimNowMs,
                        .expires_ms = kClaimNowMs + kClaimLifeMs},
                       serials);
    });
  }
  IssuedCertificate issue(const std::string& csr) { return *ca->issue_device(csr); }
  IssuedCertificate issue() { return issue(net::x509::make_key_request("x")->request_pem); }
  using Parameters = std::map<std::string, std::string>;
  Result<ThingName> provision(const Parameters& parameters, const IssuedCertificate& certificate) {
    return fleet.write([&, now = fleet.clock.wall](Store& store) {
      return provision_thing(store, fleet.random, "line-a", parameters, certificate, now);
    });
  }
  Code refused(const Parameters& parameters) {
    const auto made = provision(parameters, issue());
    EXPECT_FALSE(made);
    return made ? Code::kInternal : made.error().code();
  }
  int64_t used() {
    return fleet.write([](Store& store) { return find_claim(store, "line-a"); })->used;
  }
  std::vector<Certificate> certificates(const std::string& thing) {
    return *fleet.write(
        [&](Store& store) { return store.certificates_of_thing(ThingName(thing)); });
  }
  TestFleet fleet;
  std::unique_ptr<CertificateAuthority> ca;
};

TEST_F(ClaimsTest, Names) {
  for (const auto& [pattern, name] :
       std::vector<std::pair<const char*, const char*>>{{"*", "a"},
                                                        {"press-*", "press-7"},
                                                        {"press-*", "press-"},
                                                        {"*-7", "press-7"},
                                                        {"p*s*7", "press-7"},
                                                        {"a", "a"},
                                                        {"a*b*b", "abxbb"},
                                                        {"**", "x"}})
    EXPECT_TRUE(fits_names(pattern, name)) << pattern << " " << name;
  for (const auto& [pattern, name] : std::vector<std::pair<const char*, const char*>>{
           {"press-*", "lathe-7"}, {"a", "ab"}, {"a*b", "a"}, {"aa*aa", "aaa"}, {"", "a"}})
    EXPECT_FALSE(fits_names(pattern, name)) << pattern << " " << name;
}

TEST_F(ClaimsTest, MakesSoManyThingsInItsGroups) {
  ASSERT_TRUE(add());
  ASSERT_TRUE(provision({{"ThingName", "press-7"}}, issue()));
  ASSERT_TRUE(provision({{"SerialNumber", "press-8"}}, issue()));
  EXPECT_EQ(refused({{"ThingName", "press-9"}}), Code::kPermissionDenied);
  EXPECT_EQ(used(), 2);
  EXPECT_EQ(certificates("press-7").size(), 1u);
  EXPECT_TRUE(*fleet.write([](Store& store) {
    return store.is_in_group(ThingName("press-8"), ThingGroupName("plant"));
  }));
  EXPECT_FALSE(fleet.write([](Store& store) { return store.find_thing(ThingName("press-9")); }));
}

TEST_F(ClaimsTest, RefusesOtherNames) {
  ASSERT_TRUE(add());
  EXPECT_EQ(refused({{"ThingName", "lathe-7"}}), Code::kPermissionDenied);
  EXPECT_EQ(refused({{"ThingName", "press-/"}}), Code::kInvalidArgument);
  EXPECT_EQ(refused({}), Code::kInvalidArgument);
  EXPECT_EQ(used(), 0);
  ASSERT_TRUE(fleet.write([](Store& store) { return revoke_claim(store, "line-a"); }));
  EXPECT_EQ(refused({{"ThingName", "press-7"}}), Code::kPermissionDenied);
}

TEST_F(ClaimsTest, NeverMakesTheControlPlane) {
  ASSERT_TRUE(add("*"));
  EXPECT_EQ(refused({{"ThingName", std::string(kControlPlaneName)}}), Code::kPermissionDenied);
}

TEST_F(ClaimsTest, EndsWithItsTimeAndWhenItIsRevoked) {
  ASSERT_TRUE(add());
  EXPECT_EQ(add().error().code(), Code::kAlreadyExists);
  fleet.clock.wall += kClaimLifeMs;
  EXPECT_EQ(refused({{"ThingName", "press-7"}}), Code::kPermissionDenied);
  EXPECT_EQ(fleet.write([](Store& store) { return usable_claims(store); })->size(), 1u);
  ASSERT_TRUE(fleet.write([](Store& store) { return revoke_claim(store, "line-a"); }));
  EXPECT_TRUE(fleet.write([](Store& store) { return usable_claims(store); })->empty());
}

TEST_F(ClaimsTest, TheSameKeyAsksAgainAndCountsOnce) {
  ASSERT_TRUE(add());
  const std::string csr = net::x509::make_key_request("x")->request_pem;
  const IssuedCertificate first = issue(csr), second = issue(csr);
  ASSERT_TRUE(provision({{"ThingName", "press-7"}}, first));
  ASSERT_TRUE(provision({{"ThingName", "press-7"}}, first)) << "the answer was lost";
  ASSERT_TRUE(provision({{"ThingName", "press-7"}}, second)) << "both were";
  EXPECT_EQ(used(), 1);
  ASSERT_EQ(certificates("press-7").size(), 1u);
  EXPECT_EQ(certificates("press-7")[0].id, second.sha256);
}

TEST_F(ClaimsTest, NobodyTakesAThingsPlace) {
  ASSERT_TRUE(add("*"));
  fleet.add_thing("registered");
  ASSERT_TRUE(provision({{"ThingName", "registered"}}, issue())) << "it waits for its device";
  ASSERT_EQ(certificates("registered").size(), 1u);
  const std::string id = certificates("registered")[0].id;
  EXPECT_EQ(refused({{"ThingName", "registered"}}), Code::kAlreadyExists);
  // Not even one that is shut out.
  ASSERT_TRUE(fleet.write([&](Store& store) {
    return store.set_certificate_status(id, CertificateStatus::kInactive);
  }));
  EXPECT_EQ(refused({{"ThingName", "registered"}}), Code::kAlreadyExists);
  EXPECT_EQ(certificates("registered")[0].id, id);
}

TEST_F(ClaimsTest, ASerialNumberIsForOneThing) {
  ASSERT_TRUE(add("*", 9, {"S1", "S2"}));
  EXPECT_EQ(refused({{"ThingName", "a"}, {"SerialNumber", "S3"}}), Code::kPermissionDenied);
  EXPECT_EQ(refused({{"ThingName", "a"}}), Code::kPermissionDenied);
  ASSERT_TRUE(provision({{"ThingName", "a"}, {"SerialNumber", "S1"}}, issue()));
  EXPECT_EQ(refused({{"ThingName", "b"}, {"SerialNumber", "S1"}}), Code::kPermissionDenied);
  ASSERT_TRUE(provision({{"SerialNumber", "S2"}}, issue()));
  EXPECT_EQ(used(), 2);
}

TEST_F(ClaimsTest, TokensAreOfOneClaimAndForAnHour) {
  const OwnershipTokens tokens("secret"), others("other");
  const IssuedCertificate certificate = issue();
  const std::string token = tokens.seal(certificate, "line-a", kClaimNowMs);
  const auto opened = tokens.open(token, "line-a", kClaimNowMs + kOwnershipTokenLifeMs - 1);
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->pem, certificate.pem);
  EXPECT_EQ(opened->sha256, certificate.sha256);
  EXPECT_EQ(opened->expires_ms, certificate.expires_ms);
  EXPECT_FALSE(tokens.open(token, "line-a", kClaimNowMs + kOwnershipTokenLifeMs));
  EXPECT_FALSE(tokens.open(token, "line-b", kClaimNowMs));
  EXPECT_FALSE(others.open(token, "line-a", kClaimNowMs));
  for (size_t at = 0; at < token.size(); at += 7) {
    std::string changed = token;
    changed[at] = changed[at] == 'A' ? 'B' : 'A';
    EXPECT_FALSE(tokens.open(changed, "line-a", kClaimNowMs)) << at;
  }
  for (const char* no : {"", ".", "a.b", "e30=.e30="})
    EXPECT_FALSE(tokens.open(no, "line-a", kClaimNowMs)) << no;
}

// As the broker's plugin brings it.
TEST_F(ClaimsTest, IsAnsweredOverMqtt) {
  ASSERT_TRUE(add());
  ProvisioningService service(fleet.env, fleet.stores, *ca, fleet.link);
  fleet.link.start();
  fleet.mqtt.connect();
  fleet.mqtt.take_sent();
  const auto ask = [&](const std::string& topic, const std::string& payload) {
    fleet.mqtt.receive("$skerry/claims/line-a/device-1/" + topic, payload);
    fleet.settle();
    const auto sent = fleet.mqtt.take_sent("$skerry/answers/device-1/" + topic);
    EXPECT_EQ(sent.size(), 1u) << topic;
    return sent.empty() ? net::MqttMessage() : sent[0];
  };
  const auto issued = ask("$aws/certificates/create-from-csr/json",
                          formats::csr_request(net::x509::make_key_request("x")->request_pem));
  ASSERT_TRUE(issued.topic.ends_with("/accepted")) << issued.payload;
  const auto certificate = formats::parse_certificate_answer(issued.payload);
  const std::string provision = formats::to_json(
      formats::ProvisionRequest{certificate->ownership_token, {{"ThingName", "press-7"}}});
  EXPECT_TRUE(ask(formats::provision_topic("line-b"), provision).topic.ends_with("/rejected"));
  const auto made = ask(formats::provision_topic("line-a"), provision);
  ASSERT_TRUE(made.topic.ends_with("/accepted")) << made.payload;
  EXPECT_EQ(*formats::parse_provision_answer(made.payload), "press-7");
  ASSERT_EQ(certificates("press-7").size(), 1u);
  EXPECT_EQ(certificates("press-7")[0].id, certificate->certificate_id);
  for (const auto& [topic, code] : std::vector<std::pair<std::string, std::string>>{
           {"$aws/certificates/create/json", "Unsupported"},
           {"$aws/certificates/create-from-csr/json", "InvalidParameters"},
           {formats::provision_topic("line-a"), "InvalidParameters"}}) {
    const auto refused = ask(topic, "{}");
    EXPECT_TRUE(refused.topic.ends_with("/rejected"));
    EXPECT_EQ(nlohmann::json::parse(refused.payload).value("errorCode", ""), code) << topic;
  }
}

}  // namespace
}  // namespace skerry::fleet
