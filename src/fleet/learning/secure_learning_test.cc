// Secure aggregation over the data plane: whose keys are taken, and what comes of the sum.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <openssl/obj_mac.h>

#include <deque>

#include "federated/secure/participant.h"
#include "fleet/learning/test_learning.h"
#include "net/x509.h"

namespace skerry::fleet::learning {
namespace {

using testing::ElementsAre;

// A device in secure aggregation, by hand.
struct MaskedDevice {
  explicit MaskedDevice(std::string thing) : name(std::move(thing)) {
    key = *net::x509::make_key();
    auto made = net::x509::end_template(name, "test", "clientAuth");
    made.not_after_s = 4'000'000'000;
    certificate = *net::x509::make_certificate(random, made, key.get(), nullptr, key.get());
  }
  federated::secure::Said keys(const std::string& training, size_t attempt) {
    federated::secure::Said said{.kind = federated::secure::StepKind::kKeys,
                                 .keys = participant.announce()};
    said.keys.certificate = net::x509::pem_of(certificate.get());
    said.keys.signature =
        *net::x509::sign(key.get(), federated::secure::signed_text(said.keys, training, attempt));
    return said;
  }
  std::string fingerprint() const { return net::x509::fingerprint(certificate.get()); }

  std::string name;
  io::RealRandom random;
  federated::secure::Participant participant{random};
  net::openssl::Key key;
  net::openssl::Certificate certificate;
};

TEST_F(Learning, WithMasksLearnsTheSumOfDevicesThatSignTheirKeys) {
  const Training made =
      training({{"rounds", 1}, {"secure", true}, {"clip", 8}}, "", {{"updates", 3}, {"quorum", 3}});
  const std::string path = "/" + made.id + "/secure/1";
  std::deque<MaskedDevice> devices;  // which refer to parts of their own
  for (const char* name : {"a", "b", "c"}) {
    devices.emplace_back(name);
    const json task = ask(name);
    EXPECT_EQ(task["task"], "train");
    EXPECT_GT(task["secure"]["levels"], 1000);
  }
  EXPECT_EQ(send("stranger", "GET", path).status, 404);
  EXPECT_EQ(send("a", "GET", "/" + made.id + "/secure/2").status, 409);
  EXPECT_EQ(send("a", "POST", path, "nonsense").status, 400);
  // Signed for another attempt, or shown with another certificate than that of the connection.
  const auto say = [&](MaskedDevice& device, const federated::secure::Said& said,
                       const std::string& fingerprint) {
    return send(device.name, "POST", path, federated::secure::to_json(said).dump(), fingerprint)
        .status;
  };
  EXPECT_EQ(say(devices[0], devices[0].keys(made.id, 2), devices[0].fingerprint()), 400);
  EXPECT_EQ(say(devices[0], devices[0].keys(made.id, 1), devices[1].fingerprint()), 400);
  const federated::secure::FixedPoint fixed{8, ask("a")["secure"]["levels"].get<uint32_t>()};
  for (int turn = 0; turn < 4; ++turn) {
    for (MaskedDevice& device : devices) {
      const auto step = federated::secure::parse_step(send(device.name, "GET", path).body);
      ASSERT_TRUE(step);
      using enum federated::secure::StepKind;
      if (step->kind == kKeys) {
        EXPECT_EQ(say(device, device.keys(made.id, 1), device.fingerprint()), 200);
      } else if (step->kind == kShares) {
        EXPECT_EQ(say(device, *device.participant.share(*step), ""), 200);
      } else if (step->kind == kUpdate) {
        ASSERT_TRUE(device.participant.receive(*step));
        auto numbers =
            federated::secure::to_numbers({.loss = 1, .delta = {2, -4}}, fixed, 0, device.random);
        ASSERT_TRUE(device.participant.mask(*numbers));
        const std::string whole = federated::secure::encode_masked(1, *numbers);
        EXPECT_EQ(put(device.name, {{"training", made.id}, {"attempt", 1}}, 0, whole).status, 200);
      } else if (step->kind == kUnmask) {
        EXPECT_EQ(say(device, *device.participant.unmask(*step), ""), 200);
      }
    }
  }
  tick();
  EXPECT_EQ(found(made).state, State::kDone) << found(made).reason;
  EXPECT_THAT(numbers_of_version(made.version),
              ElementsAre(testing::FloatNear(3, 1e-4), testing::FloatNear(-2, 1e-4)));
}

}  // namespace
}  // namespace skerry::fleet::learning
