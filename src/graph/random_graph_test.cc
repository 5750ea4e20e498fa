// The generator itself, and what holds for every graph: text and ONNX give the same graph back, and
// the executor runs it.
#include "graph/random_graph.h"

#include <gtest/gtest.h>

#include <cmath>

#include "graph/evaluation.h"
#include "graph/executor.h"
#include "graph/onnx/export.h"
#include "graph/onnx/import.h"
#include "graph/text.h"

namespace skerry::graph {
namespace {

uint64_t seeds() {
  const char* count = std::getenv("SKERRY_GRAPHS");
  return count != nullptr ? std::strtoull(count, nullptr, 10) : 1000;
}

RandomGraphOptions options_for(uint64_t seed) {
  return {.nodes = 2 + seed % 24, .continuous = seed % 2 == 0};
}

// Empty where text and ONNX both give the same graph back.
std::string round_trip_failure(const Graph& graph) {
  const std::string text = to_text(graph);
  const auto parsed = parse_text(text);
  if (!parsed) return "text: " + parsed.error().message();
  if (to_text(**parsed) != text) return "text: another graph";
  auto bytes = onnx::export_bytes(graph);
  if (!bytes) return "export: " + bytes.error().message();
  const auto imported =
      onnx::import_bytes(std::make_shared<const tensor::Bytes>(std::move(*bytes)), "");
  if (!imported) return "import: " + imported.error().message();
  if (to_text(*imported->graph) != text)
    return "ONNX: another graph:\n" + to_text(*imported->graph);
  return "";
}

std::string run_failure(const Graph& graph, bool continuous) {
  const auto inputs = random_inputs(graph, 1);
  const auto outputs = Executor(graph).run(tensor::views_of(inputs));
  if (!outputs) return "run: " + outputs.error().message();
  if (!continuous) return "";
  for (const tensor::Tensor& output : *outputs) {
    for (const double value : Array::from(output.view()).to_doubles()) {
      if (!(std::abs(value) < 1e6)) return "run: a value is " + std::to_string(value);
    }
  }
  return "";
}

TEST(RandomGraph, ComesBackFromTextAndOnnxAndRuns) {
  for (uint64_t seed = 0; seed < seeds(); ++seed) {
    const RandomGraphOptions options = options_for(seed);
    const auto fails = [&](const Graph& graph) {
      const std::string failure = round_trip_failure(graph);
      return failure.empty() ? run_failure(graph, options.continuous) : failure;
    };
    const auto graph = random_graph(seed, options);
    const std::string failure = fails(*graph);
    if (failure.empty()) continue;
    const auto smallest = shrunk(*graph, [&](const Graph& g) { return !fails(g).empty(); });
    FAIL() << "seed " << seed << ": " << failure << "\nsmallest: " << fails(*smallest) << "\n"
           << to_text(*smallest);
  }
}

TEST(RandomGraph, TheSameSeedIsTheSameGraph) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    EXPECT_EQ(to_text(*random_graph(seed)), to_text(*random_graph(seed)));
  }
  EXPECT_NE(to_text(*random_graph(1)), to_text(*random_graph(2)));
}

TEST(RandomGraph, MakesNearlyEveryOperatorItKnows) {
  std::map<std::string_view, size_t> made;
  for (uint64_t seed = 0; seed < 400; ++seed) {
    for (const auto& node : random_graph(seed, options_for(seed))->nodes())
      ++made[node->op().name()];
  }
  EXPECT_GE(made.size(), 90u);
}

TEST(RandomGraph, HoldsOnlyWhatIsAllowed) {
  const auto allows = [](Op op) { return op == "Conv" || op == "Relu" || op == "MaxPool"; };
  size_t nodes = 0;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const auto graph = random_graph(seed, {.allows = allows});
    for (const auto& node : graph->nodes()) {
      EXPECT_TRUE(allows(node->op()) || node->op() == "Identity") << node->describe();
    }
    nodes += graph->nodes().size();
  }
  EXPECT_GE(nodes, 150u);
}

TEST(RandomGraph, ShrinksToWhatMatters) {
  size_t found = 0;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    const auto has_conv = [](const Graph& graph) {
      return std::ranges::any_of(graph.nodes(),
                                 [](const auto& node) { return node->op() == "Conv"; });
    };
    const auto graph = random_graph(seed, {.nodes = 20});
    if (!has_conv(*graph)) continue;
    EXPECT_EQ(shrunk(*graph, has_conv)->nodes().size(), 1u);
    ++found;
  }
  EXPECT_GE(found, 5u);
}

}  // namespace
}  // namespace skerry::graph
