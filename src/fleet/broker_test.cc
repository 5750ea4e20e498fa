// A real mosquitto with our plugin and real mTLS clients: who gets in, who hears what, and what
// becomes of a revoked session and of a broker that dies.
#include "fleet/broker.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <signal.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "fleet/broker_registry.h"
#include "fleet/ca.h"
#include "fleet/jobs.h"
#include "fleet/presence.h"
#include "fleet/test_fleet.h"
#include "net/openssl.h"
#include "test_paths.h"

namespace skerry::fleet {
namespace {

constexpr int64_t kDeadlineMs = 30'000;

struct KeyAndRequest {
  std::string key_pem;
  std::string request_pem;
};

KeyAndRequest make_request(const std::string& common_name) {
  using namespace net::openssl;
  const Key key(EVP_EC_gen("P-256"));
  const Request request(X509_REQ_new());
  if (common_name.size() <= 64) {
    X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(request.get()), "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1,
                               0);
  }
  X509_REQ_set_pubkey(request.get(), key.get());
  X509_REQ_sign(request.get(), key.get(), EVP_sha256());
  const Bio key_text(BIO_new(BIO_s_mem())), request_text(BIO_new(BIO_s_mem()));
  PEM_write_bio_PrivateKey(key_text.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  PEM_write_bio_X509_REQ(request_text.get(), request.get());
  return {text_of(key_text), text_of(request_text)};
}

// An MQTT client that remembers what happens to it.
struct Client {
  explicit Client(std::unique_ptr<net::MqttClient> client) : mqtt(std::move(client)) {
    net::MqttClient::Events events;
    events.on_connected = [this](bool) { ++connects; };
    events.on_disconnected = [this](const Error& reason) {
      ++disconnects;
      last_reason = reason.message();
    };
    events.on_message = [this](const net::MqttMessage& message) {
      received.push_back(message.topic);
    };
    mqtt->start(std::move(events));
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  int connects = 0;
  int disconnects = 0;
  std::string last_reason;
  std::vector<std::string> received;
  std::unique_ptr<net::MqttClient> mqtt;
};

class BrokerTest : public testing::Test {
 protected:
  BrokerTest()
      : ca(open_ca()),
        broker(fleet.env, broker_options()),
        registered(fleet.stores),
        registry(fleet.env, registered, broker.registry_path()) {
    fleet.stores.add_listener(registry);
    for (const char* thing : {"lathe", "press"}) provision(thing);
    const auto started = run(broker.start());
    EXPECT_TRUE(started) << started.error().message();
  }

  void TearDown() override { stop(broker); }

  void stop(BrokerSupervisor& supervisor) {
    bool stopped = false;
    io::TaskScope scope;
    scope.spawn([](BrokerSupervisor* running, bool* out) -> io::Task<void> {
      co_await running->stop();
      *out = true;
    }(&supervisor, &stopped));
    EXPECT_TRUE(until([&] { return stopped; }));
  }

  std::unique_ptr<CertificateAuthority> open_ca() {
    auto opened = CertificateAuthority::open(fleet.env, fleet.directory.path() + "/ca");
    EXPECT_TRUE(opened) << opened.error().message();
    return std::move(*opened);
  }

  BrokerOptions broker_options() {
    BrokerOptions options;
    options.directory = fleet.directory.path() + "/broker";
    options.port = 0;
    options.topics = fleet.directory.path() + "/topics";
    options.tls = *ca->server_files({});
    options.tls.ca_file = ca->certificate_path();
    options.plugin = SKERRY_BIN_DIR "/skerry_broker_plugin.so";
    return options;
  }

  bool until(const std::function<bool()>& done) {
    const int64_t deadline = real_clock.monotonic_ms() + kDeadlineMs;
    while (!done()) {
      if (real_clock.monotonic_ms() > deadline) return false;
      fleet.loop.run_for(100);
    }
    return true;
  }

  Result<void> run(io::Task<Result<void>> task) {
    std::optional<Result<void>> result;
    io::TaskScope scope;
    scope.spawn(
        [](io::Task<Result<void>> inner, std::optional<Result<void>>* out) -> io::Task<void> {
          out->emplace(co_await std::move(inner));
        }(std::move(task), &result));
    if (!until([&] { return result.has_value(); }))
      return fail(Code::kTimeout, "the task did not end");
    return *result;
  }

  // A thing with an active certificate; its files are below the scratch directory.
  void provision(const std::string& thing) {
    fleet.add_thing(thing);
    const KeyAndRequest made = make_request(thing);
    const auto issued = ca->issue_device(made.request_pem);
    ASSERT_TRUE(issued) << issued.error().message();
    Certificate certificate;
    certificate.id = issued->sha256;
    certificate.pem = issued->pem;
    certificate.status = CertificateStatus::kActive;
    certificate.common_name = thing;
    ASSERT_TRUE(io::make_directories(fleet.files, fleet.directory.path() + "/broker"));
    ASSERT_TRUE(fleet.write([&](Store& store) -> Result<void> {
      SKERRY_TRY(store.add_certificate(certificate));
      return store.attach_certificate(certificate.id, ThingName(thing));
    }));
    fleet.settle();  // the first one writes the file
    ASSERT_TRUE(io::write_file_atomic(fleet.files, files_of(thing).key_file, made.key_pem));
    ASSERT_TRUE(io::write_file_atomic(fleet.files, files_of(thing).certificate_file, issued->pem));
    certificates[thing] = certificate.id;
  }

  net::TlsFiles files_of(const std::string& thing) const {
    const std::string base = fleet.directory.path() + "/" + thing;
    return {ca->certificate_path(), base + ".pem", base + ".key"};
  }

  std::unique_ptr<net::MqttClient> make(const std::string& client_id, const net::TlsFiles& files,
                                        uint16_t port = 0) {
    net::MqttOptions options;
    options.host = "127.0.0.1";
    options.port = port ? port : broker.port();
    options.client_id = client_id;
    options.tls = files;
    options.reconnect_min_ms = 20;
    options.reconnect_max_ms = 100;
    auto made = net::make_mqtt_client(fleet.env, options);
    EXPECT_TRUE(made) << made.error().message();
    return std::move(*made);
  }
  Client device(const std::string& client_id, const std::string& thing) {
    return Client(make(client_id, files_of(thing)));
  }
  std::unique_ptr<net::MqttClient> control_client() {
    return make("skerry-fleet", *ca->client_files());
  }

  // "" where the broker granted it, else the reason.
  std::string subscribe(Client& client, const std::string& filter) {
    std::optional<std::string> outcome;
    (void)client.mqtt->subscribe(
        {.filter = filter}, [&](const Error* error) { outcome = error ? error->message() : ""; });
    EXPECT_TRUE(until([&] { return outcome.has_value(); })) << filter;
    return outcome.value_or("no answer");
  }
  std::string publish(Client& client, const std::string& topic, bool retain = false) {
    std::optional<std::string> outcome;
    (void)client.mqtt->publish(
        {.topic = topic, .payload = "{}", .qos = 1, .retain = retain},
        [&](const Error* error) { outcome = error ? error->message() : ""; });
    EXPECT_TRUE(until([&] { return outcome.has_value(); })) << topic;
    return outcome.value_or("no answer");
  }

  // Whether a process like the broker's can read the file.
  bool broker_reads(const std::string& path) {
    std::optional<io::ExitStatus> status;
    io::ProcessEvents events;
    events.on_exit = [&](io::ExitStatus ended) { status = ended; };
    const auto reader =
        fleet.processes.start({.argv = {"/bin/cat", path},
                               .environment = {},
                               .working_directory = broker_options().directory,
                               .user = io::User{BrokerHome::kUser, BrokerHome::kUser},
                               .enters_as_caller = true},
                              std::move(events));
    EXPECT_TRUE(reader) << reader.error().message();
    EXPECT_TRUE(until([&] { return status.has_value(); }));
    return status->ok();
  }

  TestFleet fleet;
  io::RealClock real_clock;
  std::unique_ptr<CertificateAuthority> ca;
  BrokerSupervisor broker;
  ActiveCertificates registered;
  BrokerRegistry registry;
  std::map<std::string, std::string> certificates;
};

TEST_F(BrokerTest, AThingConnectsUnderItsNameAndItsFurtherNames) {
  Client first = device("lathe", "lathe"), second = device("lathe#2", "lathe"),
         third = device("lathe#endpoint-switch", "lathe");
  EXPECT_TRUE(until([&] { return first.connects && second.connects && third.connects; }));
}

TEST_F(BrokerTest, AnotherCertificateCannotTakeOverAClientId) {
  Client owner = device("lathe", "lathe");
  ASSERT_TRUE(until([&] { return owner.connects == 1; }));
  Client thief = device("lathe", "press"), thief2 = device("lathe#2", "press");
  EXPECT_TRUE(until([&] { return thief.disconnects > 1 && thief2.disconnects > 1; }));
  EXPECT_EQ(thief.connects + thief2.connects, 0);
  EXPECT_EQ(publish(owner, "lathe/alive"), "");
  EXPECT_EQ(owner.disconnects, 0);
}

TEST_F(BrokerTest, OtherThingsTopicsAreDeniedAndWildcardsDoNotLeakThem) {
  Client lathe = device("lathe", "lathe"), control(control_client());
  ASSERT_TRUE(until([&] { return lathe.connects && control.connects; }));
  EXPECT_NE(subscribe(lathe, "$aws/things/press/jobs/#"), "");
  EXPECT_NE(subscribe(lathe, "$aws/things/+/jobs/#"), "");
  EXPECT_NE(subscribe(lathe, "$skerry/#"), "");
  EXPECT_NE(subscribe(lathe, "#"), "");
  EXPECT_NE(subscribe(lathe, "+/things/#"), "");
  EXPECT_NE(subscribe(lathe, "$share/readers/plant/#"), "");
  EXPECT_EQ(subscribe(lathe, "lathe/#"), "");
  EXPECT_EQ(subscribe(lathe, "$aws/things/lathe/#"), "");
  EXPECT_EQ(publish(control, "$aws/things/press/jobs/notify"), "");
  EXPECT_EQ(publish(control, "$skerry/subscribed/press"), "");
  EXPECT_EQ(publish(control, "$aws/things/lathe/jobs/notify"), "");
  EXPECT_EQ(publish(control, "plant/alarm"), "");
  EXPECT_EQ(publish(control, "lathe/command"), "");
  ASSERT_TRUE(until(
      [&] { return lathe.received.size() >= 2 && lathe.received.back() == "lathe/command"; }));
  EXPECT_EQ(lathe.received,
            (std::vector<std::string>{"$aws/things/lathe/jobs/notify", "lathe/command"}));
}

TEST_F(BrokerTest, TopicsAreOpenedByAFileWithoutARestart) {
  Client lathe = device("lathe", "lathe"), press = device("press", "press");
  ASSERT_TRUE(until([&] { return lathe.connects && press.connects; }));
  EXPECT_NE(publish(lathe, "plant/alarm"), "");
  EXPECT_NE(subscribe(press, "plant/#"), "");
  ASSERT_TRUE(io::write_file_atomic(fleet.files, broker_options().topics,
                                    "publish plant/alarm\nsubscribe plant/#\n", 0644));
  ASSERT_TRUE(until([&] { return subscribe(press, "plant/#").empty(); }));
  EXPECT_EQ(publish(lathe, "plant/alarm"), "");
  EXPECT_NE(publish(lathe, "plant/other"), "");
  ASSERT_TRUE(until([&] { return !press.received.empty(); }));
  EXPECT_EQ(press.received, std::vector<std::string>{"plant/alarm"});
}

TEST_F(BrokerTest, NothingStaysInTheBrokerUnlessThatIsOpen) {
  Client lathe = device("lathe", "lathe");
  ASSERT_TRUE(until([&] { return lathe.connects == 1; }));
  EXPECT_NE(publish(lathe, "lathe/status", true), "");
}

TEST_F(BrokerTest, AHostileThingIsHeldToItsShareAndOthersAreServed) {
  ASSERT_TRUE(
      io::write_file_atomic(fleet.files, broker_options().topics, "retain {thing}/#\n", 0644));
  Client lathe = device("lathe", "lathe"), press = device("press", "press");
  ASSERT_TRUE(until([&] { return lathe.connects && press.connects; }));
  ASSERT_TRUE(until([&] { return publish(lathe, "lathe/0", true).empty(); }));
  int retained = 0, subscribed = 0, requested = 0;
  for (int i = 0; i < 60; ++i) retained += publish(lathe, "lathe/" + std::to_string(i), true) == "";
  EXPECT_EQ(retained, 50);
  EXPECT_EQ(publish(lathe, "lathe/0", true), "");  // another one in its place
  for (int i = 0; i < 220; ++i) {
    subscribed += subscribe(lathe, "lathe/s/" + std::to_string(i)) == "";
  }
  EXPECT_EQ(subscribed, 200);
  for (int i = 0; i < 1000 && requested == i; ++i) {
    requested += publish(lathe, "$aws/things/lathe/greengrassv2/health/json") == "";
  }
  EXPECT_LT(requested, 1000);
  Client eleventh = device("lathe#10", "lathe");
  ASSERT_TRUE(until([&] { return eleventh.disconnects > 0; }));
  EXPECT_EQ(eleventh.connects, 0);
  EXPECT_EQ(publish(press, "$aws/things/press/greengrassv2/health/json"), "");
  EXPECT_EQ(publish(press, "press/status", true), "");
}

TEST_F(BrokerTest, WhatIsRetainedCountsAfterARestartAndGoesWhenItIsOld) {
  ASSERT_TRUE(
      io::write_file_atomic(fleet.files, broker_options().topics, "retain {thing}/#\n", 0644));
  {
    Client lathe = device("lathe", "lathe");
    ASSERT_TRUE(until([&] { return publish(lathe, "lathe/old", true).empty(); }));
    for (int i = 1; i < 50; ++i) {
      EXPECT_EQ(publish(lathe, "lathe/" + std::to_string(i), true), "");
    }
  }
  stop(broker);
  const std::string file = fleet.directory.path() + "/broker/sessions/retained";
  auto text = io::read_file(fleet.files, file);
  ASSERT_TRUE(text) << text.error().message();
  const size_t line = text->rfind('\n', text->find("lathe/old")) + 1;
  text->replace(line, text->find(' ', line) - line, "1000000000");  // seconds: long ago
  ASSERT_TRUE(io::write_file_atomic(fleet.files, file, *text, 0644));

  BrokerSupervisor again(fleet.env, broker_options());
  ASSERT_TRUE(run(again.start()));
  {
    Client lathe(make("lathe", files_of("lathe"), again.port()));
    ASSERT_TRUE(until([&] { return lathe.connects == 1; }));
    EXPECT_EQ(subscribe(lathe, "lathe/#"), "");
    ASSERT_TRUE(until([&] { return lathe.received.size() == 49; }));
    EXPECT_EQ(std::ranges::count(lathe.received, "lathe/old"), 0);
    EXPECT_EQ(publish(lathe, "lathe/new", true), "");
    EXPECT_NE(publish(lathe, "lathe/one more", true), "");
  }
  stop(again);
}

TEST_F(BrokerTest, WhoIsThereIsToldAndToldAgainAfterARestartOfTheBroker) {
  DeviceLink link(control_client());
  PresenceService presence(fleet.env, fleet.stores, link, 600'000);
  const auto is_there = [&](const char* thing) {
    return presence_of(*fleet.store, ThingName(thing))->connected;
  };
  auto lathe = std::make_unique<Client>(make("lathe", files_of("lathe")));
  ASSERT_TRUE(until([&] { return lathe->connects == 1; }));
  link.start();  // the one that was there before
  ASSERT_TRUE(until([&] { return is_there("lathe"); }));
  Client press = device("press", "press"), second = device("lathe#2", "lathe");
  ASSERT_TRUE(until([&] { return is_there("press") && second.connects == 1; }));
  lathe.reset();
  EXPECT_EQ(publish(press, "press/alive"), "");
  EXPECT_TRUE(is_there("lathe"));  // by its second session
  ::kill(broker.pid(), SIGKILL);
  ASSERT_TRUE(until([&] { return press.connects == 2 && second.connects == 2; }));
  ASSERT_TRUE(until([&] { return is_there("lathe") && is_there("press"); }));
  ASSERT_TRUE(fleet.write([&](Store& store) {
    return store.set_certificate_status(certificates["lathe"], CertificateStatus::kRevoked);
  }));
  EXPECT_TRUE(until([&] { return !is_there("lathe"); }));
  EXPECT_TRUE(is_there("press"));
}

TEST_F(BrokerTest, AHungBrokerIsEndedAndStartedAgain) {
  DeviceLink link(control_client());
  link.start();
  ASSERT_TRUE(until([&] { return link.connected(); }));
  int answers = 0;
  broker.watch([&](std::function<void(bool)> done) {
    link.ping([&answers, done = std::move(done)](bool answered) {
      answers += answered;
      done(answered);
    });
  });
  ASSERT_TRUE(until([&] { return answers > 0; }));
  const pid_t hung = broker.pid();
  ::kill(hung, SIGSTOP);
  EXPECT_TRUE(until([&] { return broker.pid() != hung && broker.pid() != 0; }));
  Client lathe = device("lathe", "lathe");
  EXPECT_TRUE(until([&] { return lathe.connects == 1; })) << lathe.last_reason;
}

TEST_F(BrokerTest, CertificateChangesAreAppendedAndTheFileStaysShort) {
  const auto size = [&] { return fleet.files.stat(broker.registry_path())->size_bytes; };
  const auto activate = [&] {
    ASSERT_TRUE(fleet.write([&](Store& store) {
      return store.set_certificate_status(certificates["lathe"], CertificateStatus::kActive);
    }));
  };
  const auto before = size();
  const size_t line = 64 + sizeof(" lathe\n") - 1;
  activate();
  EXPECT_EQ(size(), before + line);
  for (int i = 0; i < 3000; ++i) {
    activate();
    fleet.settle();
  }
  EXPECT_LT(size(), before + line * 1100);
  Client lathe = device("lathe", "lathe");
  EXPECT_TRUE(until([&] { return lathe.connects == 1; })) << lathe.last_reason;
}

TEST_F(BrokerTest, AThingCannotSpeakForAnotherOrForTheControlPlane) {
  Client lathe = device("lathe", "lathe"), control(control_client());
  ASSERT_TRUE(until([&] { return lathe.connects && control.connects; }));
  ASSERT_EQ(subscribe(control, "$aws/things/+/greengrassv2/health/json"), "");
  EXPECT_NE(publish(lathe, "$aws/things/press/greengrassv2/health/json"), "");
  EXPECT_NE(publish(lathe, "$aws/things/lathe/jobs/notify-next-namespace-aws-gg-deployment"), "");
  EXPECT_EQ(publish(lathe, "$aws/things/lathe/greengrassv2/health/json"), "");
  ASSERT_TRUE(until([&] { return !control.received.empty(); }));
  EXPECT_EQ(control.received,
            (std::vector<std::string>{"$aws/things/lathe/greengrassv2/health/json"}));
}

TEST_F(BrokerTest, ARevokedSessionEndsAndDoesNotComeBack) {
  Client lathe = device("lathe", "lathe"), press = device("press", "press");
  ASSERT_TRUE(until([&] { return lathe.connects && press.connects; }));
  ASSERT_TRUE(fleet.write([&](Store& store) {
    return store.set_certificate_status(certificates["lathe"], CertificateStatus::kRevoked);
  }));
  ASSERT_TRUE(until([&] { return lathe.disconnects > 2; }));
  EXPECT_EQ(lathe.connects, 1);
  EXPECT_EQ(press.disconnects, 0);
  EXPECT_EQ(publish(press, "press/alive"), "");
}

TEST_F(BrokerTest, ACertificateThatIsAttachedToAnotherThingSpeaksForThatOne) {
  Client lathe = device("lathe", "lathe");
  ASSERT_TRUE(until([&] { return lathe.connects == 1; }));
  fleet.add_thing("saw");
  ASSERT_TRUE(fleet.write([&](Store& store) {
    return store.attach_certificate(certificates["lathe"], ThingName("saw"));
  }));
  ASSERT_TRUE(until([&] { return lathe.disconnects > 2; }));
  EXPECT_EQ(lathe.connects, 1);
  Client saw = device("saw", "lathe");
  EXPECT_TRUE(until([&] { return saw.connects == 1; })) << saw.last_reason;
}

TEST_F(BrokerTest, ThingsHaveNamesOf128CharactersAndColons) {
  const std::string longest = "plant:7_a-Z:" + std::string(116, 'x');
  provision(longest);
  Client device_client = device(longest, longest);
  ASSERT_TRUE(until([&] { return device_client.connects == 1; })) << device_client.last_reason;
  EXPECT_EQ(subscribe(device_client, "$aws/things/" + longest + "/#"), "");
  EXPECT_EQ(publish(device_client, longest + "/status"), "");
  EXPECT_EQ(publish(device_client, "$aws/things/" + longest + "/greengrassv2/health/json"), "");
}

TEST_F(BrokerTest, ANewCertificateWorksAtOnce) {
  provision("saw");
  Client saw = device("saw", "saw");
  EXPECT_TRUE(until([&] { return saw.connects == 1; }));
  EXPECT_EQ(saw.disconnects, 0);
}

TEST_F(BrokerTest, WhatIsQueuedForADeviceIsNotifiedWhenItSubscribes) {
  DeviceLink link(control_client());
  JobsService jobs(fleet.env, fleet.stores, fleet.deployments, link);
  link.start();
  ASSERT_TRUE(until([&] { return link.connected(); }));
  fleet.deploy_to("thing/lathe");
  fleet.settle();
  Client lathe = device("lathe", "lathe");
  const std::string topic = "$aws/things/lathe/jobs/notify-next-namespace-aws-gg-deployment";
  ASSERT_EQ(subscribe(lathe, topic), "");
  EXPECT_TRUE(until([&] { return !lathe.received.empty(); }));
  EXPECT_EQ(lathe.received.front(), topic);
}

TEST_F(BrokerTest, ADeadBrokerIsStartedAgainOnItsPort) {
  Client lathe = device("lathe", "lathe");
  ASSERT_TRUE(until([&] { return lathe.connects == 1; }));
  ASSERT_GT(broker.pid(), 0);
  ::kill(broker.pid(), SIGKILL);
  EXPECT_TRUE(until([&] { return lathe.connects == 2; })) << lathe.last_reason << lathe.disconnects;
}

TEST_F(BrokerTest, ATakenPortIsAnErrorThatNamesIt) {
  BrokerOptions options = broker_options();
  options.directory += "2";
  options.port = broker.port();
  BrokerSupervisor second(fleet.env, options);
  BrokerRegistry another(fleet.env, registered, second.registry_path());
  ASSERT_TRUE(run(another.write()));
  const auto started = run(second.start());
  ASSERT_FALSE(started);
  EXPECT_NE(started.error().message().find("port " + std::to_string(broker.port())),
            std::string::npos)
      << started.error().message();
}

TEST_F(BrokerTest, ABrokerThatAnEarlierRunLeftBehindIsEnded) {
  stop(broker);
  bool runs = false, ended = false;
  io::ProcessEvents events;
  events.on_line = [&](std::string_view line, bool) { runs |= line.ends_with("running"); };
  events.on_exit = [&](io::ExitStatus) { ended = true; };
  const bool is_root = ::geteuid() == 0;
  const auto stale = fleet.processes.start(
      {.argv = {"/usr/sbin/mosquitto", "-c", "mosquitto.conf"},
       .environment = {},
       .working_directory = broker_options().directory,
       .user =
           is_root ? std::optional(io::User{BrokerHome::kUser, BrokerHome::kUser}) : std::nullopt,
       .enters_as_caller = true},
      std::move(events));
  ASSERT_TRUE(stale) << stale.error().message();
  ASSERT_TRUE(until([&] { return runs; }));
  const auto started = run(broker.start());
  ASSERT_TRUE(started) << started.error().message();
  EXPECT_TRUE(until([&] { return ended; }));
  Client lathe = device("lathe", "lathe");
  EXPECT_TRUE(until([&] { return lathe.connects == 1; })) << lathe.last_reason;
}

TEST_F(BrokerTest, TheBrokerIsAUserOfItsOwnThatReadsNeitherTheCaKeyNorTheStore) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give the broker a user of its own";
  std::string status;
  std::getline(std::ifstream("/proc/" + std::to_string(broker.pid()) + "/status"), status, '\0');
  const std::string id = std::to_string(BrokerHome::kUser);
  EXPECT_NE(status.find("\nUid:\t" + id + "\t" + id + "\t" + id), std::string::npos) << status;
  EXPECT_NE(status.find("\nGid:\t" + id + "\t" + id + "\t" + id), std::string::npos) << status;
  EXPECT_NE(status.find("\nGroups:\t" + id + " \n"), std::string::npos) << status;
  EXPECT_NE(status.find("\nCapEff:\t0000000000000000\n"), std::string::npos) << status;
  // As strangers find the fleet's directory.
  ASSERT_TRUE(fleet.files.set_mode(fleet.directory.path(), 0700));
  const std::string whole = fleet.directory.path();
  for (const std::string& path :
       {whole + "/ca/ca.key", std::string("../ca/ca.key"), whole + "/fleet.db",
        std::string("../fleet.db"), whole + "/broker/server.key", std::string("../lathe.key")}) {
    EXPECT_FALSE(broker_reads(path)) << path;
  }
  for (const char* path : {"server.key", "active-certificates", "mosquitto.conf"})
    EXPECT_TRUE(broker_reads(path)) << path;
}

TEST(Broker, AMissingBrokerNamesThePackage) {
  TestFleet fleet;
  BrokerOptions options;
  options.directory = fleet.directory.path();
  options.program = "/nonexistent/mosquitto";
  BrokerSupervisor broker(fleet.env, options);
  std::optional<Result<void>> result;
  io::TaskScope scope;
  scope.spawn([](BrokerSupervisor* supervisor, std::optional<Result<void>>* out) -> io::Task<void> {
    out->emplace(co_await supervisor->start());
  }(&broker, &result));
  ASSERT_TRUE(result.has_value());
  ASSERT_FALSE(*result);
  EXPECT_NE(result->error().message().find("'mosquitto'"), std::string::npos)
      << result->error().message();
}

}  // namespace
}  // namespace skerry::fleet
