// The first load of a package happens in a process that may die: what a broken library or a hostile
// model does to it becomes an error message.
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>

#include "base/error.h"
#include "runtime/runtimes.h"

namespace skerry::serve {

struct TrialRequest {
  std::string model;
  std::string directory;
  std::string runtime;
  std::string library;  // of the runtime
  std::string key;      // of the package, as the caller has read it
  runtime::LoadOptions load;
  uint64_t memory_limit_bytes = 0;  // of what is allocated; 0: none
};

struct TrialReport {
  uint64_t peak_memory_bytes = 0;  // of the whole process, libraries included
  uint64_t model_memory_bytes =
      0;  // that the process has grown by: the model, and what its runs keep
};

using Trial = std::function<Result<TrialReport>(const TrialRequest&, const std::stop_token&)>;

// What a package of that size may allocate by default: eight times its files and at least 1 GiB,
// but never more than the machine has left.
uint64_t trial_memory_limit(uint64_t package_bytes);

// Runs this very program as `… trial …` (see trial_arguments) and waits. kCorrupt where the package
// took it down; its own error where it was refused; kCancelled after a stop request.
Result<TrialReport> try_in_child(const TrialRequest& request, const std::stop_token& stop);

// The child's side: loads and tries the package, and prints what came of it. The exit code.
int run_trial(const TrialRequest& request);

}  // namespace skerry::serve
