// A small JSON file, and the counting of crashes.
#include "serve/model_trials.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/log.h"

namespace skerry::serve {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxFileBytes = 1 << 20;
constexpr size_t kMaxRecords = 256;

}  // namespace

Result<std::shared_ptr<ModelTrials>> ModelTrials::open(io::Files& files, const std::string& path) {
  std::shared_ptr<ModelTrials> trials(new ModelTrials(files, path));
  trials->read();
  std::vector<std::string> died_of;
  const std::string activity = path.empty() ? "" : path + ".activity";
  SKERRY_ASSIGN(trials->activity_, Activity::open(activity, died_of));
  trials->count_crashes(died_of);
  return trials;
}

void ModelTrials::read() {
  if (path_.empty() || !io::exists(files_, path_)) return;
  const auto text = io::read_file(files_, path_, kMaxFileBytes);
  std::string error = text ? "" : text.error().message();
  try {
    const json document = text ? json::parse(*text) : json::object();
    for (const json& row : document.value("trials", json::array())) {
      records_.push_back({row.at("key"), row.at("model"), row.at("version"), row.at("proved"),
                          row.at("crashes"), row.value("memory_bytes", uint64_t{0}),
                          row.value("runtime_memory_bytes", uint64_t{0})});
    }
  } catch (const json::exception& e) {
    error = e.what();
  }
  if (error.empty()) return;
  records_.clear();
  log::warn("serve", "what is known of models cannot be read; each is tried again",
            {{"file", path_}, {"error", error}});
}

void ModelTrials::count_crashes(const std::vector<std::string>& keys) {
  const std::lock_guard lock(mutex_);
  for (const std::string& key : keys) {
    Record* record = find(key);
    if (record == nullptr) continue;
    record->proved = false;
    ++record->crashes;
    log::error("serve", "the last run of this service died of a model",
               {{"model", record->model},
                {"version", record->version},
                {"times", std::to_string(record->crashes)}});
  }
  if (!keys.empty()) save();
}

const ModelTrials::Record* ModelTrials::find(std::string_view key) const {
  const auto found = std::ranges::find(records_, key, &Record::key);
  return found == records_.end() ? nullptr : &*found;
}

ModelTrials::Record* ModelTrials::find(std::string_view key) {
  return const_cast<Record*>(std::as_const(*this).find(key));
}

ModelTrials::Record& ModelTrials::ensure(const PackageId& package) {
  if (Record* known = find(package.key)) return *known;
  if (records_.size() >= kMaxRecords) {
    // One without crashes costs another trial, one with crashes may cost the service.
    const auto least = std::ranges::find(records_, 0, &Record::crashes);
    records_.erase(least == records_.end() ? records_.begin() : least);
  }
  return records_.emplace_back(package.key, package.model, package.version, false, 0, 0, 0);
}

void ModelTrials::save() {
  if (path_.empty()) return;
  json rows = json::array();
  for (const Record& record : records_) {
    rows.push_back({{"key", record.key},
                    {"model", record.model},
                    {"version", record.version},
                    {"proved", record.proved},
                    {"crashes", record.crashes},
                    {"memory_bytes", record.memory_bytes},
                    {"runtime_memory_bytes", record.runtime_memory_bytes}});
  }
  auto written = io::write_file_atomic(files_, path_, json{{"trials", rows}}.dump(1) + "\n");
  if (written) return;
  log_.write(log::Level::kWarn, "serve", "what is known of models is not saved",
             {{"error", written.error().message()}});
}

Result<void> ModelTrials::admit(const PackageId& package, bool retry) {
  const std::lock_guard lock(mutex_);
  Record* record = find(package.key);
  if (record == nullptr || record->crashes == 0) return {};
  if (retry) {
    record->crashes = 0;
    save();
    return {};
  }
  if (record->crashes < kMaxCrashes) return {};
  return fail(Code::kFailedPrecondition,
              fmt::format("skerry-infer has died {} times of model '{}' version {}, which is not "
                          "loaded any more; load another version, or try this one again with: "
                          "skerry-infer load --retry",
                          record->crashes, package.model, package.version));
}

bool ModelTrials::is_proved(const PackageId& package) const {
  const std::lock_guard lock(mutex_);
  const Record* record = find(package.key);
  return record != nullptr && record->proved;
}

TrialReport ModelTrials::measured(const PackageId& package) const {
  const std::lock_guard lock(mutex_);
  const Record* record = find(package.key);
  if (record == nullptr) return {};
  return {.model_memory_bytes = record->memory_bytes,
          .runtime_memory_bytes = record->runtime_memory_bytes};
}

void ModelTrials::prove(const PackageId& package, const TrialReport& report) {
  const std::lock_guard lock(mutex_);
  Record& record = ensure(package);
  record.proved = true;
  record.memory_bytes = report.model_memory_bytes;
  record.runtime_memory_bytes = report.runtime_memory_bytes;
  save();
  log_.write(log::Level::kInfo, "serve", "a trial has proved a model",
             {{"model", package.model},
              {"version", package.version},
              {"peak_mb", std::to_string(report.peak_memory_bytes >> 20)}});
}

void ModelTrials::settle(const std::string& key) {
  const std::lock_guard lock(mutex_);
  Record* record = find(key);
  if (record == nullptr || record->crashes == 0) return;
  record->crashes = 0;
  save();
}

std::shared_ptr<const Activity::Slot> ModelTrials::begin(const PackageId& package) {
  {
    const std::lock_guard lock(mutex_);
    if (find(package.key) == nullptr) {
      ensure(package);
      save();
    }
  }
  std::shared_ptr<const Activity::Slot> slot = Activity::slot(activity_, package.key);
  if (auto synced = activity_->sync(); !synced) {
    log_.write(log::Level::kWarn, "serve", "a crash of this load may go uncounted",
               {{"error", synced.error().message()}});
  }
  return slot;
}

}  // namespace skerry::serve
