// A model ready to answer: loaded from its package, proven to keep the package's contract, warmed
// up.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "io/files.h"
#include "runtime/runtime.h"
#include "serve/stats.h"

namespace skerry::serve {

// By the name that model.json uses.
using Runtimes = std::map<std::string, std::unique_ptr<runtime::Runtime>, std::less<>>;

struct ServedModel {
  std::string name;
  std::string version;
  std::string runtime;
  std::string directory;  // the package
  // The contract: what callers may rely on. The model itself may accept more.
  std::vector<runtime::TensorSpec> inputs;
  std::vector<runtime::TensorSpec> outputs;
  std::unique_ptr<runtime::Model> model;

  // On the loop's thread only:
  ModelStats stats;
  int64_t expected_infer_ns = 0;  // smoothed; decides where a request runs
};

// Loads the package in `directory`, slowly: reads and checks model.json, verifies the model file's
// SHA-256, loads it, compares it with the contract and runs it twice on its warm-up input. Not on
// the loop. Every error says what in the package to put right.
Result<std::unique_ptr<ServedModel>> stage_model(io::Files& files, const Runtimes& runtimes,
                                                 const std::string& name,
                                                 const std::string& directory,
                                                 const runtime::LoadOptions& options);

// Whether every request that `served` takes is answered by `next` in the same form: same inputs and
// outputs by name and type; inputs at least as permissive, outputs within what was promised.
Result<void> check_replaces(const ServedModel& served, const ServedModel& next);

}  // namespace skerry::serve
