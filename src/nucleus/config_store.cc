// Durable, then visible, then told.
#include "nucleus/config_store.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "formats/json_ptr.h"
#include "formats/node.h"

namespace skerry::nucleus {
namespace {

using nlohmann::json;

constexpr size_t kMaxWaitingBytes = 4 << 20;

// Whether one of the two paths leads to or through the other.
bool overlaps(const KeyPath& a, const KeyPath& b) {
  const size_t common = std::min(a.size(), b.size());
  for (size_t i = 0; i < common; ++i) {
    if (!formats::equal_ignoring_case(a[i], b[i])) return false;
  }
  return true;
}

}  // namespace

ConfigStore::Watch& ConfigStore::Watch::operator=(Watch&& other) noexcept {
  if (this != &other) {
    cancel();
    store_ = std::exchange(other.store_, nullptr);
    id_ = other.id_;
  }
  return *this;
}

void ConfigStore::Watch::cancel() {
  if (store_) std::exchange(store_, nullptr)->watchers_.erase(id_);
}

ConfigStore::ConfigStore(Persister persist, ConfigTree initial, io::Clock* clock)
    : persist_(std::move(persist)), tree_(std::move(initial)), clock_(clock) {}

void ConfigStore::update(const ComponentName& component, const KeyPath& key_path, const json& value,
                         int64_t timestamp_ms, Updated done) {
  if (clock_) timestamp_ms = std::min(timestamp_ms, clock_->wall_ms());
  const json record = {{"component", component.str()},
                       {"path", key_path},
                       {"value", value},
                       {"timestamp_ms", timestamp_ms}};
  Update update{{component, key_path, std::make_shared<const json>(value), timestamp_ms},
                formats::json_text(record),
                std::move(done)};
  if (!waiting_.empty() && waiting_bytes_ + update.record.size() > kMaxWaitingBytes) {
    return update.done(fail(Code::kResourceExhausted,
                            "configuration changes come faster than they can be written; wait for "
                            "the answers"));
  }
  waiting_bytes_ += update.record.size();
  waiting_.push_back(std::move(update));
  write_next();
}

// Each is checked when its turn comes: against the tree that it will change.
void ConfigStore::write_next() {
  while (!writing_ && !waiting_.empty()) {
    writing_ = true;
    const Change& change = waiting_.front().change;
    auto checked =
        tree_.check(change.component, change.key_path, *change.value, change.timestamp_ms);
    if (!checked) {
      on_written(std::move(checked));
    } else {
      persist_(waiting_.front().record, [this](Result<void> written) {
        on_written(std::move(written));
        write_next();
      });
    }
  }
}

void ConfigStore::on_written(Result<void> written) {
  const Update update = std::move(waiting_.front());
  waiting_.pop_front();
  waiting_bytes_ -= update.record.size();
  if (written) {
    update.done(apply(update.change));
  } else {
    update.done(fail(std::move(written.error())));
  }
  writing_ = false;
}

Result<std::vector<KeyPath>> ConfigStore::apply(const Change& change) {
  SKERRY_ASSIGN(std::vector<KeyPath> changed,
                tree_.merge(change.component, change.key_path, *change.value, change.timestamp_ms));
  if (!changed.empty()) ++version_;
  for (const KeyPath& path : changed) notify(change.component, path);
  return changed;
}

Result<ConfigStore::Change> ConfigStore::parse_record(std::string_view record_json) {
  const json record = json::parse(record_json, nullptr, false);
  const auto corrupt = [&] {
    return fail(Code::kCorrupt, "stored configuration change cannot be read: " +
                                    std::string(record_json.substr(0, 200)));
  };
  if (!record.is_object()) return corrupt();
  const auto component = record.find("component");
  const auto path = record.find("path");
  const auto value = record.find("value");
  const auto time = record.find("timestamp_ms");
  if (component == record.end() || !component->is_string() || path == record.end() ||
      !path->is_array() || value == record.end() || time == record.end() ||
      !time->is_number_integer()) {
    return corrupt();
  }
  KeyPath key_path;
  for (const json& key : *path) {
    if (!key.is_string()) return corrupt();
    key_path.push_back(key.get<std::string>());
  }
  return Change{ComponentName(component->get<std::string>()), std::move(key_path),
                std::make_shared<const json>(*value), time->get<int64_t>()};
}

Result<void> ConfigStore::apply_record(std::string_view record_json) {
  SKERRY_ASSIGN(const Change change, parse_record(record_json));
  SKERRY_TRY(tree_.merge(change.component, change.key_path, *change.value, change.timestamp_ms));
  ++version_;
  return {};
}

void ConfigStore::replace(ConfigTree next) {
  const auto changed = tree_.differences(next);
  tree_ = std::move(next);
  ++version_;
  for (const auto& [component, path] : changed) notify(component, path);
}

ConfigStore::Watch ConfigStore::watch(ComponentName component, KeyPath key_path,
                                      Callback callback) {
  const uint64_t id = next_watch_id_++;
  watchers_.emplace(id, Watcher{std::move(component), std::move(key_path),
                                std::make_shared<Callback>(std::move(callback))});
  return Watch(this, id);
}

void ConfigStore::notify(const ComponentName& component, const KeyPath& changed) {
  // Callbacks may add and remove watches: only those that stood before are called, if they still
  // do.
  std::vector<uint64_t> ids;
  for (const auto& [id, watcher] : watchers_) {
    if (watcher.component == component && overlaps(watcher.key_path, changed)) ids.push_back(id);
  }
  for (const uint64_t id : ids) {
    const auto found = watchers_.find(id);
    if (found == watchers_.end()) continue;
    const std::shared_ptr<Callback> callback = found->second.callback;
    (*callback)(component, changed);
  }
}

}  // namespace skerry::nucleus
