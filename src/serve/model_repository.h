// The models being served, by name. Loading happens on a thread of its own; the switch from one
// version to the next is one assignment on the loop's thread, so that every request runs on one
// whole version and none is lost.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "io/files.h"
#include "io/loop.h"
#include "io/pool.h"
#include "io/task.h"
#include "serve/served_model.h"

namespace skerry::serve {

// Shared by the repository and the requests in flight: a version that was replaced lives until its
// last request has ended. It is then destroyed on the loading thread, as that takes milliseconds.
using ServedModelPtr = std::shared_ptr<ServedModel>;

struct LoadReport {
  std::string name;
  std::string version;
  std::string previous_version;  // "" where nothing was served under the name
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
    runtime::LoadOptions load;
    // Where the served models are remembered over restarts; "" for nowhere.
    std::string state_file;
  };

  // All references outlive the repository.
  ModelRepository(io::Loop& loop, io::Files& files, const Runtimes& runtimes, Options options);
  // Waits for the load in progress. Callers waiting in load() must be gone.
  ~ModelRepository();

  // Serves the package in `directory` as `name`; an empty directory loads the last one again. On
  // failure what was served goes on unchanged. Loads and unloads happen in the order of the calls,
  // and go on when the caller is destroyed.
  io::Task<Result<LoadReport>> load(std::string name, std::string directory);
  // kNotFound where nothing is served under the name.
  io::Task<Result<void>> unload(std::string name);
  // Loads what the state file names, before any load() that is called later. Failures are logged
  // and stay in the index and in the file.
  io::Task<void> restore();

  // Null where nothing is served under the name.
  ServedModelPtr find(std::string_view name) const;
  std::vector<ServedModelPtr> served() const;
  std::vector<IndexEntry> index() const;

 private:
  struct Entry {
    ServedModelPtr served;
    std::string directory;    // of the last load that succeeded
    bool remembered = false;  // belongs into the state file
    int loads_waiting = 0;
    std::string refused_reason;  // of the last load, where it failed
  };

  io::Task<void> restore_one(std::string name, std::string directory, io::Completion<bool> end);
  Result<LoadReport> adopt(const std::string& name, Result<std::unique_ptr<ServedModel>> staged);
  Result<LoadReport> switch_to(Entry& entry, std::unique_ptr<ServedModel> staged);
  Result<void> remove(const std::string& name);
  // Runs `work` on the loop after everything that the loading thread was given before; dropped
  // where the repository is gone by then.
  void after_loads(io::Callback work);
  void post(io::Callback work);
  // Writes the state file on the loading thread, then runs `then` on the loop.
  void save_state(io::Callback then);

  io::Loop& loop_;
  io::Files& files_;
  const Runtimes& runtimes_;
  Options options_;
  // Shared with the models' deleters, which may run after the repository.
  std::shared_ptr<io::ThreadPool> loader_ = std::make_shared<io::ThreadPool>("loader", 1);
  // Callbacks posted to the loop hold it weakly: they do nothing once the repository is gone.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::map<std::string, Entry, std::less<>> entries_;
};

}  // namespace skerry::serve
