// Tables. A service that a nucleus learns to provide moves from the second to the first.
#include "formats/public_components.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

namespace skerry::formats {
namespace {

using nlohmann::json;

constexpr std::array kNuclei = {std::string_view("aws.greengrass.Nucleus"),
                                std::string_view("aws.greengrass.NucleusLite")};

struct Service {
  std::string_view name;
  std::array<std::string_view, 4> versions;  // highest first
  bool everywhere = true;                    // false: by skerryd alone
};
constexpr std::array kServices = {
    Service{"aws.greengrass.ShadowManager", {"2.3.9", "2.3.0", "2.2.0", "2.1.0"}, false},
    Service{"aws.greengrass.TokenExchangeService", {"2.0.3", "2.0.2", "2.0.1", "2.0.0"}}};

// Programs of their own, which AWS distributes.
constexpr std::array kElsewhere = {
    std::string_view("aws.greengrass.Cli"),
    std::string_view("aws.greengrass.Cloudwatch"),
    std::string_view("aws.greengrass.DeviceDefender"),
    std::string_view("aws.greengrass.DiskSpooler"),
    std::string_view("aws.greengrass.DockerApplicationManager"),
    std::string_view("aws.greengrass.LambdaLauncher"),
    std::string_view("aws.greengrass.LambdaManager"),
    std::string_view("aws.greengrass.LambdaRuntimes"),
    std::string_view("aws.greengrass.LegacySubscriptionRouter"),
    std::string_view("aws.greengrass.LocalDebugConsole"),
    std::string_view("aws.greengrass.LogManager"),
    std::string_view("aws.greengrass.SageMakerEdgeManager"),
    std::string_view("aws.greengrass.SecretManager"),
    std::string_view("aws.greengrass.SecureTunneling"),
    std::string_view("aws.greengrass.StreamManager"),
    std::string_view("aws.greengrass.SystemsManagerAgent"),
    std::string_view("aws.greengrass.clientdevices.Auth"),
    std::string_view("aws.greengrass.clientdevices.IPDetector"),
    std::string_view("aws.greengrass.clientdevices.mqtt.Bridge"),
    std::string_view("aws.greengrass.clientdevices.mqtt.EMQX"),
    std::string_view("aws.greengrass.clientdevices.mqtt.Moquette"),
    std::string_view("aws.greengrass.crypto.Pkcs11Provider"),
    std::string_view("aws.greengrass.telemetry.NucleusEmitter"),
};

const Service* find_service(const ComponentName& name) {
  const auto found = std::ranges::find(kServices, name.str(), &Service::name);
  return found == kServices.end() ? nullptr : &*found;
}

}  // namespace

bool is_built_in(const ComponentName& name) {
  return std::ranges::find(kNuclei, name.str()) != kNuclei.end();
}

bool is_provided(const ComponentName& name) {
  return is_built_in(name) || find_service(name) != nullptr;
}

bool is_provided_by(std::string_view runtime, const ComponentName& name) {
  if (is_built_in(name)) return true;
  const Service* service = find_service(name);
  return service && (service->everywhere || runtime == kOurRuntime);
}

std::vector<ComponentName> provided_services() {
  std::vector<ComponentName> names;
  for (const Service& service : kServices) names.emplace_back(std::string(service.name));
  return names;
}

std::vector<Version> provided_versions(const ComponentName& name) {
  std::vector<Version> versions;
  const Service* service = find_service(name);
  if (!service) return versions;
  for (const std::string_view text : service->versions) {
    if (auto version = Version::parse(text)) versions.push_back(*std::move(version));
  }
  return versions;
}

std::string provided_recipe(const ComponentName& name, const Version& version) {
  const json manifest = {{"Platform", {{"os", "*"}, {"runtime", "*"}}},
                         {"Lifecycle", json::object()},
                         {"Selections", json::array()},
                         {"Artifacts", json::array()}};
  const json recipe = {
      {"RecipeFormatVersion", "2020-01-25"},
      {"ComponentName", name.str()},
      {"ComponentVersion", version.str()},
      {"ComponentType", is_built_in(name) ? "aws.greengrass.nucleus" : "aws.greengrass.generic"},
      {"ComponentDescription", "Provided by the nucleus."},
      {"ComponentPublisher", "AWS"},
      {"ComponentDependencies", json::object()},
      {"Manifests", json::array({manifest})},
      {"Lifecycle", json::object()}};
  return recipe.dump();
}

std::string_view known_elsewhere(const ComponentName& name) {
  if (std::ranges::find(kElsewhere, name.str()) == kElsewhere.end()) return {};
  return "is a program that AWS publishes, and neither the nucleus nor this fleet has it: publish "
         "its recipe and artifacts here under the same name, or leave it out";
}

}  // namespace skerry::formats
