// Counts times cycles. The cycles of targets that are measured come from bench/tuning, those of the
// others from what their makers say.
#include "compile/cost_model.h"

#include <algorithm>
#include <cstdint>
#include <string_view>

namespace skerry::compile {
namespace {

// Cycles of each kind of work, for FP32 and for bytes; by the target's name.
struct CostRow {
  std::string_view target;
  Work reals, bytes;
};

// Arm's software optimization guides for the cores: throughput of FMLA and LDR of 128 bits, of SDOT
// where there is one, else of SMLAL; an input by element costs nothing with FMLA. RISC-V: one
// instruction in each cycle, four numbers to a "vector".
constexpr CostRow kCosts[] = {
    {"x86-64-v2", {1, 0.5, 0.5, 1, 6, 4}, {2, 0.5, 1, 2, 8, 4}},
    {"x86-64-v3", {0.5, 0.5, 0.5, 1, 6, 4}, {1, 0.5, 0.5, 2, 8, 4}},
    {"x86-64-v4-vnni", {0.5, 0.5, 0.5, 1, 6, 4}, {0.5, 0.5, 0.5, 2, 8, 4}},
    {"cortex-a53", {1, 2, 0.5, 3, 10, 8}, {4, 2, 3, 10, 12, 4}},
    {"cortex-a72", {1, 1, 0.25, 2, 8, 7}, {4, 1, 2, 8, 10, 4}},
    {"cortex-a76", {0.5, 0.5, 0.25, 1, 6, 4}, {0.5, 0.5, 0.5, 4, 8, 4}},
    {"neoverse-n1", {0.5, 0.5, 0.25, 1, 6, 4}, {0.5, 0.5, 0.5, 4, 8, 4}},
    {"riscv64", {4, 4, 1, 8, 8, 4}, {16, 8, 4, 24, 8, 4}},
};

int64_t parts(int64_t all, int64_t each) {
  return (all + each - 1) / each;
}

struct Cut {
  int64_t size, count;
};
// Whole parts, and what is left.
std::array<Cut, 2> cut(int64_t all, int64_t each) {
  return {Cut{each, all / each}, Cut{all % each, all % each > 0 ? 1 : 0}};
}

Work tile_work(const LayerSizes& layer, const Way& way) {
  const int64_t lanes = way.sizes[0], vectors = way.sizes[1];
  const int64_t most = std::max(way.sizes[2], 1);
  const int64_t pixels = parts(layer.width, parts(layer.width, most));
  const bool by_rows = way.name == "rows";
  const int64_t run = by_rows ? layer.taps_w * layer.inputs : layer.inputs;
  // Bytes go by four, each tap's rounded up.
  const int64_t steps =
      layer.taps_h * (by_rows ? 1 : layer.taps_w) * (layer.of_bytes ? parts(run, 4) : run);
  constexpr double kUnderWay = 8;  // two multiply-adds a cycle, each of which takes four
  Work work{};
  for (const auto [p, tiles_w] : cut(layer.width, pixels)) {
    for (const auto [v, tiles_c] : cut(parts(layer.channels, lanes), vectors)) {
      const auto tiles = static_cast<double>(layer.rows * tiles_w * tiles_c * layer.groups);
      const auto sums = static_cast<double>(p * v);
      if (tiles == 0) continue;
      const auto usual = sums <= 2 ? 4.0 : sums <= 5 ? 2.0 : 1.0;
      const bool is_whole = p == pixels && v == vectors && way.sizes[3] > 0;
      const double chains = is_whole ? way.sizes[3] : usual;
      const auto times = tiles * static_cast<double>(steps);
      work[0] += times * sums;
      work[1] += times * static_cast<double>(v);
      work[2] += times * static_cast<double>(p);
      work[3] += tiles * sums * chains;
      work[4] += tiles;
      work[5] += times * std::max(0.0, 1 - sums * chains / kUnderWay) / chains;
    }
  }
  return work;
}

Work winograd_work(const Target& target, const LayerSizes& layer, const Way& way) {
  const auto vectors = static_cast<double>(way.sizes[0]), tiles = static_cast<double>(way.sizes[1]);
  const auto in = static_cast<double>(layer.inputs);
  const auto out = static_cast<double>(layer.channels) / target.lanes;  // vectors
  const auto all = static_cast<double>(parts(layer.rows, 2) * parts(layer.width, 2));
  const double blocks = static_cast<double>(parts(static_cast<int64_t>(all), way.sizes[1]));
  Work work{};
  work[0] = blocks * 16 * tiles * in * out;
  work[1] = blocks * 16 * in * out;
  work[2] = blocks * 16 * tiles * in * out / vectors;
  // Each tile's 16 numbers there and back, and 4 results.
  work[3] = blocks * tiles * (32 * in / target.lanes + 36 * out);
  work[4] = blocks * 16 * out / vectors;
  return work;
}

}  // namespace

std::optional<Work> work_of(const Target& target, const LayerSizes& layer, const Way& way) {
  if (way.name == "rows" || way.name == "taps") return tile_work(layer, way);
  if (way.name == "winograd") return winograd_work(target, layer, way);
  return {};
}

std::optional<double> expected_cycles(const Target& target, const LayerSizes& layer,
                                      const Way& way) {
  const auto work = work_of(target, layer, way);
  const auto row = std::ranges::find(kCosts, target.name, &CostRow::target);
  if (!work || row == std::end(kCosts)) return {};
  const Work& cycles = layer.of_bytes ? row->bytes : row->reals;
  double sum = 0;
  for (size_t i = 0; i < cycles.size(); ++i) sum += cycles[i] * (*work)[i];
  return sum;
}

std::vector<double> expected_of(const Target& target, const Choice& choice) {
  const auto usual = expected_cycles(target, choice.sizes, choice.ways[0]);
  if (!usual || *usual <= 0) return {};
  std::vector<double> expected;
  for (const Way& way : choice.ways) {
    expected.push_back(expected_cycles(target, choice.sizes, way).value_or(*usual));
  }
  return expected;
}

}  // namespace skerry::compile
