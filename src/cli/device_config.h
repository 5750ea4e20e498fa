// The configuration files that `skerry device provision` writes: the same facts for three nuclei.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace skerry::cli {

struct DeviceFiles {
  std::string directory;  // absolute; holds device.key, device.pem, ca.pem
  std::string thing;
  std::string user;      // that components run as; "": the nucleus decides
  std::string key = {};  // the name of its key where that is in a token
};

// `fleet`: what fleet.json holds. YAML.
std::string skerryd_config(const nlohmann::json& fleet, const DeviceFiles& device);
// Without a fleet: nothing but a folder and a name.
std::string fleetless_config(const DeviceFiles& device);
// Of an image whose devices get themselves an identity by the claim `claim`; files are beside it.
// `serial`: what the device calls itself, with ClaimConfig's variables.
std::string claim_config(const nlohmann::json& fleet, const DeviceFiles& device,
                         const std::string& claim, const std::string& serial);
// Whether the configuration of a device at `directory` is such a one.
bool is_without_fleet(const std::string& directory);
std::string lite_config(const nlohmann::json& fleet, const DeviceFiles& device);
std::string java_config(const nlohmann::json& fleet, const DeviceFiles& device);

}  // namespace skerry::cli
