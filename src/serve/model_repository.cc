// Loading queue, switch, index and the remembered list of models.
#include "serve/model_repository.h"

#include <fmt/format.h>

#include <list>
#include <nlohmann/json.hpp>

#include "base/log.h"

namespace skerry::serve {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxStateBytes = 1 << 20;
constexpr size_t kMaxNames = 1000;  // the index remembers refused names too

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

}  // namespace

ModelRepository::ModelRepository(io::Loop& loop, io::Files& files, const Runtimes& runtimes,
                                 Options options)
    : loop_(loop), files_(files), runtimes_(runtimes), options_(std::move(options)) {}

ModelRepository::~ModelRepository() {
  loader_->stop();
}

void ModelRepository::post(io::Callback work) {
  loop_.post([alive = std::weak_ptr(alive_), work = std::move(work)]() mutable {
    if (!alive.expired()) work();
  });
}

void ModelRepository::after_loads(io::Callback work) {
  loader_->submit([this, work = std::move(work)]() mutable { post(std::move(work)); });
}

io::Task<Result<LoadReport>> ModelRepository::load(std::string name, std::string directory) {
  if (entries_.size() >= kMaxNames && !entries_.contains(name)) {
    co_return fail(Code::kResourceExhausted,
                   fmt::format("{} model names are known already; restart skerry-infer to forget "
                               "those that are not served",
                               kMaxNames));
  }
  Entry& entry = entries_[name];
  if (directory.empty()) directory = entry.directory;
  if (directory.empty()) {
    if (entry.loads_waiting == 0 && entry.refused_reason.empty()) entries_.erase(name);
    co_return fail(Code::kInvalidArgument,
                   fmt::format("model '{}' was never loaded; give its package's folder as "
                               "{{\"parameters\":{{\"path\":…}}}}",
                               name));
  }
  ++entry.loads_waiting;
  io::Completion<Result<LoadReport>> done(loop_);
  loader_->submit([this, name, directory, done] {
    // Step 1, on this thread: everything slow. Nothing served has changed when it fails.
    auto staged = stage_model(files_, runtimes_, name, directory, options_.load);
    post([this, name, done, staged = std::move(staged)]() mutable {
      // Step 2, on the loop: from here on new requests run on the new version.
      auto report = adopt(name, std::move(staged));
      if (!report) return done.complete(std::move(report));
      // Step 3: a restart finds it too. Only then is the load acknowledged.
      save_state(
          [done, report = std::move(report)]() mutable { done.complete(std::move(report)); });
    });
  });
  co_return co_await done;
}

Result<LoadReport> ModelRepository::adopt(const std::string& name,
                                          Result<std::unique_ptr<ServedModel>> staged) {
  Entry& entry = entries_[name];
  --entry.loads_waiting;
  auto report = staged ? switch_to(entry, std::move(*staged)) : fail(std::move(staged.error()));
  if (report) {
    entry.refused_reason.clear();
    log::info("serve", "model is served",
              {{"model", name}, {"version", report->version}, {"was", report->previous_version}});
  } else {
    entry.refused_reason = report.error().message();
  }
  return report;
}

Result<LoadReport> ModelRepository::switch_to(Entry& entry, std::unique_ptr<ServedModel> staged) {
  LoadReport report{staged->name, staged->version, ""};
  if (entry.served) {
    SKERRY_TRY(check_replaces(*entry.served, *staged));
    report.previous_version = entry.served->version;
  }
  entry.directory = staged->directory;
  entry.remembered = true;
  entry.served = ServedModelPtr(staged.release(), [loader = loader_](ServedModel* model) {
    loader->submit([owned = std::unique_ptr<ServedModel>(model)] {});
  });
  return report;
}

io::Task<Result<void>> ModelRepository::unload(std::string name) {
  io::Completion<Result<void>> done(loop_);
  after_loads([this, name, done]() mutable {
    auto removed = remove(name);
    if (!removed) return done.complete(std::move(removed));
    save_state([done]() mutable { done.complete({}); });
  });
  co_return co_await done;
}

Result<void> ModelRepository::remove(const std::string& name) {
  const auto entry = entries_.find(name);
  if (entry == entries_.end() || !(entry->second.served || entry->second.remembered)) {
    return fail(Code::kNotFound, fmt::format("model '{}' is not loaded", name));
  }
  entry->second.served.reset();
  entry->second.remembered = false;
  entry->second.refused_reason.clear();
  log::info("serve", "model is unloaded", {{"model", name}});
  return {};
}

void ModelRepository::save_state(io::Callback then) {
  if (options_.state_file.empty()) return then();
  json models = json::array();
  for (const auto& [name, entry] : entries_) {
    if (entry.remembered) models.push_back({{"name", name}, {"path", entry.directory}});
  }
  const std::string text = json{{"models", models}}.dump(2) + "\n";
  loader_->submit([this, text, then = std::move(then)]() mutable {
    auto written = io::write_file_atomic(files_, options_.state_file, text);
    post([then = std::move(then), written = std::move(written)]() mutable {
      // The model is served all the same; only a restart would not find it.
      if (!written) {
        log::warn("serve", "the list of models is not saved",
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
  // All are queued at once: a load() of the same name that comes meanwhile is newer and must be
  // last.
  std::list<io::Completion<bool>> ends;
  io::TaskScope loads;
  for (const Remembered& model : *models) {
    loads.spawn(restore_one(model.name, model.directory, ends.emplace_back(loop_)));
  }
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
    if (entry.loads_waiting > 0) {
      rows.push_back({name, "", "LOADING", ""});
    } else if (!entry.served) {
      rows.push_back({name, "", "UNAVAILABLE",
                      entry.refused_reason.empty() ? "unloaded" : entry.refused_reason});
    }
  }
  return rows;
}

}  // namespace skerry::serve
