// Passes and quantisers on random graphs from seeds. What fails is made small and printed.
// SKERRY_GRAPHS=10000 runs more of them.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "graph/executor.h"
#include "graph/random_graph.h"
#include "graph/text.h"
#include "graph/verify.h"
#include "optimise/pass.h"
#include "optimise/prune/prune.h"
#include "optimise/quantise/equalise.h"
#include "optimise/quantise/static_quantise.h"
#include "optimise/quantise/weight_only.h"

namespace skerry::optimise {
namespace {

using graph::Graph;

uint64_t graphs_wanted(uint64_t otherwise) {
  const char* wanted = std::getenv("SKERRY_GRAPHS");
  return wanted != nullptr ? std::strtoull(wanted, nullptr, 10) : otherwise;
}

bool near(const tensor::Tensor& a, const tensor::Tensor& b, double tolerance) {
  if (a.name != b.name || a.shape != b.shape || a.type != b.type) return false;
  if (a.type == tensor::DataType::kBytes) return a.bytes == b.bytes;
  const auto x = graph::Array::from(a.view()).to_doubles();
  const auto y = graph::Array::from(b.view()).to_doubles();
  double largest = 1;
  for (const double value : x) {
    if (std::isfinite(value)) largest = std::max(largest, std::abs(value));
  }
  for (size_t i = 0; i < x.size(); ++i) {
    if (x[i] == y[i] || (std::isnan(x[i]) && std::isnan(y[i]))) continue;
    if (!(std::abs(x[i] - y[i]) <= tolerance * largest)) return false;
  }
  return true;
}

using Change = std::function<Result<void>(Graph&)>;

// "" where `change` keeps what the graph computes, in double precision; else what is wrong.
std::string wrong_with(const Graph& before, const Change& change, double tolerance) {
  const auto inputs = graph::random_inputs(before, 1);
  const graph::ExecutorOptions wide{.as_fp64 = true};
  const auto wanted = graph::Executor(before, wide).run(tensor::views_of(inputs));
  if (!wanted) return "";  // values that make an operator impossible
  const auto after = before.clone();
  if (const auto changed = change(*after); !changed) return changed.error().message();
  if (const auto verified = verify(*after); !verified) return verified.error().message();
  const auto given = graph::Executor(*after, wide).run(tensor::views_of(inputs));
  if (!given) return given.error().message();
  for (size_t i = 0; i < wanted->size(); ++i) {
    if (!near((*wanted)[i], (*given)[i], tolerance)) return "other results in " + (*wanted)[i].name;
  }
  return "";
}

void hold(const Change& change, double tolerance, uint64_t count) {
  for (uint64_t seed = 0; seed < graphs_wanted(count); ++seed) {
    const auto graph = graph::random_graph(seed);
    const std::string wrong = wrong_with(*graph, change, tolerance);
    if (wrong.empty()) continue;
    const auto small = shrunk(
        *graph, [&](const Graph& one) { return !wrong_with(one, change, tolerance).empty(); });
    const auto after = small->clone();
    (void)change(*after);
    FAIL() << "seed " << seed << ": " << wrong << "\n"
           << to_text(*small) << "becomes\n"
           << to_text(*after);
  }
}

Change passes_with(PassOptions options) {
  return [options = std::move(options)](Graph& graph) -> Result<void> {
    SKERRY_TRY(run_passes(graph, options));
    return {};
  };
}

TEST(RandomGraphs, AllPassesTogether) {
  hold(passes_with({}), 1e-4, 300);
}

class RandomPass : public testing::TestWithParam<Pass> {};

TEST_P(RandomPass, KeepsTheResults) {
  hold(passes_with({.only = {std::string(GetParam().name)}}), 1e-4, 60);
}

INSTANTIATE_TEST_SUITE_P(RandomGraphs, RandomPass, testing::ValuesIn(passes()),
                         [](const auto& test) {
                           std::string name(test.param.name);
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

TEST(RandomGraphs, Equalisation) {
  hold(
      [](Graph& graph) -> Result<void> {
        SKERRY_TRY(equalise(graph));
        return {};
      },
      1e-4, 100);
}

TEST(RandomGraphs, WeightsInHalfPrecision) {
  hold(
      [](Graph& graph) -> Result<void> {
        SKERRY_TRY(store_weights_as(graph, WeightFormat::kFp16));
        return {};
      },
      0.02, 100);
}

// A share of nothing takes nothing, whatever depends on what; half of it leaves a graph that runs.
TEST(RandomGraphs, Pruning) {
  hold(
      [](Graph& graph) -> Result<void> {
        SKERRY_TRY(prune_channels(graph, {.share = 0}));
        return {};
      },
      1e-9, 100);
  hold(
      [](Graph& graph) -> Result<void> {
        SKERRY_TRY(prune_channels(graph, {.share = 0.5, .multiple_of = 1}));
        return {};
      },
      1e30, 200);
}

// By how much integers miss depends on the graph; that they are a graph that runs does not.
TEST(RandomGraphs, IntegersRun) {
  const Change quantise = [](Graph& graph) -> Result<void> {
    SKERRY_TRY(run_passes(graph));
    const std::vector<Sample> samples = {graph::random_inputs(graph, 1),
                                         graph::random_inputs(graph, 2)};
    SKERRY_ASSIGN(const Calibration calibration, calibrate(graph, samples));
    SKERRY_TRY(quantise_static(graph, calibration));
    return {};
  };
  hold(quantise, 1e30, 100);
}

}  // namespace
}  // namespace skerry::optimise
