// The MQTT client with a real mosquitto: sessions over restarts, refusals, and never plaintext.
#include "net/mqtt.h"

#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include "net/mqtt_outbox.h"
#include "net/stream.h"
#include "net/test_broker.h"
#include "net/test_support.h"

namespace skerry::net {
namespace {

struct Seen {
  int connected = 0;
  bool session_present = false;
  std::vector<Error> reasons;
  std::vector<MqttMessage> messages;
};

class Mqtt : public testing::Test {
 protected:
  std::string tls_settings() {
    TlsFiles files = ca_.issue({"broker", "DNS:localhost,IP:127.0.0.1"});
    return "allow_anonymous true\nrequire_certificate true\ncafile " + files.ca_file +
           "\ncertfile " + files.certificate_file + "\nkeyfile " + files.key_file + "\n";
  }
  MqttOptions options(uint16_t port, TlsFiles tls) {
    MqttOptions result;
    result.host = "127.0.0.1";
    result.port = port;
    result.client_id = "pump-7";
    result.tls = std::move(tls);
    result.reconnect_min_ms = 20;
    result.reconnect_max_ms = 100;
    return result;
  }
  std::unique_ptr<MqttClient> client(MqttOptions options) {
    auto made = make_mqtt_client(env_, std::move(options));
    if (!made) ADD_FAILURE() << made.error().message();
    return made ? std::move(*made) : nullptr;
  }
  MqttClient::Events record() {
    return {[this](bool session_present) {
              ++seen_.connected;
              seen_.session_present = session_present;
            },
            [this](const Error& reason) { seen_.reasons.push_back(reason); },
            [this](const MqttMessage& message) { seen_.messages.push_back(message); }};
  }
  bool until(const std::function<bool()>& done) { return run_until(loop_, done); }
  void expect_refused(MqttOptions options, const std::string& part) {
    auto made = client(std::move(options));
    made->start(record());
    ASSERT_TRUE(until([&] { return !seen_.reasons.empty(); }));
    EXPECT_EQ(seen_.reasons[0].code(), Code::kPermissionDenied);
    EXPECT_NE(seen_.reasons[0].message().find(part), std::string::npos)
        << seen_.reasons[0].message();
    EXPECT_EQ(seen_.connected, 0);
  }
  // Publishes with QoS 1 and gives what came of it.
  std::optional<Error> publish(MqttClient& mqtt, const std::string& topic, std::string payload) {
    bool ended = false;
    std::optional<Error> failure;
    auto accepted = mqtt.publish({topic, std::move(payload), 1, false}, [&](const Error* error) {
      ended = true;
      if (error) failure = *error;
    });
    if (!accepted) return accepted.error();
    EXPECT_FALSE(ended) << "called back from inside publish()";
    EXPECT_TRUE(until([&] { return ended; }));
    return failure;
  }
  std::optional<Error> subscribe(MqttClient& mqtt, const std::string& filter) {
    bool ended = false;
    std::optional<Error> failure;
    (void)mqtt.subscribe({.filter = filter}, [&](const Error* error) {
      ended = true;
      if (error) failure = *error;
    });
    EXPECT_TRUE(until([&] { return ended; }));
    return failure;
  }

  ScratchDirectory scratch_;
  io::RealLoop loop_;
  io::RealClock clock_;
  io::RealFiles files_;
  io::RealProcesses processes_{loop_};
  io::RealRandom random_;
  io::InlinePool pool_;
  io::Env env_{loop_, clock_, files_, processes_, random_, pool_, pool_};
  TestCa ca_{scratch_, "ca"};
  Seen seen_;
};

TEST_F(Mqtt, DeliversOverMutualTls) {
  TestBroker broker(scratch_, tls_settings());
  broker.start();
  for (std::string host : {"127.0.0.1", "localhost"}) {
    MqttOptions wanted = options(broker.port(), ca_.issue({"pump-7", ""}));
    wanted.host = host;
    auto mqtt = client(wanted);
    mqtt->start(record());
    ASSERT_TRUE(until([&] { return mqtt->connected(); }));
    EXPECT_FALSE(subscribe(*mqtt, "pumps/+/state"));
    std::string large(900'000, 'x');
    EXPECT_FALSE(publish(*mqtt, "pumps/7/state", large));
    ASSERT_TRUE(until([&] { return seen_.messages.size() == 1; }));
    EXPECT_EQ(seen_.messages[0].topic, "pumps/7/state");
    EXPECT_EQ(seen_.messages[0].payload, large);
    EXPECT_EQ(seen_.messages[0].qos, 1);
    seen_ = {};
  }
}

TEST_F(Mqtt, KeepsItsSessionOverARestartOfTheBroker) {
  TestBroker broker(scratch_, tls_settings());
  broker.start();
  auto mqtt = client(options(broker.port(), ca_.issue({"pump-7", ""})));
  mqtt->start(record());
  ASSERT_TRUE(until([&] { return mqtt->connected(); }));
  EXPECT_FALSE(subscribe(*mqtt, "jobs/#"));
  broker.stop();
  ASSERT_TRUE(until([&] { return !mqtt->connected(); }));

  // Asked for while nobody is there: kept, and done at the next connection.
  int acknowledged = 0;
  for (int i = 0; i < 50; ++i) {
    EXPECT_TRUE(mqtt->publish({"jobs/" + std::to_string(i), "queued", 1, false},
                              [&](const Error* error) { acknowledged += error == nullptr; }));
  }
  bool subscribed = false;
  (void)mqtt->subscribe({.filter = "late/#"},
                        [&](const Error* error) { subscribed = error == nullptr; });
  broker.start();
  ASSERT_TRUE(until([&] { return acknowledged == 50 && seen_.messages.size() == 50; }));
  EXPECT_TRUE(seen_.session_present);
  ASSERT_TRUE(until([&] { return subscribed; }));
  std::set<std::string> topics;
  for (const auto& message : seen_.messages) topics.insert(message.topic);
  EXPECT_EQ(topics.size(), 50u);
}

TEST_F(Mqtt, SubscribesAgainWhereTheBrokerHasForgotten) {
  TestBroker broker(scratch_, "allow_anonymous true\n");
  broker.start();
  auto mqtt = client(options(broker.port(), {}));
  mqtt->start(record());
  ASSERT_TRUE(until([&] { return mqtt->connected(); }));
  EXPECT_FALSE(subscribe(*mqtt, "jobs/#"));
  broker.stop();
  ASSERT_EQ(std::remove(scratch_.path("mosquitto.db").c_str()), 0);
  broker.start();
  ASSERT_TRUE(until([&] { return seen_.connected == 2; }));
  EXPECT_FALSE(seen_.session_present);
  EXPECT_FALSE(publish(*mqtt, "jobs/1", "after"));
  EXPECT_TRUE(until([&] { return seen_.messages.size() == 1; }));
}

// By hand: its second connection begins a session, and ends before anybody hears of that.
struct InterruptedBroker {
  int connections = 0;
  int subscribes = 0;

  static io::Task<void> serve(InterruptedBroker* self, std::unique_ptr<Stream> stream) {
    const int number = ++self->connections;
    std::string received;
    for (char buffer[1024];;) {
      auto count = co_await stream->read_some(buffer, sizeof buffer);
      if (!count || *count == 0) co_return;
      received.append(buffer, *count);
      // Packets are shorter than 128 bytes here: their length is one byte.
      while (received.size() >= 2 && received.size() >= 2 + static_cast<size_t>(received[1])) {
        const std::string packet = received.substr(0, 2 + static_cast<size_t>(received[1]));
        received.erase(0, packet.size());
        const int type = static_cast<uint8_t>(packet[0]) >> 4;
        if (type == 1) {  // CONNECT
          if (number == 2) co_return;
          const char present = number > 2 ? 1 : 0;
          const char answer[] = {0x20, 3, present, 0, 0};
          if (!co_await stream->write_all({answer, sizeof answer})) co_return;
        } else if (type == 8) {  // SUBSCRIBE
          ++self->subscribes;
          const char answer[] = {'\x90', 4, packet[2], packet[3], 0, 1};
          if (!co_await stream->write_all({answer, sizeof answer}) || number == 1) co_return;
        }
      }
    }
  }
};

TEST_F(Mqtt, SubscribesAgainWhereTheNewsOfANewSessionWasLost) {
  InterruptedBroker broker;
  io::TaskScope scope;
  auto listener = listen_tcp(loop_, "127.0.0.1", 0, nullptr, [&](std::unique_ptr<Stream> stream) {
    scope.spawn(InterruptedBroker::serve(&broker, std::move(stream)));
  });
  ASSERT_TRUE(listener);
  auto mqtt = client(options((*listener)->port(), {}));
  ASSERT_TRUE(mqtt->subscribe({.filter = "jobs/#"}));
  mqtt->start(record());
  EXPECT_TRUE(until([&] { return broker.subscribes == 2; }));
  EXPECT_EQ(broker.connections, 3);
  EXPECT_FALSE(seen_.session_present);
}

TEST_F(Mqtt, UnsubscribesInTheKeptSessionToo) {
  TestBroker broker(scratch_, "allow_anonymous true\n");
  broker.start();
  auto mqtt = client(options(broker.port(), {}));
  mqtt->start(record());
  ASSERT_TRUE(until([&] { return mqtt->connected(); }));
  EXPECT_FALSE(subscribe(*mqtt, "a"));
  EXPECT_FALSE(subscribe(*mqtt, "b"));
  broker.stop();
  ASSERT_TRUE(until([&] { return !mqtt->connected(); }));
  mqtt->unsubscribe("a");
  broker.start();
  ASSERT_TRUE(until([&] { return mqtt->connected(); }));
  EXPECT_FALSE(publish(*mqtt, "a", ""));
  EXPECT_FALSE(publish(*mqtt, "b", ""));
  ASSERT_TRUE(until([&] { return !seen_.messages.empty(); }));
  EXPECT_EQ(seen_.messages[0].topic, "b");
}

TEST_F(Mqtt, TriesUntilTheBrokerIsThere) {
  TestBroker broker(scratch_, "allow_anonymous true\n");
  auto mqtt = client(options(broker.port(), {}));
  mqtt->start(record());
  ASSERT_TRUE(until([&] { return seen_.reasons.size() >= 2; }));
  EXPECT_EQ(seen_.reasons[0].code(), Code::kUnavailable);
  EXPECT_NE(seen_.reasons[0].message().find("Connection refused"), std::string::npos)
      << seen_.reasons[0].message();
  broker.start();
  EXPECT_TRUE(until([&] { return mqtt->connected(); }));
}

TEST_F(Mqtt, RefusesAServerOfAnotherCa) {
  TestBroker broker(scratch_, tls_settings());
  broker.start();
  TestCa other(scratch_, "other-ca");
  TlsFiles files = ca_.issue({"pump-7", ""});
  files.ca_file = other.ca_file();
  expect_refused(options(broker.port(), files), "the certificate of 127.0.0.1 is refused");
}

TEST_F(Mqtt, SaysThatTheBrokerWantsACertificate) {
  TestBroker broker(scratch_, tls_settings());
  broker.start();
  expect_refused(options(broker.port(), {ca_.ca_file(), "", ""}), "wants a certificate");
}

TEST_F(Mqtt, SaysThatTheBrokerFindsItsCertificateExpired) {
  TestBroker broker(scratch_, tls_settings());
  broker.start();
  expect_refused(options(broker.port(), ca_.issue({"pump-7", "", true})), "it has expired");
}

TEST_F(Mqtt, FailsAtOnceWhereItsFilesCannotBeUsed) {
  TlsFiles files = ca_.issue({"pump-7", ""});
  files.key_file = scratch_.path("absent.key");
  auto made = make_mqtt_client(env_, options(1, files));
  ASSERT_FALSE(made);
  EXPECT_NE(made.error().message().find(files.key_file), std::string::npos);
}

TEST_F(Mqtt, RefusesAServerOfAnotherNameAndTellsItWhomItWanted) {
  std::string name;
  auto server_tls = TlsContext::server(ca_.issue({"x", "DNS:elsewhere"}), false);
  ASSERT_TRUE(server_tls);
  SSL_CTX_set_tlsext_servername_arg((*server_tls)->native(), &name);
  SSL_CTX_set_tlsext_servername_callback((*server_tls)->native(), +[](SSL* ssl, int*, void* out) {
    const char* sent = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    *static_cast<std::string*>(out) = sent ? sent : "none";
    return SSL_TLSEXT_ERR_OK;
  });
  auto listener = listen_tcp(loop_, "127.0.0.1", 0, *server_tls, [](std::unique_ptr<Stream>) {});
  ASSERT_TRUE(listener);
  MqttOptions wanted = options((*listener)->port(), ca_.issue({"pump-7", ""}));
  wanted.host = "localhost";
  expect_refused(wanted, "it does not name localhost");
  EXPECT_EQ(name, "localhost");
}

io::Task<void> read_first_byte(std::unique_ptr<Stream> stream, int* out) {
  char byte = 0;
  if (co_await stream->read_some(&byte, 1)) *out = static_cast<unsigned char>(byte);
}

TEST_F(Mqtt, NeverFallsBackToPlaintext) {
  int first_byte = -1;
  io::TaskScope scope;
  auto listener = listen_tcp(loop_, "127.0.0.1", 0, nullptr, [&](std::unique_ptr<Stream> stream) {
    scope.spawn(read_first_byte(std::move(stream), &first_byte));
  });
  ASSERT_TRUE(listener);
  auto mqtt = client(options((*listener)->port(), ca_.issue({"pump-7", ""})));
  mqtt->start(record());
  ASSERT_TRUE(until([&] { return seen_.reasons.size() >= 3; }));
  EXPECT_EQ(first_byte, 0x16) << "a TLS handshake, not CONNECT";
  EXPECT_EQ(seen_.reasons[0].code(), Code::kUnavailable) << seen_.reasons[0].message();
}

// The library begins the TLS handshake before the kernel has told it that nobody is there.
TEST_F(Mqtt, NamesTheCauseWhereNobodyListens) {
  uint16_t free_port = TestBroker(scratch_, "").port();
  for (const TlsFiles& files : {TlsFiles{}, ca_.issue({"pump-7", ""})}) {
    seen_ = {};
    auto mqtt = client(options(free_port, files));
    mqtt->start(record());
    ASSERT_TRUE(until([&] { return !seen_.reasons.empty(); }));
    EXPECT_EQ(seen_.reasons[0].message(),
              "connecting to 127.0.0.1:" + std::to_string(free_port) + ": Connection refused");
  }
}

TEST_F(Mqtt, NamesTheCauseWhereTheNameIsUnknown) {
  MqttOptions wanted = options(1883, {});
  wanted.host = "no-such-host.invalid";
  auto mqtt = client(wanted);
  mqtt->start(record());
  ASSERT_TRUE(until([&] { return !seen_.reasons.empty(); }));
  EXPECT_NE(seen_.reasons[0].message().find("no-such-host.invalid"), std::string::npos)
      << seen_.reasons[0].message();
}

// Two nuclei with one certificate must not throw each other out several times a second for ever.
TEST_F(Mqtt, TwoClientsOfOneNameBackOff) {
  TestBroker broker(scratch_, "allow_anonymous true\n");
  broker.start();
  MqttOptions wanted = options(broker.port(), {});
  wanted.reconnect_min_ms = 1;
  wanted.reconnect_max_ms = 3'600'000;
  int connects = 0;
  auto count = [&] {
    MqttClient::Events events = record();
    events.on_connected = [&](bool) { ++connects; };
    return events;
  };
  auto first = client(wanted), second = client(wanted);
  first->start(count());
  second->start(count());
  ASSERT_TRUE(until([&] { return seen_.reasons.size() >= 6; }));
  for (int i = 0; i < 20; ++i) loop_.run_for(50);
  EXPECT_LE(connects, 40) << "each attempt waits twice as long as the one before";
  EXPECT_NE(seen_.reasons.back().message().find("another client"), std::string::npos)
      << seen_.reasons.back().message();
}

TEST_F(Mqtt, AMessageThatTheBrokerCannotTakeEndsAloneAndNotTheConnection) {
  TestBroker broker(scratch_, "allow_anonymous true\nmax_packet_size 20000\n");
  auto mqtt = client(options(broker.port(), {}));
  // Accepted before the broker's limit is known.
  std::optional<bool> large, small;
  ASSERT_TRUE(mqtt->publish({.topic = "a", .payload = std::string(30'000, 'x'), .qos = 1},
                            [&](const Error* error) { large = error == nullptr; }));
  ASSERT_TRUE(mqtt->publish({.topic = "a", .payload = "x", .qos = 1},
                            [&](const Error* error) { small = error == nullptr; }));
  broker.start();
  mqtt->start(record());
  ASSERT_TRUE(until([&] { return large && small; }));
  EXPECT_FALSE(*large);
  EXPECT_TRUE(*small);
  EXPECT_TRUE(seen_.reasons.empty());
  auto refused = publish(*mqtt, "a", std::string(30'000, 'x'));
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->code(), Code::kInvalidArgument);
}

TEST(MqttOutbox, AMessageThatEndsEveryConnectionIsGivenUp) {
  MqttOutbox outbox(10, 1 << 20);
  std::string log;
  for (const char* name : {"a", "bad", "c"}) {
    ASSERT_TRUE(outbox.add({.topic = name, .qos = 1}, [&log, name](const Error* error) {
      log += std::string(error ? "-" : "+") + name;
    }));
  }
  const auto send_all = [&] {
    for (int id = 1; outbox.next(); ++id) outbox.sent(id);
  };
  send_all();
  EXPECT_FALSE(outbox.connection_lost(true)) << "any of the three";
  send_all();
  ASSERT_TRUE(outbox.next() == nullptr);
  outbox.answered(1)->done(nullptr);  // "a" was fine
  send_all();
  EXPECT_FALSE(outbox.connection_lost(true));
  send_all();
  auto given_up = outbox.connection_lost(true);
  ASSERT_TRUE(given_up);
  const Error error(Code::kInvalidArgument, "");
  (*given_up)(&error);
  send_all();
  outbox.answered(1)->done(nullptr);
  EXPECT_EQ(log, "+a-bad+c");
  EXPECT_EQ(outbox.backlog().bytes, 0u);
}

TEST_F(Mqtt, TellsWhatTheBrokersPolicyForbids) {
  std::string acl = scratch_.path("acl");
  {
    std::FILE* file = std::fopen(acl.c_str(), "w");
    std::fputs("topic read allowed\ntopic write allowed\n", file);
    std::fclose(file);
  }
  TestBroker broker(scratch_, "allow_anonymous true\nacl_file " + acl + "\n");
  broker.start();
  auto mqtt = client(options(broker.port(), {}));
  mqtt->start(record());
  ASSERT_TRUE(until([&] { return mqtt->connected(); }));
  EXPECT_FALSE(publish(*mqtt, "allowed", "1"));
  auto refused = publish(*mqtt, "forbidden", "1");
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->code(), Code::kPermissionDenied);
}

TEST_F(Mqtt, MayBeDestroyedByItsOwnCallback) {
  TestBroker broker(scratch_, "allow_anonymous true\n");
  broker.start();
  auto mqtt = client(options(broker.port(), {}));
  bool done = false;
  mqtt->start({[&](bool) {
                 mqtt.reset();
                 done = true;
               },
               {},
               {}});
  EXPECT_TRUE(until([&] { return done; }));
}

TEST(MqttMatches, FollowsTheSpecification) {
  struct Case {
    const char* filter;
    const char* topic;
    bool matches;
  };
  for (const Case& c : std::initializer_list<Case>{
           {"a/b", "a/b", true},
           {"a/b", "a/c", false},
           {"a/b", "a", false},
           {"a", "a/b", false},
           {"a/+", "a/b", true},
           {"a/+", "a/", true},
           {"a/+", "a", false},
           {"a/+", "a/b/c", false},
           {"+/b", "a/b", true},
           {"+", "a", true},
           {"+", "/a", false},
           {"/+", "/a", true},
           {"+/+", "/a", true},
           {"a/#", "a", true},
           {"a/#", "a/b/c", true},
           {"a/#", "ab", false},
           {"#", "a/b", true},
           {"#", "/", true},
           {"a/+/c", "a/b/c", true},
           {"a/+/#", "a/b", true},
           {"a/+/#", "a", false},
           {"#", "$aws/things", false},
           {"+/things", "$aws/things", false},
           {"$aws/#", "$aws/things", true},
           {"$aws/+", "$aws/things", true},
           {"a//b", "a//b", true},
           {"a/+/b", "a//b", true},
           {"", "a", false},
           {"a", "", false},
           {"a/b/", "a/b", false},
       }) {
    EXPECT_EQ(mqtt_matches(c.filter, c.topic), c.matches) << c.filter << " " << c.topic;
  }
}

}  // namespace
}  // namespace skerry::net
