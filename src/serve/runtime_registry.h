// The runtimes that components bring while the service runs. Their list outlives the service;
// docs/data/model-package.md shows the file.
#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "base/log_limit.h"
#include "io/files.h"
#include "io/loop.h"
#include "io/pool.h"
#include "io/task.h"
#include "runtime/runtimes.h"
#include "serve/trial_process.h"

namespace skerry::serve {

// Belongs to the loop's thread.
class RuntimeRegistry {
 public:
  using Probe = std::function<Result<RuntimeProbe>(
      const std::string& runtime, const std::string& library, const std::stop_token& stop)>;
  struct Options {
    std::string state_file;  // "" remembers for this process only
    Probe probe = probe_in_child;
    int64_t probe_timeout_ms = 60'000;
  };

  // `files` outlives it.
  RuntimeRegistry(io::Loop& loop, io::Files& files, std::shared_ptr<runtime::Runtimes> runtimes,
                  Options options);
  // Ends a probe that is going on.
  ~RuntimeRegistry() { stop_.request_stop(); }

  // What the last run knew, before any model is loaded. What cannot be read is logged: components
  // register again when they start. No library is opened.
  void restore();

  // Registers `library` under `name` once a process of its own has opened it, and acknowledges when
  // a restart will know it. The same again is fine. Models that are served keep the library
  // they were loaded with. An error says what to put right.
  io::Task<Result<RuntimeProbe>> add(std::string name, std::string library, std::string component);
  // kNotFound for a name that no component has registered.
  io::Task<Result<void>> remove(std::string name);

  const runtime::Runtimes& runtimes() const { return *runtimes_; }

 private:
  io::Task<Result<RuntimeProbe>> probe(std::string name, std::string library);
  // Writes the list as it is now.
  io::Task<Result<void>> save();

  io::Loop& loop_;
  io::Files& files_;
  std::shared_ptr<runtime::Runtimes> runtimes_;
  Options options_;
  std::stop_source stop_;
  log::Limit log_;                      // requests come from others
  io::ThreadPool pool_{"runtimes", 1};  // last: what it still has to do needs the rest
};

}  // namespace skerry::serve
