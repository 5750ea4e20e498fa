// The reference executor, or a runtime.
#include "optimise/measure/engine.h"

#include <filesystem>

#include "graph/model_file.h"
#include "runtime/runtimes.h"

namespace skerry::optimise {

Result<Engine> Engine::load(const std::string& path, const EngineSpec& spec, size_t threads) {
  Engine engine;
  if (spec.name == "reference") {
    SKERRY_ASSIGN(graph::ModelFile file, graph::read_model_file(path));
    engine.graph_ = std::move(file.graph);
    engine.executor_ = std::make_unique<graph::Executor>(*engine.graph_);
    return engine;
  }
  SKERRY_ASSIGN(engine.runtime_, runtime::open_runtime(spec.name, spec.library));
  const std::filesystem::path whole(path);
  const std::string file = whole.filename();
  const std::string folder = whole.has_parent_path() ? whole.parent_path().string() : ".";
  const runtime::ModelSource source(folder, file, {{file, ""}});
  SKERRY_ASSIGN(engine.model_,
                engine.runtime_->load(source, {.threads = static_cast<int>(threads)}));
  return engine;
}

Result<std::vector<tensor::Tensor>> Engine::run(std::span<const tensor::TensorView> inputs) {
  return executor_ ? executor_->run(inputs) : model_->run(inputs, {});
}

}  // namespace skerry::optimise
