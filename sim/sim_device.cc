// Simulated devices and what they run.
#include "sim/sim_device.h"

#include <cstdio>
#include <nlohmann/json.hpp>

namespace skerry::sim {
namespace {

constexpr const char* kRoot = "/device";

std::string script_of(Kind kind) {
  switch (kind) {
    case Kind::kGood:
      return "run";
    case Kind::kBroken:
      return "exit 1 after 5";
    case Kind::kDiesLate:
      return "exit 1 after 300";
    case Kind::kStartupFails:
      return "exit 2 after 1";
  }
  return "run";
}

std::string recipe_of(const std::string& name, const std::string& version, Kind kind) {
  nlohmann::json recipe = {
      {"RecipeFormatVersion", "2020-01-25"},
      {"ComponentName", name},
      {"ComponentVersion", version},
      {"ComponentConfiguration", {{"DefaultConfiguration", {{"generation", version}}}}},
      {"Manifests",
       {{{"Platform", {{"os", "linux"}}},
         {"Lifecycle",
          {{"Install", "exit 0 after 2"},
           {kind == Kind::kStartupFails ? "Startup" : "Run", script_of(kind)}}},
         {"Artifacts",
          {{{"URI", "greengrass:{sha256:data}/data"},
            {"Digest", "{digest:data}"},
            {"Algorithm", "SHA-256"}}}}}}}};
  nlohmann::json same = {{"VersionRequirement", "=" + version}};
  if (name == "app") recipe["ComponentDependencies"]["model"] = same;
  if (name == "model") recipe["ComponentDependencies"]["runtime"] = same;
  return recipe.dump();
}

// What a simulated script does: "run" for ever, or "exit CODE after MS".
ScriptedProcess behave(const io::ProcessSpec& spec) {
  int code = 0, after_ms = 0;
  if (std::sscanf(spec.argv.back().c_str(), "exit %d after %d", &code, &after_ms) != 2) return {};
  return {after_ms, io::ExitStatus{code, 0}};
}

}  // namespace

void publish_component(SimFleet& fleet, io::Random& random, const std::string& name,
                       const std::string& version, Kind kind) {
  const std::string data(200 + random.below(2'000), static_cast<char>('a' + random.below(26)));
  fleet.publish(name, version, recipe_of(name, version, kind), {{"data", data}});
}

void publish_generation(SimFleet& fleet, io::Random& random, int number, Kind kind) {
  const std::string version = std::to_string(number) + ".0.0";
  const std::string culprit = kStack[random.below(std::size(kStack))];
  for (const std::string name : kStack) {
    publish_component(fleet, random, name, version, name == culprit ? kind : Kind::kGood);
  }
}

Device::Device(SimLoop& loop, SimFleet& fleet, ThingName thing, uint64_t seed)
    : loop_(loop),
      fleet_(fleet),
      thing_(std::move(thing)),
      http_(fleet, thing_),
      random_(seed),
      clock_(loop),
      processes_(loop, behave),
      env_{loop_, clock_, files_, processes_, random_, pool_, pool_} {
  info_.root = kRoot;
  info_.thing = thing_;
  info_.region = "eu-west-1";
  info_.platform.architecture = "amd64";
  cloud_ = nucleus::make_http_cloud(http_,
                                    {std::string(SimFleet::kDataPlaneUrl), thing_, info_.platform});
}

std::string Device::boot() {
  mqtt_ = fleet_.mqtt_client(thing_);
  nucleus::Nucleus::Hooks hooks;
  hooks.on_fatal = [this](const Error&) { wants_restart_ = true; };
  auto opened = nucleus::Nucleus::open(env_, info_, *cloud_, *mqtt_, std::move(hooks));
  if (!opened) return opened.error().message();
  nucleus_ = std::move(*opened);
  nucleus_->start();
  return "";
}

void Device::power_off() {
  nucleus_.reset();
  mqtt_.reset();
  wants_restart_ = false;
}

std::string running_version(Device& device) {
  const auto& components = device.nucleus_->state().components();
  return components.empty() ? "" : components.begin()->second.version;
}

std::string check_generation(Device& device) {
  const auto& components = device.nucleus_->state().components();
  std::map<std::string, int> stack_versions;
  for (const auto& [name, component] : components) {
    if (name.str() != kTool) ++stack_versions[component.version];
    const std::string path = std::string(kRoot) + "/packages/" + name.str() + "/" +
                             component.package() + "/artifacts/data";
    auto bytes = io::read_file(device.files_, path);
    if (!bytes || !device.fleet_.was_published(name.str(), component.version, *bytes))
      return "the artifact " + path + " is missing or damaged";
  }
  if (stack_versions.size() > 1) return "two generations mixed";
  for (const auto& [version, count] : stack_versions) {
    if (count != std::size(kStack)) return "a part of generation " + version;
  }
  return "";
}

}  // namespace skerry::sim
