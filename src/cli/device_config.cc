// config.yaml for skerryd, the stock nucleus lite and the stock Java nucleus.
#include "cli/device_config.h"

#include <nlohmann/json.hpp>

#include "cli/local_files.h"
#include "formats/json_ptr.h"

namespace skerry::cli {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr int kLitePort = 8883;
constexpr const char* kStockUser = "ggc_user:ggc_group";

// "https://host:8443" → "host:8443"
std::string authority_of(const std::string& url) {
  const size_t slashes = url.find("//");
  return slashes == std::string::npos ? url : url.substr(slashes + 2);
}

int port_of(const std::string& url) {
  return std::atoi(url.c_str() + url.rfind(':') + 1);
}

// Objects of objects and scalars only. Strings stand in JSON's quotes, which YAML understands.
void write_yaml(const ordered_json& object, int indent, std::string& text) {
  for (const auto& [key, value] : object.items()) {
    text += std::string(static_cast<size_t>(indent), ' ') + key + ":";
    if (value.is_object()) {
      text += "\n";
      write_yaml(value, indent + 2, text);
    } else {
      text += " " + value.dump() + "\n";
    }
  }
}

std::string document(const std::string& comment, const ordered_json& system,
                     const std::string& nucleus, const ordered_json& service) {
  std::string text = "# " + comment + "\n";
  write_yaml({{"system", system}, {"services", {{nucleus, service}}}}, 0, text);
  return text;
}

ordered_json system_section(const DeviceFiles& device, const std::string& root) {
  return {{"privateKeyPath", device.key.empty() ? device.directory + "/device.key" : device.key},
          {"certificateFilePath", device.directory + "/device.pem"},
          {"rootCaPath", device.directory + "/ca.pem"},
          {"rootPath", root},
          {"thingName", device.thing}};
}

ordered_json configuration(const json& fleet) {
  const std::string data_plane = fleet.value("data_plane_url", "");
  return {{"awsRegion", fleet.value("region", "")},
          {"iotDataEndpoint", fleet.value("broker_host", "")},
          {"iotCredEndpoint", authority_of(fleet.value("credentials_url", ""))},
          {"iotRoleAlias", fleet.value("role_alias", "")},
          {"greengrassDataPlaneEndpoint", data_plane},
          {"greengrassDataPlanePort", port_of(data_plane)},
          {"mqtt", {{"port", fleet.value("broker_port", 0)}}}};
}

}  // namespace

std::string skerryd_config(const json& fleet, const DeviceFiles& device) {
  ordered_json settings = configuration(fleet);
  if (!device.user.empty()) settings["runWithDefault"] = {{"posixUser", device.user}};
  settings["skerry"] = {{"s3Endpoint", fleet.value("api_url", "") + "/artifacts"}};
  return document("For skerryd: skerry device run " + device.directory,
                  system_section(device, device.directory + "/root"), "aws.greengrass.Nucleus",
                  {{"configuration", settings}});
}

std::string fleetless_config(const DeviceFiles& device) {
  ordered_json system = {{"rootPath", device.directory + "/root"}};
  if (!device.thing.empty()) system["thingName"] = device.thing;
  ordered_json settings = ordered_json::object();
  if (!device.user.empty()) settings["runWithDefault"] = {{"posixUser", device.user}};
  std::string text = "# For skerryd, without a fleet: skerry device run " + device.directory + "\n";
  write_yaml({{"system", system}}, 0, text);
  if (!settings.empty())
    write_yaml({{"services", {{"aws.greengrass.Nucleus", {{"configuration", settings}}}}}}, 0,
               text);
  return text;
}

std::string claim_config(const json& fleet, const DeviceFiles& device, const std::string& claim,
                         const std::string& serial) {
  const std::string data_plane = fleet.value("data_plane_url", "");
  ordered_json services;
  if (!device.user.empty()) {
    services["aws.greengrass.Nucleus"] = {
        {"configuration", {{"runWithDefault", {{"posixUser", device.user}}}}}};
  }
  services["aws.greengrass.FleetProvisioningByClaim"] = {
      {"configuration",
       {{"awsRegion", fleet.value("region", "")},
        {"iotDataEndpoint", fleet.value("broker_host", "")},
        {"mqttPort", fleet.value("broker_port", 0)},
        {"iotCredentialEndpoint", authority_of(fleet.value("credentials_url", ""))},
        {"iotRoleAlias", fleet.value("role_alias", "")},
        {"greengrassDataPlaneEndpoint", data_plane},
        {"greengrassDataPlanePort", port_of(data_plane)},
        {"provisioningTemplate", claim},
        {"claimCertificatePath", "claim.pem"},
        {"claimCertificatePrivateKeyPath", "claim.key"},
        {"rootCaPath", "ca.pem"},
        {"templateParameters", {{"SerialNumber", serial}}}}}};
  std::string text = "# For skerryd: it makes a key and gets its identity from the fleet\n";
  write_yaml({{"system", {{"rootPath", "root"}}}, {"services", services}}, 0, text);
  return text;
}

bool is_without_fleet(const std::string& directory) {
  const auto text = read_local_file(directory + "/config.yaml");
  if (!text) return false;
  const auto parsed = formats::parse_yaml(*text);
  return parsed && parsed->is_object() && parsed->contains("system") &&
         parsed->dump().find("\"iotDataEndpoint\"") == std::string::npos;
}

std::string lite_config(const json& fleet, const DeviceFiles& device) {
  ordered_json settings = configuration(fleet);
  settings.erase("mqtt");
  settings["runWithDefault"] = {{"posixUser", device.user.empty() ? kStockUser : device.user}};
  std::string comment =
      "For the stock Greengrass nucleus lite: copy to /etc/greengrass/config.yaml";
  const int port = fleet.value("broker_port", 0);
  if (port != kLitePort) {
    comment += "\n# Nucleus lite connects to MQTT port 8883 only, and this fleet listens on " +
               std::to_string(port) + ": start the fleet with --broker-port 8883.";
  }
  return document(comment, system_section(device, "/var/lib/greengrass"),
                  "aws.greengrass.NucleusLite",
                  {{"componentType", "NUCLEUS"}, {"configuration", settings}});
}

std::string java_config(const json& fleet, const DeviceFiles& device) {
  ordered_json settings = configuration(fleet);
  settings["runWithDefault"] = {{"posixUser", device.user.empty() ? kStockUser : device.user}};
  ordered_json system = system_section(device, "/greengrass/v2");
  system["rootpath"] = system["rootPath"];  // as its installer spells it
  system.erase("rootPath");
  return document(
      "For the stock Java nucleus: java -Droot=/greengrass/v2 -jar lib/Greengrass.jar "
      "--init-config THIS_FILE\n"
      "# s3:// artifacts of this fleet: set AWS_ENDPOINT_URL_S3=" +
          fleet.value("api_url", "") + "/artifacts",
      system, "aws.greengrass.Nucleus",
      {{"componentType", "NUCLEUS"}, {"configuration", settings}});
}

}  // namespace skerry::cli
