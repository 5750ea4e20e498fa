// The operator vectors of ONNX itself (Debian's libonnx-testdata): every one that the table does
// not name gives the expected outputs, and every one that it names does not.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "graph/executor.h"
#include "graph/onnx/export.h"
#include "graph/onnx/import.h"
#include "graph/onnx/tensors.h"
#include "graph/text.h"
#include "test_paths.h"

namespace skerry::graph {
namespace {

namespace fs = std::filesystem;

constexpr const char* kVectors = "/usr/share/libonnx-testdata/data";
constexpr const char* kTable = SKERRY_SOURCE_DIR "/src/graph/testdata/onnx_vectors.txt";

std::string where(const char* text) {
  const char* other = std::getenv("SKERRY_ONNX_VECTORS");
  return other != nullptr ? other : text;
}

Result<Constant> read_tensor(const fs::path& path) {
  SKERRY_ASSIGN(const auto bytes, onnx::read_file_below(path.parent_path().string(),
                                                        path.filename().string(), 1 << 28));
  const std::string_view text(reinterpret_cast<const char*>(bytes->data()), bytes->size());
  SKERRY_ASSIGN(const auto tensor, onnx::parse_tensor(text));
  return onnx::TensorSource(bytes, "", {}).constant(tensor);
}

bool is_close(double got, double expected, double tolerance) {
  if (std::isnan(expected)) return std::isnan(got);
  if (std::isinf(expected)) return got == expected;
  return std::abs(got - expected) <= 1e-6 + tolerance * std::abs(expected);
}

Result<void> compare(const tensor::Tensor& got, const Constant& expected) {
  if (got.type != expected.type() || got.shape != expected.shape()) {
    return fail(Code::kInternal, "got " + tensor::describe(got.type, got.shape) + ", expected " +
                                     tensor::describe(expected.type(), expected.shape()));
  }
  if (!tensor::is_float(got.type)) {
    if (std::ranges::equal(got.bytes, expected.bytes())) return {};
    return fail(Code::kInternal, "other elements than expected");
  }
  const auto left = Array::from(got.view()).to_doubles();
  const auto right = Array::from(expected.view()).to_doubles();
  const bool half = tensor::size_of(got.type) == 2;
  for (size_t i = 0; i < left.size(); ++i) {
    if (is_close(left[i], right[i], half ? 2e-3 : 1e-3)) continue;
    return fail(Code::kInternal, "element " + std::to_string(i) + " is " + std::to_string(left[i]) +
                                     ", expected " + std::to_string(right[i]));
  }
  return {};
}

Result<void> run_case(const fs::path& folder) {
  SKERRY_ASSIGN(const auto imported, onnx::import_file(folder / "model.onnx"));
  const Graph& graph = *imported.graph;
  for (const auto& data : fs::directory_iterator(folder)) {
    if (!data.is_directory()) continue;
    std::vector<Constant> held;
    std::vector<tensor::TensorView> inputs;
    for (size_t i = 0; i < graph.inputs().size(); ++i) {
      SKERRY_ASSIGN(auto input, read_tensor(data.path() / ("input_" + std::to_string(i) + ".pb")));
      held.push_back(std::move(input));
    }
    for (size_t i = 0; i < held.size(); ++i) {
      inputs.push_back(held[i].view());
      inputs.back().name = graph.inputs()[i]->name();
    }
    SKERRY_ASSIGN(const auto outputs, Executor(graph).run(inputs));
    for (size_t i = 0; i < outputs.size(); ++i) {
      SKERRY_ASSIGN(const auto expected,
                    read_tensor(data.path() / ("output_" + std::to_string(i) + ".pb")));
      SKERRY_TRY(compare(outputs[i], expected));
    }
  }
  return {};
}

std::map<std::string, std::string> known_gaps() {
  std::map<std::string, std::string> gaps;
  std::ifstream file(kTable);
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    const size_t space = line.find(' ');
    EXPECT_NE(space, std::string::npos) << line << ": a reason is missing";
    gaps[line.substr(0, space)] = line.substr(std::min(space, line.size()));
  }
  return gaps;
}

TEST(OnnxVectors, PassUnlessTheTableSaysWhyNot) {
  const fs::path root = where(kVectors);
  if (!fs::exists(root)) GTEST_SKIP() << "libonnx-testdata is not installed: run ./dev setup";
  const auto gaps = known_gaps();
  size_t passed = 0;
  size_t total = 0;
  for (const char* family : {"node", "simple", "pytorch-converted", "pytorch-operator"}) {
    for (const auto& folder : fs::directory_iterator(root / family)) {
      const std::string name = std::string(family) + "/" + folder.path().filename().string();
      const auto result = run_case(folder.path());
      const bool known = gaps.contains(name);
      ++total;
      passed += result ? 1 : 0;
      if (!result && !known) ADD_FAILURE() << name << ": " << result.error().message();
      if (result && known) ADD_FAILURE() << name << " passes: take it out of " << kTable;
    }
  }
  RecordProperty("passed", std::to_string(passed));
  std::printf("%zu of %zu vectors pass\n", passed, total);
  EXPECT_GE(total, 1000u);
}

// The text of what comes back.
Result<std::string> exported_and_imported(const Graph& graph) {
  SKERRY_ASSIGN(auto bytes, onnx::export_bytes(graph));
  SKERRY_ASSIGN(const auto again,
                onnx::import_bytes(std::make_shared<const tensor::Bytes>(std::move(bytes)), ""));
  return to_text(*again.graph);
}

TEST(OnnxVectors, WhatIsImportedIsExportedAndImportedAgain) {
  const fs::path root = where(kVectors);
  if (!fs::exists(root)) GTEST_SKIP() << "libonnx-testdata is not installed: run ./dev setup";
  size_t total = 0;
  for (const char* family : {"node", "simple", "pytorch-converted", "pytorch-operator"}) {
    for (const auto& folder : fs::directory_iterator(root / family)) {
      auto imported = onnx::import_file(folder.path() / "model.onnx");
      if (!imported) continue;
      Graph& graph = *imported->graph;
      if (graph.name.empty()) graph.name = "graph";
      const auto again = exported_and_imported(graph);
      ASSERT_TRUE(again) << folder.path() << ": " << again.error().message();
      EXPECT_EQ(*again, to_text(graph)) << folder.path();
      ++total;
    }
  }
  EXPECT_GE(total, 950u);
}

}  // namespace
}  // namespace skerry::graph
