// The router over the broker in memory: who gets what, what the broker is asked, and when callers
// are let go. (That broker is held to mosquitto's ways by src/net/mqtt_conformance_test.cc.)
#include "nucleus/mqtt_router.h"

#include <gtest/gtest.h>

#include <optional>

#include "net/test_mqtt.h"

namespace skerry::nucleus {
namespace {

using Sender = MqttRouter::Sender;

class MqttRouterTest : public testing::Test {
 protected:
  MqttRouterTest() {
    broker_.start();
    router_.start({}, [this] { ++unheard_; });
    until([this] { return router_.connected(); });
  }
  static net::MqttOptions options() {
    net::MqttOptions options;
    options.client_id = "device";
    options.reconnect_min_ms = 10;
    options.max_queued = 30;
    return options;
  }
  static MqttRouter::Limits limits() {
    MqttRouter::Limits limits;
    limits.component_messages = 20;
    limits.component_bytes = 50'000;
    limits.filters = 5;
    limits.settle_ms = 20;
    limits.say_again_min_ms = 20;
    return limits;
  }
  void until(const std::function<bool()>& done) {
    for (int i = 0; i < 500 && !done(); ++i) loop_.run_for(20);
    EXPECT_TRUE(done());
  }
  // What a subscriber has heard, and what its subscribing came to.
  struct Heard {
    std::vector<std::string> payloads;
    std::optional<std::string> settled;
    MqttRouter::Subscription subscription;
  };
  void subscribe(Heard& heard, const std::string& filter, uint8_t qos = 1) {
    auto subscription = router_.subscribe(
        filter, qos,
        [&heard](const net::MqttMessage& message) { heard.payloads.push_back(message.payload); },
        [&heard](const Error* error) { heard.settled = error ? error->message() : ""; });
    ASSERT_TRUE(subscription) << subscription.error().message();
    heard.subscription = std::move(*subscription);
    until([&] { return heard.settled.has_value(); });
  }
  // Published by another client; returns when everything has arrived.
  void publish(const std::string& topic, const std::string& payload, bool retain = false) {
    broker_.publish({.topic = topic, .payload = payload, .qos = 1, .retain = retain});
    settle();
  }
  void settle() {
    for (int i = 0; i < 20; ++i) loop_.run_for(1);
  }
  using Strings = std::vector<std::string>;

  io::RealLoop loop_;
  net::FakeBroker broker_{loop_};
  std::unique_ptr<net::MqttClient> client_ = broker_.client(options());
  int unheard_ = 0;
  MqttRouter router_{loop_, *client_, limits()};
};

TEST_F(MqttRouterTest, EverySubscriberGetsAMessageOnceWhateverOverlaps) {
  Heard exact, same, level, all, other;
  subscribe(exact, "in/x");
  subscribe(same, "in/x");
  subscribe(level, "in/+");
  subscribe(all, "#");
  subscribe(other, "out/#");
  publish("in/x", "1");
  for (const Heard* heard : {&exact, &same, &level, &all}) {
    EXPECT_EQ(heard->payloads, Strings{"1"});
  }
  EXPECT_TRUE(other.payloads.empty());
}

TEST_F(MqttRouterTest, NobodyTakesAwayOrDowngradesWhatAnotherNeeds) {
  Heard nucleus, component;
  subscribe(nucleus, "jobs/#", 1);
  subscribe(component, "jobs/#", 0);
  EXPECT_EQ(broker_.filters("device"), (std::map<std::string, uint8_t>{{"jobs/#", 1}}));
  component.subscription.end();
  settle();
  EXPECT_EQ(broker_.filters("device"), (std::map<std::string, uint8_t>{{"jobs/#", 1}}));
  publish("jobs/1", "x");
  EXPECT_EQ(nucleus.payloads, Strings{"x"});
  EXPECT_TRUE(component.payloads.empty());
}

TEST_F(MqttRouterTest, TheQosFollowsTheSubscribersThatAreThere) {
  Heard low, high;
  subscribe(low, "a", 0);
  EXPECT_EQ(broker_.filters("device").at("a"), 0);
  subscribe(high, "a", 1);
  EXPECT_EQ(broker_.filters("device").at("a"), 1);
  high.subscription.end();
  settle();
  EXPECT_EQ(broker_.filters("device").at("a"), 0);
  low.subscription.end();
  settle();
  EXPECT_TRUE(broker_.filters("device").empty());
  EXPECT_EQ(router_.filters(), 0u);
}

TEST_F(MqttRouterTest, EachNewSubscriberGetsWhatIsRetainedAndOthersNotAgain) {
  publish("state", "kept", true);
  Heard first, second;
  subscribe(first, "state");
  settle();
  subscribe(second, "state");
  settle();
  EXPECT_EQ(first.payloads, Strings{"kept"});
  EXPECT_EQ(second.payloads, Strings{"kept"});
  publish("state", "live", true);
  EXPECT_EQ(first.payloads, (Strings{"kept", "live"}));
  EXPECT_EQ(second.payloads, (Strings{"kept", "live"}));
  // A new session: the broker sends it again, and everyone may have missed a change.
  broker_.stop();
  broker_.forget_sessions();
  broker_.start();
  until([&] { return first.payloads.size() == 3 && second.payloads.size() == 3; });
  EXPECT_EQ(first.payloads.back(), "live");
}

TEST_F(MqttRouterTest, ADeliveryMayEndAndBeginSubscriptions) {
  std::vector<MqttRouter::Subscription> held;
  int heard = 0;
  for (int i = 0; i < 2; ++i) {
    auto subscription = router_.subscribe("a", 1, [&](const net::MqttMessage&) {
      ++heard;
      held.clear();
      auto again = router_.subscribe("b", 1, [](const net::MqttMessage&) {});
      if (again) held.push_back(std::move(*again));
    });
    ASSERT_TRUE(subscription);
    held.push_back(std::move(*subscription));
  }
  settle();
  publish("a", "x");
  EXPECT_EQ(heard, 1);
  EXPECT_EQ(broker_.filters("device"), (std::map<std::string, uint8_t>{{"b", 1}}));
}

TEST_F(MqttRouterTest, ASharedSubscriptionReceivesWhatItsFilterMatches) {
  Heard shared;
  subscribe(shared, "$share/g/in/+");
  publish("in/1", "x");
  EXPECT_EQ(shared.payloads, Strings{"x"});
}

TEST_F(MqttRouterTest, WithoutIdentifiersMessagesAreMatched) {
  broker_.identifiers = false;
  Heard exact, level, other;
  subscribe(exact, "in/x");
  subscribe(level, "+/y");
  subscribe(other, "out");
  publish("in/x", "1");
  publish("in/y", "2");
  EXPECT_EQ(exact.payloads, Strings{"1"});
  EXPECT_EQ(level.payloads, Strings{"2"});
  EXPECT_TRUE(other.payloads.empty());
}

TEST_F(MqttRouterTest, AcceptedOrRefusedAtOnce) {
  broker_.stop();
  until([&] { return !router_.connected(); });
  int accepted = 0, settled = 0;
  std::optional<Error> refusal;
  for (int i = 0; i < 100; ++i) {
    auto taken = router_.publish(Sender::kComponent,
                                 {.topic = "out", .payload = std::to_string(i), .qos = 1},
                                 [&](const Error* error) { settled += error == nullptr; });
    accepted += taken.has_value();
    if (!taken) refusal = taken.error();
  }
  EXPECT_EQ(accepted, 20);
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->code(), Code::kResourceExhausted);
  EXPECT_TRUE(router_.publish(Sender::kNucleus, {.topic = "job", .qos = 1}))
      << "there is room for the nucleus";
  EXPECT_FALSE(router_.publish(Sender::kComponent, {.topic = "out"})) << "QoS 0 is not kept";
  EXPECT_FALSE(router_.publish(Sender::kNucleus, {.topic = "a/#", .qos = 1}));
  until([&] { return settled == accepted; });
  broker_.start();
  until([&] { return broker_.published.size() == 21; });
  EXPECT_EQ(broker_.published[19].payload, "19") << "in order, and none lost";
}

TEST_F(MqttRouterTest, NobodyWaitsForABrokerThatIsGoneOrSilent) {
  const auto publish_one = [&](std::optional<bool>& settled) {
    ASSERT_TRUE(router_.publish(Sender::kComponent, {.topic = "out", .qos = 1},
                                [&](const Error* error) { settled = error == nullptr; }));
  };
  broker_.hold(true);
  std::optional<bool> silent, lost;
  publish_one(silent);
  until([&] { return silent.has_value(); });
  EXPECT_TRUE(*silent);
  publish_one(lost);
  broker_.stop();
  EXPECT_EQ(lost, true) << "the link is gone, the message is kept";
  Heard offline;
  subscribe(offline, "in");
  EXPECT_EQ(offline.settled, "");
  broker_.hold(false);
  broker_.start();
  until([&] { return broker_.published.size() >= 2 && broker_.filters("device").contains("in"); });
}

TEST_F(MqttRouterTest, WhatTheBrokerRefusesIsToldToWhoStillWaits) {
  broker_.allow = [](const std::string&, const std::string& topic, bool) {
    return !topic.starts_with("secret");
  };
  std::optional<std::string> refused;
  ASSERT_TRUE(
      router_.publish(Sender::kComponent, {.topic = "secret", .qos = 1},
                      [&](const Error* error) { refused = error ? error->message() : ""; }));
  until([&] { return refused.has_value(); });
  EXPECT_NE(refused->find("Not authorized"), std::string::npos) << *refused;
  Heard heard;
  subscribe(heard, "secret/#");
  EXPECT_NE(heard.settled->find("Not authorized"), std::string::npos) << *heard.settled;
}

TEST_F(MqttRouterTest, FiltersAreLimitedAndChecked) {
  std::vector<MqttRouter::Subscription> held;
  const auto take = [&](const std::string& filter) {
    auto subscription = router_.subscribe(filter, 1, [](const net::MqttMessage&) {});
    if (!subscription) return subscription.error().code();
    held.push_back(std::move(*subscription));
    return Code::kInternal;
  };
  EXPECT_EQ(take("a/#/b"), Code::kInvalidArgument);
  EXPECT_EQ(take(std::string("a\0b", 3)), Code::kInvalidArgument);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(take(std::to_string(i)), Code::kInternal);
  EXPECT_EQ(take("5"), Code::kResourceExhausted);
  EXPECT_EQ(take("4"), Code::kInternal) << "a filter that is there already costs nothing";
  held.clear();
  EXPECT_EQ(router_.filters(), 0u);
  EXPECT_EQ(take("5"), Code::kInternal);
}

TEST_F(MqttRouterTest, WhatTheNucleusSaysToNobodyIsToBeSaidAgainUntilItIsHeard) {
  const net::MqttMessage status{.topic = "status", .payload = "all is well", .qos = 1};
  ASSERT_TRUE(router_.publish(Sender::kComponent, status));
  settle();
  EXPECT_EQ(unheard_, 0) << "components publish to whom they like";
  for (int times = 1; times <= 3; ++times) {
    ASSERT_TRUE(router_.publish(Sender::kNucleus, status));
    ASSERT_TRUE(router_.publish(Sender::kNucleus, status));
    until([&] { return unheard_ == times; });
  }
  Heard control_plane;
  subscribe(control_plane, "status");
  ASSERT_TRUE(router_.publish(Sender::kNucleus, status));
  until([&] { return control_plane.payloads.size() == 1; });
  for (int i = 0; i < 10; ++i) loop_.run_for(20);
  EXPECT_EQ(unheard_, 3);
}

}  // namespace
}  // namespace skerry::nucleus
