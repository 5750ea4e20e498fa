// A load from the package to the model that can serve: who may not be loaded, a trial where there
// was none, then the load itself.
#pragma once

#include <memory>
#include <stop_token>
#include <string>

#include "serve/served_model.h"
#include "serve/trial_process.h"

namespace skerry::serve {

// Loads run on threads that may be left behind: copies share what they need.
class ModelLoader {
 public:
  struct Options {
    runtime::LoadOptions load;
    Trial trial;                      // empty: no package is tried before it is loaded
    uint64_t trial_memory_bytes = 0;  // 0: trial_memory_limit()
  };

  ModelLoader(std::shared_ptr<const runtime::Runtimes> runtimes,
              std::shared_ptr<ModelTrials> trials, Options options)
      : runtimes_(std::move(runtimes)), trials_(std::move(trials)), options_(std::move(options)) {}

  // `retry`: the service may have died of it often. Not on the loop.
  Result<std::unique_ptr<ServedModel>> load(const std::string& name, const std::string& directory,
                                            bool retry, const std::stop_token& stop) const;

 private:
  Result<void> try_first(const InspectedPackage& package, const std::stop_token& stop) const;

  std::shared_ptr<const runtime::Runtimes> runtimes_;
  std::shared_ptr<ModelTrials> trials_;
  Options options_;
};

}  // namespace skerry::serve
