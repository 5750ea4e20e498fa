// The models being served, by name, one version of each or several side by side. Loading happens on
// threads that can be left behind; the switch from one version to the next is one assignment on the
// loop's thread, so that every request runs on one whole version and none is lost.
#pragma once

#include <atomic>
#include <list>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "base/log_limit.h"
#include "io/files.h"
#include "io/loop.h"
#include "io/pool.h"
#include "io/task.h"
#include "serve/loop_door.h"
#include "serve/model_loader.h"
#include "serve/version_policy.h"

namespace skerry::serve {

struct LoadReport {
  std::string name;
  std::string version;
  std::string previous_version;  // that answered until now; "" where nothing was served
};

// A row of the protocol's repository index.
struct IndexEntry {
  std::string name;
  std::string version;
  std::string state;  // READY, LOADING or UNAVAILABLE
  std::string reason;
};

// Belongs to the loop's thread.
class ModelRepository {
 public:
  struct Options {
    ModelLoader::Options load;
    std::shared_ptr<ModelTrials> trials;  // null: for this process only
    // Where the served models are remembered over restarts; "" for nowhere.
    std::string state_file;
    size_t loads_at_once = 2;
    int64_t slow_load_ms = 2'000;  // a load that takes longer no longer keeps others waiting
    int64_t load_timeout_ms = 300'000;
    int64_t restore_wait_ms = 60'000;  // what restore() waits for loads at most
    uint64_t memory_bytes = 0;         // that all models may hold, as their trials say; 0: no limit
    bool evict = false;                // a load beyond that takes the room of models that are idle
    // A model that has served that long without a crash is no suspect any more.
    int64_t settle_ms = 3'600'000;
  };

  // Loads may outlive the repository, and with it own the runtimes. `files` outlives it.
  ModelRepository(io::Loop& loop, io::Files& files,
                  std::shared_ptr<const runtime::Runtimes> runtimes, Options options);
  // Leaves loads in progress behind. Callers waiting in load() must be gone.
  ~ModelRepository();

  // Serves the package in `directory` as `name`; an empty directory loads the last one again. On
  // failure what was served goes on unchanged. The last call for a name wins, and none waits for
  // another: a load that ends after a newer one, or after an unload, is dropped and says so. Goes
  // on when the caller is destroyed. `retry`: also a package that the service has died of too
  // often. `label`: what the version is called from then on, beside those that have a label; where
  // it is the first one to have one, the version before it becomes "stable".
  io::Task<Result<LoadReport>> load(std::string name, std::string directory, bool retry = false,
                                    std::string label = "");
  // Of one version, or of all. kNotFound where nothing is served or being loaded under the name.
  io::Task<Result<void>> unload(std::string name, std::string version = "");
  // Changes what is served side by side (version_policy.h), and drops what is kept no more.
  io::Task<Result<VersionPolicy>> set_policy(std::string name, nlohmann::json changes);
  Result<VersionPolicy> policy(std::string_view name) const;
  // A request runs on it: the ones that were used longest ago make room first.
  void used(ServedModel& model) { model.last_used = ++uses_; }
  // Known, but not served: it has made room for others, or found none at the start. bring_back()
  // loads it again; nothing to do where it is served or another caller brings it back.
  bool is_away(std::string_view name) const;
  io::Task<Result<void>> bring_back(std::string name);
  // Loads what the state file names; a load() that is called later is the newer one. Failures are
  // logged and stay in the index and in the file.
  io::Task<void> restore();

  // The version with that number or label; "": the one labelled stable, or the last one. Null
  // where there is none.
  ServedModelPtr find(std::string_view name, std::string_view version = "") const;
  // The same; kNotFound says which there are.
  Result<ServedModelPtr> get(std::string_view name, std::string_view version) const;
  // Whose turn it is to answer a request that names no version.
  ServedModelPtr next(std::string_view name);
  std::vector<std::string> versions(std::string_view name) const;  // in the order of their loads
  std::vector<ServedModelPtr> served() const;
  std::vector<IndexEntry> index() const;

 private:
  struct Load {
    uint64_t number = 0;  // later calls have higher ones
    io::Completion<Result<LoadReport>> done;
    std::string label;
    bool is_restored = false;  // drops no other version
    std::stop_source stop;
    std::shared_ptr<std::atomic<bool>> begun = std::make_shared<std::atomic<bool>>(false);
    Workers::Ticket ticket = 0;
    io::Timer slow;
    io::Timer timeout;
  };
  struct Version {
    ServedModelPtr model;
    io::Timer settled;
  };
  // What a state file has of a name.
  struct Remembered {
    std::vector<std::string> directories;  // in the order of their loads
    VersionPolicy policy;
  };
  struct Entry {
    std::list<Version> versions;  // served, in the order of their loads
    VersionPolicy policy;
    int64_t split = 0;      // hundredths of a request that the canary is behind
    std::string directory;  // of the last load that succeeded
    // Of a state file, where the versions in it are not served; belongs there again.
    std::vector<std::string> remembered;
    std::list<Load> loads;       // in progress, oldest first
    std::string refused_reason;  // of the last load, where it failed
    uint64_t refused = 0;        // its number

    bool is_only_refused() const { return versions.empty() && remembered.empty() && loads.empty(); }
    ServedModelPtr find(std::string_view version) const;
    ServedModelPtr usual() const;  // null where nothing is served
    std::vector<std::string> names() const;
  };
  using Staged = Result<std::unique_ptr<ServedModel>>;

  io::Task<void> restore_one(std::string name, std::vector<std::string> directories,
                             io::Completion<bool> end);
  static Result<std::map<std::string, Remembered>> parse_state(const std::string& text);
  Result<Load*> begin(const std::string& name, const std::string& directory, bool retry);
  void start(const std::string& name, const std::string& directory, bool retry, Load& load);
  void watch_slow(const std::string& name, uint64_t number);
  void watch_timeout(const std::string& name, uint64_t number);
  void staged(const std::string& name, uint64_t number, Staged staged);
  Result<LoadReport> switch_to(Entry& entry, std::unique_ptr<ServedModel> staged, const Load& load);
  Result<void> check_memory(const ServedModel& staged) const;
  uint64_t used_memory() const;
  void make_room(const ServedModel& staged);
  static void drop_versions(Entry& entry);
  void end(const std::string& name, uint64_t number, Result<LoadReport> report);
  Load* find_load(const std::string& name, uint64_t number);
  void drop_older_loads(Entry& entry, uint64_t number, const std::string& why);
  void forget_oldest_refusals();
  void dispose(std::unique_ptr<ServedModel> model);
  void post(io::Callback work);
  // Writes the state file on a thread, then runs `then` on the loop.
  void save_state(io::Callback then);

  io::Loop& loop_;
  io::Files& files_;
  Options options_;
  std::shared_ptr<ModelTrials> trials_;
  std::shared_ptr<const ModelLoader> loader_;  // shared with the loads
  uint64_t last_number_ = 0;
  uint64_t uses_ = 0;
  log::Limit log_;  // loads and unloads come from others
  // Shared with the models' deleters, which may run after the repository.
  std::shared_ptr<Workers> loaders_;
  LoopDoor door_{loop_};
  std::map<std::string, Entry, std::less<>> entries_;
  io::ThreadPool writer_{"state", 1};  // last: what it still has to do needs the rest
};

}  // namespace skerry::serve
