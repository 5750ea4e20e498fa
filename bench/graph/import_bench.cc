// How long a model takes from file to graph, and from graph to file, and the memory at its peak.
//
//   import_bench MODEL.onnx     writes the model (100 layers, 25 MB), then reads it again and again
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>

#include "graph/onnx/export.h"
#include "graph/onnx/import.h"

namespace {

using skerry::graph::Constant;
using skerry::graph::Graph;
using skerry::graph::Value;
using skerry::tensor::DataType;

constexpr int kLayers = 100;
constexpr int64_t kWidth = 256;
constexpr int kRounds = 15;

std::unique_ptr<Graph> layers() {
  auto graph = std::make_unique<Graph>();
  graph->name = "layers";
  const std::vector<int64_t> shape = {1, kWidth};
  Value* x = &graph->add_input("x", {DataType::kFp32, skerry::graph::fixed_shape(shape)});
  std::vector<float> numbers(kWidth * kWidth);
  for (int layer = 0; layer < kLayers; ++layer) {
    for (float& number : numbers) number = static_cast<float>(std::rand() % 2001 - 1000) / 1e4F;
    Value& w = graph->add_constant(fmt::format("w{}", layer),
                                   Constant::of(DataType::kFp32, {kWidth, kWidth}, numbers));
    x = &graph->add("Relu", {&graph->add("MatMul", {x, &w})});
  }
  graph->add_output(*x);
  return graph;
}

long peak_kb() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

template <class F>
double median_ms(F&& run) {
  std::vector<double> times;
  for (int round = 0; round < kRounds; ++round) {
    const auto start = std::chrono::steady_clock::now();
    run();
    times.push_back(
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
            .count());
  }
  std::ranges::sort(times);
  return times[times.size() / 2];
}

void die(const skerry::Error& error) {
  fmt::print(stderr, "import_bench: {}\n", error.message());
  std::exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::string path = argv[1];
  if (!std::filesystem::exists(path)) {  // in a process of its own, which does not count
    const auto written = skerry::graph::onnx::export_file(*layers(), path);
    if (!written) die(written.error());
    return 0;
  }
  const long before = peak_kb();
  const double import_ms = median_ms([&] {
    const auto imported = skerry::graph::onnx::import_file(path);
    if (!imported) die(imported.error());
  });
  const long peak = peak_kb() - before;
  const auto size = static_cast<double>(std::filesystem::file_size(path));
  const auto imported = skerry::graph::onnx::import_file(path);
  if (!imported) die(imported.error());
  const double export_ms = median_ms([&] {
    const auto written = skerry::graph::onnx::export_file(*imported->graph, path + ".copy");
    if (!written) die(written.error());
  });
  fmt::print(
      "skerry  import {:6.1f} ms  export with fsync {:6.1f} ms  {:.1f} MB  peak {:.2f} x the "
      "file\n",
      import_ms, export_ms, size / 1e6, static_cast<double>(peak) * 1024 / size);
}
