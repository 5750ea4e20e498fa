// Passes and quantisers on random graphs from seeds. What fails is made small and printed.
// SKERRY_GRAPHS=10000 runs more of them, as the nightly tests do.
#include <fmt/format.h>
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
#include "optimise/quantise/smooth.h"
#include "optimise/quantise/static_quantise.h"
#include "optimise/quantise/weight_only.h"

namespace skerry::optimise {
namespace {

using graph::Graph;

uint64_t graphs_wanted(uint64_t otherwise) {
  const char* wanted = std::getenv("SKERRY_GRAPHS");
  return wanted != nullptr ? std::strtoull(wanted, nullptr, 10) : otherwise;
}

// How far b is from a: its largest difference, and the root of the mean of their squares, both over
// a's largest element and 1 at least. Infinite where they are not of the same kind.
struct Distance {
  double largest = INFINITY, mean = INFINITY;
};

Distance distance(const tensor::Tensor& a, const tensor::Tensor& b) {
  if (a.name != b.name || a.shape != b.shape || a.type != b.type) return {};
  if (a.type == tensor::DataType::kBytes) return a.bytes == b.bytes ? Distance{0, 0} : Distance{};
  const auto x = graph::Array::from(a.view()).to_doubles();
  const auto y = graph::Array::from(b.view()).to_doubles();
  double largest = 1;
  for (const double value : x) {
    if (std::isfinite(value)) largest = std::max(largest, std::abs(value));
  }
  Distance found{0, 0};
  for (size_t i = 0; i < x.size(); ++i) {
    if (x[i] == y[i] || (std::isnan(x[i]) && std::isnan(y[i]))) continue;
    const double apart = std::abs(x[i] - y[i]) / largest;
    if (std::isnan(apart)) return {};
    found.largest = std::max(found.largest, apart);
    found.mean += apart * apart / static_cast<double>(x.size());
  }
  found.mean = std::sqrt(found.mean);
  return found;
}

using Change = std::function<Result<void>(Graph&)>;

struct Bound {
  double largest = INFINITY, mean = INFINITY;  // of a Distance
};

// "" where `change` keeps what the graph computes, in double precision; else what is wrong.
std::string wrong_with(const Graph& before, const Change& change, const Bound& bound) {
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
    const Distance apart = distance((*wanted)[i], (*given)[i]);
    if (apart.largest <= bound.largest && apart.mean <= bound.mean) continue;
    return fmt::format("other results in {}: off by {:.3g}, {:.3g} in the mean", (*wanted)[i].name,
                       apart.largest, apart.mean);
  }
  return "";
}

void hold(const Change& change, const Bound& bound, uint64_t count,
          const graph::RandomGraphOptions& options = {}) {
  for (uint64_t seed = 0; seed < graphs_wanted(count); ++seed) {
    const auto graph = graph::random_graph(seed, options);
    const std::string wrong = wrong_with(*graph, change, bound);
    if (wrong.empty()) continue;
    const auto small =
        shrunk(*graph, [&](const Graph& one) { return !wrong_with(one, change, bound).empty(); });
    const auto after = small->clone();
    (void)change(*after);
    FAIL() << "seed " << seed << ": " << wrong << "\n"
           << to_text(*small) << "becomes\n"
           << to_text(*after);
  }
}

constexpr Bound kExact{.largest = 1e-4};  // other sums in another order, constants in FP32
constexpr Bound kRuns{};

Change passes_with(PassOptions options) {
  return [options = std::move(options)](Graph& graph) -> Result<void> {
    SKERRY_TRY(run_passes(graph, options));
    return {};
  };
}

TEST(RandomGraphs, AllPassesTogether) {
  hold(passes_with({}), kExact, 1000);
}

class RandomPass : public testing::TestWithParam<Pass> {};

TEST_P(RandomPass, KeepsTheResults) {
  hold(passes_with({.only = {std::string(GetParam().name)}}), kExact, 60);
}

INSTANTIATE_TEST_SUITE_P(RandomGraphs, RandomPass, testing::ValuesIn(passes()),
                         [](const auto& test) {
                           std::string name(test.param.name);
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

TEST(RandomGraphs, Pruning) {
  // A share of nothing takes nothing, whatever depends on what; half of it leaves a graph that
  // runs.
  hold(
      [](Graph& graph) -> Result<void> {
        SKERRY_TRY(prune_channels(graph, {.share = 0}));
        return {};
      },
      {.largest = 1e-9}, 100);
  hold(
      [](Graph& graph) -> Result<void> {
        SKERRY_TRY(prune_channels(graph, {.share = 0.5, .multiple_of = 1}));
        return {};
      },
      kRuns, 200);
}

// --- Quantisers ---------------------------------------------------------------------------------

Change weights_as(WeightFormat format) {
  return [format](Graph& graph) -> Result<void> {
    SKERRY_TRY(store_weights_as(graph, format));
    return {};
  };
}

// After the passes, by the data that the graph is then asked about and other data.
Result<Calibration> calibrated(Graph& graph, std::vector<Sample>& samples) {
  SKERRY_TRY(run_passes(graph));
  samples = {graph::random_inputs(graph, 1), graph::random_inputs(graph, 2)};
  return calibrate(graph, samples);
}

Change integers_by(StaticOptions options, bool rounded = false) {
  return [options, rounded](Graph& graph) -> Result<void> {
    std::vector<Sample> samples;
    SKERRY_ASSIGN(const Calibration calibration, calibrated(graph, samples));
    StaticOptions with = options;
    SKERRY_ASSIGN(const LayerProducts products, observe_products(graph, samples));
    if (rounded) with.products = &products;
    SKERRY_TRY(quantise_static(graph, calibration, with));
    return {};
  };
}

struct Quantiser {
  const char* name;
  Change change;
  Bound bound;
  bool wide;  // on graphs with weights that are worth it
};

// By how much integers miss depends on the graph behind them: the bounds are what 10,000 graphs of
// a dozen nodes stay in.
std::vector<Quantiser> quantisers() {
  using enum RangeMethod;
  return {
      {"Equalise",
       [](Graph& graph) -> Result<void> {
         SKERRY_TRY(equalise(graph));
         return {};
       },
       kExact, false},
      {"Smooth",
       [](Graph& graph) -> Result<void> {
         std::vector<Sample> samples;
         SKERRY_ASSIGN(const Calibration calibration, calibrated(graph, samples));
         SKERRY_TRY(smooth(graph, calibration));
         return {};
       },
       kExact, true},
      {"WeightsAsFp16", weights_as(WeightFormat::kFp16), {.mean = 0.005}, true},
      {"WeightsAsInt8", weights_as(WeightFormat::kInt8), {.mean = 0.05}, true},
      {"WeightsAsInt4", weights_as(WeightFormat::kInt4), {.mean = 0.5}, true},
      {"Dynamic",
       [](Graph& graph) -> Result<void> {
         SKERRY_TRY(run_passes(graph));
         SKERRY_TRY(quantise_dynamic(graph));
         return {};
       },
       {.mean = 0.2},
       true},
      {"MinMax", integers_by({.method = kMinMax}), {.mean = 0.2}, false},
      {"Percentile", integers_by({.method = kPercentile}), {.mean = 0.2}, false},
      {"Mse", integers_by({.method = kMse}), {.mean = 0.2}, false},
      {"Entropy", integers_by({.method = kEntropy}), {.mean = 1}, false},
      {"Symmetric", integers_by({.symmetric = true, .per_channel = false}), {.mean = 0.2}, false},
      {"SevenBits", integers_by({.seven_bits = true}), {.mean = 0.2}, false},
      {"Rounded", integers_by({.method = kMse}, true), {.mean = 0.2}, false},
      {"Wide", integers_by({}), {.mean = 0.2}, true},
  };
}

class RandomQuantiser : public testing::TestWithParam<Quantiser> {};

TEST_P(RandomQuantiser, KeepsItsBound) {
  const auto& [name, change, bound, wide] = GetParam();
  hold(change, bound, wide ? 40 : 60, {.nodes = wide ? size_t{16} : size_t{12}, .wide = wide});
}

INSTANTIATE_TEST_SUITE_P(RandomGraphs, RandomQuantiser, testing::ValuesIn(quantisers()),
                         [](const auto& test) { return std::string(test.param.name); });

// A quantiser that changes nothing keeps every bound.
TEST(RandomGraphs, EveryQuantiserHasSomethingToDo) {
  for (const Quantiser& quantiser : quantisers()) {
    size_t changed = 0;
    for (uint64_t seed = 0; seed < 40 && changed < 5; ++seed) {
      const auto graph = graph::random_graph(seed, {.nodes = 16, .wide = quantiser.wide});
      ASSERT_TRUE(run_passes(*graph));
      const std::string before = to_text(*graph);
      if (quantiser.change(*graph)) changed += to_text(*graph) != before ? 1 : 0;
    }
    EXPECT_GE(changed, 1u) << quantiser.name;
  }
}

}  // namespace
}  // namespace skerry::optimise
