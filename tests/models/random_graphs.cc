// Random graphs as ONNX files, with inputs and what the reference executor makes of them:
//
//   random_graphs DIRECTORY FIRST_SEED COUNT       SEED.onnx, SEED.in.NAME.npy, SEED.out.I.npy
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "graph/executor.h"
#include "graph/onnx/export.h"
#include "graph/random_graph.h"
#include "tensor/npy.h"

namespace {

void write_npy(const std::string& path, const skerry::tensor::TensorView& tensor) {
  const auto bytes = skerry::tensor::to_npy(tensor);
  std::ofstream file(path, std::ios::binary);
  if (bytes) file.write(bytes->data(), static_cast<std::streamsize>(bytes->size()));
}

int write_graph(const std::string& base, uint64_t seed) {
  const auto graph = skerry::graph::random_graph(seed, {.nodes = 2 + seed % 20});
  const auto inputs = skerry::graph::random_inputs(*graph, seed);
  const auto written = skerry::graph::onnx::export_file(*graph, base + ".onnx");
  const auto outputs = skerry::graph::Executor(*graph).run(skerry::tensor::views_of(inputs));
  if (!written || !outputs) {
    std::fprintf(stderr, "seed %llu: %s\n", static_cast<unsigned long long>(seed),
                 (written ? outputs.error() : written.error()).message().c_str());
    return 1;
  }
  for (const auto& input : inputs) write_npy(base + ".in." + input.name + ".npy", input.view());
  for (size_t i = 0; i < outputs->size(); ++i) {
    write_npy(base + ".out." + std::to_string(i) + ".npy", (*outputs)[i].view());
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const uint64_t first = std::strtoull(argv[2], nullptr, 10);
  const uint64_t count = std::strtoull(argv[3], nullptr, 10);
  int failed = 0;
  for (uint64_t seed = first; seed < first + count; ++seed) {
    failed |= write_graph(std::string(argv[1]) + "/" + std::to_string(seed), seed);
  }
  return failed;
}
