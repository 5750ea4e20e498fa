// The first load of a package happens in a process that may die: what a broken library or a hostile
// model does to it becomes an error message.
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/error.h"
#include "runtime/runtimes.h"
#include "serve/model_trials.h"

namespace skerry::serve {

struct TrialRequest {
  std::string model;
  std::string directory;
  std::string runtime;
  std::string library;  // of the runtime
  // "NAME=PATH" of what the models inside of a pipeline may need.
  std::vector<std::string> more_runtimes;
  std::string key;  // of the package, as the caller has read it
  runtime::LoadOptions load;
  uint64_t memory_limit_bytes = 0;  // of what is allocated; 0: none
};

using Trial = std::function<Result<TrialReport>(const TrialRequest&, const std::stop_token&)>;

// What a package of that size may allocate by default: eight times its files and at least 1 GiB,
// but never more than the machine has left.
uint64_t trial_memory_limit(uint64_t package_bytes);

// Runs this very program as `… trial …` (see trial_arguments) and waits. kCorrupt where the package
// took it down; its own error where it was refused; kCancelled after a stop request.
Result<TrialReport> try_in_child(const TrialRequest& request, const std::stop_token& stop);

// What a runtime's library is, as a process that may die has found out by opening it.
struct RuntimeProbe {
  std::string version;
  uint64_t memory_bytes = 0;
};

// As try_in_child(), for `runtime` and `library` alone.
Result<RuntimeProbe> probe_in_child(const std::string& runtime, const std::string& library,
                                    const std::stop_token& stop);

// The child's side: loads and tries the package (without one: opens the runtime), and prints what
// came of it. The exit code.
int run_trial(const TrialRequest& request);

}  // namespace skerry::serve
