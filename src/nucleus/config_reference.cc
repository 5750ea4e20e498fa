// The table, and what is made of it.
#include "nucleus/config_reference.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "formats/json_ptr.h"
#include "formats/node.h"

namespace skerry::nucleus {
namespace {

using nlohmann::json;

#define NUCLEUS "services.NUCLEUS.configuration."
#define TOKEN "services.aws.greengrass.crypto.Pkcs11Provider.configuration."
#define CLAIM "services.aws.greengrass.FleetProvisioningByClaim.configuration."
constexpr ConfigKey kKeys[] = {
    {"system.rootPath", "path", "", "The folder that everything of the device is below. Needed."},
    {"system.thingName", "name", "",
     "The device's name at its fleet: 1 to 128 letters, digits, - _ :. Needed with an identity; "
     "without a fleet it is the machine's name."},
    {"system.privateKeyPath", "path", "",
     "The device's private key, PEM, or `pkcs11:…` of one in a token "
     "([identity.md](data/identity.md)). With it the device has a fleet."},
    {"system.certificateFilePath", "path", "", "The certificate of that key, PEM."},
    {"system.rootCaPath", "path", "", "Whose certificates the fleet's servers show, PEM."},
    {NUCLEUS "awsRegion", "text", "", "The fleet's region. Needed with a fleet."},
    {NUCLEUS "iotDataEndpoint", "host", "", "The broker. Needed with a fleet."},
    {NUCLEUS "iotCredEndpoint", "host:port", "",
     "Where the device gets credentials for AWS SDKs in its components."},
    {NUCLEUS "iotRoleAlias", "text", "", "Whose credentials these are."},
    {NUCLEUS "greengrassDataPlaneEndpoint", "URL", "iotdata",
     "`https://HOST:PORT`, or `iotdata`: the host of iotDataEndpoint."},
    {NUCLEUS "greengrassDataPlanePort", "integer", "8443",
     "The port where the endpoint names none, 1 to 65535."},
    {NUCLEUS "mqtt.port", "integer", "8883", "The broker's port, 1 to 65535."},
    {NUCLEUS "mqtt.spooler.storageType", "text", "Disk",
     "Where messages wait for a broker that is away: `Disk` or `Memory`."},
    {NUCLEUS "mqtt.spooler.pluginName", "text", "aws.greengrass.DiskSpooler",
     "That is built in; no other name is taken."},
    {NUCLEUS "mqtt.spooler.maxSizeInBytes", "integer", "2621440",
     "How much may wait, 4096 to 1099511627776."},
    {NUCLEUS "mqtt.spooler.keepQos0WhenOffline", "yes or no", "false",
     "Whether messages of QoS 0 wait as well."},
    {NUCLEUS "runWithDefault.posixUser", "text", "",
     "`USER` or `USER:GROUP` of components whose deployment names none. By default each has a user "
     "of its own where skerryd is root, else skerryd's."},
    {NUCLEUS "runWithDefault.systemResourceLimits.memory", "integer", "",
     "KiB that each component may use whose deployment says nothing of it."},
    {NUCLEUS "runWithDefault.systemResourceLimits.cpus", "number", "", "Likewise, processors."},
    {NUCLEUS "telemetry.enabled", "yes or no", "true",
     "Whether the device sends the stock nucleus's system health telemetry."},
    {NUCLEUS "telemetry.periodicAggregateMetricsIntervalSeconds", "integer", "3600",
     "How often it is summed up, 1 to 2592000; also spelt `…IntervalSec`."},
    {NUCLEUS "telemetry.periodicPublishMetricsIntervalSeconds", "integer", "86400",
     "How often it is sent, likewise."},
    {NUCLEUS "skerry.healthyForMs", "integer", "500",
     "How long a new deployment has to run well before it counts, 0 to 3600000."},
    {NUCLEUS "skerry.metricsIntervalMs", "integer", "60000",
     "How often the device's metrics are sent, 100 to 3600000."},
    {NUCLEUS "skerry.statsdPort", "integer", "",
     "Where local programs send metrics, on 127.0.0.1; 0 for a free port. By default nobody "
     "listens."},
    {NUCLEUS "skerry.metricsPort", "integer", "", "Where Prometheus gets them, likewise."},
    {NUCLEUS "skerry.maxProcesses", "integer", "1024",
     "Processes and threads of each component, 16 to 1000000."},
    {NUCLEUS "skerry.s3Endpoint", "URL", "",
     "`https://HOST:PORT` of an S3 service that `s3://` artifacts are read from, as "
     "URL/BUCKET/KEY. "
     "By default the environment's `AWS_ENDPOINT_URL_S3`, else AWS itself."},
    {NUCLEUS "skerry.rebootCommand", "text", "systemctl reboot || reboot",
     "What a Bootstrap that ends with 101 has run, by /bin/sh."},
    {NUCLEUS "skerry.sandbox.enabled", "yes or no", "true",
     "Whether components run in sandboxes ([sandbox.md](sandbox.md))."},
    {NUCLEUS "skerry.sandbox.read", "list of paths", "[]", "What all components may read besides."},
    {NUCLEUS "skerry.sandbox.write", "list of paths", "[]",
     "What all components may write to besides."},
    {TOKEN "library", "path", "", "The PKCS#11 module of the token that privateKeyPath means."},
    {TOKEN "slot", "integer", "", "Its slot, where the key's name has no `token=`."},
    {TOKEN "userPin", "text", "", "Its PIN, for tests."},
    {TOKEN "userPinFile", "path", "", "A file whose first line is the PIN."},
    {CLAIM "provisioningTemplate", "text", "",
     "The claim's template: a device without an identity gets one by it "
     "([provisioning.md](provisioning.md)). The fleet's addresses stand beside it, under the names "
     "that they have for the nucleus."},
    {CLAIM "claimCertificatePath", "path", "", "The claim's certificate, PEM."},
    {CLAIM "claimCertificatePrivateKeyPath", "path", "", "Its private key, PEM."},
    {CLAIM "rootCaPath", "path", "", "Whose certificates the fleet's servers show, PEM."},
    {CLAIM "templateParameters", "map", "",
     "What the fleet is told of the device: ThingName or SerialNumber. `{machineId}`, `{hostname}` "
     "and `{file:PATH}` stand for this machine's."},
    {CLAIM "iotCredentialEndpoint", "host:port", "", "iotCredEndpoint, as AWS's plugin spells it."},
    {CLAIM "mqttPort", "integer", "8883", "mqtt.port, likewise."},
};
#undef NUCLEUS
#undef CLAIM
#undef TOKEN

// Of stock nuclei, and without meaning here: a file that serves them as well is no mistake.
constexpr std::string_view kOthers[] = {
    "services.NUCLEUS.componentType",
    "services.aws.greengrass.crypto.Pkcs11Provider.configuration.name",
    "services.NUCLEUS.version",
    "services.NUCLEUS.dependencies",
    "services.NUCLEUS.configuration.componentStoreMaxSizeBytes",
    "services.NUCLEUS.configuration.deploymentPollingFrequencySeconds",
    "services.NUCLEUS.configuration.fleetStatus",
    "services.NUCLEUS.configuration.fipsMode",
    "services.NUCLEUS.configuration.httpClient",
    "services.NUCLEUS.configuration.interpolateComponentConfiguration",
    "services.NUCLEUS.configuration.jvmOptions",
    "services.NUCLEUS.configuration.logging",
    "services.NUCLEUS.configuration.networkProxy",
    "services.NUCLEUS.configuration.platformOverride",
    "services.NUCLEUS.configuration.s3EndpointType",
    "services.NUCLEUS.configuration.greengrassDataPlaneEndpointType",
    "services.NUCLEUS.configuration.mqtt.connackTimeoutMs",
    "services.NUCLEUS.configuration.mqtt.keepAliveTimeoutMs",
    "services.NUCLEUS.configuration.mqtt.maxInFlightPublishes",
    "services.NUCLEUS.configuration.mqtt.maxMessageSizeInBytes",
    "services.NUCLEUS.configuration.mqtt.maxPublishRetry",
    "services.NUCLEUS.configuration.mqtt.operationTimeoutMs",
    "services.NUCLEUS.configuration.mqtt.pingTimeoutMs",
    "services.NUCLEUS.configuration.mqtt.socketTimeoutMs",
    "services.NUCLEUS.configuration.mqtt.version",
    "services.NUCLEUS.configuration.runWithDefault.posixShell",
    "services.NUCLEUS.configuration.runWithDefault.windowsUser",
    "services.NUCLEUS.configuration.telemetry.periodicAggregateMetricsIntervalSec",
    "services.NUCLEUS.configuration.telemetry.periodicPublishMetricsIntervalSec",
};
constexpr std::string_view kNucleusNames[] = {"aws.greengrass.Nucleus",
                                              "aws.greengrass.NucleusLite"};
constexpr std::string_view kClaimName = "aws.greengrass.FleetProvisioningByClaim";
constexpr std::string_view kTokenName = "aws.greengrass.crypto.Pkcs11Provider";
constexpr size_t kNearEnough = 2;  // letters that are wrong, left out or too many

std::string lower(std::string_view text) {
  std::string lowered(text);
  for (char& c : lowered) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lowered;
}

size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j < row.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t before = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t changed = before + (a[i - 1] == b[j - 1] ? 0 : 1);
      before = row[j];
      row[j] = std::min({changed, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

// What is known, each path in lower case, with the nucleus called NUCLEUS.
class KnownKeys {
 public:
  KnownKeys() {
    for (const ConfigKey& key : kKeys) add(key.path);
    for (const std::string_view path : kOthers) add(path);
    // The fleet's addresses stand beside a claim as well.
    const std::string nucleus = "services.NUCLEUS.configuration.";
    const std::string claim = "services." + std::string(kClaimName) + ".configuration.";
    for (const ConfigKey& key : kKeys) {
      for (const char* shared : {"awsRegion", "iot", "greengrassDataPlane", "mqtt."}) {
        if (key.path.starts_with(nucleus + shared))
          add(claim + std::string(key.path.substr(nucleus.size())));
      }
    }
    for (const char* of_plugin : {"rootPath", "csrPath", "csrPrivateKeyPath", "deviceId",
                                  "proxyUrl", "proxyUserName", "proxyPassword"})
      add(claim + of_plugin);
  }
  enum class Kind { kUnknown, kAbove, kKnown };
  Kind kind(const std::string& path) const {
    const std::string wanted = lower(path);
    Kind kind = Kind::kUnknown;
    for (const std::string& known : paths_) {
      if (known == wanted) return Kind::kKnown;
      if (known.starts_with(wanted + ".")) kind = Kind::kAbove;
    }
    return kind;
  }
  // The nearest key of the same level; "" where none is near.
  std::string nearest(const std::string& path) const {
    const std::string wanted = lower(path);
    const auto found = std::ranges::min_element(
        paths_, {}, [&](const std::string& known) { return distance(known, wanted); });
    return distance(*found, wanted) <= kNearEnough
               ? spelt_[static_cast<size_t>(found - paths_.begin())]
               : "";
  }

 private:
  void add(std::string_view path) {
    paths_.push_back(lower(path));
    spelt_.emplace_back(path);
  }
  std::vector<std::string> paths_, spelt_;
};

void collect_unknown(const KnownKeys& known, const json& value, const std::string& path,
                     const std::string& shown, std::vector<std::string>& unknown) {
  for (const auto& [key, child] : value.items()) {
    const std::string below = path.empty() ? key : path + "." + key;
    const std::string named = shown.empty() ? key : shown + "." + key;
    const auto kind = known.kind(below);
    if (kind == KnownKeys::Kind::kKnown) continue;
    if (kind == KnownKeys::Kind::kAbove) {
      if (child.is_object()) collect_unknown(known, child, below, named, unknown);
      continue;
    }
    const std::string nearest = known.nearest(below);
    const std::string last = nearest.substr(nearest.rfind('.') + 1);
    unknown.push_back(named + (nearest.empty() ? "" : ": is " + last + " meant?"));
  }
}

std::string section_of(std::string_view path) {
  if (path.starts_with("system.")) return "system";
  return std::string(path.substr(0, path.find(".configuration.") + 14));
}

void append_section(std::string& text, const std::string& section,
                    std::span<const ConfigKey> keys) {
  const std::string nucleus = "services.NUCLEUS.configuration";
  if (section == nucleus) {
    text +=
        "\n## services.\"aws.greengrass.Nucleus\".configuration\n\n`NUCLEUS` may be called "
        "`aws.greengrass.NucleusLite` as well.\n";
  } else {
    text += "\n## " + section + "\n";
  }
  text += "\n| Key | Type | Default | |\n|---|---|---|---|\n";
  for (const ConfigKey& key : keys) {
    if (section_of(key.path) != section) continue;
    text += "| `" + std::string(key.path.substr(section.size() + 1)) + "` | " +
            std::string(key.type) + " | ";
    if (!key.by_default.empty()) text += "`" + std::string(key.by_default) + "`";
    text += " | " + std::string(key.says) + " |\n";
  }
}

}  // namespace

std::span<const ConfigKey> config_keys() {
  return kKeys;
}

std::string config_reference(std::span<const ConfigKey> keys) {
  std::string text =
      "# config.yaml of a device\n\n"
      "Written by `skerryd --config-reference`, from the table in "
      "`src/nucleus/config_reference.cc`: change that, not this page.\n"
      "The file has the form of the stock nuclei's. Names of keys count without case; paths that "
      "do "
      "not begin with `/` are seen from the file's folder;\n"
      "numbers and yes or no may be written as strings. What other nuclei read and `skerryd` does "
      "not is passed over; a key that nobody knows is named in the\n"
      "log, and by `skerryd --config FILE --check-config`.\n";
  std::vector<std::string> sections;
  for (const ConfigKey& key : keys) {
    if (std::ranges::find(sections, section_of(key.path)) == sections.end())
      sections.push_back(section_of(key.path));
  }
  for (const std::string& section : sections) append_section(text, section, keys);
  return text;
}

Result<std::vector<std::string>> unknown_config_keys(std::string_view text) {
  SKERRY_ASSIGN(const json document, formats::parse_yaml(text));
  std::vector<std::string> unknown;
  if (!document.is_object()) return unknown;
  const KnownKeys known;
  for (const auto& [key, value] : document.items()) {
    if (!formats::equal_ignoring_case(key, "services")) {
      if (value.is_object()) collect_unknown(known, json{{key, value}}, "", "", unknown);
      if (!value.is_object()) unknown.push_back(key);
      continue;
    }
    if (!value.is_object()) continue;
    for (const auto& [name, service] : value.items()) {
      const bool is_nucleus = std::ranges::any_of(
          kNucleusNames, [&](auto each) { return formats::equal_ignoring_case(name, each); });
      // Other components' are theirs.
      if (!is_nucleus && !formats::equal_ignoring_case(name, kClaimName) &&
          !formats::equal_ignoring_case(name, kTokenName)) {
        continue;
      }
      if (!service.is_object()) continue;
      collect_unknown(known, service, "services." + (is_nucleus ? "NUCLEUS" : name),
                      "services." + name, unknown);
    }
  }
  return unknown;
}

}  // namespace skerry::nucleus
