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

struct Remembered {
  std::string name;
  std::string directory;
};

Result<std::vector<Remembered>> parse_state(const std::string& text) {
  try {
    std::vector<Remembered> models;
    const json state = json::parse(text);
    for (const json& model : state.at("models")) {
      models.push_back({model.at("name"), model.at("path")});
    }
    return models;
  } catch (const json::exception& e) {
    return fail(Code::kCorrupt, e.what());
  }
}

std::shared_ptr<ModelTrials> trials_of(io::Files& files, std::shared_ptr<ModelTrials> given) {
  if (given) return given;
  auto own = ModelTrials::open(files, "");
  SKERRY_CHECK(own, "memory for a few pages is always there");
  return *own;
}

}  // namespace

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
                                                   bool retry) {
  const auto known = entries_.find(name);
  if (directory.empty() && known != entries_.end()) directory = known->second.directory;
  if (directory.empty()) {
    co_return fail(Code::kInvalidArgument,
                   fmt::format("model '{}' was never loaded; give its package's folder as "
                               "{{\"parameters\":{{\"path\":…}}}}",
                               name));
  }
  if (loaders_->given_up() >= kMaxLeftBehind) {
    co_return fail(Code::kResourceExhausted,
                   fmt::format("{} loads hang already; restart skerry-infer", kMaxLeftBehind));
  }
  io::Completion<Result<LoadReport>> done(loop_);
  Entry& entry = entries_[name];
  start(name, directory, retry, entry.loads.emplace_back(++last_number_, done));
  co_return co_await done;
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
  if (find_load(name, number) == nullptr) {
    if (staged) dispose(std::move(*staged));
    return;
  }
  if (!staged) return end(name, number, fail(std::move(staged.error())));
  Entry& entry = entries_[name];
  // From here on new requests run on the new version.
  auto report = switch_to(entry, std::move(*staged));
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

Result<LoadReport> ModelRepository::switch_to(Entry& entry, std::unique_ptr<ServedModel> staged) {
  LoadReport report{staged->name, staged->version, ""};
  if (entry.served) {
    if (auto fits = check_replaces(*entry.served, *staged); !fits) {
      dispose(std::move(staged));
      return fail(std::move(fits.error()));
    }
    report.previous_version = entry.served->version;
  }
  entry.directory = staged->directory;
  entry.remembered = true;
  entry.settled = loop_.after(options_.settle_ms, [this, key = staged->key] {
    writer_.submit([trials = trials_, key] { trials->settle(key); });
  });
  entry.served = ServedModelPtr(staged.release(), [loaders = loaders_](ServedModel* model) {
    loaders->submit([owned = std::unique_ptr<ServedModel>(model)] {});
  });
  return report;
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

io::Task<Result<void>> ModelRepository::unload(std::string name) {
  const auto found = entries_.find(name);
  if (found == entries_.end() || found->second.is_only_refused()) {
    co_return fail(Code::kNotFound, fmt::format("model '{}' is not loaded", name));
  }
  Entry& entry = found->second;
  drop_older_loads(entry, ++last_number_, fmt::format("'{}' was unloaded meanwhile", name));
  entry.served.reset();
  entry.settled.cancel();
  entry.remembered = false;
  entry.refused_reason.clear();
  entry.refused = last_number_;
  log_.write(log::Level::kInfo, "serve", "model is unloaded", {{"model", name}});
  forget_oldest_refusals();
  io::Completion<bool> saved(loop_);
  save_state([saved]() mutable { saved.complete(true); });
  co_await saved;
  co_return Result<void>();
}

void ModelRepository::save_state(io::Callback then) {
  if (options_.state_file.empty()) return post(std::move(then));
  json models = json::array();
  for (const auto& [name, entry] : entries_) {
    if (entry.remembered) models.push_back({{"name", name}, {"path", entry.directory}});
  }
  const std::string text = json{{"models", models}}.dump(2) + "\n";
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

io::Task<void> ModelRepository::restore_one(std::string name, std::string directory,
                                            io::Completion<bool> end) {
  auto loaded = co_await load(name, directory);
  if (!loaded) {
    log::error("serve", "a model of the last run is not served",
               {{"model", name}, {"error", loaded.error().message()}});
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
  for (const Remembered& model : *models) {
    Entry& entry = entries_[model.name];
    entry.directory = model.directory;
    entry.remembered = true;
  }
  // All are begun at once: a load() of the same name that comes meanwhile is newer and wins.
  std::list<io::Completion<bool>> ends;
  io::TaskScope loads;
  for (const Remembered& model : *models) {
    loads.spawn(restore_one(model.name, model.directory, ends.emplace_back(loop_)));
  }
  // One that hangs must not keep the others from being asked for.
  const io::Timer enough = loop_.after(options_.restore_wait_ms, [&ends] {
    log::warn("serve", "some models of the last run are still being loaded");
    for (io::Completion<bool>& end : ends) end.complete(false);
  });
  for (const io::Completion<bool>& end : ends) co_await end;
}

ServedModelPtr ModelRepository::find(std::string_view name) const {
  const auto entry = entries_.find(name);
  return entry == entries_.end() ? nullptr : entry->second.served;
}

std::vector<ServedModelPtr> ModelRepository::served() const {
  std::vector<ServedModelPtr> models;
  for (const auto& [name, entry] : entries_) {
    if (entry.served) models.push_back(entry.served);
  }
  return models;
}

std::vector<IndexEntry> ModelRepository::index() const {
  std::vector<IndexEntry> rows;
  for (const auto& [name, entry] : entries_) {
    if (entry.served) rows.push_back({name, entry.served->version, "READY", entry.refused_reason});
    if (!entry.loads.empty()) {
      rows.push_back({name, "", "LOADING", ""});
    } else if (!entry.served) {
      rows.push_back({name, "", "UNAVAILABLE",
                      entry.refused_reason.empty() ? "unloaded" : entry.refused_reason});
    }
  }
  return rows;
}

}  // namespace skerry::serve
