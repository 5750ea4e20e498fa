// What every MQTT client and broker must do: the same tests over mosquitto with the real client,
// and over the broker in memory that tests and the simulator use.
#include <gtest/gtest.h>

#include <fstream>

#include "io/test_env.h"
#include "net/mqtt.h"
#include "net/test_broker.h"
#include "net/test_mqtt.h"
#include "net/test_support.h"

namespace skerry::net {
namespace {

// Who publishes to or subscribes below "forbidden/" is refused.
class MqttConformance : public testing::TestWithParam<const char*> {
 protected:
  MqttConformance() {
    if (real()) {
      std::ofstream(scratch_.path("acl")) << "topic readwrite a/#\ntopic readwrite b/#\n";
      mosquitto_.emplace(scratch_, "allow_anonymous true\nacl_file " + scratch_.path("acl") + "\n");
    } else {
      fake_.emplace(loop_);
      if (std::string(GetParam()) == "slow_fake") {
        fake_->delay_ms = [this] { return static_cast<int64_t>(system_.random.below(3)); };
      }
      fake_->allow = [](const std::string&, const std::string& topic, bool publishes) {
        // As mosquitto's file: a subscription is allowed, and nothing comes.
        return !publishes || !topic.starts_with("forbidden/");
      };
    }
  }
  bool real() const { return std::string(GetParam()) == "mosquitto"; }
  void start() { real() ? mosquitto_->start() : fake_->start(); }
  void stop() { real() ? mosquitto_->stop() : fake_->stop(); }

  struct Client {
    std::unique_ptr<MqttClient> mqtt;
    std::vector<bool> connects;  // with a session
    std::vector<std::string> reasons;
    std::vector<MqttMessage> messages;
    std::vector<std::string> texts() const {
      std::vector<std::string> all;
      for (const MqttMessage& message : messages)
        all.push_back(message.topic + "=" + message.payload);
      return all;
    }
  };
  MqttOptions options(std::string id) {
    MqttOptions options;
    options.host = "127.0.0.1";
    options.port = real() ? mosquitto_->port() : uint16_t{1};
    options.client_id = std::move(id);
    options.reconnect_min_ms = 20;
    options.reconnect_max_ms = 100;
    return options;
  }
  std::unique_ptr<Client> client(MqttOptions options) {
    auto made = std::make_unique<Client>();
    if (real()) {
      auto mqtt = make_mqtt_client(env_, std::move(options));
      if (!mqtt) ADD_FAILURE() << mqtt.error().message();
      made->mqtt = std::move(*mqtt);
    } else {
      made->mqtt = fake_->client(std::move(options));
    }
    Client* raw = made.get();
    made->mqtt->start({[raw](bool session) { raw->connects.push_back(session); },
                       [raw](const Error& reason) { raw->reasons.push_back(reason.message()); },
                       [raw](const MqttMessage& message) { raw->messages.push_back(message); }});
    return made;
  }
  std::unique_ptr<Client> connected(const std::string& id) {
    auto made = client(options(id));
    EXPECT_TRUE(until([&] { return made->mqtt->connected(); }));
    return made;
  }
  bool until(const std::function<bool()>& done) { return run_until(loop_, done); }
  // The broker's answer, "" where it is fine.
  std::string subscribe(Client& client, MqttSubscription subscription) {
    std::optional<std::string> answer;
    auto accepted = client.mqtt->subscribe(std::move(subscription), [&](const Error* error) {
      answer = error ? error->message() : "";
    });
    EXPECT_TRUE(accepted);
    EXPECT_FALSE(answer) << "answered from inside subscribe()";
    EXPECT_TRUE(until([&] { return answer.has_value(); }));
    return answer.value_or("no answer");
  }
  std::string publish(Client& client, MqttMessage message) {
    std::optional<std::string> answer;
    auto accepted = client.mqtt->publish(
        std::move(message), [&](const Error* error) { answer = error ? error->message() : ""; });
    if (!accepted) return accepted.error().message();
    EXPECT_FALSE(answer) << "answered from inside publish()";
    EXPECT_TRUE(until([&] { return answer.has_value(); }));
    return answer.value_or("no answer");
  }
  // After this, everything that was on its way to `client` has arrived.
  void settle(Client& client) {
    static int number = 0;
    const std::string mark = "b/mark/" + std::to_string(++number);
    EXPECT_EQ(subscribe(client, {.filter = mark, .id = 9}), "");
    EXPECT_EQ(publish(client, {.topic = mark, .qos = 1}), "");
    EXPECT_TRUE(
        until([&] { return !client.messages.empty() && client.messages.back().topic == mark; }));
    client.messages.pop_back();
  }

  ScratchDirectory scratch_;
  io::RealTestEnv system_;
  io::RealLoop& loop_ = system_.loop;
  io::Env& env_ = system_.env;
  std::optional<TestBroker> mosquitto_;
  std::optional<FakeBroker> fake_;
};
INSTANTIATE_TEST_SUITE_P(Over, MqttConformance, testing::Values("mosquitto", "fake", "slow_fake"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(MqttConformance, OverlappingFiltersAreToldApartByTheirIdentifiers) {
  start();
  auto client = connected("c");
  ASSERT_EQ(subscribe(*client, {.filter = "a/+", .id = 1}), "");
  ASSERT_EQ(subscribe(*client, {.filter = "a/b", .id = 268'435'455}), "");
  ASSERT_EQ(subscribe(*client, {.filter = "a/c", .id = 3}), "");
  ASSERT_EQ(publish(*client, {.topic = "a/b", .payload = "x", .qos = 1}), "");
  settle(*client);
  std::multiset<uint32_t> ids;
  for (const MqttMessage& message : client->messages) {
    ids.insert(message.subscription_ids.begin(), message.subscription_ids.end());
  }
  EXPECT_EQ(ids, (std::multiset<uint32_t>{1, 268'435'455}));
}

TEST_P(MqttConformance, RetainedMessagesComeWithTheNewestIdentifierOnly) {
  start();
  auto client = connected("c");
  ASSERT_EQ(publish(*client, {.topic = "a/kept", .payload = "1", .qos = 1, .retain = true}), "");
  ASSERT_EQ(subscribe(*client, {.filter = "a/kept", .id = 1}), "");
  settle(*client);
  ASSERT_EQ(client->messages.size(), 1u);
  EXPECT_TRUE(client->messages[0].retain);
  EXPECT_EQ(client->messages[0].subscription_ids, std::vector<uint32_t>{1});
  client->messages.clear();
  ASSERT_EQ(subscribe(*client, {.filter = "a/kept", .id = 2}), "");
  ASSERT_EQ(subscribe(*client, {.filter = "a/kept", .id = 3, .retained = false}), "");
  ASSERT_EQ(publish(*client, {.topic = "a/kept", .payload = "2", .qos = 1, .retain = true}), "");
  settle(*client);
  ASSERT_EQ(client->messages.size(), 2u);
  EXPECT_TRUE(client->messages[0].retain);
  EXPECT_EQ(client->messages[0].subscription_ids, std::vector<uint32_t>{2});
  EXPECT_FALSE(client->messages[1].retain) << "live: told to those who were there";
  EXPECT_EQ(client->messages[1].subscription_ids, std::vector<uint32_t>{3});
  EXPECT_EQ(publish(*client, {.topic = "a/kept", .qos = 1, .retain = true}), "");
}

TEST_P(MqttConformance, PropertiesTravelBothWays) {
  start();
  auto client = connected("c");
  ASSERT_EQ(subscribe(*client, {.filter = "a/#", .id = 1}), "");
  MqttProperties properties;
  properties.payload_format = 1;
  properties.expiry_s = 3'600;
  properties.content_type = "text/plain";
  properties.response_topic = "b/answer";
  properties.correlation_data = std::string("\0\xff", 2);
  properties.user = {{"k", "1"}, {"k", "2"}, {"\xc3\xa9", ""}};
  for (uint8_t qos : {0, 1}) {
    ASSERT_EQ(
        publish(*client, {.topic = "a/p", .payload = "x", .qos = qos, .properties = properties}),
        "");
    ASSERT_TRUE(until([&] { return client->messages.size() == 1; }));
    client->messages[0].properties.expiry_s = 3'600;  // the broker counts down
    EXPECT_EQ(client->messages[0].properties, properties);
    client->messages.clear();
  }
}

TEST_P(MqttConformance, EveryAcceptedMessageArrivesInOrder) {
  start();
  auto receiver = connected("receiver");
  ASSERT_EQ(subscribe(*receiver, {.filter = "a/#", .id = 1}), "");
  MqttOptions wanted = options("sender");
  wanted.max_queued = 300;
  auto sender = connected("other");
  sender = client(wanted);
  int accepted = 0, answered = 0;
  for (int i = 0; i < 500; ++i) {
    auto taken =
        sender->mqtt->publish({.topic = "a/n", .payload = std::to_string(accepted), .qos = 1},
                              [&](const Error* error) { answered += error == nullptr; });
    if (taken) ++accepted;
    if (!taken) EXPECT_EQ(taken.error().code(), Code::kResourceExhausted);
  }
  EXPECT_EQ(accepted, 300);
  EXPECT_EQ(sender->mqtt->backlog().messages, 300u);
  ASSERT_TRUE(until([&] { return answered == accepted && receiver->messages.size() == 300; }));
  for (int i = 0; i < 300; ++i) {
    EXPECT_EQ(receiver->messages[static_cast<size_t>(i)].payload, std::to_string(i));
  }
  EXPECT_EQ(sender->mqtt->backlog().bytes, 0u);
}

TEST_P(MqttConformance, TheQueueIsLimitedInBytesToo) {
  MqttOptions wanted = options("c");
  wanted.max_queued_bytes = 10'000;
  auto client = this->client(wanted);
  const MqttMessage large{.topic = "a", .payload = std::string(6'000, 'x'), .qos = 1};
  EXPECT_TRUE(client->mqtt->publish(large));
  auto refused = client->mqtt->publish(large);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kResourceExhausted);
  EXPECT_TRUE(client->mqtt->publish({.topic = "a", .payload = "small", .qos = 1}));
  auto qos0 = client->mqtt->publish({.topic = "a", .payload = "small"});
  ASSERT_FALSE(qos0);
  EXPECT_EQ(qos0.error().code(), Code::kUnavailable);
}

TEST_P(MqttConformance, WhatIsInFlightWhenTheLinkDropsIsSentAgain) {
  start();
  auto client = connected("c");
  ASSERT_EQ(subscribe(*client, {.filter = "a/#", .id = 1}), "");
  int answered = 0;
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(client->mqtt->publish({.topic = "a/" + std::to_string(i), .qos = 1},
                                      [&](const Error* error) { answered += error == nullptr; }));
  }
  stop();
  ASSERT_TRUE(until([&] { return !client->mqtt->connected(); }));
  start();
  ASSERT_TRUE(until([&] { return answered == 100; }));
  settle(*client);
  std::set<std::string> topics;
  for (const MqttMessage& message : client->messages) topics.insert(message.topic);
  EXPECT_EQ(topics.size(), 100u);
}

TEST_P(MqttConformance, TheSessionIsKeptForTheSameProcessAndNotForTheNextThatStartsClean) {
  start();
  auto other = connected("other");
  MqttOptions wanted = options("c");
  wanted.clean_start = true;
  auto first = client(wanted);
  ASSERT_TRUE(until([&] { return first->mqtt->connected(); }));
  ASSERT_EQ(subscribe(*first, {.filter = "a/#", .id = 1}), "");
  // Twice: mosquitto does not keep a session that began clean over a restart of its own.
  for (size_t connects : {2, 3}) {
    stop();
    ASSERT_TRUE(until([&] { return !first->mqtt->connected(); }));
    start();
    ASSERT_TRUE(until([&] { return first->connects.size() == connects; }));
    ASSERT_EQ(subscribe(*first, {.filter = "b/#"}), "");  // and so to a/#, where it had to again
  }
  EXPECT_FALSE(first->connects.front());
  EXPECT_TRUE(first->connects.back());
  ASSERT_EQ(publish(*other, {.topic = "a/1", .qos = 1}), "");
  ASSERT_TRUE(until([&] { return first->messages.size() == 1; }));
  first.reset();
  ASSERT_EQ(publish(*other, {.topic = "a/2", .qos = 1}), "");
  auto second = client(wanted);
  ASSERT_TRUE(until([&] { return second->mqtt->connected(); }));
  ASSERT_EQ(publish(*other, {.topic = "a/3", .qos = 1}), "");
  settle(*second);
  EXPECT_EQ(second->connects, std::vector<bool>{false});
  EXPECT_TRUE(second->messages.empty()) << second->messages[0].topic;
}

TEST_P(MqttConformance, AnotherClientOfTheSameNameTakesOverAndTheCauseIsNamed) {
  start();
  MqttOptions wanted = options("twin");
  wanted.reconnect_min_ms = 60'000;
  wanted.reconnect_max_ms = 60'000;
  auto first = client(wanted);
  ASSERT_TRUE(until([&] { return first->mqtt->connected(); }));
  auto second = client(wanted);
  ASSERT_TRUE(until([&] { return !first->reasons.empty(); }));
  EXPECT_NE(first->reasons[0].find("another client"), std::string::npos) << first->reasons[0];
  EXPECT_NE(first->reasons[0].find("'twin'"), std::string::npos) << first->reasons[0];
  EXPECT_TRUE(until([&] { return second->mqtt->connected(); }));
}

TEST_P(MqttConformance, WhatIsNoMessageIsRefusedBeforeTheBrokerSeesIt) {
  start();
  auto client = connected("c");
  const std::string null_byte("secret\0/public", 14);
  for (const std::string& topic :
       {std::string(), std::string("a/#"), std::string("a/+/b"), null_byte, std::string("a/\xff"),
        std::string("\xed\xa0\x80"), std::string("\xef\xbf\xbf"), std::string("a\x01"),
        std::string("\xc0\x80"), std::string(70'000, 'a')}) {
    for (uint8_t qos : {0, 1}) {
      auto taken = client->mqtt->publish({.topic = topic, .qos = qos});
      ASSERT_FALSE(taken) << topic.substr(0, 20);
      EXPECT_EQ(taken.error().code(), Code::kInvalidArgument);
    }
  }
  for (const std::string& filter :
       {std::string(), std::string("a/#/b"), std::string("a+"), std::string("a/b#"), null_byte,
        std::string("$share/g"), std::string("$share//a"), std::string("$share/+/a"),
        std::string("$share/g/"), std::string("\xf5\x80\x80\x80")}) {
    EXPECT_FALSE(client->mqtt->subscribe({.filter = filter})) << filter;
  }
  MqttMessage message{.topic = "a/x", .qos = 1};
  message.properties.user = {{"k", std::string("v\0", 2)}};
  EXPECT_FALSE(client->mqtt->publish(message));
  message.properties = {};
  message.properties.response_topic = "a/#";
  EXPECT_FALSE(client->mqtt->publish(message));
  message.qos = 2;
  EXPECT_FALSE(client->mqtt->publish(message));
  EXPECT_EQ(publish(*client, {.topic = "a/x", .qos = 1}), "");
  EXPECT_TRUE(client->reasons.empty()) << "the connection stands";
}

TEST_P(MqttConformance, WhatThePolicyForbidsIsToldToThePublisher) {
  start();
  auto client = connected("c");
  EXPECT_NE(publish(*client, {.topic = "forbidden/x", .qos = 1}).find("Not authorized"),
            std::string::npos);
  EXPECT_EQ(publish(*client, {.topic = "a/x", .qos = 1}), "");
}

TEST_P(MqttConformance, WhatMustBeHeardIsNotAcceptedWhereNobodyHasSubscribed) {
  start();
  auto sender = connected("sender");
  const MqttMessage message{.topic = "a/x", .qos = 1, .must_be_heard = true};
  EXPECT_NE(publish(*sender, message).find("nobody has subscribed"), std::string::npos);
  EXPECT_EQ(publish(*sender, {.topic = "a/x", .qos = 1}), "") << "who does not care is not told";
  auto receiver = connected("receiver");
  ASSERT_EQ(subscribe(*receiver, {.filter = "a/#"}), "");
  EXPECT_EQ(publish(*sender, message), "");
  receiver.reset();
  EXPECT_EQ(publish(*sender, message), "") << "its session hears of it later";
}

// Lost connections cost time, not messages; some come twice. (mosquitto's are not broken here.)
TEST_P(MqttConformance, WhatASubscriberHasNotAcknowledgedComesAgain) {
  start();
  auto receiver = connected("receiver");
  auto sender = connected("sender");
  ASSERT_EQ(subscribe(*receiver, {.filter = "a/#", .id = 1}), "");
  if (!real()) fake_->breaks = [this] { return system_.random.below(20) == 0; };
  std::set<std::string> topics;
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(publish(*sender, {.topic = "a/" + std::to_string(i), .qos = 1}), "");
  }
  EXPECT_TRUE(until([&] {
    for (const MqttMessage& message : receiver->messages) topics.insert(message.topic);
    return topics.size() == 100;
  })) << topics.size();
  if (!real()) {
    EXPECT_GT(receiver->reasons.size(), 1u);
    EXPECT_GT(receiver->messages.size(), 100u);
  }
}

TEST_P(MqttConformance, UnsubscribingHoldsOfflineToo) {
  start();
  auto client = connected("c");
  ASSERT_EQ(subscribe(*client, {.filter = "a/1"}), "");
  ASSERT_EQ(subscribe(*client, {.filter = "a/2"}), "");
  client->mqtt->unsubscribe("a/1");
  stop();
  ASSERT_TRUE(until([&] { return !client->mqtt->connected(); }));
  ASSERT_TRUE(client->mqtt->subscribe({.filter = "a/3"}));
  client->mqtt->unsubscribe("a/2");
  start();
  ASSERT_TRUE(until([&] { return client->connects.size() == 2; }));
  for (const char* topic : {"a/1", "a/2", "a/3"}) {
    ASSERT_EQ(publish(*client, {.topic = topic, .qos = 1}), "");
  }
  settle(*client);
  EXPECT_EQ(client->texts(), std::vector<std::string>{"a/3="});
}

}  // namespace
}  // namespace skerry::net
