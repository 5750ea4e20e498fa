// The reference executor, or a runtime.
#include "optimise/measure/engine.h"

#include <filesystem>

#include "graph/model_file.h"
#include "runtime/runtimes.h"

namespace skerry::optimise {

EngineSpec parse_engine(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos) return {.name = text};
  const std::filesystem::path library = text.substr(equals + 1);
  return {.name = text.substr(0, equals),
          .library = std::filesystem::absolute(library).lexically_normal()};
}

Result<Engine> Engine::load(const std::string& path, const EngineSpec& spec, size_t threads,
                            const std::string& profile_directory) {
  Engine engine;
  if (spec.name == "reference") {
    SKERRY_ASSIGN(graph::ModelFile file, graph::read_model_file(path));
    engine.graph_ = std::move(file.graph);
    engine.executor_ = std::make_unique<graph::Executor>(*engine.graph_);
    return engine;
  }
  auto runtime = runtime::open_runtime(spec.name, spec.library);
  if (!runtime) return fail(Code::kUnavailable, runtime.error().message());
  engine.runtime_ = std::move(*runtime);
  const std::filesystem::path whole(path);
  const std::string file = whole.filename();
  const std::string folder = whole.has_parent_path() ? whole.parent_path().string() : ".";
  const runtime::ModelSource source(folder, file, {{file, ""}});
  SKERRY_ASSIGN(engine.model_,
                engine.runtime_->load(source, {.threads = static_cast<int>(threads),
                                               .profile_directory = profile_directory}));
  return engine;
}

std::unique_ptr<graph::Graph> Engine::inputs() const {
  auto bare = std::make_unique<graph::Graph>();
  if (graph_) {
    for (const auto& input : graph_->inputs()) bare->add_input(input->name(), input->type());
    return bare;
  }
  for (const tensor::TensorSpec& spec : model_->inputs()) {
    graph::Shape shape;
    for (size_t i = 0; i < spec.shape.size(); ++i) {
      const bool open = spec.shape[i] < 0;
      shape.push_back(open ? graph::Dim::named("d" + std::to_string(i))
                           : graph::Dim(spec.shape[i]));
    }
    bare->add_input(spec.name, {spec.type, std::move(shape)});
  }
  return bare;
}

Result<std::vector<tensor::Tensor>> Engine::run(std::span<const tensor::TensorView> inputs) {
  return executor_ ? executor_->run(inputs) : model_->run(inputs, {});
}

Result<std::vector<runtime::LayerTime>> Engine::layer_times() {
  if (model_) return model_->layer_times();
  return fail(Code::kUnsupported, "the reference executor does not measure its layers");
}

}  // namespace skerry::optimise
