// A device's first identity under power cuts, lost answers, refusals and damage.
#include "nucleus/claim_provisioning.h"

#include <gtest/gtest.h>

#include <set>

#include "formats/provisioning.h"
#include "io/test_env.h"
#include "net/test_mqtt.h"
#include "net/x509.h"
#include "nucleus/device_config.h"

namespace skerry::nucleus {
namespace {

namespace x509 = net::x509;

// A fleet that certifies whoever asks, and calls the device by its serial number.
struct ClaimFleet {
  explicit ClaimFleet(io::Loop& loop) : broker(loop), key(*x509::make_key()) {
    broker.start();
    client = broker.client({.client_id = "fleet"});
    client->start({.on_message = [this](const net::MqttMessage& message) { hear(message); }});
    for (const std::string& topic :
         {std::string(formats::kCreateFromCsrTopic), formats::provision_topic("line-a")})
      EXPECT_TRUE(client->subscribe({.filter = topic}));
  }
  void hear(const net::MqttMessage& message) {
    if (loses) return;
    const bool asks_for_certificate = message.topic == formats::kCreateFromCsrTopic;
    const std::string answer =
        asks_for_certificate ? certify(message.payload) : provision(message.payload);
    const char* end = refusal.empty() ? "/accepted" : "/rejected";
    (void)client->publish(
        {.topic = message.topic + end, .payload = refusal.empty() ? answer : refusal, .qos = 1});
  }
  std::string certify(const std::string& payload) {
    const auto request = x509::parse_request(*formats::parse_csr_request(payload));
    EVP_PKEY* of = X509_REQ_get0_pubkey(request.get());
    EXPECT_EQ(X509_REQ_verify(request.get(), of), 1);
    keys.insert(x509::public_pem_of(of));
    auto wanted = x509::end_template("press", "Test", "clientAuth");
    wanted.not_after_s = 4'000'000'000;
    const auto certificate =
        x509::make_certificate(random, wanted, wrong_key ? key.get() : of, nullptr, key.get());
    return formats::to_json(
        formats::CertificateAnswer{"id", x509::pem_of(certificate->get()), "token"});
  }
  std::string provision(const std::string& payload) {
    const auto wanted = formats::parse_provision_request(payload);
    EXPECT_EQ(wanted->ownership_token, "token");
    ++provisioned;
    return formats::provision_answer(wanted->parameters.at("SerialNumber"));
  }
  io::SeededRandom random{11};
  net::FakeBroker broker;
  net::openssl::Key key;
  std::set<std::string> keys;
  int provisioned = 0;
  std::string refusal;
  bool loses = false, wrong_key = false;
  std::unique_ptr<net::MqttClient> client;
};

io::Task<void> keep_identity(ClaimProvisioning* claim, std::optional<Result<ThingName>>* result) {
  result->emplace(co_await claim->provision());
}

struct BlankDevice : io::TestEnv {
  BlankDevice() {
    EXPECT_TRUE(io::make_directories(files, "/root/state", 0755));
    EXPECT_TRUE(io::make_directories(files, "/sys", 0755));
    EXPECT_TRUE(io::write_file_atomic(files, "/sys/serial", std::string("press-7\0\n", 9), 0644));
    for (const char* folder : {"/", "/root"}) EXPECT_TRUE(files.sync_directory(folder));
  }
  Result<ThingName> provision() {
    const ClaimConfig config{
        "claim.key", "claim.pem", "ca.pem", "line-a", {{"SerialNumber", "{file:/sys/serial}"}}};
    const auto connect = [this](const std::string& client_id) {
      client_ids.insert(client_id);
      return Result<std::unique_ptr<net::MqttClient>>(
          fleet.broker.client({.client_id = client_id}));
    };
    ClaimProvisioning claim(env, config, paths, connect, fleet.loses ? 50 : 20'000);
    std::optional<Result<ThingName>> result;
    io::TaskScope tasks;
    tasks.spawn(keep_identity(&claim, &result));
    while (!result) loop.run_for(1'000);
    return *result;
  }
  std::string read(const std::string& path) { return io::read_file(files, path).value_or(""); }

  ClaimFiles paths{"/root/state"};
  ClaimFleet fleet{loop};
  std::set<std::string> client_ids;
};

TEST(ClaimProvisioning, GivesTheDeviceAnIdentityOfItsOwn) {
  BlankDevice device;
  EXPECT_EQ(provisioned_thing(device.files, device.paths), std::nullopt);
  const auto thing = device.provision();
  ASSERT_TRUE(thing) << thing.error().message();
  EXPECT_EQ(*thing, ThingName("press-7"));
  EXPECT_EQ(provisioned_thing(device.files, device.paths), *thing);
  EXPECT_EQ(device.files.stat(device.paths.identity())->mode, 0600u);
  EXPECT_EQ(device.read(device.paths.next_key()), "");
  // The key stayed here: what was published holds none.
  for (const auto& message : device.fleet.broker.published)
    EXPECT_EQ(message.payload.find("PRIVATE KEY"), std::string::npos) << message.topic;
}

TEST(ClaimProvisioning, AnAnswerThatIsLostIsAskedForWithTheSameKey) {
  BlankDevice device;
  device.fleet.loses = true;
  EXPECT_EQ(device.provision().error().code(), Code::kTimeout);
  device.fleet.loses = false;
  ASSERT_TRUE(device.provision());
  EXPECT_EQ(device.fleet.keys.size(), 1u);
  EXPECT_EQ(device.client_ids.size(), 1u);
}

TEST(ClaimProvisioning, ARefusalSaysWhyAndLeavesNothing) {
  BlankDevice device;
  device.fleet.refusal =
      formats::to_json(formats::ProvisionError{403, "Forbidden", "claim line-a is revoked"});
  EXPECT_NE(device.provision().error().message().find("Forbidden: claim line-a is revoked"),
            std::string::npos);
  device.fleet.refusal = "{";
  EXPECT_FALSE(device.provision());
  EXPECT_EQ(provisioned_thing(device.files, device.paths), std::nullopt);
}

TEST(ClaimProvisioning, ACertificateOfAnotherKeyIsNone) {
  BlankDevice device;
  device.fleet.wrong_key = true;
  EXPECT_EQ(device.provision().error().code(), Code::kCorrupt);
  EXPECT_EQ(device.read(device.paths.identity()), "");
}

TEST(ClaimProvisioning, APowerCutLeavesNoIdentityOrTheWholeOne) {
  bool finished = false;
  size_t at = 0;
  for (; !finished; ++at) {
    BlankDevice device;
    device.files.crash_at(device.files.operations().size() + at);
    finished = device.provision().has_value();
    device.files.reboot(at % 2 ? io::CrashPolicy::kSeeded : io::CrashPolicy::kDropUnsynced, at);
    const bool was_whole = provisioned_thing(device.files, device.paths).has_value();
    EXPECT_TRUE(was_whole || device.read(device.paths.identity()).empty()) << "cut at " << at;
    EXPECT_TRUE(was_whole || !finished) << "cut at " << at;
    if (was_whole) continue;
    ASSERT_TRUE(device.provision()) << "cut at " << at;
    EXPECT_EQ(provisioned_thing(device.files, device.paths), ThingName("press-7"));
    EXPECT_LE(device.fleet.keys.size(), 2u) << "cut at " << at;
    // Once a key has been shown to the fleet it is the device's.
    if (device.fleet.provisioned > 1) EXPECT_EQ(device.fleet.keys.size(), 1u) << "cut at " << at;
  }
  EXPECT_GT(at, 4u);
}

TEST(ClaimProvisioning, DamageIsAsNoIdentity) {
  BlankDevice device;
  ASSERT_TRUE(device.provision());
  const std::string good = device.read(device.paths.identity());
  for (const size_t size : {size_t{0}, size_t{7}, good.size() / 2, good.size() - 60}) {
    ASSERT_TRUE(
        io::write_file_atomic(device.files, device.paths.identity(), good.substr(0, size), 0600));
    EXPECT_EQ(provisioned_thing(device.files, device.paths), std::nullopt) << size;
  }
}

TEST(ClaimProvisioning, ParametersAreThisMachines) {
  BlankDevice device;
  EXPECT_EQ(*parameter_text(device.files, "a-{file:/sys/serial}-{file:/sys/serial}"),
            "a-press-7-press-7");
  EXPECT_EQ(*parameter_text(device.files, "plain"), "plain");
  EXPECT_FALSE(parameter_text(device.files, "{hostname}")->empty());
  io::RealFiles real;  // where a file of the kernel's has no size
  EXPECT_EQ(*parameter_text(real, "{file:/proc/sys/kernel/ostype}"), "Linux");
  EXPECT_FALSE(parameter_text(device.files, "{machineId}")) << "there is no such file here";
  for (const char* wrong : {"{file:/sys/none}", "{serial}", "{", "{file:}", "a{}"})
    EXPECT_FALSE(parameter_text(device.files, wrong)) << wrong;
}

constexpr const char* kClaimConfig = R"(
system: {rootPath: root}
services:
  aws.greengrass.FleetProvisioningByClaim:
    configuration:
      awsRegion: eu-west-1
      iotDataEndpoint: fleet.example.com
      mqttPort: 8884
      iotCredentialEndpoint: cred.example.com
      iotRoleAlias: alias
      provisioningTemplate: line-a
      claimCertificatePath: claim.pem
      claimCertificatePrivateKeyPath: claim.key
      rootCaPath: ca.pem
      templateParameters: {SerialNumber: "{machineId}", Line: 7}
)";

TEST(ClaimProvisioning, IsConfiguredAsAwssPlugin) {
  BlankDevice device;
  auto config = parse_device_config(kClaimConfig, "");
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_FALSE(config->has_fleet);
  ASSERT_TRUE(config->claim);
  EXPECT_EQ(config->claim->template_name, "line-a");
  EXPECT_EQ(config->claim->key_file, "/claim.key");
  EXPECT_EQ(config->claim->parameters,
            (std::map<std::string, std::string>{{"SerialNumber", "{machineId}"}, {"Line", "7"}}));
  EXPECT_EQ(config->broker_port, 8884);
  EXPECT_EQ(config->credentials_url, "https://cred.example.com/role-aliases/alias/credentials");
  adopt_identity(device.files, *config);
  EXPECT_FALSE(config->has_fleet);
  ASSERT_TRUE(device.provision());
  adopt_identity(device.files, *config);
  EXPECT_TRUE(config->has_fleet);
  EXPECT_EQ(config->thing, ThingName("press-7"));
  EXPECT_EQ(config->key_file, device.paths.identity());
  EXPECT_EQ(config->ca_file, "/ca.pem");
  const std::string text = kClaimConfig;
  for (const char* line : {"      provisioningTemplate: line-a\n", "      rootCaPath: ca.pem\n",
                           "      iotDataEndpoint: fleet.example.com\n"}) {
    std::string without = text;
    without.erase(without.find(line), std::string_view(line).size());
    EXPECT_FALSE(parse_device_config(without, "")) << line;
  }
}

}  // namespace
}  // namespace skerry::nucleus
