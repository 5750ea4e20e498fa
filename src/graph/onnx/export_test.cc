// Graphs that are written and read again, in one file and in two, and what cannot be written.
#include "graph/onnx/export.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "graph/onnx/import.h"
#include "graph/text.h"

namespace skerry::graph::onnx {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

std::unique_ptr<Graph> parsed_graph(std::string_view text) {
  auto graph = parse_text(text);
  EXPECT_TRUE(graph) << graph.error().message();
  return graph ? std::move(*graph) : nullptr;
}

std::string there_and_back(const Graph& graph) {
  auto bytes = export_bytes(graph);
  if (!bytes) return bytes.error().message();
  const auto again = import_bytes(std::make_shared<const tensor::Bytes>(std::move(*bytes)), "");
  return again ? to_text(*again->graph) : again.error().message();
}

TEST(OnnxExport, EverythingThatAGraphHoldsComesBack) {
  const auto graph = parsed_graph(R"(graph "all" {
  input %x: FP32["batch",3]
  input %"a b": INT8[2] q(axis=0, scales=[0.5,0.25], zero_points=[0,-3])
  input %c: BOOL[]
  const %w = FP32[3,2] {1, 2, 3, 4, 5, 6.5}
  const %s = BYTES[2] {"a \"b\"", ""}
  const %n = INT4[3] {-8, 7, 1}
  const %h = BF16[2] {0.5, 3}
  const %one = FP32[] {0.125}
  %y: FP32["batch",2] = Gemm(%x, %w) {alpha=0.5f} "fc 1"
  %"odd name": FP32["batch",2] = Dropout(%y) "keep"
  %l: INT64[2] = LabelEncoder(%s) {keys_strings=s["a", "b"], values_int64s=[4, 5]}
  %d: FP32[3] = DequantizeLinear(%n, %one)
  %e: FP64[3] = Cast(%d) {to=type FP64}
  %z: FP32["batch",2] = If(%c) "choose"
    graph "then" {
      const %two = FP32[] {2}
      %t: FP32["batch",2] = Mul(%y, %two) "t"
      return %t
    }
    graph "else" {
      %u: FP32["batch",2] = Relu(%"odd name")
      return %u
    }
  return %z, %y, %e, %h, %"a b", %l
}
)");
  ASSERT_TRUE(graph);
  EXPECT_EQ(there_and_back(*graph), to_text(*graph));
}

// In ONNX a branch makes what it returns, and a value is an output once.
TEST(OnnxExport, OutputsThatOnnxDoesNotAllowAreCopied) {
  const auto graph = parsed_graph(R"(graph "copies" {
  input %x: FP32[2]
  input %c: BOOL[]
  %y: FP32[2] = If(%c)
    graph "then" {
      return %x
    }
    graph "else" {
      %t: FP32[2] = Relu(%x)
      return %t
    }
  return %y, %y
}
)");
  ASSERT_TRUE(graph);
  const std::string text = there_and_back(*graph);
  EXPECT_THAT(text,
              HasSubstr("%x/copy_2: FP32[2] = Identity(%x) \"x/copy_2\"\n      return %x/copy_2"));
  EXPECT_THAT(text, HasSubstr("return %y, %y/copy_"));
  EXPECT_EQ(there_and_back(*parsed_graph(text)), text);
}

TEST(OnnxExport, NamesOfNodesBecomeUnique) {
  const auto graph = parsed_graph(R"(graph "names" {
  input %x: FP32[2]
  %a: FP32[2] = Relu(%x) "same"
  %b: FP32[2] = Relu(%a) "same"
  return %b
}
)");
  ASSERT_TRUE(graph);
  EXPECT_THAT(there_and_back(*graph), HasSubstr("\"same\"\n  %b: FP32[2] = Relu(%a) \"same_2\""));
}

TEST(OnnxExport, WeightsGoIntoASecondFile) {
  const fs::path folder = fs::path(testing::TempDir()) / "skerry-export-test";
  fs::remove_all(folder);
  fs::create_directories(folder);
  Graph graph;
  graph.name = "big";
  Value& x = graph.add_input("x", {DataType::kFp32, fixed_shape(std::vector<int64_t>{1, 500})});
  std::vector<float> numbers(500 * 4);
  for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<float>(i);
  Value& w = graph.add_constant("w", Constant::of(DataType::kFp32, {500, 4}, numbers));
  Value& b = graph.add_constant("b", Constant::of(DataType::kFp32, {4}, std::vector<float>(4, 1)));
  graph.add_output(graph.add("Gemm", {&x, &w, &b}, {}, "y"));
  const std::string path = folder / "model.onnx";
  ASSERT_TRUE(export_file(graph, path, {.external_from = 1024}));
  EXPECT_EQ(fs::file_size(path + ".data"), 500u * 4 * 4);
  EXPECT_LT(fs::file_size(path), 1000u);
  const auto again = import_file(path);
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(*again->graph->find("w")->constant(), *w.constant());
  EXPECT_EQ(again->bytes, fs::file_size(path) + fs::file_size(path + ".data"));
  fs::remove(path + ".data");
  EXPECT_FALSE(import_file(path));
  fs::remove_all(folder);
}

TEST(OnnxExport, AnOperatorSetThatLacksAnOperatorIsRefusedByName) {
  const auto graph = parsed_graph(R"(graph "norm" {
  input %x: FP32[2,3]
  const %s = FP32[3] {1, 2, 3}
  %y: FP32[2,3] = RMSNormalization(%x, %s) "norm 1"
  return %y
}
)");
  ASSERT_TRUE(graph);
  EXPECT_EQ(there_and_back(*graph), to_text(*graph));
  const auto refused = export_bytes(*graph, {.opset = 21});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("RMSNormalization 'norm 1' needs"));
  EXPECT_FALSE(export_bytes(*graph, {.opset = 24}));
}

TEST(OnnxExport, AttentionGoesAsItsPartsIntoAnOperatorSetThatLacksIt) {
  const auto graph = parsed_graph(R"(graph "attention" {
  input %x: FP32[2,3,4]
  input %c: BOOL[]
  %y: FP32[2,3,4] = If(%c)
    graph "then" {
      %t: FP32[2,3,4] = Attention(%x, %x, %x) {kv_num_heads=2, q_num_heads=2} "heads"
      return %t
    }
    graph "else" {
      %u: FP32[2,3,4] = Relu(%x)
      return %u
    }
  return %y
}
)");
  ASSERT_TRUE(graph);
  const std::string text = to_text(*graph);
  EXPECT_EQ(there_and_back(*graph), text);
  auto bytes = export_bytes(*graph, {.opset = 22});
  ASSERT_TRUE(bytes) << bytes.error().message();
  EXPECT_EQ(to_text(*graph), text);  // a copy was changed
  const auto older = import_bytes(std::make_shared<const tensor::Bytes>(std::move(*bytes)), "");
  ASSERT_TRUE(older) << older.error().message();
  EXPECT_EQ(older->opset, 22);
  EXPECT_THAT(to_text(*older->graph), testing::Not(HasSubstr("Attention(")));
  EXPECT_THAT(to_text(*older->graph), HasSubstr("Softmax("));
}

}  // namespace
}  // namespace skerry::graph::onnx
