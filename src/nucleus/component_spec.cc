// Fills in recipe variables and the environment every Greengrass component may expect.
#include "nucleus/component_spec.h"

#include <nlohmann/json.hpp>

#include "formats/interpolate.h"
#include "nucleus/component_sandbox.h"
#include "nucleus/run_with.h"

namespace skerry::nucleus {
namespace {

class Variables {
 public:
  Variables(const NucleusInfo& info, const PackageStore& packages, const ComponentSet& components,
            const ConfigTree& config, const formats::Recipe& recipe)
      : info_(info),
        packages_(packages),
        components_(components),
        config_(config),
        recipe_(recipe) {}

  std::optional<std::string> operator()(std::string_view dependency, std::string_view space,
                                        std::string_view key) const {
    ComponentName name = recipe_.name;
    if (!dependency.empty()) {
      name = ComponentName(std::string(dependency));
      if (!recipe_.find_dependency(name))
        return std::nullopt;  // only direct dependencies may be seen
    }
    auto component = components_.find(name);
    if (space == "configuration") {
      auto value = config_.get(name, {});
      return value ? formats::configuration_text(*value, key) : std::nullopt;
    }
    if (space == "artifacts" && component != components_.end()) {
      if (key == "path") return packages_.artifacts_path(name, component->second.package());
      if (key == "decompressedPath")
        return packages_.unarchived_path(name, component->second.package());
    }
    if (space == "work" && key == "path") return info_.work_directory(name);
    if (!dependency.empty()) return std::nullopt;
    if (space == "kernel" && key == "rootPath") return info_.root;
    if (space == "iot" && key == "thingName") return info_.thing.str();
    return std::nullopt;
  }

 private:
  const NucleusInfo& info_;
  const PackageStore& packages_;
  const ComponentSet& components_;
  const ConfigTree& config_;
  const formats::Recipe& recipe_;
};

std::optional<Step>& step_of(ComponentSpec& spec, formats::StepKind kind) {
  switch (kind) {
    case formats::StepKind::kBootstrap:
      return spec.bootstrap;
    case formats::StepKind::kInstall:
      return spec.install;
    case formats::StepKind::kStartup:
      return spec.startup;
    case formats::StepKind::kRun:
      return spec.run;
    case formats::StepKind::kShutdown:
      return spec.shutdown;
    case formats::StepKind::kRecover:
      return spec.recover;
    case formats::StepKind::kUninstall:
      break;
  }
  return spec.uninstall;
}

// Other types need a program around them that is not this one. Without a script or an artifact
// there is nothing to host: components that stand for a part of the nucleus are written so.
Result<void> check_type(const formats::Recipe& recipe, const formats::Manifest& manifest) {
  using formats::ComponentType;
  if (recipe.type == ComponentType::kGeneric) return {};
  if (manifest.lifecycle.steps.empty() && manifest.artifacts.empty()) return {};
  std::string why = "a nucleus cannot be a component of another one";
  if (recipe.type == ComponentType::kPlugin) why = "it is code that runs inside the Java nucleus";
  if (recipe.type == ComponentType::kLambda) why = "it needs the Lambda manager of AWS";
  return fail(Code::kUnsupported, recipe.name.str() + ": ComponentType " +
                                      std::string(formats::name_of(recipe.type)) +
                                      " cannot run here, " + why +
                                      "; publish it as aws.greengrass.generic, or deploy it to a "
                                      "device with the stock nucleus");
}

std::vector<std::pair<std::string, std::string>> environment_of(const NucleusInfo& info,
                                                                const ComponentName& name) {
  std::vector<std::pair<std::string, std::string>> environment = {
      {"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
      {"HOME", info.work_directory(name)},
      {"LANG", "C.UTF-8"},
      {"AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT", info.ipc_address},
      {"AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH", info.ipc_address},
      {"AWS_IOT_THING_NAME", info.thing.str()},
      {"AWS_REGION", info.region},
      {"AWS_DEFAULT_REGION", info.region},
      {"GGC_VERSION", kNucleusVersion},
      {"GG_ROOT_CA_PATH", info.ca_file}};
  if (!info.credentials_url.empty())
    environment.emplace_back("AWS_CONTAINER_CREDENTIALS_FULL_URI", info.credentials_url);
  return environment;
}

}  // namespace

Result<ComponentSpec> make_component_spec(const NucleusInfo& info, const PackageStore& packages,
                                          const ComponentSet& components, const ConfigTree& config,
                                          const formats::Recipe& recipe,
                                          const formats::Manifest& manifest) {
  SKERRY_TRY(check_type(recipe, manifest));
  const InstalledComponent& installed = components.at(recipe.name);
  ComponentSpec spec;
  spec.name = recipe.name;
  spec.version = installed.version;
  spec.package = installed.package();
  spec.work_directory = info.work_directory(recipe.name);
  spec.log_path = info.log_path(recipe.name);
  spec.environment = environment_of(info, recipe.name);
  SKERRY_ASSIGN(spec.user, user_of(info, recipe.name, installed));
  SKERRY_ASSIGN(spec.limits, limits_of(info, recipe.name, installed));
  for (const auto& [name, dependency] : recipe.dependencies) {
    if (dependency.type == formats::DependencyType::kHard && components.contains(name)) {
      spec.hard_dependencies.push_back(name);
    }
  }
  Variables variables(info, packages, components, config, recipe);
  auto fill = [&](const std::string& text) { return formats::interpolate(text, variables); };
  SKERRY_ASSIGN(spec.sandbox,
                sandbox_of({info, packages, components, config, recipe, spec.user, fill}));
  for (const auto& [kind, step] : manifest.lifecycle.steps) {
    if (step.requires_privilege && !info.privileged) {
      return fail(Code::kPermissionDenied,
                  recipe.name.str() + ": its " + std::string(formats::name_of(kind)) +
                      " requires privilege, and skerryd does not run as root");
    }
    Step filled;
    filled.script = fill(step.script);
    filled.skip_if = step.skip_if;
    if (filled.skip_if) filled.skip_if->argument = fill(step.skip_if->argument);
    filled.requires_privilege = step.requires_privilege;
    filled.timeout_ms = step.timeout ? std::chrono::milliseconds(*step.timeout).count() : 0;
    for (const auto& [key, value] : step.setenv) filled.environment.emplace_back(key, fill(value));
    step_of(spec, kind) = std::move(filled);
  }
  return spec;
}

}  // namespace skerry::nucleus
