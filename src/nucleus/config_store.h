// The live configuration of the device: a ConfigTree whose every change is durable before it is
// visible, and is then told to those who watch it. One thread (the loop's); the writing itself may
// be elsewhere.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "io/clock.h"
#include "nucleus/config_tree.h"

namespace skerry::nucleus {

class ConfigStore {
 public:
  // Makes one record durable and calls `done` from the loop, or at once; an error refuses the
  // change. One at a time.
  using Persister =
      std::function<void(std::string record_json, std::function<void(Result<void>)> done)>;
  // What changed: nothing where newer values stand already.
  using Updated = std::function<void(Result<std::vector<KeyPath>>)>;
  // `changed` is the path that reads differently now.
  using Callback = std::function<void(const ComponentName& component, const KeyPath& changed)>;

  // Destroying it stops the calls. Must not outlive the store.
  class [[nodiscard]] Watch {
   public:
    Watch() = default;
    Watch(Watch&& other) noexcept : store_(std::exchange(other.store_, nullptr)), id_(other.id_) {}
    Watch& operator=(Watch&& other) noexcept;
    ~Watch() { cancel(); }

   private:
    friend class ConfigStore;
    Watch(ConfigStore* store, uint64_t id) : store_(store), id_(id) {}
    void cancel();
    ConfigStore* store_ = nullptr;
    uint64_t id_ = 0;
  };

  // With a `clock` no change counts as later than it was made.
  explicit ConfigStore(Persister persist, ConfigTree initial = ConfigTree(),
                       io::Clock* clock = nullptr);

  const ConfigTree& tree() const { return tree_; }
  // Changes with every change of the tree: a key for caches of what was read from it.
  uint64_t version() const { return version_; }

  // Persists, applies, notifies, calls `done`: each change as a whole, in the order of the calls.
  // kResourceExhausted where more wait than there is room for.
  void update(const ComponentName& component, const KeyPath& key_path, const nlohmann::json& value,
              int64_t timestamp_ms, Updated done);
  // What a record that the persister was given says.
  struct Change {
    ComponentName component;
    KeyPath key_path;
    std::shared_ptr<const nlohmann::json> value;  // shared: json is incomplete here
    int64_t timestamp_ms;
  };
  static Result<Change> parse_record(std::string_view record_json);
  // Replays a record that the persister was given, at start. Nobody is notified, nothing persisted.
  Result<void> apply_record(std::string_view record_json);
  // The switch of a deployment: `next` is durable already. Notifies of every difference.
  void replace(ConfigTree next);

  // Calls `callback` after each change at, above or below `key_path`. It may do anything, also
  // watch or stop watching.
  Watch watch(ComponentName component, KeyPath key_path, Callback callback);

 private:
  struct Watcher {
    ComponentName component;
    KeyPath key_path;
    std::shared_ptr<Callback>
        callback;  // shared: a callback may cancel its own watch while it runs
  };
  struct Update {
    Change change;
    std::string record;
    Updated done;
  };
  void write_next();
  void on_written(Result<void> written);
  Result<std::vector<KeyPath>> apply(const Change& change);
  void notify(const ComponentName& component, const KeyPath& changed);

  Persister persist_;
  ConfigTree tree_;
  io::Clock* clock_;
  uint64_t version_ = 1;
  uint64_t next_watch_id_ = 1;
  std::map<uint64_t, Watcher> watchers_;
  std::deque<Update> waiting_;  // the first is being written
  size_t waiting_bytes_ = 0;
  bool writing_ = false;  // until the first is applied, told and answered
};

}  // namespace skerry::nucleus
