// The device's records and how each changes the state; replay at start uses the same code.
#include "nucleus/device_state.h"

#include <nlohmann/json.hpp>

#include "base/log.h"

namespace skerry::nucleus {
namespace {

using nlohmann::json;

// The journal is rewritten as one snapshot when it is above this, and twice as long as the last
// snapshot: so a large state is not rewritten with every record.
constexpr uint64_t kCompactAboveBytes = 1 << 20;

// Reasons hold what components print; a byte that is not UTF-8 must not end the program.
std::string text_of(const json& record) {
  return record.dump(-1, ' ', false, json::error_handler_t::replace);
}

json to_json(const formats::ResourceLimits& limits) {
  json out = json::object();
  if (limits.memory_kb) out["memory_kb"] = *limits.memory_kb;
  if (limits.cpus) out["cpus"] = *limits.cpus;
  return out;
}

formats::ResourceLimits limits_from(const json& in) {
  formats::ResourceLimits limits;
  if (in.contains("memory_kb")) limits.memory_kb = in.at("memory_kb").get<int64_t>();
  if (in.contains("cpus")) limits.cpus = in.at("cpus").get<double>();
  return limits;
}

json to_json(const ComponentSet& components) {
  json out = json::object();
  for (const auto& [name, component] : components) {
    out[name.str()] = {{"version", component.version},
                       {"digest", component.digest},
                       {"arn", component.arn},
                       {"user", component.posix_user},
                       {"limits", to_json(component.limits)},
                       {"root", component.is_root},
                       {"arns", component.configuration_arns}};
  }
  return out;
}

ComponentSet components_from(const json& in) {
  ComponentSet components;
  for (const auto& [name, value] : in.items()) {
    components[ComponentName(name)] = {value.at("version"),
                                       value.value("digest", ""),
                                       value.at("arn"),
                                       value.at("user"),
                                       limits_from(value.value("limits", json::object())),
                                       value.at("root"),
                                       value.at("arns").get<std::vector<std::string>>()};
  }
  return components;
}

json to_json(const Targets& targets) {
  json out = json::object();
  for (const auto& [target, deployment] : targets) {
    json roots = json::object();
    for (const auto& [name, requirement] : deployment.roots) roots[name.str()] = requirement;
    out[target] = {{"deployment", deployment.deployment_id},
                   {"arn", deployment.configuration_arn},
                   {"revision", deployment.revision},
                   {"roots", roots}};
  }
  return out;
}

Targets targets_from(const json& in) {
  Targets targets;
  for (const auto& [target, value] : in.items()) {
    TargetDeployment deployment{value.at("deployment"), value.at("arn"), value.at("revision"), {}};
    for (const auto& [name, requirement] : value.at("roots").items()) {
      deployment.roots[ComponentName(name)] = requirement.get<std::string>();
    }
    targets[target] = std::move(deployment);
  }
  return targets;
}

json to_json(const Generation& generation) {
  return {{"components", to_json(generation.components)},
          {"targets", to_json(generation.targets)},
          {"config", generation.config.to_json()}};
}

Result<Generation> generation_from(const json& in) {
  SKERRY_ASSIGN(ConfigTree config, ConfigTree::from_json(in.at("config")));
  return Generation{components_from(in.at("components")), targets_from(in.at("targets")),
                    std::move(config)};
}

json to_json(const JobResult& result) {
  return {{"job", result.job.str()}, {"deployment", result.deployment.str()},
          {"target", result.target}, {"arn", result.configuration_arn},
          {"status", result.status}, {"detailed", result.detailed_status},
          {"reason", result.reason}};
}

JobResult result_from(const json& in) {
  return {JobId(in.at("job")), DeploymentId(in.at("deployment")),
          in.at("target"),     in.at("arn"),
          in.at("status"),     in.at("detailed"),
          in.at("reason")};
}

}  // namespace

DeviceState::DeviceState() : compact_above_bytes_(kCompactAboveBytes) {}

Result<std::unique_ptr<DeviceState>> DeviceState::open(io::Env& env, const std::string& directory) {
  std::unique_ptr<DeviceState> state(new DeviceState());
  DeviceState* self = state.get();
  state->config_ = std::make_unique<ConfigStore>([self](const std::string& change) {
    return self->append({{"t", "config"}, {"change", change}});
  });
  auto replay = [self](std::string_view record) -> Result<void> {
    json parsed = json::parse(record, nullptr, false);
    if (!parsed.is_object())
      return fail(Code::kCorrupt, "a record of the device state is not JSON");
    return self->apply(parsed);
  };
  SKERRY_ASSIGN(auto journal, io::Journal::open(env.files, directory, replay));
  state->journal_.emplace(std::move(journal));
  return state;
}

Result<void> DeviceState::append(const json& record) {
  if (journal_->size_bytes() > compact_above_bytes_) {
    const std::string whole = text_of({{"t", "snapshot"}, {"state", snapshot()}});
    // Where this fails (a full disk has no room for a copy) the journal is as it was, or refuses
    // the append below by itself.
    (void)journal_->compact({&whole, 1});
    compact_above_bytes_ = std::max(kCompactAboveBytes, 2 * journal_->size_bytes());
  }
  return journal_->append(text_of(record));
}

Result<void> DeviceState::switch_to(Generation next, JobResult job, bool roll_back_on_failure) {
  json record = {{"t", "switch"},
                 {"next", to_json(next)},
                 {"job", to_json(job)},
                 {"roll_back", roll_back_on_failure}};
  SKERRY_TRY(append(record));
  return apply(record);
}

Result<void> DeviceState::commit(JobResult result) {
  json record = {{"t", "commit"}, {"result", to_json(result)}};
  SKERRY_TRY(append(record));
  return apply(record);
}

Result<void> DeviceState::begin_rollback(std::string reason) {
  json record = {{"t", "rollback"}, {"reason", std::move(reason)}};
  SKERRY_TRY(append(record));
  return apply(record);
}

Result<void> DeviceState::finish_rollback(JobResult result) {
  json record = {{"t", "rolled_back"}, {"result", to_json(result)}};
  SKERRY_TRY(append(record));
  return apply(record);
}

Result<void> DeviceState::record_result(JobResult result) {
  json record = {{"t", "result"}, {"result", to_json(result)}};
  SKERRY_TRY(append(record));
  return apply(record);
}

Result<void> DeviceState::forget_result(const JobId& job) {
  json record = {{"t", "reported"}, {"job", job.str()}};
  SKERRY_TRY(append(record));
  return apply(record);
}

Result<void> DeviceState::note_boot() {
  json record = {{"t", "boot"}};
  SKERRY_TRY(append(record));
  return apply(record);
}

Result<void> DeviceState::mark_installed(const ComponentName& name, const std::string& package) {
  json record = {{"t", "installed"}, {"name", name.str()}, {"package", package}};
  SKERRY_TRY(append(record));
  return apply(record);
}

Result<void> DeviceState::set_digest(const ComponentName& name, const std::string& version,
                                     const std::string& digest) {
  json record = {{"t", "digest"}, {"name", name.str()}, {"version", version}, {"digest", digest}};
  SKERRY_TRY(append(record));
  return apply(record);
}

bool DeviceState::is_installed(const ComponentName& name, const std::string& package) const {
  return installed_.contains({name.str(), package});
}

Result<void> DeviceState::apply(const json& record) {
  try {
    const std::string& type = record.at("t").get_ref<const std::string&>();
    if (type == "config") {
      // In normal operation the store applies its own change after this record is durable.
      if (journal_) return {};
      return config_->apply_record(record.at("change").get_ref<const std::string&>());
    }
    if (type == "snapshot") return restore(record.at("state"));
    if (type == "switch") {
      SKERRY_ASSIGN(Generation next, generation_from(record.at("next")));
      previous_ = Generation{components_, targets_, config_->tree()};
      pending_job_ = result_from(record.at("job"));
      roll_back_on_failure_ = record.at("roll_back");
      phase_ = Phase::kActivating;
      boots_ = 0;
      adopt(std::move(next));
    } else if (type == "rollback") {
      pending_job_.reason = record.at("reason").get<std::string>();
      phase_ = Phase::kRollingBack;
      boots_ = 0;
      adopt(std::exchange(previous_, Generation()));
    } else if (type == "commit" || type == "rolled_back") {
      phase_ = Phase::kIdle;
      previous_ = Generation();
      unreported_.push_back(result_from(record.at("result")));
      last_result_ = unreported_.back();
      drop_stale_installs();
    } else if (type == "result") {
      unreported_.push_back(result_from(record.at("result")));
      last_result_ = unreported_.back();
    } else if (type == "reported") {
      const JobId job(record.at("job").get<std::string>());
      std::erase_if(unreported_, [&](const JobResult& result) { return result.job == job; });
    } else if (type == "boot") {
      ++boots_;
    } else if (type == "installed") {
      // Earlier releases had no packages: see set_digest().
      const json& package = record.contains("package") ? record["package"] : record.at("version");
      installed_.insert({record.at("name").get<std::string>(), package.get<std::string>()});
    } else if (type == "digest") {
      adopt_digest(record.at("name"), record.at("version"), record.at("digest"));
    } else {
      return fail(Code::kUnsupported,
                  "the device state has a record of type '" + type +
                      "' that this version does not know: run the newer skerryd");
    }
    return {};
  } catch (const json::exception& error) {
    return fail(Code::kCorrupt,
                std::string("a record of the device state lacks a field: ") + error.what());
  }
}

void DeviceState::adopt(Generation generation) {
  components_ = std::move(generation.components);
  targets_ = std::move(generation.targets);
  config_->replace(std::move(generation.config));
}

void DeviceState::adopt_digest(const std::string& name, const std::string& version,
                               const std::string& digest) {
  for (ComponentSet* components : {&components_, &previous_.components}) {
    auto found = components->find(ComponentName(name));
    if (found != components->end() && found->second.version == version &&
        found->second.digest.empty()) {
      found->second.digest = digest;
    }
  }
  if (installed_.erase({name, version}) > 0)
    installed_.insert({name, InstalledComponent::package_of(version, digest)});
}

// An install counts only for packages that can still run.
void DeviceState::drop_stale_installs() {
  std::erase_if(installed_, [this](const auto& entry) {
    auto found = components_.find(ComponentName(entry.first));
    if (found == components_.end()) return true;
    const InstalledComponent& component = found->second;
    return entry.second != (component.digest.empty() ? component.version : component.package());
  });
}

json DeviceState::snapshot() const {
  json results = json::array();
  for (const JobResult& result : unreported_) results.push_back(to_json(result));
  json installed = json::array();
  for (const auto& [name, package] : installed_) installed.push_back({name, package});
  json state = {{"current", to_json(Generation{components_, targets_, config_->tree()})},
                {"phase", static_cast<int>(phase_)},
                {"previous", to_json(previous_)},
                {"pending", to_json(pending_job_)},
                {"roll_back", roll_back_on_failure_},
                {"boots", boots_},
                {"unreported", results},
                {"installed", installed}};
  if (last_result_) state["last"] = to_json(*last_result_);
  return state;
}

Result<void> DeviceState::restore(const json& state) {
  SKERRY_ASSIGN(Generation current, generation_from(state.at("current")));
  SKERRY_ASSIGN(previous_, generation_from(state.at("previous")));
  int phase = state.at("phase");
  if (phase < 0 || phase > 2) return fail(Code::kCorrupt, "the device state has an unknown phase");
  phase_ = static_cast<Phase>(phase);
  pending_job_ = result_from(state.at("pending"));
  roll_back_on_failure_ = state.at("roll_back");
  boots_ = state.at("boots");
  unreported_.clear();
  for (const json& result : state.at("unreported")) unreported_.push_back(result_from(result));
  installed_.clear();
  for (const json& entry : state.at("installed"))
    installed_.emplace(entry.at(0).get<std::string>(), entry.at(1).get<std::string>());
  if (state.contains("last")) last_result_ = result_from(state.at("last"));
  adopt(std::move(current));
  return {};
}

}  // namespace skerry::nucleus
