// Every rule against numeric differences in double precision, on the reference executor; then whole
// random graphs.
#include "train/gradient.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "graph/executor.h"
#include "graph/random_graph.h"
#include "graph/text.h"
#include "graph/verify.h"
#include "train/decompose.h"
#include "train/loss.h"

namespace skerry::train {
namespace {

using testing::HasSubstr;

// Inputs of a graph as doubles that FP32 has exactly, so that differences are exact too.
struct Point {
  std::vector<std::vector<float>> values;

  std::vector<tensor::Tensor> tensors(const Graph& graph) const {
    std::vector<tensor::Tensor> made;
    for (size_t i = 0; i < graph.inputs().size(); ++i) {
      const Value& input = *graph.inputs()[i];
      auto constant = input.type().element == DataType::kFp32
                          ? Constant::of(DataType::kFp32, sizes_of(input), values[i])
                          : Constant::of(DataType::kInt64, sizes_of(input),
                                         std::vector<int64_t>(values[i].begin(), values[i].end()));
      tensor::Tensor tensor{
          .name = input.name(), .type = constant.type(), .shape = constant.shape()};
      tensor.bytes.assign(constant.bytes().begin(), constant.bytes().end());
      made.push_back(std::move(tensor));
    }
    return made;
  }
};

// Multiples of 2⁻⁸ away from 0, where many functions bend: in [-2, -1/4] and [1/4, 2].
Point point_for(const Graph& graph, uint64_t seed, bool positive) {
  std::mt19937_64 random(seed);
  Point point;
  for (const auto& input : graph.inputs()) {
    std::vector<float> values;
    for (int64_t i = 0; i < count_of(*input); ++i) {
      const auto size = static_cast<float>(64 + random() % 449) / 256;
      values.push_back(positive || random() % 2 == 0 ? size : -size);
    }
    point.values.push_back(std::move(values));
  }
  return point;
}

std::vector<std::vector<double>> run(const Graph& graph, const Point& point) {
  graph::Executor executor(graph, {.as_fp64 = true});
  const auto tensors = point.tensors(graph);
  const auto outputs = executor.run(tensor::views_of(tensors));
  EXPECT_TRUE(outputs) << outputs.error().message() << "\n" << graph::to_text(graph);
  std::vector<std::vector<double>> numbers;
  if (!outputs) return numbers;
  for (const auto& output : *outputs) {
    numbers.push_back(graph::Array::from(output.view()).to_doubles());
  }
  return numbers;
}

// Σ weight·output, the weights being arbitrary but fixed, so that no gradient cancels.
Value* weighted_sum(Builder& make, const std::vector<Value*>& values) {
  Value* total = make.number(0);
  for (Value* value : values) {
    if (value->type().element != DataType::kFp32) continue;
    std::vector<float> weights;
    for (int64_t i = 0; i < count_of(*value); ++i) {
      weights.push_back(static_cast<float>((i * 37 + 11) % 17 - 8) / 16);
    }
    total = make.add(total, make.sum_all(make.mul(value, make.floats(sizes_of(*value), weights))));
  }
  return total;
}

// The error of one element, from a fourth-order difference; NaN where the function bends there,
// which two widths of the difference tell.
double element_error(const Graph& loss, Point point, size_t input, size_t at, double gradient) {
  const auto difference = [&](float h) {
    const float x = point.values[input][at];
    const auto value = [&](float shift) {
      point.values[input][at] = x + shift;
      const auto outputs = run(loss, point);
      point.values[input][at] = x;
      return outputs.empty() ? NAN : outputs[0][0];
    };
    const double near = (value(h) - value(-h)) / (2 * static_cast<double>(h));
    const double far = (value(2 * h) - value(-2 * h)) / (4 * static_cast<double>(h));
    return (4 * near - far) / 3;
  };
  const double fine = difference(1.0F / 1024);
  const double coarse = difference(1.0F / 512);
  const double scale = std::max({1.0, std::abs(fine), std::abs(gradient)});
  if (std::abs(fine - coarse) > 1e-6 * scale) return NAN;
  return std::abs(fine - gradient) / scale;
}

struct Checked {
  size_t right = 0, bent = 0;
  bool refused = false;  // something in it has no gradient
  std::string wrong;
};

// Gradients of every FP32 input of `graph` (at most `limit` elements of each).
Checked check(std::unique_ptr<Graph> graph, uint64_t seed, bool positive = false,
              size_t limit = 6) {
  Checked result;
  graph::TypeInference inference;
  const auto inferred = inference.infer(*graph);
  EXPECT_TRUE(inferred) << inferred.error().message();
  std::vector<Value*> outputs = graph->outputs();
  Builder make(*graph);
  Value* loss = weighted_sum(make, outputs);
  while (!graph->outputs().empty()) graph->remove_output(graph->outputs().size() - 1);
  graph->add_output(*loss);
  const auto forward = graph->clone();
  const auto decomposed = decompose(*graph);
  EXPECT_TRUE(decomposed) << decomposed.error().message();
  std::vector<Value*> inputs;
  for (const auto& input : graph->inputs()) {
    if (input->type().element == DataType::kFp32) inputs.push_back(input.get());
  }
  const auto gradients = add_gradients(*graph, *graph->outputs()[0], inputs);
  if (!gradients) {
    EXPECT_EQ(gradients.error().code(), Code::kUnsupported);
    result.refused = true;
    return result;
  }
  for (Value* gradient : *gradients) graph->add_output(*gradient);
  const auto verified = graph::verify(*graph);
  EXPECT_TRUE(verified) << verified.error().message();
  const Point point = point_for(*graph, seed, positive);
  const auto numbers = run(*graph, point);
  if (numbers.empty()) return result;
  std::mt19937_64 random(seed);
  size_t next = 1;
  for (size_t i = 0; i < graph->inputs().size(); ++i) {
    if (graph->inputs()[i]->type().element != DataType::kFp32) continue;
    const auto& gradient = numbers[next++];
    for (size_t k = 0; k < std::min(limit, gradient.size()); ++k) {
      const size_t at = gradient.size() <= limit ? k : random() % gradient.size();
      const double error = element_error(*forward, point, i, at, gradient[at]);
      if (std::isnan(error)) {
        ++result.bent;
      } else if (error <= 1e-5) {
        ++result.right;
      } else {
        result.wrong += fmt::format("{}[{}] is {}, off by {}\n", graph->inputs()[i]->name(), at,
                                    gradient[at], error);
      }
    }
  }
  return result;
}

struct Case {
  const char* name;
  const char* body;       // lines of a graph as text; the last value is %y
  bool positive = false;  // inputs
};

std::ostream& operator<<(std::ostream& out, const Case& one) {
  return out << one.name;
}

class Rules : public testing::TestWithParam<Case> {};

TEST_P(Rules, EqualNumericDifferences) {
  const Case& one = GetParam();
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    auto graph = graph::parse_text(std::string("graph \"g\" {\n") + one.body + "\n return %y\n}\n");
    ASSERT_TRUE(graph) << graph.error().message();
    const Checked checked = check(std::move(*graph), seed, one.positive);
    EXPECT_FALSE(checked.refused);
    EXPECT_EQ(checked.wrong, "") << "seed " << seed;
    EXPECT_GT(checked.right, checked.bent) << "seed " << seed;
  }
}

#define X2(op, attributes) "input %x: FP32[2,5]\n %y = " op "(%x) {" attributes "}"

INSTANTIATE_TEST_SUITE_P(
    Activations, Rules,
    testing::Values(
        Case{"Relu", X2("Relu", "")}, Case{"Sigmoid", X2("Sigmoid", "")},
        Case{"Tanh", X2("Tanh", "")}, Case{"Exp", X2("Exp", "")}, Case{"Log", X2("Log", ""), true},
        Case{"Sqrt", X2("Sqrt", ""), true}, Case{"Reciprocal", X2("Reciprocal", "")},
        Case{"Neg", X2("Neg", "")}, Case{"Abs", X2("Abs", "")}, Case{"Sin", X2("Sin", "")},
        Case{"Cos", X2("Cos", "")}, Case{"Erf", X2("Erf", "")},
        Case{"LeakyRelu", X2("LeakyRelu", "alpha=0.2f")}, Case{"Elu", X2("Elu", "alpha=0.7f")},
        Case{"Celu", X2("Celu", "alpha=0.7f")}, Case{"Selu", X2("Selu", "")},
        Case{"Softplus", X2("Softplus", "")}, Case{"Softsign", X2("Softsign", "")},
        Case{"ThresholdedRelu", X2("ThresholdedRelu", "alpha=0.6f")},
        Case{"HardSigmoid", X2("HardSigmoid", "")}, Case{"HardSwish", X2("HardSwish", "")},
        Case{"Mish", X2("Mish", "")}, Case{"Gelu", X2("Gelu", "")},
        Case{"GeluTanh", X2("Gelu", "approximate=\"tanh\"")}, Case{"Identity", X2("Identity", "")},
        Case{"Softmax", X2("Softmax", "")}, Case{"SoftmaxFirst", X2("Softmax", "axis=0")},
        Case{"LogSoftmax", X2("LogSoftmax", "")},
        Case{"Clip",
             "input %x: FP32[2,5]\n const %a = FP32[] {-1}\n const %b = FP32[] {0.9}\n"
             " %y = Clip(%x, %a, %b)"}),
    [](const auto& one) { return one.param.name; });

#define AB(op) "input %a: FP32[3,1,4]\n input %b: FP32[2,4]\n %y = " op "(%a, %b)"

INSTANTIATE_TEST_SUITE_P(
    Arithmetic, Rules,
    testing::Values(Case{"Add", AB("Add")}, Case{"Sub", AB("Sub")}, Case{"Mul", AB("Mul")},
                    Case{"Div", AB("Div")}, Case{"Pow", AB("Pow"), true}, Case{"Max", AB("Max")},
                    Case{"Min", AB("Min")}, Case{"Mean", AB("Mean")}, Case{"Sum", AB("Sum")},
                    Case{"PRelu",
                         "input %a: FP32[3,2,4]\n input %b: FP32[2,1]\n %y = PRelu(%a, %b)"},
                    Case{"Square", "input %x: FP32[2,3]\n %y = Mul(%x, %x)"},
                    Case{"Where",
                         "input %a: FP32[3,4]\n input %b: FP32[4]\n const %c = FP32[] {0.5}\n"
                         " %m = Greater(%a, %c)\n %y = Where(%m, %a, %b)"}),
    [](const auto& one) { return one.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Products, Rules,
    testing::Values(
        Case{"Gemm",
             "input %a: FP32[3,4]\n input %b: FP32[4,2]\n input %c: FP32[2]\n"
             " %y = Gemm(%a, %b, %c) {alpha=0.5f, beta=2f}"},
        Case{"GemmA", "input %a: FP32[4,3]\n input %b: FP32[4,2]\n %y = Gemm(%a, %b) {transA=1}"},
        Case{"GemmB", "input %a: FP32[3,4]\n input %b: FP32[2,4]\n %y = Gemm(%a, %b) {transB=1}"},
        Case{"GemmAB",
             "input %a: FP32[4,3]\n input %b: FP32[2,4]\n input %c: FP32[3,1]\n"
             " %y = Gemm(%a, %b, %c) {transA=1, transB=1}"},
        Case{"MatMul", "input %a: FP32[3,4]\n input %b: FP32[4,2]\n %y = MatMul(%a, %b)"},
        Case{"MatMulRows", "input %a: FP32[2,3,4]\n input %b: FP32[4,2]\n %y = MatMul(%a, %b)"},
        Case{"MatMulBatch",
             "input %a: FP32[2,1,3,4]\n input %b: FP32[3,4,2]\n %y = MatMul(%a, %b)"},
        Case{"MatMulVectorLeft", "input %a: FP32[4]\n input %b: FP32[2,4,3]\n %y = MatMul(%a, %b)"},
        Case{"MatMulVectorRight",
             "input %a: FP32[2,3,4]\n input %b: FP32[4]\n %y = MatMul(%a, %b)"},
        Case{"Dot", "input %a: FP32[4]\n input %b: FP32[4]\n %y = MatMul(%a, %b)"}),
    [](const auto& one) { return one.param.name; });

#define CONV(x, w, attributes)                \
  "input %x: FP32[" x "]\n input %w: FP32[" w \
  "]\n input %b: FP32[4]\n %y = Conv(%x, %w, %b) {" attributes "}"

INSTANTIATE_TEST_SUITE_P(
    Convolutions, Rules,
    testing::Values(
        Case{"Plain", CONV("2,3,6,5", "4,3,3,2", "")},
        Case{"Padded", CONV("2,3,6,5", "4,3,3,3", "pads=[1,1,1,1]")},
        Case{"Strided", CONV("2,3,7,6", "4,3,3,3", "strides=[2,2]")},
        Case{"StridedRest", CONV("2,3,8,6", "4,3,3,2", "strides=[3,2], pads=[0,1,1,0]")},
        Case{"Dilated", CONV("1,2,8,7", "4,2,3,2", "dilations=[2,3]")},
        Case{"DilatedStrided",
             CONV("1,2,9,9", "4,2,3,2", "dilations=[2,2], strides=[2,3], pads=[1,0,2,1]")},
        Case{"Grouped", CONV("2,6,5,5", "4,3,3,3", "group=2, pads=[1,1,1,1]")},
        Case{"Depthwise", CONV("2,4,6,6", "4,1,3,3", "group=4, strides=[2,2], pads=[1,1,1,1]")},
        Case{"OneDimension", CONV("2,3,9", "4,3,3", "strides=[2], pads=[1,1]")},
        Case{"ThreeDimensions", CONV("1,2,4,4,3", "4,2,2,3,2", "pads=[1,0,0,0,1,1]")},
        Case{"SameUpper", CONV("1,2,7,6", "4,2,3,2", "auto_pad=\"SAME_UPPER\", strides=[2,2]")},
        Case{"SameLower", CONV("1,2,7,6", "4,2,3,2", "auto_pad=\"SAME_LOWER\", strides=[2,2]")},
        Case{"Valid", CONV("1,2,7,6", "4,2,3,2", "auto_pad=\"VALID\"")},
        Case{"Transposed",
             "input %x: FP32[2,3,4,4]\n input %w: FP32[3,2,3,3]\n input %b: FP32[2]\n"
             " %y = ConvTranspose(%x, %w, %b)"},
        Case{"TransposedStrided",
             "input %x: FP32[1,4,4,3]\n input %w: FP32[4,3,3,2]\n %y = ConvTranspose(%x, %w) "
             "{strides=[2,3], pads=[1,0,0,1], output_padding=[1,2]}"},
        Case{"TransposedGrouped",
             "input %x: FP32[2,4,4,3]\n input %w: FP32[4,3,2,2]\n %y = ConvTranspose(%x, %w) "
             "{strides=[2,2], group=2, dilations=[1,2]}"}),
    [](const auto& one) { return one.param.name; });

#define POOL(op, x, attributes) "input %x: FP32[" x "]\n %y = " op "(%x) {" attributes "}"

INSTANTIATE_TEST_SUITE_P(
    Pools, Rules,
    testing::Values(
        Case{"Max", POOL("MaxPool", "2,2,6,6", "kernel_shape=[2,2], strides=[2,2]")},
        Case{"MaxOverlapping",
             POOL("MaxPool", "2,2,6,5", "kernel_shape=[3,3], strides=[2,1], pads=[1,1,1,1]")},
        Case{"MaxCeil",
             POOL("MaxPool", "1,2,6,5", "kernel_shape=[3,2], strides=[2,2], ceil_mode=1")},
        Case{"MaxOneDimension", POOL("MaxPool", "2,3,8", "kernel_shape=[3], strides=[2]")},
        Case{"Average", POOL("AveragePool", "2,2,6,6", "kernel_shape=[2,2], strides=[2,2]")},
        Case{"AveragePadded",
             POOL("AveragePool", "2,2,6,5", "kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]")},
        Case{"AverageCountingPads", POOL("AveragePool", "2,2,6,5",
                                         "kernel_shape=[3,3], strides=[2,1], pads=[1,1,1,1], "
                                         "count_include_pad=1")},
        Case{"AverageCeil",
             POOL("AveragePool", "1,2,6,5", "kernel_shape=[3,2], strides=[2,2], ceil_mode=1")},
        Case{"AverageRest", POOL("AveragePool", "1,2,8,6", "kernel_shape=[3,2], strides=[3,3]")},
        Case{"GlobalAverage", POOL("GlobalAveragePool", "2,3,4,4", "")},
        Case{"GlobalMax", POOL("GlobalMaxPool", "2,3,4,4", "")}),
    [](const auto& one) { return one.param.name; });

#define NORM(shape, channels, call)                                                     \
  "input %x: FP32[" shape "]\n input %s: FP32[" channels "]\n input %b: FP32[" channels \
  "]\n"                                                                                 \
  " const %m = FP32[3] {0.1, -0.2, 0.3}\n const %v = FP32[3] {0.5, 1, 2}\n %y = " call

INSTANTIATE_TEST_SUITE_P(
    Norms, Rules,
    testing::Values(
        Case{"BatchFrozen", NORM("2,3,4,4", "3", "BatchNormalization(%x, %s, %b, %m, %v)")},
        Case{"Layer", NORM("2,4,6", "6", "LayerNormalization(%x, %s, %b)")},
        Case{"LayerTwoAxes", NORM("2,4,6", "4,6", "LayerNormalization(%x, %s, %b) {axis=1}")},
        Case{"Instance", NORM("2,3,4,4", "3", "InstanceNormalization(%x, %s, %b)")},
        Case{"Group", NORM("2,6,3,3", "6", "GroupNormalization(%x, %s, %b) {num_groups=2}")},
        Case{"Rms", NORM("2,4,6", "6", "RMSNormalization(%x, %s)")},
        Case{"L2", NORM("2,4,6", "6", "LpNormalization(%x) {axis=1}")},
        Case{"L1", NORM("2,4,6", "6", "LpNormalization(%x) {p=1}")}),
    [](const auto& one) { return one.param.name; });

#define REDUCE(op, axes, attributes) \
  "input %x: FP32[2,3,4]\n const %a = INT64[1] {" axes "}\n %y = " op "(%x, %a) {" attributes "}"

INSTANTIATE_TEST_SUITE_P(
    Reductions, Rules,
    testing::Values(
        Case{"Sum", REDUCE("ReduceSum", "1", "keepdims=0")},
        Case{"SumAll", "input %x: FP32[2,3,4]\n %y = ReduceSum(%x)"},
        Case{"Mean", REDUCE("ReduceMean", "-1", "")},
        Case{"Max", REDUCE("ReduceMax", "1", "keepdims=0")},
        Case{"Min", REDUCE("ReduceMin", "0", "")},
        Case{"SumSquare", REDUCE("ReduceSumSquare", "2", "")},
        Case{"L1", REDUCE("ReduceL1", "2", "keepdims=0")},
        Case{"L2", REDUCE("ReduceL2", "1", "keepdims=0")},
        Case{"LogSumExp", REDUCE("ReduceLogSumExp", "1", "")},
        Case{"CumSum", "input %x: FP32[2,3]\n const %a = INT64[] {1}\n %y = CumSum(%x, %a)"},
        Case{"CumSumExclusiveReverse",
             "input %x: FP32[2,3]\n const %a = INT64[] {0}\n %y = CumSum(%x, %a) {exclusive=1, "
             "reverse=1}"}),
    [](const auto& one) { return one.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Movements, Rules,
    testing::Values(
        Case{"Reshape", "input %x: FP32[2,6]\n const %s = INT64[2] {3, -1}\n %y = Reshape(%x, %s)"},
        Case{"Flatten", "input %x: FP32[2,3,2]\n %y = Flatten(%x)"},
        Case{"Squeeze", "input %x: FP32[2,1,3]\n %y = Squeeze(%x)"},
        Case{"Unsqueeze", "input %x: FP32[2,3]\n const %a = INT64[1] {1}\n %y = Unsqueeze(%x, %a)"},
        Case{"Transpose", "input %x: FP32[2,3,4]\n %y = Transpose(%x) {perm=[1,2,0]}"},
        Case{"TransposeAll", "input %x: FP32[2,3,4]\n %y = Transpose(%x)"},
        Case{"Expand", "input %x: FP32[3,1]\n const %s = INT64[3] {2,3,4}\n %y = Expand(%x, %s)"},
        Case{"Concat",
             "input %a: FP32[2,3]\n input %b: FP32[2,2]\n %y = Concat(%a, %b, %a) "
             "{axis=-1}"},
        Case{"Split",
             "input %x: FP32[2,5]\n const %s = INT64[2] {2,3}\n %p, %q = Split(%x, %s) "
             "{axis=1}\n %y = Tanh(%q)"},
        Case{"Slice",
             "input %x: FP32[4,5]\n const %a = INT64[2] {1,-4}\n const %b = INT64[2] "
             "{3,1000}\n %y = Slice(%x, %a, %b)"},
        Case{"SliceSteps",
             "input %x: FP32[4,5]\n const %a = INT64[2] {-1,0}\n const %b = INT64[2] "
             "{-1000,5}\n const %c = INT64[2] {1,0}\n const %d = INT64[2] {-2,2}\n"
             " %y = Slice(%x, %a, %b, %c, %d)"},
        Case{"Pad", "input %x: FP32[2,3]\n const %p = INT64[4] {1,0,0,2}\n %y = Pad(%x, %p)"},
        Case{"PadAxes",
             "input %x: FP32[2,3]\n const %p = INT64[2] {1,-1}\n const %a = INT64[1] "
             "{-1}\n %y = Pad(%x, %p, _, %a)"},
        Case{"Tile", "input %x: FP32[2,3]\n const %r = INT64[2] {3,2}\n %y = Tile(%x, %r)"},
        Case{"DepthToSpace", "input %x: FP32[1,8,2,3]\n %y = DepthToSpace(%x) {blocksize=2}"},
        Case{"DepthToSpaceCrd",
             "input %x: FP32[1,8,2,3]\n %y = DepthToSpace(%x) {blocksize=2, mode=\"CRD\"}"},
        Case{"SpaceToDepth", "input %x: FP32[1,2,4,6]\n %y = SpaceToDepth(%x) {blocksize=2}"},
        Case{"Gather",
             "input %x: FP32[5,3]\n const %i = INT64[2,2] {4,1,1,0}\n %y = Gather(%x, "
             "%i)"},
        Case{"GatherInner",
             "input %x: FP32[2,5,3]\n const %i = INT64[3] {-1,1,1}\n %y = Gather(%x, %i) {axis=1}"},
        Case{"GatherOne",
             "input %x: FP32[2,5]\n const %i = INT64[] {3}\n %y = Gather(%x, %i) "
             "{axis=1}"},
        Case{"GatherElements",
             "input %x: FP32[3,3]\n const %i = INT64[2,3] {1,2,0,2,0,0}\n"
             " %y = GatherElements(%x, %i)"},
        Case{"ResizeNearest",
             "input %x: FP32[1,2,3,4]\n const %s = FP32[4] {1,1,2,2}\n"
             " %y = Resize(%x, _, %s) {mode=\"nearest\"}"},
        Case{"ResizeLinear",
             "input %x: FP32[1,2,3,4]\n const %s = INT64[4] {1,2,5,7}\n"
             " %y = Resize(%x, _, _, %s) {mode=\"linear\"}"},
        Case{"ResizeCubic",
             "input %x: FP32[1,1,4,4]\n const %s = INT64[4] {1,1,6,8}\n %y = Resize(%x, _, _, %s) "
             "{mode=\"cubic\", coordinate_transformation_mode=\"align_corners\"}"},
        Case{"Lstm",
             "input %x: FP32[3,2,3]\n input %w: FP32[1,8,3]\n input %r: FP32[1,8,2]\n"
             " input %b: FP32[1,16]\n %o, %h, %c = LSTM(%x, %w, %r, %b) {hidden_size=2}\n"
             " %hc = Add(%h, %c)\n %y = Add(%o, %hc)"},
        Case{"LstmBothWays",
             "input %x: FP32[3,2,3]\n input %w: FP32[2,8,3]\n input %r: FP32[2,8,2]\n"
             " input %i: FP32[2,2,2]\n %y = LSTM(%x, %w, %r, _, _, %i, %i) {hidden_size=2, "
             "direction=\"bidirectional\"}"}),
    [](const auto& one) { return one.param.name; });

// Whole graphs of everything that is continuous and has a gradient.
TEST(Gradients, OfRandomGraphsEqualNumericDifferences) {
  size_t right = 0;
  size_t bent = 0;
  size_t refused = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    auto graph = graph::random_graph(seed, {.nodes = 8, .open_batch = false, .subgraphs = false});
    const std::string text = graph::to_text(*graph);
    const Checked checked = check(std::move(graph), seed, false, 2);
    refused += checked.refused ? 1 : 0;
    EXPECT_EQ(checked.wrong, "") << "seed " << seed << "\n" << text;
    right += checked.right;
    bent += checked.bent;
  }
  EXPECT_GT(right, 40u);
  EXPECT_LT(bent, right);
  EXPECT_LT(refused, 40u);
}

TEST(Gradients, RefuseAnOperatorWithoutOneByNameAndNode) {
  auto graph = graph::parse_text(
      "graph \"g\" {\n input %x: FP32[1,3,4,4]\n %h = LRN(%x) {size=3} \"norm1\"\n"
      " %y = ReduceSum(%h) {keepdims=0}\n return %y\n}\n");
  ASSERT_TRUE(graph) << graph.error().message();
  Value* x = (*graph)->inputs()[0].get();
  const auto gradients = add_gradients(**graph, *(*graph)->outputs()[0], {&x, 1});
  ASSERT_FALSE(gradients);
  EXPECT_EQ(gradients.error().code(), Code::kUnsupported);
  EXPECT_THAT(gradients.error().message(), HasSubstr("LRN 'norm1'"));
}

TEST(Gradients, RefuseWhatIsComputedInHalves) {
  auto graph = graph::parse_text(
      "graph \"g\" {\n input %x: FP32[4]\n %h = Cast(%x) {to=type FP16} \"half\"\n"
      " %f = Cast(%h) {to=type FP32}\n %y = ReduceSum(%f) {keepdims=0}\n return %y\n}\n");
  ASSERT_TRUE(graph) << graph.error().message();
  Value* x = (*graph)->inputs()[0].get();
  const auto gradients = add_gradients(**graph, *(*graph)->outputs()[0], {&x, 1});
  ASSERT_FALSE(gradients);
  EXPECT_THAT(gradients.error().message(), HasSubstr("Cast 'half' computes in FP16"));
}

TEST(Gradients, OfWhatTheLossDoesNotDependOnAreZero) {
  auto graph = graph::parse_text(
      "graph \"g\" {\n input %x: FP32[2]\n input %w: FP32[3]\n %y = ReduceSum(%x) {keepdims=0}\n"
      " return %y\n}\n");
  ASSERT_TRUE(graph);
  Value* w = (*graph)->inputs()[1].get();
  const auto gradients = add_gradients(**graph, *(*graph)->outputs()[0], {&w, 1});
  ASSERT_TRUE(gradients);
  (*graph)->set_output(0, *(*gradients)[0]);
  EXPECT_THAT(run(**graph, {{{1, 2}, {1, 2, 3}}})[0], testing::ElementsAre(0, 0, 0));
}

// Losses of scores [3,4], as a graph with the scores and targets as inputs.
std::unique_ptr<Graph> loss_graph(const std::function<Value*(Builder&, Value*, Value*)>& loss,
                                  const Sizes& shape = {3, 4}) {
  auto graph = std::make_unique<Graph>();
  const graph::Type type{DataType::kFp32, graph::fixed_shape(shape)};
  Value& scores = graph->add_input("scores", type);
  Value& target = graph->add_input("target", type);
  Builder make(*graph);
  graph->add_output(*loss(make, &scores, &target));
  return graph;
}

TEST(Losses, HaveTheirGradients) {
  for (const Loss loss : {Loss::kCrossEntropy, Loss::kFocal, Loss::kMse, Loss::kHuber}) {
    for (const Sizes& shape : {Sizes{3, 4}, Sizes{5, 1}}) {
      const auto made = [&](Builder& make, Value* scores, Value* target) {
        return add_loss(make, {.loss = loss}, scores, target);
      };
      const Checked checked = check(loss_graph(made, shape), 1, true);
      EXPECT_EQ(checked.wrong, "") << name_of(loss);
      EXPECT_GT(checked.right, 6u) << name_of(loss);
    }
  }
  const Checked distilled = check(loss_graph([](Builder& make, Value* scores, Value* teacher) {
                                    return add_distillation(make, scores, teacher, 3);
                                  }),
                                  1);
  EXPECT_EQ(distilled.wrong, "");
  const Checked matched = check(loss_graph([](Builder& make, Value* features, Value* teacher) {
                                  return *add_feature_matching(make, features, teacher);
                                }),
                                1);
  EXPECT_EQ(matched.wrong, "");
}

TEST(Losses, AreWhatTheirPapersSay) {
  const auto value = [](const auto& loss, const Point& point, const Sizes& shape) {
    return run(*loss_graph(loss, shape), point)[0][0];
  };
  const auto cross = [](Builder& make, Value* scores, Value* target) {
    return add_loss(make, {}, scores, target);
  };
  // Two rows, even odds: log 2.
  EXPECT_NEAR(value(cross, {{{0, 0, 1, 1}, {1, 0, 0, 1}}}, {2, 2}), std::log(2), 1e-12);
  EXPECT_NEAR(value(cross, {{{0}, {1}}}, {1, 1}), std::log(2), 1e-12);
  const auto focal = [](Builder& make, Value* scores, Value* target) {
    return add_loss(make, {.loss = Loss::kFocal}, scores, target);
  };
  EXPECT_NEAR(value(focal, {{{0, 0}, {1, 0}}}, {1, 2}), std::log(2) / 4, 1e-12);
  const auto huber = [](Builder& make, Value* scores, Value* target) {
    return add_loss(make, {.loss = Loss::kHuber}, scores, target);
  };
  EXPECT_NEAR(value(huber, {{{3, 0.5}, {0, 0}}}, {1, 2}), (2.5 + 0.125) / 2, 1e-12);
  const auto kl = [](Builder& make, Value* scores, Value* teacher) {
    return add_distillation(make, scores, teacher, 2);
  };
  EXPECT_NEAR(value(kl, {{{1, 2, 3}, {1, 2, 3}}}, {1, 3}), 0, 1e-12);
}

}  // namespace
}  // namespace skerry::train
