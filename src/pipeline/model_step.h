// model: a step that is a model of the package, in any runtime but this one.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "pipeline/step.h"
#include "runtime/runtimes.h"

namespace skerry::pipeline {

class ModelStep : public Step {
 public:
  // `inputs` and `outputs`: what the model calls what it takes and gives.
  static Result<StepPtr> make(Settings& settings, const runtime::Runtimes& runtimes,
                              const runtime::LoadOptions& options, std::vector<std::string> inputs,
                              std::vector<std::string> outputs);

  Result<std::vector<Value>> run(std::span<const Value> inputs,
                                 const std::stop_token& stop) const override;
  bool is_bounded() const override { return model_->is_bounded(); }
  uint64_t memory_bytes() const override { return model_->memory_bytes(); }

 private:
  runtime::AvailableRuntimePtr runtime_;  // whose library the model needs
  std::unique_ptr<runtime::Model> model_;
  std::vector<std::string> inputs_;
  std::vector<std::string> outputs_;
  std::unique_ptr<std::mutex> one_at_a_time_;  // where the runtime wants it so
};

}  // namespace skerry::pipeline
