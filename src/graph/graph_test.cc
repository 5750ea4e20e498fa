// The IR itself: edges, order, text, verifier, inference, statistics.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "graph/executor.h"
#include "graph/inference.h"
#include "graph/operator.h"
#include "graph/statistics.h"
#include "graph/text.h"
#include "graph/verify.h"

namespace skerry::graph {
namespace {

using testing::HasSubstr;

constexpr const char* kTiny = R"(graph "tiny" {
  input %x: FP32[batch,3]
  input %c: BOOL[]
  const %w = FP32[3,2] {1, 2, 3, 4, 5, 6.5}
  const %h = FP16[2] {0.5, 65504}
  const %n = INT4[3] {-8, 7, 1}
  const %s = BYTES[2] {"a \"b\"", ""}
  %y: FP32["batch",2] = Gemm(%x, %w, _) {alpha=0.5f} "fc 1"
  %"odd name": FP32["batch",2], _ = Dropout(%y) "keep"
  %z: FP32["batch",2] = If(%c) "choose"
    graph "then" {
      %t: FP32["batch",2] = Relu(%y) "t"
      return %t
    }
    graph "else" {
      return %"odd name"
    }
  return %z, %y
}
)";

std::unique_ptr<Graph> parsed(std::string_view text) {
  auto graph = parse_text(text);
  EXPECT_TRUE(graph) << graph.error().message();
  return graph ? std::move(*graph) : nullptr;
}

std::string refusal(std::string_view text) {
  const auto graph = parse_text(text);
  return graph ? "was accepted" : graph.error().message();
}

TEST(Graph, TextGoesBothWays) {
  const auto graph = parsed(kTiny);
  ASSERT_TRUE(graph);
  const std::string text = to_text(*graph);
  const auto again = parsed(text);
  ASSERT_TRUE(again);
  EXPECT_EQ(to_text(*again), text);
  EXPECT_EQ(*again->find("w")->constant(), *graph->find("w")->constant());
  EXPECT_THAT(text, HasSubstr("Gemm(%x, %w, _) {alpha=0.5f} \"fc 1\""));
}

TEST(Graph, ASliceGoesBackAsFarAsItCan) {
  const auto graph = parsed(R"(graph "back" {
  const %x = FP32[3] {1, 2, 3}
  const %start = INT64[1] {-1}
  const %end = INT64[1] {-9223372036854775808}
  const %axis = INT64[1] {0}
  %y: FP32[3] = Slice(%x, %start, %end, %axis, %start)
  return %y
}
)");
  ASSERT_TRUE(graph);
  const auto outputs = Executor(*graph).run({});
  ASSERT_TRUE(outputs) << outputs.error().message();
  EXPECT_EQ(Array::from((*outputs)[0].view()).to_doubles(), (std::vector<double>{3, 2, 1}));
}

TEST(Graph, ACloneIsTheSameAndItsOwn) {
  const auto graph = parsed(kTiny);
  const auto copy = graph->clone();
  EXPECT_EQ(to_text(*copy), to_text(*graph));
  ASSERT_TRUE(verify(*copy));
  EXPECT_NE(copy->find("y"), graph->find("y"));
}

TEST(Graph, EveryOperatorHasItsRow) {
  for (const std::string_view name : internal::kNames) {
    const auto op = Op::find(name);
    ASSERT_TRUE(op) << name;
    EXPECT_EQ(operator_of(*op).op.name(), name);
    EXPECT_NE(operator_of(*op).infer, nullptr) << name;
    EXPECT_NE(operator_of(*op).evaluate, nullptr) << name;
  }
}

TEST(Graph, RewritingKeepsBothEndsOfEdges) {
  const auto graph = parsed(kTiny);
  Value& y = *graph->find("y");
  EXPECT_EQ(y.uses().size(), 3u);  // Dropout, Relu in the subgraph, the graph's output
  Node& gemm = *y.producer();
  const Node* second = std::next(graph->nodes().begin())->get();
  Value& half =
      *graph->add_node({.op = "Relu", .inputs = {gemm.input(0)}, .outputs = {"y"}}, second)
           .output(0);
  EXPECT_EQ(half.name(), "y_1");
  y.replace_uses(half);
  EXPECT_TRUE(y.uses().empty());
  graph->erase(gemm);
  EXPECT_EQ(graph->find("y"), nullptr);
  EXPECT_EQ(graph->outputs()[1], &half);
  TypeInference inference;
  half.set_type({DataType::kFp32, Shape{Dim::named("batch"), Dim(3)}});
  ASSERT_TRUE(inference.infer(*graph));
  const auto verified = verify(*graph);
  EXPECT_TRUE(verified) << verified.error().message();
}

TEST(Graph, SortMendsTheOrderAndNamesACycle) {
  Graph graph;
  Value& x = graph.add_input("x", {DataType::kFp32, Shape{Dim(1)}});
  Node& first = graph.add_node({.op = "Relu", .name = "first", .inputs = {&x}, .outputs = {"a"}});
  Node& second = graph.add_node({.op = "Abs", .name = "second", .inputs = {&x}, .outputs = {"b"}});
  graph.add_output(*first.output(0));
  first.set_input(0, second.output(0));
  EXPECT_THAT(verify(graph).error().message(), HasSubstr("Relu 'first': reads 'b' before"));
  ASSERT_TRUE(graph.sort());
  EXPECT_TRUE(verify(graph));
  EXPECT_EQ(graph.nodes().front().get(), &second);
  second.set_input(0, first.output(0));
  EXPECT_THAT(graph.sort().error().message(), HasSubstr("cycle"));
  second.set_input(0, &x);
  EXPECT_TRUE(graph.sort());
}

TEST(Graph, VerifierAndInferenceNameTheNode) {
  const auto with = [](const std::string& node) {
    return refusal("graph \"g\" {\n input %x: FP32[2,3]\n input %i: INT64[2]\n" + node +
                   "\n return %y\n}");
  };
  EXPECT_THAT(with("%y = Gemm(%x, %x) \"fc\""), HasSubstr("Gemm 'fc': FP32[2,3] and FP32[2,3]"));
  EXPECT_THAT(with("%y = Add(%x, %i) \"sum\""), HasSubstr("one element type"));
  EXPECT_THAT(with("%y = Add(%x) \"sum\""), HasSubstr("input 'B' is missing"));
  EXPECT_THAT(with("%y = Relu(%x) {alpha=1f}"), HasSubstr("attribute 'alpha'"));
  EXPECT_THAT(with("%y = Softmax(%x) {axis=2}"), HasSubstr("axis 2 is not one of 2 dimensions"));
  EXPECT_THAT(with("%y = Softmax(%x) {axis=1f}"), HasSubstr("wrong type"));
  EXPECT_THAT(with("%y = Reshape(%x, %x)"), HasSubstr("'shape' cannot be FP32[2,3]"));
  EXPECT_THAT(with("%y: FP32[3] = Relu(%x)"), HasSubstr("'y' is FP32[2,3], it says FP32[3]"));
  EXPECT_THAT(with("%y = Nothing(%x)"), HasSubstr("line 4: there is no operator 'Nothing'"));
  EXPECT_THAT(with("%y = Relu(%z)"), HasSubstr("'z' is not made before"));
  EXPECT_THAT(with("%y = Concat(%x)"), HasSubstr("attribute 'axis' is missing"));
}

TEST(Graph, TextParserHasLimits) {
  EXPECT_THAT(refusal("graph \"g"), HasSubstr("no end"));
  EXPECT_THAT(refusal(""), HasSubstr("expected 'graph '"));
  EXPECT_THAT(refusal("graph \"g\" { const %c = FP32[9223372036854775807,9] {1} return %c }"),
              HasSubstr("too many"));
  std::string deep = "graph \"g\" { input %c: BOOL[] ";
  for (int i = 0; i < 1000; ++i) deep += "%v" + std::to_string(i) + " = If(%c) graph \"g\" { ";
  EXPECT_THAT(refusal(deep), HasSubstr("nested too deep"));
}

// What exporters write for x.view(x.size(0), -1).
TEST(Graph, ShapesThatAreComputedAreFollowed) {
  const auto graph = parsed(R"(graph "view" {
  input %x: FP32[n,4,5]
  const %zero = INT64[] {0}
  const %axes = INT64[1] {0}
  const %rest = INT64[1] {-1}
  %shape = Shape(%x)
  %n = Gather(%shape, %zero)
  %n1 = Unsqueeze(%n, %axes)
  %target = Concat(%n1, %rest) {axis=0}
  %y = Reshape(%x, %target)
  return %y
})");
  EXPECT_EQ(to_string(graph->find("y")->type()), "FP32[n,20]");
}

TEST(Graph, StatisticsOfAConvolution) {
  const auto graph = parsed(R"(graph "conv" {
  input %x: FP32[n,3,8,8]
  const %w = FP32[4,3,1,1] {1,1,1,1,1,1,1,1,1,1,1,1}
  %y = Conv(%x, %w) {strides=[2,2]}
  %z = Relu(%y)
  return %z
})");
  EXPECT_FALSE(statistics_of(*graph).complete);
  const auto one = with_open_dimensions(*graph, 1);
  ASSERT_TRUE(one) << one.error().message();
  const Statistics statistics = statistics_of(**one);
  EXPECT_TRUE(statistics.complete);
  EXPECT_EQ(statistics.macs, 4 * 4 * 4 * 3);
  EXPECT_EQ(statistics.parameters, 12);
  EXPECT_EQ(statistics.parameter_bytes, 48);
  // The input, and the convolution's output.
  EXPECT_EQ(statistics.peak_activation_bytes, 4 * (3 * 64 + 4 * 16));
  ASSERT_EQ(statistics.nodes.size(), 2u);
  EXPECT_EQ(statistics.nodes[0].alive_bytes, statistics.peak_activation_bytes);
  EXPECT_EQ(statistics.nodes[1].alive_bytes, 4 * (4 * 16 + 4 * 16));
}

std::vector<float> run(const Graph& graph, const tensor::TensorView& input,
                       ExecutorOptions options = {}) {
  const auto outputs = Executor(graph, std::move(options)).run({&input, 1});
  EXPECT_TRUE(outputs) << outputs.error().message();
  std::vector<float> values;
  if (outputs) {
    for (const double value : Array::from((*outputs)[0].view()).to_doubles()) {
      values.push_back(static_cast<float>(value));
    }
  }
  return values;
}

TEST(Executor, ComputesInDoubleWhereAsked) {
  const auto graph = parsed(R"(graph "sum" {
  input %x: FP32[2]
  const %big = FP32[] {1e8}
  %y = Add(%x, %big)
  %z = Sub(%y, %big)
  return %z
})");
  const std::vector<int64_t> shape = {2};
  const std::vector<float> x = {1, 3};
  const tensor::TensorView view{"x", DataType::kFp32, shape, std::as_bytes(std::span(x))};
  EXPECT_EQ(run(*graph, view), (std::vector<float>{0, 0}));
  EXPECT_EQ(run(*graph, view, {.as_fp64 = true}), (std::vector<float>{1, 3}));
}

TEST(Executor, ValuesThatCannotBeAreRefused) {
  const auto graph = parsed(R"(graph "pick" {
  input %x: INT64[1]
  const %table = FP32[2] {5, 6}
  %y = Gather(%table, %x) "pick"
  %z = ConstantOfShape(%x) "fill"
  return %y, %z
})");
  const std::vector<int64_t> shape = {1};
  const auto message = [&](int64_t value) {
    const tensor::TensorView view{"x", DataType::kInt64, shape,
                                  std::as_bytes(std::span(&value, 1))};
    const auto outputs = Executor(*graph, {.max_tensor_bytes = 1 << 20}).run({&view, 1});
    return outputs ? "done" : outputs.error().message();
  };
  EXPECT_EQ(message(1), "done");
  EXPECT_THAT(message(2), HasSubstr("Gather 'pick': index 2 of 2"));
  EXPECT_THAT(message(-3), HasSubstr("index -3"));
  EXPECT_THAT(message(INT64_MIN), HasSubstr("index"));
}

}  // namespace
}  // namespace skerry::graph
