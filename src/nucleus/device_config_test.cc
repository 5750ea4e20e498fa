// config.yaml as the stock nuclei write it, and what is said about a wrong one.
#include "nucleus/device_config.h"

#include <gtest/gtest.h>

namespace skerry::nucleus {
namespace {

constexpr const char* kJava = R"(---
system:
  certificateFilePath: "/greengrass/v2/device.pem.crt"
  privateKeyPath: "/greengrass/v2/private.pem.key"
  rootCaPath: "/greengrass/v2/AmazonRootCA1.pem"
  rootpath: "/greengrass/v2"
  thingName: "press-7"
services:
  aws.greengrass.Nucleus:
    componentType: "NUCLEUS"
    version: "2.16.0"
    configuration:
      awsRegion: "eu-west-1"
      iotRoleAlias: "GreengrassCoreTokenExchangeRoleAlias"
      iotDataEndpoint: "broker.example.com"
      iotCredEndpoint: "cred.example.com:8444"
      greengrassDataPlaneEndpoint: "https://fleet.example.com:9443"
      mqtt:
        port: 443
        spooler: {storageType: Memory, maxSizeInBytes: 10000, keepQos0WhenOffline: "true", pluginName: aws.greengrass.DiskSpooler}
      runWithDefault:
        posixUser: "ggc_user:ggc_group"
)";

constexpr const char* kLite = R"(
system:
  privateKeyPath: keys/device.key
  certificateFilePath: ./device.pem
  rootCaPath: /etc/ca.pem
  rootPath: data
  thingName: MyThing
services:
  aws.greengrass.NucleusLite:
    componentType: NUCLEUS
    configuration:
      awsRegion: us-east-1
      iotCredEndpoint: cred.example.com
      iotDataEndpoint: data.example.com
      iotRoleAlias: alias
      runWithDefault: {posixUser: "ggcore:ggcore", systemResourceLimits: {memory: 65536, cpus: 1.5}}
      greengrassDataPlanePort: "8445"
      skerry: {healthyForMs: 2000, maxProcesses: 300, rebootCommand: 'echo reboot', sandbox: {enabled: 'false', read: [/srv], write: []}}
)";

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

std::string problem(const std::string& text) {
  auto config = parse_device_config(text, "/etc/skerry");
  return config ? "none" : config.error().message();
}

TEST(DeviceConfig, TheJavaNucleuss) {
  auto config = parse_device_config(kJava, "/elsewhere");
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(config->key_file, "/greengrass/v2/private.pem.key");
  EXPECT_EQ(config->certificate_file, "/greengrass/v2/device.pem.crt");
  EXPECT_EQ(config->ca_file, "/greengrass/v2/AmazonRootCA1.pem");
  EXPECT_EQ(config->root, "/greengrass/v2");
  EXPECT_EQ(config->thing, ThingName("press-7"));
  EXPECT_EQ(config->region, "eu-west-1");
  EXPECT_EQ(config->broker_host, "broker.example.com");
  EXPECT_EQ(config->broker_port, 443);
  EXPECT_EQ(config->credentials_url,
            "https://cred.example.com:8444/role-aliases/GreengrassCoreTokenExchangeRoleAlias/"
            "credentials");
  EXPECT_FALSE(config->spool.on_disk);
  EXPECT_EQ(config->spool.max_bytes, 10'000u);
  EXPECT_TRUE(config->spool.keeps_qos0);
  EXPECT_EQ(config->data_plane_url, "https://fleet.example.com:9443");
  EXPECT_EQ(config->default_user, "ggc_user:ggc_group");
  EXPECT_EQ(config->healthy_for_ms, 500);
}

TEST(DeviceConfig, NucleusLitesWithRelativePaths) {
  auto config = parse_device_config(kLite, "/etc/skerry");
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(config->key_file, "/etc/skerry/keys/device.key");
  EXPECT_EQ(config->certificate_file, "/etc/skerry/./device.pem");
  EXPECT_EQ(config->ca_file, "/etc/ca.pem");
  EXPECT_EQ(config->root, "/etc/skerry/data");
  EXPECT_EQ(config->broker_port, 8883);
  EXPECT_EQ(config->data_plane_url, "https://data.example.com:8445");
  EXPECT_EQ(config->healthy_for_ms, 2000);
  EXPECT_EQ(config->processes_of_one_component, 300u);
  EXPECT_FALSE(config->sandbox.enabled);
  EXPECT_EQ(config->sandbox.read, std::vector<std::string>{"/srv"});
  EXPECT_EQ(config->default_limits, (formats::ResourceLimits{.memory_kb = 65536, .cpus = 1.5}));
}

TEST(DeviceConfig, TheStockNameForTheBrokersHost) {
  const std::string text = replaced(kJava, "https://fleet.example.com:9443", "iotData");
  EXPECT_EQ(parse_device_config(text, "/")->data_plane_url, "https://broker.example.com:8443");
}

TEST(DeviceConfig, ADeviceNeedsNoFleet) {
  for (const char* text :
       {"system: {rootPath: data}", "system: {rootPath: data, thingName: ''}\nservices: {}",
        "system: {rootPath: data, privateKeyPath: ''}\nservices: {aws.greengrass.Nucleus: "
        "{configuration: {iotDataEndpoint: '', skerry: {healthyForMs: 500}}}}"}) {
    const auto config = parse_device_config(text, "/etc/skerry");
    if (std::string_view(text).ends_with("services: {}")) {
      EXPECT_FALSE(config) << "services without the nucleus are a mistake";
      continue;
    }
    ASSERT_TRUE(config) << config.error().message();
    EXPECT_FALSE(config->has_fleet);
    EXPECT_EQ(config->root, "/etc/skerry/data");
    EXPECT_EQ(config->thing.str(), "");
    EXPECT_EQ(config->key_file, "");
  }
  EXPECT_EQ(problem("system: {rootPath: data, thingName: a/b}").find("system.thingName"), 0u);
}

TEST(DeviceConfig, EachMissingKeyIsNamed) {
  const struct {
    const char *line, *message;
  } cases[] = {
      {"  privateKeyPath: keys/device.key\n", "system.privateKeyPath"},
      {"  certificateFilePath: ./device.pem\n", "system.certificateFilePath"},
      {"  rootCaPath: /etc/ca.pem\n", "system.rootCaPath"},
      {"  rootPath: data\n", "system.rootPath"},
      {"  thingName: MyThing\n", "system.thingName"},
      {"      awsRegion: us-east-1\n",
       "services.aws.greengrass.NucleusLite.configuration.awsRegion"},
      {"      iotDataEndpoint: data.example.com\n",
       "services.aws.greengrass.NucleusLite.configuration.iotDataEndpoint"},
  };
  for (const auto& missing : cases) {
    const std::string message = problem(replaced(kLite, missing.line, ""));
    EXPECT_EQ(message.find(missing.message), 0u) << message;
  }
  EXPECT_EQ(problem("system: {}").find("system.rootPath"), 0u);
  EXPECT_EQ(problem("{}").find("system"), 0u) << problem("{}");
  EXPECT_EQ(problem(replaced(kLite, "aws.greengrass.NucleusLite", "com.example.Other")),
            "services: needs aws.greengrass.Nucleus (or aws.greengrass.NucleusLite)");
}

TEST(DeviceConfig, EachWrongValueIsNamedWithWhatItShouldBe) {
  const struct {
    const char *from, *to, *message;
  } cases[] = {
      {"thingName: MyThing", "thingName: a/b", "system.thingName: 'a/b' is not a thing name"},
      {"rootPath: data", "rootPath: ''", "system.rootPath: must not be empty"},
      {"rootPath: data", "rootPath: [a]", "system.rootPath: "},
      {"\"8445\"", "0", "greengrassDataPlanePort must be a port, 1 to 65535"},
      {"\"8445\"", "65536", "greengrassDataPlanePort must be a port, 1 to 65535"},
      {"\"8445\"", "many", "configuration.greengrassDataPlanePort: "},
      {"maxProcesses: 300", "maxProcesses: 2", "maxProcesses must be 16 to 1000000"},
      {"skerry: {", "mqtt: {spooler: {storageType: Tape}}\n      skerry: {",
       "mqtt.spooler: storageType must be Disk or Memory"},
      {"skerry: {", "mqtt: {spooler: {maxSizeInBytes: 10}}\n      skerry: {",
       "mqtt.spooler: maxSizeInBytes must be 4096 to 1099511627776"},
      {"skerry: {", "mqtt: {spooler: {pluginName: my.Spooler}}\n      skerry: {",
       "mqtt.spooler: pluginName must be aws.greengrass.DiskSpooler"},
      {"'echo reboot'", "''", "rebootCommand must not be empty"},
      {"2000", "-1", "healthyForMs must be 0 to 3600000"},
      {"greengrassDataPlanePort: \"8445\"", "greengrassDataPlaneEndpoint: fleet.example.com",
       "greengrassDataPlaneEndpoint must be iotdata or https://host:port"},
  };
  for (const auto& wrong : cases) {
    const std::string message = problem(replaced(kLite, wrong.from, wrong.to));
    EXPECT_NE(message.find(wrong.message), std::string::npos) << wrong.to << ": " << message;
  }
  EXPECT_NE(problem("system: [").find("not YAML: line "), std::string::npos);
}

}  // namespace
}  // namespace skerry::nucleus
