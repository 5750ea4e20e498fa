// The way from a graph to an artifact, step by step.
#include "compile/compiler.h"

#include <fmt/format.h>
#include <skerry/compiled_model.h>

#include <algorithm>
#include <chrono>

#include "compile/emit.h"
#include "compile/integer_form.h"
#include "compile/kernels/check.h"
#include "compile/lower.h"
#include "compile/plan.h"
#include "compile/real_form.h"
#include "compile/toolchain.h"
#include "graph/evaluation.h"
#include "graph/executor.h"
#include "graph/statistics.h"
#include "graph/verify.h"
#include "optimise/pass.h"
#include "runtime/compiled/artifact.h"
#include "runtime/compiled/compiled_runtime.h"

namespace skerry::compile {
namespace {

// Above this the reference executor takes too long for a check on every compilation.
constexpr int64_t kMaxCheckedMacs = 200'000'000;

Result<Expected> expected_of(const graph::Graph& graph) {
  std::vector<tensor::Tensor> inputs;
  for (const auto& input : graph.inputs()) {
    const auto shape = *graph::sizes_of(input->type());
    SKERRY_ASSIGN(const graph::Array zeros,
                  graph::Array::make(input->type().element, shape, uint64_t{1} << 32));
    tensor::Tensor tensor = zeros.to_tensor(input->name());
    skerry_kernels::fill_input(tensor.bytes.data(), zeros.count(), tensor::size_of(tensor.type),
                               fill_kind(tensor.type), static_cast<uint32_t>(inputs.size() + 1));
    inputs.push_back(std::move(tensor));
  }
  graph::Executor executor(graph);
  SKERRY_ASSIGN(auto outputs, executor.run(tensor::views_of(inputs)));
  return Expected{.outputs = std::move(outputs)};
}

CompileReport report_of(const Program& program) {
  CompileReport report{.arena_bytes = program.arena_bytes,
                       .arena_lower_bound = program.arena_lower_bound,
                       .constant_bytes = program.constants.bytes().size()};
  for (const Step& step : program.steps) {
    report.steps.push_back({step.kernel, step.nodes, step.macs, step.is_reference});
  }
  return report;
}

Result<std::string> check_here(const std::string& artifact, const Target& target) {
  if ((target.cpu_features & ~runtime::cpu_features_here()) != 0) {
    return fmt::format(
        "not run: this machine has no {}",
        runtime::names_of_features(target.cpu_features & ~runtime::cpu_features_here()));
  }
  SKERRY_ASSIGN(const auto memory, runtime::MemoryFile::copy_of(artifact));
  SKERRY_ASSIGN(const auto library, runtime::CompiledLibrary::load(memory));
  SKERRY_TRY(runtime::self_check(library.model()));
  return "equal to the reference executor's results";
}

}  // namespace

Result<std::unique_ptr<graph::Graph>> prepare(const graph::Graph& graph) {
  for (const auto& node : graph.nodes()) {
    if (!node->subgraphs().empty()) {
      return fail(Code::kUnsupported,
                  node->describe() + ": the compiler does not do subgraphs yet");
    }
  }
  SKERRY_ASSIGN(auto prepared, graph::with_open_dimensions(graph, 1));
  for (const auto& input : prepared->inputs()) {
    if (graph::sizes_of(input->type())) continue;
    return fail(Code::kUnsupported, fmt::format("the input '{}' is {}: compiled models have inputs "
                                                "of one shape",
                                                input->name(), to_string(input->type())));
  }
  SKERRY_TRY(to_real_form(*prepared));
  SKERRY_TRY(optimise::run_passes(*prepared));
  SKERRY_TRY(to_integer_form(*prepared));
  return prepared;
}

Result<Compiled> compile(const graph::Graph& graph, const CompileOptions& options) {
  // From here on the graph is ours, with every shape known.
  SKERRY_ASSIGN(const auto prepared, prepare(graph));
  SKERRY_ASSIGN(const auto program, lower(*prepared, *options.target));
  SKERRY_TRY(plan(*program, options.max_arena_bytes));
  std::optional<Expected> expected;
  if (options.check && graph::statistics_of(*prepared).macs <= kMaxCheckedMacs) {
    SKERRY_ASSIGN(expected, expected_of(*prepared));
    expected->is_exact = std::ranges::all_of(program->steps, &Step::is_exact);
  }
  const std::string code = emit(*program, *prepared, expected ? &*expected : nullptr);
  Compiled result{.report = report_of(*program)};

  const auto start = std::chrono::steady_clock::now();
  const auto& constants = program->constants.bytes();
  SKERRY_ASSIGN(result.artifact,
                build_object(*options.target,
                             {code,
                              {reinterpret_cast<const char*>(constants.data()), constants.size()},
                              options.keep_source},
                             options.flags));
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  result.report.compiler_seconds = took.count();
  result.artifact +=
      runtime::artifact_trailer(result.artifact, {.abi_version = SKERRY_COMPILED_ABI,
                                                  .cpu_features = options.target->cpu_features,
                                                  .target = std::string(options.target->name)});
  result.report.artifact_bytes = result.artifact.size();
  if (expected) {
    SKERRY_ASSIGN(result.report.checked, check_here(result.artifact, *options.target));
  }
  return result;
}

}  // namespace skerry::compile
