// Reads config.yaml through the formats' YAML reader, which has the limits.
#include "nucleus/device_config.h"

#include <nlohmann/json.hpp>

#include "formats/json_ptr.h"
#include "formats/names.h"
#include "formats/node.h"
#include "net/http.h"
#include "net/private_key.h"
#include "nucleus/component_sandbox.h"

namespace skerry::nucleus {
namespace {

using formats::Node;
using nlohmann::json;

constexpr std::string_view kFileUrl = "file://";
constexpr std::string_view kTokenComponent = "aws.greengrass.crypto.Pkcs11Provider";
constexpr std::string_view kClaimComponent = "aws.greengrass.FleetProvisioningByClaim";

Result<std::string> required(const Node& node, std::string_view key) {
  SKERRY_ASSIGN(Node value, node.require(key));
  SKERRY_ASSIGN(std::string text, value.as_string());
  if (text.empty()) return value.wrong("must not be empty");
  return text;
}

Result<std::string> required_path(const Node& node, std::string_view key,
                                  const std::string& directory) {
  SKERRY_ASSIGN(std::string path, required(node, key));
  // As the stock nucleus has it where a key is in a token.
  if (path.starts_with(kFileUrl)) path.erase(0, kFileUrl.size());
  return path.front() == '/' ? path : directory + "/" + path;
}

// Where the token is that the key's name means, as AWS's plugin has it.
Result<net::TokenAccess> token_access(const Node& root, const std::string& directory) {
  net::TokenAccess access;
  SKERRY_ASSIGN(const auto services, root.find("services"));
  if (!services) return access;
  SKERRY_ASSIGN(const auto component, services->find(kTokenComponent));
  if (!component) return access;
  SKERRY_ASSIGN(const Node node, component->require("configuration"));
  SKERRY_ASSIGN(access.module_path, required_path(node, "library", directory));
  for (const auto& [key, member] : {std::pair("slot", &access.slot), {"userPin", &access.pin}}) {
    SKERRY_ASSIGN(const auto found, node.find(key));
    if (!found) continue;
    // YAML reads a PIN of digits as a number.
    if (found->value().is_number_integer()) {
      *member = found->value().dump();
    } else {
      SKERRY_ASSIGN(*member, found->as_string());
    }
  }
  SKERRY_ASSIGN(const auto file, node.find("userPinFile"));
  if (file) {
    SKERRY_ASSIGN(access.pin_file, required_path(node, "userPinFile", directory));
  }
  return access;
}

Result<uint16_t> port_of(const Node& node, std::string_view key, uint16_t otherwise) {
  int64_t port = otherwise;
  SKERRY_TRY(node.read(key, port));
  if (port < 1 || port > 65535) return node.wrong(std::string(key) + " must be a port, 1 to 65535");
  return static_cast<uint16_t>(port);
}

// Nothing where the device has none.
Result<std::optional<Node>> nucleus_configuration(const Node& root) {
  SKERRY_ASSIGN(auto services, root.find("services"));
  if (!services) return std::optional<Node>();
  for (const char* name : {"aws.greengrass.Nucleus", "aws.greengrass.NucleusLite"}) {
    SKERRY_ASSIGN(auto service, services->find(name));
    if (service) return service->find("configuration");
  }
  SKERRY_ASSIGN(auto claim, services->find(kClaimComponent));
  if (claim) return std::optional<Node>();
  return fail(
      services->wrong("needs aws.greengrass.Nucleus (or aws.greengrass.NucleusLite)").error());
}

// The stock nucleus and its documentation write the intervals differently.
Result<void> read_telemetry(const Node& node, DeviceConfig& config) {
  SKERRY_TRY(node.read("enabled", config.telemetry_enabled));
  for (const char* unit : {"Sec", "Seconds"}) {
    const std::string tail = std::string("MetricsInterval") + unit;
    SKERRY_TRY(node.read("periodicAggregate" + tail, config.telemetry_aggregate_s));
    SKERRY_TRY(node.read("periodicPublish" + tail, config.telemetry_publish_s));
  }
  for (const int64_t seconds : {config.telemetry_aggregate_s, config.telemetry_publish_s}) {
    if (seconds < 1 || seconds > 30 * 86'400) {
      return node.wrong("intervals must be 1 to 2592000 seconds");
    }
  }
  return {};
}

Result<void> read_identity(const Node& root, const Node& system, const std::string& directory,
                           DeviceConfig& config) {
  SKERRY_ASSIGN(config.key_file, required(system, "privateKeyPath"));
  if (net::is_in_token(config.key_file)) {
    SKERRY_ASSIGN(const net::TokenAccess access, token_access(root, directory));
    config.key_file = net::key_name_with(std::move(config.key_file), access);
  } else {
    SKERRY_ASSIGN(config.key_file, required_path(system, "privateKeyPath", directory));
  }
  SKERRY_ASSIGN(config.certificate_file, required_path(system, "certificateFilePath", directory));
  SKERRY_ASSIGN(config.ca_file, required_path(system, "rootCaPath", directory));
  SKERRY_TRY(required(system, "thingName"));
  return {};
}

// As the stock nucleus names it; its plugin for the disk is a part of this one.
Result<void> read_spooler(const Node& node, SpoolOptions& spool) {
  std::string type = "Disk", plugin;
  SKERRY_TRY(node.read("storageType", type));
  spool.on_disk = formats::equal_ignoring_case(type, "Disk");
  if (!spool.on_disk && !formats::equal_ignoring_case(type, "Memory")) {
    return node.wrong("storageType must be Disk or Memory");
  }
  SKERRY_TRY(node.read("pluginName", plugin));
  if (!plugin.empty() && plugin != "aws.greengrass.DiskSpooler") {
    return node.wrong("pluginName must be aws.greengrass.DiskSpooler, which is built in");
  }
  int64_t bytes = static_cast<int64_t>(spool.max_bytes);
  SKERRY_TRY(node.read("maxSizeInBytes", bytes));
  if (bytes < 4'096 || bytes > int64_t{1} << 40) {
    return node.wrong("maxSizeInBytes must be 4096 to 1099511627776");
  }
  spool.max_bytes = static_cast<uint64_t>(bytes);
  return node.read("keepQos0WhenOffline", spool.keeps_qos0);
}

Result<void> read_fleet(const Node& node, DeviceConfig& config) {
  SKERRY_ASSIGN(config.region, required(node, "awsRegion"));
  SKERRY_ASSIGN(config.broker_host, required(node, "iotDataEndpoint"));
  SKERRY_ASSIGN(auto mqtt, node.find("mqtt"));
  if (mqtt) {
    SKERRY_ASSIGN(config.broker_port, port_of(*mqtt, "port", 8883));
    SKERRY_ASSIGN(auto spooler, mqtt->find("spooler"));
    if (spooler) SKERRY_TRY(read_spooler(*spooler, config.spool));
  }
  std::string credentials_endpoint, role_alias;
  SKERRY_TRY(node.read("iotCredEndpoint", credentials_endpoint));
  SKERRY_TRY(node.read("iotRoleAlias", role_alias));
  if (!credentials_endpoint.empty() && !role_alias.empty()) {
    config.credentials_url = "https://" + credentials_endpoint + "/role-aliases/" +
                             net::percent_encode(role_alias) + "/credentials";
  }
  std::string endpoint;
  SKERRY_TRY(node.read("greengrassDataPlaneEndpoint", endpoint));
  SKERRY_ASSIGN(uint16_t data_plane_port, port_of(node, "greengrassDataPlanePort", 8443));
  // "iotdata" is the stock way to say: the same host as iotDataEndpoint.
  if (endpoint.empty() || formats::equal_ignoring_case(endpoint, "iotdata")) {
    endpoint = "https://" + config.broker_host + ":" + std::to_string(data_plane_port);
  }
  if (!endpoint.starts_with("https://")) {
    return node.wrong("greengrassDataPlaneEndpoint must be iotdata or https://host:port");
  }
  config.data_plane_url = std::move(endpoint);
  return {};
}

Result<void> read_port(const Node& node, const char* key, std::optional<uint16_t>& out) {
  SKERRY_ASSIGN(const auto found, node.find(key));
  if (!found) return {};
  SKERRY_ASSIGN(const int64_t port, found->as_integer());
  if (port < 0 || port > 65'535) return found->wrong("must be a port, or 0 for a free one");
  out = static_cast<uint16_t>(port);
  return {};
}

// As AWS's plugin has it. The addresses of the fleet are written with it, some under other names.
Result<void> read_claim(const Node& root, const std::string& directory, DeviceConfig& config) {
  SKERRY_ASSIGN(const auto services, root.find("services"));
  if (!services) return {};
  SKERRY_ASSIGN(const auto component, services->find(kClaimComponent));
  if (!component) return {};
  SKERRY_ASSIGN(const Node node, component->require("configuration"));
  ClaimConfig claim;
  SKERRY_ASSIGN(claim.template_name, required(node, "provisioningTemplate"));
  SKERRY_ASSIGN(claim.certificate_file, required_path(node, "claimCertificatePath", directory));
  SKERRY_ASSIGN(claim.key_file, required_path(node, "claimCertificatePrivateKeyPath", directory));
  SKERRY_ASSIGN(claim.ca_file, required_path(node, "rootCaPath", directory));
  SKERRY_ASSIGN(const auto parameters, node.find("templateParameters"));
  if (parameters) {
    SKERRY_ASSIGN(claim.parameters, parameters->as_text_map());
  }
  config.claim = std::move(claim);
  json addresses = node.value();
  std::string credentials;
  int64_t port = 0;
  SKERRY_TRY(node.read("iotCredentialEndpoint", credentials));
  SKERRY_TRY(node.read("mqttPort", port));
  if (!credentials.empty()) addresses["iotCredEndpoint"] = credentials;
  if (port != 0 && !addresses.contains("mqtt")) addresses["mqtt"] = {{"port", port}};
  return read_fleet(Node(addresses, node.path()), config);
}

Result<void> read_nucleus(const Node& node, DeviceConfig& config) {
  SKERRY_TRY(node.read("awsRegion", config.region));
  SKERRY_ASSIGN(auto run_with, node.find("runWithDefault"));
  if (run_with) {
    SKERRY_ASSIGN(const formats::RunWith defaults, formats::parse_run_with(*run_with));
    config.default_user = defaults.posix_user;
    config.default_limits = defaults.limits;
  }
  SKERRY_ASSIGN(auto telemetry, node.find("telemetry"));
  if (telemetry) SKERRY_TRY(read_telemetry(*telemetry, config));
  SKERRY_ASSIGN(auto own, node.find("skerry"));
  if (own) {
    SKERRY_TRY(own->read("healthyForMs", config.healthy_for_ms));
    if (config.healthy_for_ms < 0 || config.healthy_for_ms > 3'600'000) {
      return own->wrong("healthyForMs must be 0 to 3600000");
    }
    SKERRY_TRY(own->read("metricsIntervalMs", config.metrics_interval_ms));
    if (config.metrics_interval_ms < 100 || config.metrics_interval_ms > 3'600'000) {
      return own->wrong("metricsIntervalMs must be 100 to 3600000");
    }
    SKERRY_TRY(read_port(*own, "statsdPort", config.statsd_port));
    SKERRY_TRY(read_port(*own, "metricsPort", config.metrics_port));
    SKERRY_ASSIGN(auto sandbox, own->find("sandbox"));
    if (sandbox) SKERRY_TRY(read_sandbox_options(*sandbox, config.sandbox));
    SKERRY_TRY(own->read("s3Endpoint", config.s3_endpoint));
    while (config.s3_endpoint.ends_with('/')) config.s3_endpoint.pop_back();
    if (!config.s3_endpoint.empty() && !config.s3_endpoint.starts_with("https://") &&
        !config.s3_endpoint.starts_with("http://")) {
      return own->wrong("s3Endpoint must be https://host[:port] or http://host[:port]");
    }
    SKERRY_TRY(own->read("rebootCommand", config.reboot_command));
    if (config.reboot_command.empty()) return own->wrong("rebootCommand must not be empty");
    int64_t processes = static_cast<int64_t>(config.processes_of_one_component);
    SKERRY_TRY(own->read("maxProcesses", processes));
    if (processes < 16 || processes > 1'000'000) {
      return own->wrong("maxProcesses must be 16 to 1000000");
    }
    config.processes_of_one_component = static_cast<uint64_t>(processes);
  }
  return {};
}

}  // namespace

Result<DeviceConfig> parse_device_config(std::string_view text, const std::string& directory) {
  SKERRY_ASSIGN(nlohmann::json document, formats::parse_yaml(text));
  Node root(document, "");
  SKERRY_ASSIGN(Node system, root.require("system"));
  SKERRY_ASSIGN(auto nucleus, nucleus_configuration(root));
  DeviceConfig config;
  std::string endpoint, key, thing;
  if (nucleus) SKERRY_TRY(nucleus->read("iotDataEndpoint", endpoint));
  SKERRY_TRY(system.read("privateKeyPath", key));
  // An identity without an endpoint is a mistake, not a wish to be without a fleet.
  config.has_fleet = !endpoint.empty() || !key.empty();
  SKERRY_ASSIGN(config.root, required_path(system, "rootPath", directory));
  if (!config.has_fleet) SKERRY_TRY(read_claim(root, directory, config));
  if (config.has_fleet) {
    SKERRY_TRY(read_identity(root, system, directory, config));
    if (!nucleus) return fail(root.wrong("services.aws.greengrass.Nucleus is missing").error());
    SKERRY_TRY(read_fleet(*nucleus, config));
  }
  SKERRY_TRY(system.read("thingName", thing));
  if (config.has_fleet || !thing.empty()) {
    auto name = formats::parse_thing_name(thing);
    if (!name) return fail(name.error().with_context("system.thingName"));
    config.thing = std::move(*name);
  }
  if (nucleus) SKERRY_TRY(read_nucleus(*nucleus, config));
  return config;
}

void adopt_identity(io::Files& files, DeviceConfig& config) {
  if (config.has_fleet || !config.claim) return;
  const ClaimFiles paths{config.root + "/state"};
  auto thing = provisioned_thing(files, paths);
  if (!thing) return;
  config.has_fleet = true;
  config.thing = *std::move(thing);
  config.key_file = config.certificate_file = paths.identity();
  config.ca_file = config.claim->ca_file;
}

}  // namespace skerry::nucleus
