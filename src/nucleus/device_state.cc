// The device's records and how each changes the state; replay at start uses the same code.
#include "nucleus/device_state.h"

#include <mutex>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/log.h"
#include "formats/json_ptr.h"
#include "formats/public_components.h"

namespace skerry::nucleus {
namespace {

using nlohmann::json;

// The journal is rewritten as one snapshot when it is above this, and twice as long as the last
// snapshot: so a large state is not rewritten with every record.
constexpr uint64_t kCompactAboveBytes = 1 << 20;
// Behind a package whose Bootstrap has run, among those that are installed; "@" and the machine's
// boot follow where that is to end.
constexpr std::string_view kBootstrapped = "#bootstrapped";

std::string bootstrapped(const std::string& package, const std::string& boot) {
  return package + std::string(kBootstrapped) + (boot.empty() ? "" : "@" + boot);
}

std::string_view without_bootstrap(std::string_view package) {
  return package.substr(0, package.find(kBootstrapped));
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

json json_of(const Generation& generation) {
  return {{"components", to_json(generation.components)},
          {"targets", to_json(generation.targets)},
          {"config", generation.config.to_json()}};
}

Result<Generation> generation_from(const json& in) {
  SKERRY_ASSIGN(ConfigTree config, ConfigTree::from_json(in.at("config")));
  return Generation{components_from(in.at("components")), targets_from(in.at("targets")),
                    std::move(config)};
}

}  // namespace

// Written by the pool's thread, or by whoever cannot wait for that.
struct DeviceState::Writing {
  std::string change;  // of the configuration
  std::string record;
  std::function<void(Result<void>)> done;
  std::once_flag once;
  Result<void> written;

  // When it returns the record has been written, here or elsewhere.
  void write(io::Journal& journal) {
    std::call_once(once, [&] { written = journal.append(record); });
  }
  // The same, unless nobody has begun.
  void give_up() {
    std::call_once(once, [] {});
  }
};

DeviceState::DeviceState(io::Env& env) : env_(env), compact_above_bytes_(kCompactAboveBytes) {}

DeviceState::~DeviceState() {
  if (writing_) writing_->give_up();
}

Result<std::unique_ptr<DeviceState>> DeviceState::open(io::Env& env, const std::string& directory,
                                                       const std::string& packages) {
  std::unique_ptr<DeviceState> state(new DeviceState(env));
  DeviceState* self = state.get();
  auto persist = [self](std::string change, std::function<void(Result<void>)> done) {
    self->write_config(std::move(change), std::move(done));
  };
  state->config_ = std::make_unique<ConfigStore>(persist, ConfigTree(), &env.clock);
  auto replay = [self](std::string_view record) -> Result<void> {
    json parsed = json::parse(record, nullptr, false);
    if (!parsed.is_object())
      return fail(Code::kCorrupt, "a record of the device state is not JSON");
    return self->apply(parsed);
  };
  SKERRY_ASSIGN(auto journal, io::Journal::open(env.files, directory, replay));
  state->journal_.emplace(std::move(journal));
  const auto installed = env.files.list(packages);
  SKERRY_TRY(state->note_loss(state->journal_->recovery(), installed && !installed->empty()));
  return state;
}

// What opening the journal found, for people; and durable, where records are missing.
Result<void> DeviceState::note_loss(const io::JournalRecovery& recovery, bool has_packages) {
  if (!recovery.repaired.empty()) {
    log::warn("state", "one of the two copies of the journal was made again from the other",
              {{"reason", recovery.repaired}});
  }
  if (recovery.torn_bytes > 0) {
    log::info("state", "an unfinished record was dropped",
              {{"bytes", std::to_string(recovery.torn_bytes)}});
  }
  std::string lost = recovery.lost;
  // Packages come after the journal: without one, there was one.
  if (recovery.fresh && has_packages) lost = "the journal is gone, packages are there";
  if (lost.empty()) return {};
  log::error("state", "records are lost: what is left is used, the rest must be deployed again",
             {{"reason", lost}});
  return change({{"t", "repair"}, {"reason", lost}});
}

// Durable, then applied; after what was asked for before.
Result<void> DeviceState::append(const json& record) {
  settle();
  const std::string text = formats::json_text(record);
  compact_where_long();
  return mend(text, journal_->append(text));
}

// A journal whose sync failed is written anew: what is in memory is what was acknowledged, so
// nothing has to restart.
Result<void> DeviceState::mend(const std::string& record, Result<void> appended) {
  if (!appended && journal_->broken()) {
    log::error("state", "the journal could not be written and is written anew",
               {{"reason", appended.error().message()}});
    SKERRY_TRY(journal_->compact(formats::json_text({{"t", "snapshot"}, {"state", to_json()}})));
    appended = journal_->append(record);
  }
  const bool one_copy = !journal_->has_copy();
  if (!std::exchange(told_of_lost_copy_, one_copy) && one_copy) {
    log::warn("state", "the second copy of the journal could not be written");
  }
  return appended;
}

// Components change their configuration often: a slow disk holds up the one that waits for its
// answer, and nobody else.
void DeviceState::write_config(std::string change, std::function<void(Result<void>)> done) {
  SKERRY_CHECK(!writing_, "configuration is written one change at a time");
  compact_where_long();
  writing_ = std::make_shared<Writing>();
  writing_->record = formats::json_text({{"t", "config"}, {"change", change}});
  writing_->change = std::move(change);
  writing_->done = std::move(done);
  writes_.spawn(write(this, writing_));
}

io::Task<void> DeviceState::write(DeviceState* self, std::shared_ptr<Writing> writing) {
  co_await io::run_on(self->env_.records, self->env_.loop, [writing, journal = &*self->journal_] {
    writing->write(*journal);
    return true;
  });
  if (self->writing_ == writing) self->finish_writing();
}

void DeviceState::finish_writing() {
  const std::shared_ptr<Writing> writing = writing_;
  writing->write(*journal_);
  writing_.reset();
  auto written = mend(writing->record, std::move(writing->written));
  if (written) keep_for_rollback(writing->change);
  writing->done(std::move(written));
}

void DeviceState::settle() {
  while (writing_) finish_writing();
}

Result<void> DeviceState::change(const json& record) {
  SKERRY_TRY(append(record));
  auto applied = apply(record);
  SKERRY_CHECK(applied.has_value(), "a record that was written can be applied");
  return applied;
}

// Off the loop: a large state takes long to write. Records meanwhile go to both places.
void DeviceState::compact_where_long() {
  if (journal_->size_bytes() <= compact_above_bytes_ || compacting_.size() > 0) return;
  compacting_.spawn(compact(this));
}

io::Task<void> DeviceState::compact(DeviceState* self) {
  auto compaction = self->journal_->begin_compaction(
      formats::json_text({{"t", "snapshot"}, {"state", self->to_json()}}));
  co_await io::run_on(self->env_.pool, self->env_.loop, [compaction] {
    compaction->write();
    return true;
  });
  if (self->writing_) self->writing_->write(*self->journal_);
  // Where this fails (a full disk has no room for a copy) the journal is as it was, or is written
  // anew by the next append.
  if (auto finished = self->journal_->finish_compaction(*compaction); !finished) {
    log::warn("state", "the journal could not be shortened",
              {{"reason", finished.error().message()}});
  }
  self->compact_above_bytes_ = std::max(kCompactAboveBytes, 2 * self->journal_->size_bytes());
}

Result<void> DeviceState::switch_to(Generation next, JobResult job, bool roll_back_on_failure) {
  SKERRY_CHECK(phase_ == Phase::kIdle, "a switch begins where no other is under way");
  return change({{"t", "switch"},
                 {"next", json_of(next)},
                 {"job", nucleus::to_json(job)},
                 {"roll_back", roll_back_on_failure}});
}

Result<void> DeviceState::commit(JobResult result) {
  SKERRY_CHECK(phase_ == Phase::kActivating, "only what is being activated is committed");
  return change({{"t", "commit"}, {"result", nucleus::to_json(result)}});
}

Result<void> DeviceState::begin_rollback(std::string reason, FaultCodes codes) {
  SKERRY_CHECK(phase_ == Phase::kActivating, "only what is being activated is rolled back");
  return change(
      {{"t", "rollback"}, {"reason", std::move(reason)}, {"codes", nucleus::to_json(codes)}});
}

Result<void> DeviceState::finish_rollback(JobResult result) {
  SKERRY_CHECK(phase_ == Phase::kRollingBack, "a roll-back ends after it began");
  return change({{"t", "rolled_back"}, {"result", nucleus::to_json(result)}});
}

Result<void> DeviceState::record_result(JobResult result) {
  return change({{"t", "result"}, {"result", nucleus::to_json(result)}});
}

Result<void> DeviceState::forget_result(const JobId& job) {
  return change({{"t", "reported"}, {"job", job.str()}});
}

Result<void> DeviceState::queue_local(const LocalDeployment& deployment) {
  return change({{"t", "local"}, {"deployment", LocalRecords::to_json(deployment)}});
}

Result<void> DeviceState::cancel_local(const DeploymentId& id) {
  return change({{"t", "local_cancelled"}, {"id", id.str()}});
}

Result<void> DeviceState::note_boot() {
  return change({{"t", "boot"}});
}

Result<void> DeviceState::note_repaired() {
  return change({{"t", "repaired"}});
}

Result<void> DeviceState::mark_installed(const ComponentName& name, const std::string& package) {
  return change({{"t", "installed"}, {"name", name.str()}, {"package", package}});
}

Result<void> DeviceState::mark_bootstrapped(const ComponentName& name, const std::string& package,
                                            const std::string& boot) {
  json record = {{"t", "bootstrapped"}, {"name", name.str()}, {"package", package}};
  if (!boot.empty()) record["boot"] = boot;
  return change(record);
}

bool DeviceState::awaits_reboot(const ComponentName& name, const std::string& package,
                                const std::string& boot) const {
  return !boot.empty() && installed_.contains({name.str(), bootstrapped(package, boot)});
}

void DeviceState::drop_bootstrap(const std::string& name, const std::string& package) {
  std::erase_if(installed_, [&](const auto& entry) {
    return entry.first == name && entry.second.starts_with(bootstrapped(package, ""));
  });
}

Result<void> DeviceState::forget_bootstrapped(const ComponentName& name,
                                              const std::string& package) {
  return change({{"t", "not_bootstrapped"}, {"name", name.str()}, {"package", package}});
}

bool DeviceState::is_bootstrapped(const ComponentName& name, const std::string& package) const {
  const auto found = installed_.lower_bound({name.str(), bootstrapped(package, "")});
  return found != installed_.end() && found->first == name.str() &&
         found->second.starts_with(bootstrapped(package, ""));
}

Result<void> DeviceState::set_digest(const ComponentName& name, const std::string& version,
                                     const std::string& digest) {
  return change({{"t", "digest"}, {"name", name.str()}, {"version", version}, {"digest", digest}});
}

bool DeviceState::is_installed(const ComponentName& name, const std::string& package) const {
  return installed_.contains({name.str(), package});
}

Result<void> DeviceState::apply(const json& record) {
  try {
    const std::string& type = record.at("t").get_ref<const std::string&>();
    if (type == "config") {
      // In normal operation the store applies its own change after this record is durable.
      const auto& config_change = record.at("change").get_ref<const std::string&>();
      SKERRY_TRY(config_->apply_record(config_change));
      keep_for_rollback(config_change);
    } else if (type == "snapshot") {
      return restore(record.at("state"));
    } else if (type == "result") {
      keep(result_from(record.at("result")));
    } else if (type == "local") {
      SKERRY_ASSIGN(auto deployment, LocalRecords::deployment_from(record.at("deployment")));
      local_.add(std::move(deployment));
    } else if (type == "local_cancelled") {
      local_.note_cancelled(DeploymentId(record.at("id").get<std::string>()));
    } else if (type == "reported") {
      const JobId job(record.at("job").get<std::string>());
      std::erase_if(unreported_, [&](const JobResult& result) { return result.job == job; });
    } else if (type == "boot") {
      ++boots_;
    } else if (type == "installed") {
      // Earlier releases had no packages: see set_digest().
      const json& package = record.contains("package") ? record["package"] : record.at("version");
      std::pair installed{record.at("name").get<std::string>(), package.get<std::string>()};
      installed_.insert(std::move(installed));
    } else if (type == "bootstrapped") {
      const auto name = record.at("name").get<std::string>();
      const auto package = record.at("package").get<std::string>();
      drop_bootstrap(name, package);
      installed_.insert({name, bootstrapped(package, record.value("boot", ""))});
      boots_ = 0;
    } else if (type == "not_bootstrapped") {
      drop_bootstrap(record.at("name"), record.at("package"));
    } else if (type == "digest") {
      adopt_digest(record.at("name"), record.at("version"), record.at("digest"));
    } else if (type == "repair") {
      repair_ = record.at("reason").get<std::string>();
      // Of jobs that the control plane may send again: they are to run, not to be answered.
      unreported_.clear();
      last_result_.reset();
    } else if (type == "repaired") {
      repair_.clear();
    } else {
      return apply_in_order(type, record);
    }
    return {};
  } catch (const json::exception& error) {
    return fail(Code::kCorrupt,
                std::string("a record of the device state lacks a field: ") + error.what());
  }
}

// The records of a deployment, which only follow each other in one way.
Result<void> DeviceState::apply_in_order(const std::string& type, const json& record) {
  static const std::map<std::string, Phase, std::less<>> kFrom = {
      {"switch", Phase::kIdle},
      {"commit", Phase::kActivating},
      {"rollback", Phase::kActivating},
      {"rolled_back", Phase::kRollingBack}};
  if (const auto from = kFrom.find(type); from != kFrom.end() && from->second != phase_) {
    return fail(Code::kCorrupt, "a '" + type + "' record out of order");
  }
  if (type == "switch") {
    SKERRY_ASSIGN(Generation next, generation_from(record.at("next")));
    JobResult job = result_from(record.at("job"));
    roll_back_on_failure_ = record.at("roll_back");
    pending_job_ = std::move(job);
    previous_ = Generation{components_, targets_, config_->tree()};
    phase_ = Phase::kActivating;
    boots_ = 0;
    adopt(std::move(next));
  } else if (type == "rollback") {
    pending_job_.codes = codes_from(record);
    pending_job_.reason = record.at("reason").get<std::string>();
    phase_ = Phase::kRollingBack;
    boots_ = 0;
    Generation failed{components_, targets_, config_->tree()};
    adopt(std::exchange(previous_, std::move(failed)));
  } else if (type == "commit" || type == "rolled_back") {
    finish(result_from(record.at("result")));
  } else {
    return fail(Code::kUnsupported, "the device state has a record of type '" + type +
                                        "' that this version does not know: run the newer skerryd");
  }
  return {};
}

// What a component sets that the switch did not change outlives a roll-back: to the component
// nothing happened.
void DeviceState::keep_for_rollback(std::string_view config_change) {
  if (phase_ != Phase::kActivating) return;
  const auto parsed = ConfigStore::parse_record(config_change);
  if (!parsed) return;
  const auto before = previous_.components.find(parsed->component);
  const auto now = components_.find(parsed->component);
  if (before == previous_.components.end() || now == components_.end()) return;
  if (before->second.package() != now->second.package()) return;
  // What it is told is set is set in both, though the old generation may hold a value that a clock
  // which was ahead has stamped (the switch took such times back in the new one).
  if (config_->tree().modified_ms(parsed->component, parsed->key_path) <= parsed->timestamp_ms)
    previous_.config.take_back_times(parsed->component, parsed->key_path, parsed->timestamp_ms);
  // A value that has no room beside the old ones stays with the new generation.
  (void)previous_.config.merge(parsed->component, parsed->key_path, *parsed->value,
                               parsed->timestamp_ms);
}

void DeviceState::finish(JobResult result) {
  phase_ = Phase::kIdle;
  previous_ = Generation();
  keep(std::move(result));
  drop_stale_installs();
  drop_stale_configuration();
}

// A job's waits to be reported, as a shadow's does; a local deployment's is the device's own.
void DeviceState::keep(JobResult result) {
  if (local_.take(result)) return;
  unreported_.push_back(std::move(result));
  if (!is_of_shadow(unreported_.back().job)) last_result_ = unreported_.back();
}

void DeviceState::adopt(Generation generation) {
  for (const auto& [name, component] : components_) {
    if (!generation.components.contains(name)) generation.config.adopt(name, config_->tree());
  }
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
    return without_bootstrap(entry.second) !=
           (component.digest.empty() ? component.version : component.package());
  });
}

// That of components which have left.
void DeviceState::drop_stale_configuration() {
  ConfigTree kept = config_->tree();
  for (const ComponentName& name : kept.components()) {
    if (!components_.contains(name) && !formats::is_built_in(name)) kept.remove(name);
  }
  if (!(kept == config_->tree())) config_->replace(std::move(kept));
}

json DeviceState::to_json() const {
  json results = json::array();
  for (const JobResult& result : unreported_) results.push_back(nucleus::to_json(result));
  json installed = json::array();
  for (const auto& [name, package] : installed_) installed.push_back({name, package});
  json state = {{"current", json_of(Generation{components_, targets_, config_->tree()})},
                {"phase", static_cast<int>(phase_)},
                {"previous", json_of(previous_)},
                {"pending", nucleus::to_json(pending_job_)},
                {"roll_back", roll_back_on_failure_},
                {"boots", boots_},
                {"unreported", results},
                {"installed", installed}};
  if (last_result_) state["last"] = nucleus::to_json(*last_result_);
  if (!repair_.empty()) state["repair"] = repair_;
  if (!local_.all().empty()) state["local"] = local_.to_json();
  return state;
}

// All is read before anything is changed.
Result<void> DeviceState::restore(const json& state) {
  SKERRY_ASSIGN(Generation current, generation_from(state.at("current")));
  SKERRY_ASSIGN(Generation previous, generation_from(state.at("previous")));
  const int phase = state.at("phase");
  if (phase < 0 || phase > 2) return fail(Code::kCorrupt, "the device state has an unknown phase");
  JobResult pending = result_from(state.at("pending"));
  const bool roll_back = state.at("roll_back");
  const int boots = state.at("boots");
  std::vector<JobResult> unreported;
  for (const json& result : state.at("unreported")) unreported.push_back(result_from(result));
  std::set<std::pair<std::string, std::string>> installed;
  for (const json& entry : state.at("installed"))
    installed.emplace(entry.at(0).get<std::string>(), entry.at(1).get<std::string>());
  std::optional<JobResult> last;
  if (state.contains("last")) last = result_from(state.at("last"));
  std::string repair = state.value("repair", "");
  SKERRY_ASSIGN(LocalRecords local, LocalRecords::from_json(state.value("local", json::array())));

  phase_ = static_cast<Phase>(phase);
  previous_ = std::move(previous);
  pending_job_ = std::move(pending);
  roll_back_on_failure_ = roll_back;
  boots_ = boots;
  unreported_ = std::move(unreported);
  installed_ = std::move(installed);
  last_result_ = std::move(last);
  repair_ = std::move(repair);
  local_ = std::move(local);
  adopt(std::move(current));
  return {};
}

}  // namespace skerry::nucleus
