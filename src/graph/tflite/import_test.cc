// Import of TFLite models: damaged ones, sparse weights. What models compute is compared with stock
// LiteRT in tests/models/tflite_test.py.
#include "graph/tflite/import.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "graph/onnx/tensors.h"
#include "graph/text.h"
#include "graph/tflite/constants.h"
#include "graph/tflite/export.h"
#include "test_paths.h"

namespace skerry::graph::tflite {
namespace {

using testing::HasSubstr;
using Bytes = std::shared_ptr<const tensor::Bytes>;

Bytes model(const std::string& name) {
  const auto bytes = onnx::read_whole_file(std::string(SKERRY_SOURCE_DIR "/src/") + name, 1 << 24);
  EXPECT_TRUE(bytes) << bytes.error().message();
  return bytes ? *bytes : std::make_shared<tensor::Bytes>();
}

constexpr const char* kKeywords = "runtime/testdata/keywords_int8.tflite";
constexpr const char* kStreaming = "graph/testdata/mlperf_tiny/str_ww_ref_model.tflite";

std::map<std::string_view, int> operators_of(const Graph& graph) {
  std::map<std::string_view, int> made;
  for (const auto& node : graph.nodes()) ++made[node->op().name()];
  return made;
}

TEST(TfliteImport, IntegersStayIntegersWithLayersInOnnxsOrder) {
  const auto imported = import_bytes(model(kKeywords));
  ASSERT_TRUE(imported) << imported.error().message();
  const std::string text = to_text(*imported->graph);
  EXPECT_THAT(text, HasSubstr("INT8[\"batch\",49,10,1] q("));
  auto made = operators_of(*imported->graph);
  EXPECT_EQ(made["QLinearConv"], 9);
  EXPECT_EQ(made["QGemm"], 1);
  EXPECT_EQ(made["QLinearSoftmax"], 1);
  EXPECT_LE(made["Transpose"], 2);  // in front and behind
  const Value& output = *imported->graph->outputs()[0];
  ASSERT_TRUE(output.type().quantisation);
  EXPECT_EQ(output.type().quantisation->scales, std::vector<float>{1.0F / 256});
}

// What they compute is compared with LiteRT in tests/models/tflite_test.py.
TEST(TfliteImport, RecurrentLayersBecomeStepsAndState) {
  struct Case {
    const char* name;
    int gates, rounded;  // Sigmoid, QuantizeLinear
    std::vector<std::string> inputs;
  };
  const Case cases[] = {
      {"lstm", 6, 0, {"x", "h", "c"}},
      // Two steps; all of the input's sums at once, the result, and of each step: sums twice, a
      // peephole and what is added to it for three gates, four that are normalised, three of the
      // cell, what it shows, what is projected.
      {"lstm_int8", 6, 2 + 2 * (2 + 2 * 3 + 4 + 3 + 1 + 1), {"x", "hidden", "cell"}},
      {"lstm_int8_coupled", 4, 2 + 2 * (2 + 3 + 1), {"x", "hidden", "cell"}},
      {"rnn", 0, 0, {"x", "h"}},
      {"svdf", 0, 0, {"x", "s"}},
  };
  for (const auto& [name, gates, rounded, inputs] : cases) {
    SCOPED_TRACE(name);
    const auto imported = import_bytes(model(std::string("../fuzz/corpus/tflite_import/") + name));
    ASSERT_TRUE(imported) << imported.error().message();
    auto made = operators_of(*imported->graph);
    EXPECT_EQ(made["Sigmoid"], gates);
    EXPECT_EQ(made["QuantizeLinear"], rounded);
    std::vector<std::string> names;
    for (const auto& input : imported->graph->inputs()) names.emplace_back(input->name());
    EXPECT_EQ(names, inputs);
    for (size_t i = 1; i < inputs.size(); ++i) {
      EXPECT_EQ(imported->graph->inputs()[i]->type().element, DataType::kFp32);
      EXPECT_NE(to_text(*imported->graph).find(inputs[i] + "/next"), std::string::npos);
    }
  }
}

TEST(TfliteImport, CutFilesAreRefused) {
  const Bytes whole = model(kKeywords);
  for (size_t size = 0; size < whole->size() * 9 / 10; size += 1 + size / 60) {
    const auto cut = std::make_shared<const tensor::Bytes>(
        whole->begin(), whole->begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_FALSE(import_bytes(cut)) << size;
  }
}

TEST(TfliteImport, DamagedFilesAreRefusedOrGraphs) {
  std::mt19937 random(5);
  for (const char* name : {kKeywords, kStreaming}) {
    const Bytes whole = model(name);
    size_t graphs = 0;
    for (int round = 0; round < 400; ++round) {
      auto damaged = std::make_shared<tensor::Bytes>(*whole);
      // Most of what is not weights is at the end.
      const size_t first = round % 2 == 0 ? 0 : damaged->size() * 3 / 4;
      for (int i = 0; i < 3; ++i) {
        (*damaged)[first + random() % (damaged->size() - first)] = std::byte(random() & 0xff);
      }
      const auto imported = import_bytes(damaged);
      if (!imported) continue;
      ++graphs;
      EXPECT_TRUE(parse_text(to_text(*imported->graph)));
    }
    EXPECT_GT(graphs, 10u);
  }
}

TEST(TfliteExport, WhatIsImportedIsWrittenAndImportedAgain) {
  for (const char* name : {kKeywords, kStreaming, "graph/testdata/mlperf_tiny/ad01_int8.tflite",
                           "graph/testdata/mlperf_tiny/pretrainedResnet_quant.tflite"}) {
    const auto imported = import_bytes(model(name));
    ASSERT_TRUE(imported) << imported.error().message();
    const auto written = export_bytes(*imported->graph);
    ASSERT_TRUE(written) << written.error().message();
    const auto first = reinterpret_cast<const std::byte*>(written->data());
    const auto again =
        import_bytes(std::make_shared<const tensor::Bytes>(first, first + written->size()));
    ASSERT_TRUE(again) << again.error().message();
    EXPECT_EQ(operators_of(*again->graph), operators_of(*imported->graph)) << name;
    EXPECT_LE(written->size(), model(name)->size() * 11 / 10);
  }
}

// [[1, 0, 0, 2], [0, 0, 3, 0]]
TensorTable sparse_table() {
  TensorTable table{.name = "w", .shape = {2, 4}};
  table.sparsity = Sparsity{.order = {0, 1}};
  table.sparsity->dimensions = {{.is_dense = true, .size = 2},
                                {.is_dense = false, .segments = {0, 2, 3}, .indices = {0, 3, 2}}};
  return table;
}

Result<Constant> dense(const TensorTable& table, const std::vector<float>& stored) {
  return densified(table, DataType::kFp32, std::as_bytes(std::span(stored)), 1 << 20);
}

TEST(TfliteImport, SparseWeightsBecomeDense) {
  const auto made = dense(sparse_table(), {1, 2, 3});
  ASSERT_TRUE(made) << made.error().message();
  const auto numbers = made->as<float>();
  EXPECT_EQ(std::vector<float>(numbers.begin(), numbers.end()),
            (std::vector<float>{1, 0, 0, 2, 0, 0, 3, 0}));
  // Blocks of 1×2: the second dimension is counted in twos.
  TensorTable blocks{.name = "w", .shape = {2, 4}};
  blocks.sparsity = Sparsity{.order = {0, 1, 2}, .block_map = {1}};
  blocks.sparsity->dimensions = {{.is_dense = true, .size = 2},
                                 {.is_dense = false, .segments = {0, 1, 2}, .indices = {1, 0}},
                                 {.is_dense = true, .size = 2}};
  const auto blocked = dense(blocks, {1, 2, 3, 4});
  ASSERT_TRUE(blocked) << blocked.error().message();
  const auto blocked_numbers = blocked->as<float>();
  EXPECT_EQ(std::vector<float>(blocked_numbers.begin(), blocked_numbers.end()),
            (std::vector<float>{0, 0, 1, 2, 3, 4, 0, 0}));
}

TEST(TfliteImport, SparseTablesThatDoNotAddUpAreRefused) {
  EXPECT_FALSE(dense(sparse_table(), {1, 2}));
  EXPECT_FALSE(dense(sparse_table(), {1, 2, 3, 4}));
  TensorTable table = sparse_table();
  table.sparsity->dimensions[1].indices = {0, 4, 2};
  EXPECT_FALSE(dense(table, {1, 2, 3}));
  table = sparse_table();
  table.sparsity->dimensions[1].segments = {0, 2, 1000};
  EXPECT_FALSE(dense(table, {1, 2, 3}));
  table = sparse_table();
  table.sparsity->dimensions[0].size = INT64_MAX;
  EXPECT_FALSE(dense(table, {1, 2, 3}));
  table = sparse_table();
  table.shape = {1 << 20, 1 << 20};
  EXPECT_FALSE(dense(table, {1, 2, 3}));
  table = sparse_table();
  table.sparsity->order = {0, 7};
  EXPECT_FALSE(dense(table, {1, 2, 3}));
}

}  // namespace
}  // namespace skerry::graph::tflite
