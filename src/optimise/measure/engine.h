// A model that is loaded, whatever runs it.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "graph/executor.h"
#include "runtime/runtime.h"

namespace skerry::optimise {

struct EngineSpec {
  std::string name;     // "onnxruntime", "reference", or a runtime plugin's
  std::string library;  // its shared library; "" where it needs none
};

// "NAME" or "NAME=LIBRARY"; a library's path is taken from the current folder.
EngineSpec parse_engine(const std::string& text);

class Engine {
 public:
  // The model is the user's own: no digest is asked for. Layers are measured where there is a
  // folder for the engine's profile; kUnsupported where the engine cannot. kUnavailable where the
  // engine itself is not there: no such name, no library, or one of something else.
  static Result<Engine> load(const std::string& path, const EngineSpec& spec, size_t threads,
                             const std::string& profile_directory = "");

  // A graph that has the model's inputs and nothing else: what data has to fit.
  std::unique_ptr<graph::Graph> inputs() const;
  // Outputs in the model's order.
  Result<std::vector<tensor::Tensor>> run(std::span<const tensor::TensorView> inputs);
  // Once, after the runs: see runtime::Model.
  Result<std::vector<runtime::LayerTime>> layer_times();

 private:
  std::unique_ptr<runtime::Runtime> runtime_;  // outlives the model
  std::unique_ptr<runtime::Model> model_;
  std::unique_ptr<graph::Graph> graph_;
  std::unique_ptr<graph::Executor> executor_;
};

}  // namespace skerry::optimise
