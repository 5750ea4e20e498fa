// How long all passes take on a model: the whole table, as `skerry model optimise` runs it.
//
//   passes_bench MODEL...     medians, and the passes that took longest
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "graph/model_file.h"
#include "optimise/pass.h"

namespace {

using Clock = std::chrono::steady_clock;

constexpr int kRounds = 9;

skerry::Result<void> measure(const std::string& path) {
  SKERRY_ASSIGN(const auto file, skerry::graph::read_model_file(path));
  std::vector<double> times;
  std::vector<skerry::optimise::PassReport> reports;
  size_t nodes = 0;
  for (int round = 0; round < kRounds; ++round) {
    const auto graph = file.graph->clone();
    const auto begin = Clock::now();
    SKERRY_ASSIGN(reports, skerry::optimise::run_passes(*graph));
    times.push_back(std::chrono::duration<double, std::milli>(Clock::now() - begin).count());
    nodes = graph->nodes().size();
  }
  std::ranges::sort(times);
  std::ranges::sort(reports, std::greater(), &skerry::optimise::PassReport::ms);
  fmt::print("passes  {:6.1f} ms  {:>4} nodes become {:>4}  {} ({} {:.1f} ms, {} {:.1f} ms)\n",
             times[times.size() / 2], file.graph->nodes().size(), nodes,
             std::filesystem::path(path).filename().string(), reports[0].name, reports[0].ms,
             reports[1].name, reports[1].ms);
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    if (const auto measured = measure(argv[i]); !measured) {
      fmt::print(stderr, "passes_bench: {}: {}\n", argv[i], measured.error().message());
      return 1;
    }
  }
  return argc > 1 ? 0 : 2;
}
