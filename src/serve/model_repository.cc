// Loads in progress, switch, index and the remembered list of models.
#include "serve/model_repository.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/log.h"

namespace skerry::serve {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxStateBytes = 1 << 20;
constexpr size_t kMaxRefusals = 100;  // that the index remembers, of names that serve nothing
constexpr size_t kMaxLeftBehind = 32;
constexpr uint64_t kMiB = 1 << 20;

std::shared_ptr<ModelTrials> trials_of(io::Files& files, std::shared_ptr<ModelTrials> given) {
  if (given) return given;
  auto own = ModelTrials::open(files, "");
  SKERRY_CHECK(own, "memory for a few pages is always there");
  return *own;
}

}  // namespace

// {"models": [{"name", "path"}], "policies": {NAME: POLICY}}
Result<std::map<std::string, ModelRepository::Remembered>> ModelRepository::parse_state(
    const std::string& text) {
  try {
    std::map<std::string, Remembered> models;
    const json state = json::parse(text);
    for (const json& model : state.at("models")) {
      models[model.at("name")].directories.push_back(model.at("path"));
    }
    for (const auto& [name, policy] : state.value("policies", json::object()).items()) {
      VersionPolicy& read = models[name].policy;
      read.keep = policy.at("keep");
      read.labels = policy.at("labels");
      read.canary_percent = policy.at("canary_percent");
    }
    return models;
  } catch (const json::exception& e) {
    return fail(Code::kCorrupt, e.what());
  }
}

ServedModelPtr ModelRepository::Entry::find(std::string_view version) const {
  for (const Version& each : versions) {
    if (each.model->version == version) return each.model;
  }
  return nullptr;
}

ServedModelPtr ModelRepository::Entry::usual() const {
  if (versions.empty()) return nullptr;
  const ServedModelPtr stable = find(policy.label(kStable));
  return stable ? stable : versions.back().model;
}

std::vector<std::string> ModelRepository::Entry::names() const {
  std::vector<std::string> names;
  for (const Version& each : versions) names.push_back(each.model->version);
  return names;
}

ModelRepository::ModelRepository(io::Loop& loop, io::Files& files,
                                 std::shared_ptr<const runtime::Runtimes> runtimes, Options options)
    : loop_(loop),
      files_(files),
      options_(std::move(options)),
      trials_(trials_of(files, options_.trials)),
      loader_(std::make_shared<ModelLoader>(std::move(runtimes), trials_, options_.load)),
      loaders_(std::make_shared<Workers>("loader", options_.loads_at_once)) {}

ModelRepository::~ModelRepository() {
  for (auto& [name, entry] : entries_) {
    for (Load& load : entry.loads) load.stop.request_stop();
  }
}

void ModelRepository::post(io::Callback work) {
  door_.key().post(std::move(work));
}

io::Task<Result<LoadReport>> ModelRepository::load(std::string name, std::string directory,
                                                   bool retry, std::string label) {
  SKERRY_CO_ASSIGN(Load * load, begin(name, directory, retry));
  load->label = std::move(label);
  auto done = load->done;
  co_return co_await done;
}

Result<ModelRepository::Load*> ModelRepository::begin(const std::string& name,
                                                      const std::string& given, bool retry) {
  std::string directory = given;
  const auto known = entries_.find(name);
  if (directory.empty() && known != entries_.end()) directory = known->second.directory;
  if (directory.empty()) {
    return fail(Code::kInvalidArgument,
                fmt::format("model '{}' was never loaded; give its package's folder as "
                            "{{\"parameters\":{{\"path\":…}}}}",
                            name));
  }
  if (loaders_->given_up() >= kMaxLeftBehind) {
    return fail(Code::kResourceExhausted,
                fmt::format("{} loads hang already; restart skerry-infer", kMaxLeftBehind));
  }
  io::Completion<Result<LoadReport>> done(loop_);
  Load& load = entries_[name].loads.emplace_back(++last_number_, done);
  start(name, directory, retry, load);
  return &load;
}

void ModelRepository::start(const std::string& name, const std::string& directory, bool retry,
                            Load& load) {
  const uint64_t number = load.number;
  // The job owns all that it touches: it may be left behind.
  load.ticket = loaders_->submit([this, key = door_.key(), loader = loader_, name, directory, retry,
                                  number, stop = load.stop.get_token(), begun = load.begun] {
    *begun = true;
    auto model = std::make_shared<Staged>(loader->load(name, directory, retry, stop));
    if (stop.stop_requested()) return;  // nobody waits any more; destroyed here, not on the loop
    key.post([this, name, number, model] { staged(name, number, std::move(*model)); });
  });
  watch_slow(name, number);
  watch_timeout(name, number);
}

// Counts from when the load had a thread, or from a little later.
void ModelRepository::watch_timeout(const std::string& name, uint64_t number) {
  Load* load = find_load(name, number);
  if (load == nullptr) return;
  load->timeout = loop_.after(options_.load_timeout_ms, [this, name, number] {
    const Load* waiting = find_load(name, number);
    if (waiting != nullptr && !*waiting->begun) return watch_timeout(name, number);
    end(name, number,
        fail(Code::kTimeout, fmt::format("loading '{}' did not end within {} s; it is given up",
                                         name, options_.load_timeout_ms / 1000)));
  });
}

// A load that takes long may never end: another one gets a thread.
void ModelRepository::watch_slow(const std::string& name, uint64_t number) {
  Load* load = find_load(name, number);
  if (load == nullptr) return;
  load->slow = loop_.after(options_.slow_load_ms, [this, name, number] {
    Load* waiting = find_load(name, number);
    if (waiting != nullptr && !loaders_->give_up(waiting->ticket)) watch_slow(name, number);
  });
}

ModelRepository::Load* ModelRepository::find_load(const std::string& name, uint64_t number) {
  const auto entry = entries_.find(name);
  if (entry == entries_.end()) return nullptr;
  const auto load = std::ranges::find(entry->second.loads, number, &Load::number);
  return load == entry->second.loads.end() ? nullptr : &*load;
}

void ModelRepository::staged(const std::string& name, uint64_t number, Staged staged) {
  const Load* load = find_load(name, number);
  if (load == nullptr) {
    if (staged) dispose(std::move(*staged));
    return;
  }
  if (!staged) return end(name, number, fail(std::move(staged.error())));
  Entry& entry = entries_[name];
  // From here on new requests run on the new version.
  auto report = switch_to(entry, std::move(*staged), *load);
  if (!report) return end(name, number, std::move(report));
  drop_older_loads(
      entry, number,
      fmt::format("a newer load of '{}' has brought version {}", name, report->version));
  log_.write(log::Level::kInfo, "serve", "model is served",
             {{"model", name}, {"version", report->version}, {"was", report->previous_version}});
  // A restart finds it too. Only then is the load acknowledged.
  save_state([this, name, number, report = std::move(report)]() mutable {
    end(name, number, std::move(report));
  });
}

uint64_t ModelRepository::used_memory() const {
  uint64_t used = 0;
  for (const ServedModelPtr& model : served()) used += model->stats.memory_bytes();
  return used;
}

// Takes models away, those first that were used longest ago, until `staged` has room; none where it
// would not be enough. Only whole names of one version, and nothing that a request runs on.
void ModelRepository::make_room(const ServedModel& staged) {
  const auto may_go = [&](const auto& each) {
    const Entry& entry = each.second;
    return each.first != staged.name && entry.versions.size() == 1 && entry.loads.empty() &&
           entry.policy.labels.empty() && entry.versions.front().model.use_count() == 1;
  };
  uint64_t reclaimable = 0;
  for (const auto& each : entries_) {
    if (may_go(each)) reclaimable += each.second.versions.front().model->stats.memory_bytes();
  }
  const uint64_t needed = staged.stats.memory_bytes();
  if (used_memory() - reclaimable + needed > options_.memory_bytes) return;
  while (used_memory() + needed > options_.memory_bytes) {
    auto oldest = entries_.end();
    for (auto each = entries_.begin(); each != entries_.end(); ++each) {
      if (!may_go(*each)) continue;
      const uint64_t used = each->second.versions.front().model->last_used;
      if (oldest == entries_.end() || used < oldest->second.versions.front().model->last_used) {
        oldest = each;
      }
    }
    Entry& entry = oldest->second;
    log_.write(log::Level::kInfo, "serve", "a model makes room for another",
               {{"model", oldest->first}, {"for", staged.name}});
    entry.remembered = {entry.versions.front().model->directory};
    entry.refused_reason = fmt::format("made room for '{}'; a request brings it back", staged.name);
    entry.versions.clear();
  }
}

bool ModelRepository::is_away(std::string_view name) const {
  if (!options_.evict) return false;
  const auto entry = entries_.find(name);
  return entry != entries_.end() && entry->second.versions.empty() &&
         !entry->second.remembered.empty();
}

io::Task<Result<void>> ModelRepository::bring_back(std::string name) {
  constexpr int64_t kLookMs = 5;
  bool waited = false;
  while (is_away(name)) {
    Entry& entry = entries_.find(name)->second;
    if (entry.loads.empty() && waited) {
      co_return fail(Code::kUnavailable, fmt::format("model '{}' could not be brought back: {}",
                                                     name, entry.refused_reason));
    }
    if (entry.loads.empty()) {
      SKERRY_CO_TRY(co_await load(name, entry.remembered.back()));
      co_return Result<void>();
    }
    waited = true;
    co_await io::sleep(loop_, kLookMs);
  }
  co_return Result<void>();
}

// By what trials have measured, so before the model's first request needs more.
Result<void> ModelRepository::check_memory(const ServedModel& staged) const {
  if (options_.memory_bytes == 0) return {};
  const uint64_t needed = staged.stats.memory_bytes();
  const uint64_t used = used_memory();
  if (needed <= options_.memory_bytes && used <= options_.memory_bytes - needed) return {};
  return fail(
      Code::kResourceExhausted,
      fmt::format("version {} of '{}' needs {} MiB; {} of {} MiB are in use (unload a model "
                  "or a version, or start skerry-infer with more --memory-mb)",
                  staged.version, staged.name, (needed + kMiB - 1) / kMiB, used / kMiB,
                  options_.memory_bytes / kMiB));
}

Result<LoadReport> ModelRepository::switch_to(Entry& entry, std::unique_ptr<ServedModel> staged,
                                              const Load& load) {
  const std::string& label = load.label;
  LoadReport report{staged->name, staged->version, ""};
  const ServedModelPtr usual = entry.usual();
  auto fits = usual ? check_replaces(*usual, *staged) : Result<void>();
  if (fits && options_.evict && !load.is_restored) make_room(*staged);
  if (fits) fits = check_memory(*staged);
  VersionPolicy policy = entry.policy;
  if (fits && !label.empty()) {
    std::vector<std::string> versions = entry.names();
    versions.push_back(staged->version);
    json labels = {{label, staged->version}};
    if (policy.labels.empty() && usual && label != kStable) labels[kStable] = usual->version;
    auto labelled = changed_policy(policy, {{"labels", labels}}, versions);
    if (labelled) policy = std::move(*labelled);
    if (!labelled) fits = fail(std::move(labelled.error()));
  }
  if (!fits) {
    dispose(std::move(staged));
    return fail(std::move(fits.error()));
  }
  if (usual) report.previous_version = usual->version;
  entry.policy = std::move(policy);
  entry.directory = staged->directory;
  if (load.is_restored) {
    std::erase(entry.remembered, staged->directory);
  } else {
    entry.remembered.clear();
  }
  std::erase_if(entry.versions,
                [&](const Version& each) { return each.model->version == staged->version; });
  Version& version = entry.versions.emplace_back();
  version.settled = loop_.after(options_.settle_ms, [this, key = staged->key] {
    writer_.submit([trials = trials_, key] { trials->settle(key); });
  });
  version.model = ServedModelPtr(staged.release(), [loaders = loaders_](ServedModel* model) {
    loaders->submit([owned = std::unique_ptr<ServedModel>(model)] {});
  });
  used(*version.model);
  if (!load.is_restored) drop_versions(entry);
  return report;
}

// Those that the policy does not keep, and the labels of what is gone.
void ModelRepository::drop_versions(Entry& entry) {
  int64_t newer = static_cast<int64_t>(entry.versions.size());
  std::erase_if(entry.versions, [&](const Version& each) {
    return !entry.policy.keeps(each.model->version, --newer < entry.policy.keep);
  });
  std::erase_if(entry.policy.labels,
                [&](const auto& each) { return entry.find(each.second) == nullptr; });
}

// Destroying a model takes milliseconds.
void ModelRepository::dispose(std::unique_ptr<ServedModel> model) {
  loaders_->submit([owned = std::move(model)] {});
}

// The load is over, however it went.
void ModelRepository::end(const std::string& name, uint64_t number, Result<LoadReport> report) {
  Load* load = find_load(name, number);
  if (load == nullptr) return;
  Entry& entry = entries_[name];
  load->stop.request_stop();
  loaders_->withdraw(load->ticket);
  auto done = load->done;
  entry.refused_reason = report ? "" : report.error().message();
  entry.refused = number;
  std::erase_if(entry.loads, [number](const Load& each) { return each.number == number; });
  forget_oldest_refusals();
  done.complete(std::move(report));
}

void ModelRepository::drop_older_loads(Entry& entry, uint64_t number, const std::string& why) {
  std::erase_if(entry.loads, [&](Load& load) {
    if (load.number >= number) return false;
    load.stop.request_stop();
    loaders_->withdraw(load.ticket);
    load.done.complete(fail(Code::kCancelled, why));
    return true;
  });
}

void ModelRepository::forget_oldest_refusals() {
  const auto only_refused = [](const auto& each) { return each.second.is_only_refused(); };
  if (std::ranges::count_if(entries_, only_refused) <= static_cast<int64_t>(kMaxRefusals)) return;
  auto oldest = entries_.end();
  for (auto each = entries_.begin(); each != entries_.end(); ++each) {
    if (!only_refused(*each)) continue;
    if (oldest == entries_.end() || each->second.refused < oldest->second.refused) oldest = each;
  }
  entries_.erase(oldest);
}

io::Task<Result<void>> ModelRepository::unload(std::string name, std::string version) {
  const auto found = entries_.find(name);
  if (found == entries_.end() || found->second.is_only_refused()) {
    co_return fail(Code::kNotFound, fmt::format("model '{}' is not loaded", name));
  }
  Entry& entry = found->second;
  if (!version.empty() && !entry.find(version)) {
    co_return fail(Code::kNotFound,
                   fmt::format("version {} of model '{}' is not loaded", version, name));
  }
  const bool is_last = version.empty() || entry.versions.size() == 1;
  if (is_last) {
    drop_older_loads(entry, ++last_number_, fmt::format("'{}' was unloaded meanwhile", name));
    entry.versions.clear();
    entry.policy = {};
    entry.remembered.clear();
    entry.refused_reason.clear();
    entry.refused = last_number_;
  } else {
    std::erase_if(entry.versions,
                  [&](const Version& each) { return each.model->version == version; });
    drop_versions(entry);
    entry.directory = entry.versions.back().model->directory;
  }
  log_.write(log::Level::kInfo, "serve", "model is unloaded",
             {{"model", name}, {"version", is_last ? "all" : version}});
  forget_oldest_refusals();
  io::Completion<bool> saved(loop_);
  save_state([saved]() mutable { saved.complete(true); });
  co_await saved;
  co_return Result<void>();
}

Result<VersionPolicy> ModelRepository::policy(std::string_view name) const {
  const auto entry = entries_.find(name);
  if (entry != entries_.end() && !entry->second.versions.empty()) return entry->second.policy;
  return fail(Code::kNotFound, fmt::format("model '{}' is not loaded", name));
}

io::Task<Result<VersionPolicy>> ModelRepository::set_policy(std::string name, json changes) {
  SKERRY_CO_ASSIGN(VersionPolicy policy, this->policy(name));
  Entry& entry = entries_[name];
  SKERRY_CO_ASSIGN(entry.policy, changed_policy(std::move(policy), changes, entry.names()));
  drop_versions(entry);
  entry.directory = entry.versions.back().model->directory;
  policy = entry.policy;
  io::Completion<bool> saved(loop_);
  save_state([saved]() mutable { saved.complete(true); });
  co_await saved;
  co_return policy;
}

void ModelRepository::save_state(io::Callback then) {
  if (options_.state_file.empty()) return post(std::move(then));
  json models = json::array();
  json policies = json::object();
  for (const auto& [name, entry] : entries_) {
    std::vector<std::string> directories = entry.remembered;
    for (const Version& each : entry.versions) directories.push_back(each.model->directory);
    for (const std::string& path : directories) models.push_back({{"name", name}, {"path", path}});
    if (entry.policy != VersionPolicy()) policies[name] = to_json(entry.policy);
  }
  json state = {{"models", models}};
  if (!policies.empty()) state["policies"] = policies;
  const std::string text = state.dump(2) + "\n";
  writer_.submit([this, text, then = std::move(then)]() mutable {
    auto written = io::write_file_atomic(files_, options_.state_file, text);
    post([this, then = std::move(then), written = std::move(written)]() mutable {
      // The model is served all the same; only a restart would not find it.
      if (!written) {
        log_.write(log::Level::kWarn, "serve", "the list of models is not saved",
                   {{"error", written.error().message()}});
      }
      then();
    });
  });
}

// One version after the other, as each load drops those that have not ended before it.
io::Task<void> ModelRepository::restore_one(std::string name, std::vector<std::string> directories,
                                            io::Completion<bool> end) {
  std::vector<std::string> loaded;
  for (const std::string& directory : directories) {
    // Whoever loads or unloads meanwhile has the last word.
    if (!entries_[name].loads.empty() || entries_[name].names() != loaded) break;
    auto load = begin(name, directory, false);
    if (load) (*load)->is_restored = true;
    auto report = load ? co_await (*load)->done : fail(std::move(load.error()));
    if (report) loaded.push_back(report->version);
    if (report) continue;
    log::error("serve", "a model of the last run is not served",
               {{"model", name}, {"error", report.error().message()}});
  }
  Entry& entry = entries_[name];
  if (entry.loads.empty() && !entry.versions.empty() && entry.names() == loaded) {
    drop_versions(entry);
  }
  end.complete(true);
}

io::Task<void> ModelRepository::restore() {
  if (options_.state_file.empty() || !io::exists(files_, options_.state_file)) co_return;
  auto text = io::read_file(files_, options_.state_file, kMaxStateBytes);
  auto models = text ? parse_state(*text) : fail(text.error());
  if (!models) {
    log::error("serve", "the list of models cannot be read; load them again",
               {{"file", options_.state_file}, {"error", models.error().message()}});
    co_return;
  }
  for (const auto& [name, remembered] : *models) {
    if (remembered.directories.empty()) continue;
    Entry& entry = entries_[name];
    entry.directory = remembered.directories.back();
    entry.remembered = remembered.directories;
    entry.policy = remembered.policy;
  }
  // All are begun at once: a load() of the same name that comes meanwhile is newer and wins.
  std::list<io::Completion<bool>> ends;
  io::TaskScope loads;
  for (const auto& [name, remembered] : *models) {
    loads.spawn(restore_one(name, remembered.directories, ends.emplace_back(loop_)));
  }
  // One that hangs must not keep the others from being asked for.
  const io::Timer enough = loop_.after(options_.restore_wait_ms, [&ends] {
    log::warn("serve", "some models of the last run are still being loaded");
    for (io::Completion<bool>& end : ends) end.complete(false);
  });
  for (const io::Completion<bool>& end : ends) co_await end;
}

ServedModelPtr ModelRepository::find(std::string_view name, std::string_view version) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) return nullptr;
  const Entry& entry = found->second;
  if (version.empty()) return entry.usual();
  const ServedModelPtr exact = entry.find(version);
  return exact ? exact : entry.find(entry.policy.label(version));
}

Result<ServedModelPtr> ModelRepository::get(std::string_view name, std::string_view version) const {
  if (ServedModelPtr model = find(name, version)) return model;
  const std::vector<std::string> served = versions(name);
  if (served.empty()) {
    return fail(
        Code::kNotFound,
        fmt::format("model '{}' is not loaded; POST /v2/repository/index lists those that are",
                    name));
  }
  return fail(Code::kNotFound, fmt::format("model '{}' serves version {}, not {}", name,
                                           fmt::join(served, " and "), version));
}

ServedModelPtr ModelRepository::next(std::string_view name) {
  const auto found = entries_.find(name);
  if (found == entries_.end()) return nullptr;
  Entry& entry = found->second;
  if (entry.policy.canary_percent == 0) return entry.usual();
  ServedModelPtr canary = entry.find(entry.policy.label(kCanary));
  if (!canary) return entry.usual();
  entry.split += entry.policy.canary_percent;
  if (entry.split < 100) return entry.usual();
  entry.split -= 100;
  return canary;
}

std::vector<std::string> ModelRepository::versions(std::string_view name) const {
  const auto entry = entries_.find(name);
  return entry == entries_.end() ? std::vector<std::string>() : entry->second.names();
}

std::vector<ServedModelPtr> ModelRepository::served() const {
  std::vector<ServedModelPtr> models;
  for (const auto& [name, entry] : entries_) {
    for (const Version& each : entry.versions) models.push_back(each.model);
  }
  return models;
}

std::vector<IndexEntry> ModelRepository::index() const {
  std::vector<IndexEntry> rows;
  for (const auto& [name, entry] : entries_) {
    for (const Version& each : entry.versions) {
      rows.push_back({name, each.model->version, "READY", entry.refused_reason});
    }
    if (!entry.loads.empty()) {
      rows.push_back({name, "", "LOADING", ""});
    } else if (entry.versions.empty()) {
      rows.push_back({name, "", "UNAVAILABLE",
                      entry.refused_reason.empty() ? "unloaded" : entry.refused_reason});
    }
  }
  return rows;
}

}  // namespace skerry::serve
