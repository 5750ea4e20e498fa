// Quantisers on a small network with all that one of them has to handle, against the float network
// in the reference executor; and on the exact text of a smaller one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "graph/executor.h"
#include "graph/inference.h"
#include "graph/text.h"
#include "graph/verify.h"
#include "optimise/pass.h"
#include "optimise/quantise/equalise.h"
#include "optimise/quantise/rounding.h"
#include "optimise/quantise/sensitivity.h"
#include "optimise/quantise/smooth.h"
#include "optimise/quantise/weight_only.h"
#include "optimise/rewrite.h"

namespace skerry::optimise {
namespace {

using testing::HasSubstr;

class Network {
 public:
  explicit Network(uint64_t seed = 1) : random_(seed) {}

  Value* weights(std::vector<int64_t> shape, double spread) {
    std::normal_distribution<double> normal(0, spread);
    size_t count = 1;
    for (const int64_t size : shape) count *= static_cast<size_t>(size);
    std::vector<float> numbers(count);
    for (float& number : numbers) number = static_cast<float>(normal(random_));
    return &graph->add_constant("w", Constant::of(DataType::kFp32, std::move(shape), numbers));
  }

  Value* conv(Value* x, int64_t in, int64_t out, int64_t group = 1) {
    return &graph->add("Conv", {x, weights({out, in / group, 3, 3}, 0.4), weights({out}, 0.2)},
                       {{"pads", std::vector<int64_t>{1, 1, 1, 1}}, {"group", group}}, "conv");
  }

  // Convolutions with Relu and Clip, one of groups, a residual, a pool, a matrix, a Softmax.
  std::unique_ptr<Graph> build() {
    Value& x = graph->add_input(
        "x", {DataType::kFp32,
              graph::Shape{graph::Dim::named("n"), graph::Dim(3), graph::Dim(8), graph::Dim(8)}});
    Value* a = &graph->add("Relu", {conv(&x, 3, 8)});
    Value* six = &graph->add_constant("six", Constant::of_float(3));
    Value* zero = &graph->add_constant("zero", Constant::of_float(0));
    Value* b = &graph->add("Clip", {conv(a, 8, 8, 8), zero, six});
    Value* c = &graph->add("Relu", {&graph->add("Add", {conv(b, 8, 8), a})});
    Value* pooled = &graph->add("GlobalAveragePool", {c});
    Value* flat = &graph->add("Flatten", {pooled});
    Value* logits = &graph->add("Gemm", {flat, weights({5, 8}, 0.5), weights({5}, 0.1)},
                                {{"transB", int64_t{1}}});
    graph->add_output(graph->add("Softmax", {logits}, {}, "y"));
    graph::TypeInference inference;
    EXPECT_TRUE(inference.infer(*graph));
    return std::move(graph);
  }

  std::unique_ptr<Graph> graph = std::make_unique<Graph>();

 private:
  std::mt19937_64 random_;
};

std::vector<Sample> samples(size_t count, std::vector<int64_t> shape, uint64_t seed = 7) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal(0.3F, 1);
  std::vector<Sample> made;
  size_t size = 1;
  for (const int64_t dim : shape) size *= static_cast<size_t>(dim);
  for (size_t i = 0; i < count; ++i) {
    tensor::Tensor tensor{.name = "x", .type = DataType::kFp32, .shape = shape};
    tensor.bytes.resize(size * sizeof(float));
    for (size_t k = 0; k < size; ++k) {
      const float value = normal(random);
      std::memcpy(&tensor.bytes[k * sizeof value], &value, sizeof value);
    }
    made.push_back({std::move(tensor)});
  }
  return made;
}

std::vector<Sample> images(size_t count) {
  return samples(count, {1, 3, 8, 8});
}

double error_against(const Graph& wanted, const Graph& given, const std::vector<Sample>& data) {
  double worst = 0;
  for (const Sample& sample : data) {
    const auto a = graph::Executor(wanted).run(tensor::views_of(sample));
    const auto b = graph::Executor(given).run(tensor::views_of(sample));
    EXPECT_TRUE(a);
    EXPECT_TRUE(b) << b.error().message();
    if (a && b) worst = std::max(worst, relative_error(*a, *b));
  }
  return worst;
}

struct Counts {
  size_t quantise = 0, dequantise = 0, clips = 0;
};

Counts count(const Graph& graph) {
  Counts counts;
  for (const auto& node : graph.nodes()) {
    counts.quantise += node->op() == "QuantizeLinear" ? 1 : 0;
    counts.dequantise += node->op() == "DequantizeLinear" ? 1 : 0;
    counts.clips += node->op() == "Relu" || node->op() == "Clip" ? 1 : 0;
  }
  return counts;
}

TEST(StaticQuantisation, StaysNearTheFloatModelByEveryMethod) {
  const auto graph = Network().build();
  const auto data = images(16);
  const auto calibration = calibrate(*graph, data);
  ASSERT_TRUE(calibration) << calibration.error().message();
  for (const RangeMethod method :
       {RangeMethod::kMinMax, RangeMethod::kPercentile, RangeMethod::kEntropy, RangeMethod::kMse}) {
    for (const bool symmetric : {false, true}) {
      for (const bool per_channel : {true, false}) {
        SCOPED_TRACE(name_of(method));
        const auto quantised = graph->clone();
        const auto layers =
            quantise_static(*quantised, *calibration,
                            {.method = method, .symmetric = symmetric, .per_channel = per_channel});
        ASSERT_TRUE(layers) << layers.error().message();
        EXPECT_EQ(*layers, 4u);
        ASSERT_TRUE(verify(*quantised));
        EXPECT_LT(error_against(*graph, *quantised, data), symmetric ? 0.15 : 0.08);
      }
    }
  }
}

// Mean squared error that `error` of each weight makes in the layer's results, summed over
// channels.
double result_error(const WeightedLayer& layer, const InputProducts& products,
                    std::span<const double> error) {
  const auto channels = static_cast<size_t>(layer.channels);
  const auto place = [&](size_t channel, size_t i) {
    return layer.axis == 0 ? channel * products.width + i : i * channels + channel;
  };
  double sum = 0;
  for (size_t channel = 0; channel < channels; ++channel) {
    const size_t group = channel / (channels / products.groups);
    for (size_t i = 0; i < products.width; ++i) {
      for (size_t k = 0; k < products.width; ++k) {
        sum += error[place(channel, i)] * error[place(channel, k)] * products.at(group, i, k);
      }
    }
  }
  return sum;
}

TEST(StaticQuantisation, LayersOfOneNameAreSeenApart) {
  Network network;
  Graph& graph = *network.graph;
  Value& x =
      graph.add_input("x", {DataType::kFp32, graph::fixed_shape(std::vector<int64_t>{2, 3})});
  const auto layer = [&](Value* from, std::vector<int64_t> shape, const char* made) {
    return graph
        .add_node({.op = "MatMul",
                   .name = "same",
                   .inputs = {from, network.weights(std::move(shape), 1)},
                   .outputs = {made}})
        .output(0);
  };
  graph.add_output(*layer(layer(&x, {3, 40}, "wide"), {40, 2}, "y"));
  graph::TypeInference inference;
  ASSERT_TRUE(inference.infer(graph));
  const auto products = observe_products(graph, samples(4, {2, 3}));
  ASSERT_TRUE(products) << products.error().message();
  EXPECT_EQ(products->at("wide").width, 3u);
  EXPECT_EQ(products->at("y").width, 40u);
}

// Over data that it has not seen, too; of groups, windows and matrices.
TEST(StaticQuantisation, RoundingByTheResultsLosesLessThanTheNearest) {
  const auto graph = Network().build();
  const auto products = observe_products(*graph, images(64));
  ASSERT_TRUE(products) << products.error().message();
  const auto unseen = observe_products(*graph, samples(32, {1, 3, 8, 8}, 99));
  ASSERT_TRUE(unseen);
  EXPECT_EQ(products->size(), 4u);
  double parts = 0, parts_of_unseen = 0, count = 0;  // of the nearest integers' error
  for (const auto& node : graph->nodes()) {
    const auto layer = weighted_layer(*node);
    if (!layer) continue;
    SCOPED_TRACE(node->name());
    for (const bool per_channel : {true, false}) {
      const int64_t largest = per_channel ? 127 : 7;
      const IntegerWeights nearest =
          round_weights(*layer->weights, layer->axis, per_channel, largest);
      IntegerWeights rounded = nearest;
      round_by_products(*layer, products->at(node->output(0)->name()), largest, rounded);
      for (size_t i = 0; i < rounded.numbers.size(); ++i) {
        ASSERT_LE(std::abs(rounded.numbers[i] - nearest.numbers[i]), 1);
        ASSERT_LE(std::abs(rounded.numbers[i]), largest);
        const float scale =
            rounded
                .scales[per_channel ? axis_sizes(layer->weights->shape(), layer->axis).at(i) : 0];
        ASSERT_NEAR(
            rounded.error[i],
            static_cast<double>(rounded.numbers[i]) * scale - layer->weights->as<float>()[i], 1e-6);
      }
      const InputProducts& seen = products->at(node->output(0)->name());
      const InputProducts& others = unseen->at(node->output(0)->name());
      const double part =
          result_error(*layer, seen, rounded.error) / result_error(*layer, seen, nearest.error);
      EXPECT_LE(part, 1.001);
      parts += part;
      parts_of_unseen +=
          result_error(*layer, others, rounded.error) / result_error(*layer, others, nearest.error);
      ++count;
    }
  }
  EXPECT_LT(parts / count, 0.9);
  EXPECT_LT(parts_of_unseen / count, 0.98);
}

// What stock ONNX Runtime wants before it fuses: no clip between a layer and its scale, a bias
// whose scale is exactly the product of the others, and unsigned activations everywhere.
TEST(StaticQuantisation, IsOfTheFormThatEnginesFuse) {
  const auto graph = Network().build();
  const auto calibration = calibrate(*graph, images(8));
  ASSERT_TRUE(calibration);
  const auto quantised = graph->clone();
  ASSERT_TRUE(quantise_static(*quantised, *calibration));
  EXPECT_EQ(count(*quantised).clips, 0u);
  size_t layers = 0;
  for (const auto& node : quantised->nodes()) {
    if (node->op() == "QuantizeLinear") {
      EXPECT_EQ(node->output(0)->type().element, DataType::kUint8);
    }
    if (node->op() != "Conv" && node->op() != "Gemm") continue;
    ++layers;
    const Node* x = made_by(node->input(0), "DequantizeLinear");
    const Node* w = made_by(node->input(1), "DequantizeLinear");
    const Node* b = made_by(node->input(2), "DequantizeLinear");
    ASSERT_TRUE(x && w && b) << node->describe();
    const auto ws = constant_of(w->input(1))->as<float>();
    const auto bs = constant_of(b->input(1))->as<float>();
    ASSERT_EQ(ws.size(), bs.size());
    for (size_t i = 0; i < ws.size(); ++i) {
      EXPECT_EQ(bs[i], ws[i] * constant_of(x->input(1))->as<float>()[0]);
    }
  }
  EXPECT_EQ(layers, 4u);
}

TEST(StaticQuantisation, AsText) {
  auto parsed = graph::parse_text(R"(graph "tiny" {
  input %x: FP32[1,1,1,2]
  const %w = FP32[2,1,1,1] {1.27, -2.54}
  const %b = FP32[2] {0.1, 0.2}
  %c = Conv(%x, %w, %b) "conv"
  %y = Relu(%c) "relu"
  return %y
})");
  ASSERT_TRUE(parsed) << parsed.error().message();
  Graph& graph = **parsed;
  const std::vector<float> values = {-1, 1.55F};
  Sample sample = samples(1, {1, 1, 1, 2})[0];
  std::memcpy(sample[0].bytes.data(), values.data(), 8);
  const auto calibration = calibrate(graph, {&sample, 1});
  ASSERT_TRUE(calibration);
  ASSERT_TRUE(quantise_static(graph, *calibration, {.correct_bias = false}));
  EXPECT_EQ(to_text(graph), R"(graph "tiny" {
  input %x: FP32[1,1,1,2]
  const %x.scale = FP32[] {0.01}
  const %x.zero = UINT8[] {100}
  const %y.scale = FP32[] {0.010745098}
  const %y.zero = UINT8[] {0}
  const %w.q = INT8[2,1,1,1] {127, -127}
  const %w.scale = FP32[2] {0.01, 0.02}
  const %w.zero = INT8[2] {0, 0}
  const %b.q = INT32[2] {1000, 1000}
  const %b.scale = FP32[2] {0.0001, 0.0002}
  %x.q: UINT8[1,1,1,2] = QuantizeLinear(%x, %x.scale, %x.zero) "x.q"
  %x.dq: FP32[1,1,1,2] = DequantizeLinear(%x.q, %x.scale, %x.zero) "x.dq"
  %w.dq: FP32[2,1,1,1] = DequantizeLinear(%w.q, %w.scale, %w.zero) {axis=0} "w.dq"
  %b.dq: FP32[2] = DequantizeLinear(%b.q, %b.scale) {axis=0} "b.dq"
  %c: FP32[1,2,1,2] = Conv(%x.dq, %w.dq, %b.dq) "conv"
  %y.q: UINT8[1,2,1,2] = QuantizeLinear(%c, %y.scale, %y.zero) "y.q"
  %y: FP32[1,2,1,2] = DequantizeLinear(%y.q, %y.scale, %y.zero) "y.dq"
  return %y
}
)");
}

TEST(StaticQuantisation, KeepsLayersThatAreToStayFloat) {
  const auto graph = Network().build();
  const auto calibration = calibrate(*graph, images(4));
  ASSERT_TRUE(calibration);
  StaticOptions options;
  const auto layers = quantisable_layers(*graph);
  ASSERT_EQ(layers.size(), 4u);
  for (const auto& node : graph->nodes()) options.keep_float.insert(node->name());
  const auto kept = graph->clone();
  EXPECT_EQ(*quantise_static(*kept, *calibration, options), 0u);
  EXPECT_EQ(to_text(*kept), to_text(*graph));
}

TEST(StaticQuantisation, RanksLayersByWhatTheyLose) {
  const auto graph = Network().build();
  const auto data = images(4);
  const auto calibration = calibrate(*graph, data);
  ASSERT_TRUE(calibration);
  const auto ranked = sensitivities(*graph, *calibration, data, {});
  ASSERT_TRUE(ranked) << ranked.error().message();
  ASSERT_EQ(ranked->size(), 4u);
  for (size_t i = 1; i < ranked->size(); ++i) {
    EXPECT_GE((*ranked)[i - 1].error, (*ranked)[i].error);
  }
  EXPECT_GT((*ranked)[0].error, 0);
}

// With the mean error of the rounded weights taken from the bias, the mean of the outputs is right.
TEST(StaticQuantisation, CorrectsTheBias) {
  Graph graph;
  Value& x = graph.add_input("x", {DataType::kFp32, graph::Shape{graph::Dim(1), graph::Dim(64)}});
  std::vector<float> weights(64, 0.3F);
  weights[0] = 9;  // a scale that rounds 0.3 badly
  graph.add_output(graph.add(
      "Gemm", {&x, &graph.add_constant("w", Constant::of(DataType::kFp32, {64, 1}, weights))}, {},
      "y"));
  graph::TypeInference inference;
  ASSERT_TRUE(inference.infer(graph));
  const auto data = samples(64, {1, 64});
  const auto calibration = calibrate(graph, data);
  ASSERT_TRUE(calibration);
  const auto with = graph.clone();
  const auto without = graph.clone();
  ASSERT_TRUE(quantise_static(*with, *calibration));
  ASSERT_TRUE(quantise_static(*without, *calibration, {.correct_bias = false}));
  const auto bias = [&](const Graph& quantised) {
    double sum = 0;
    for (const Sample& sample : data) {
      const auto a = graph::Executor(graph).run(tensor::views_of(sample));
      const auto b = graph::Executor(quantised).run(tensor::views_of(sample));
      sum += graph::Array::from((*b)[0].view()).to_doubles()[0] -
             graph::Array::from((*a)[0].view()).to_doubles()[0];
    }
    return std::abs(sum) / 64;
  };
  EXPECT_LT(bias(*with), bias(*without) / 2);
}

TEST(WeightOnly, EveryFormatIsSmallerAndNear) {
  const auto graph = Network().build();
  const auto data = images(4);
  const std::pair<WeightFormat, double> kFormats[] = {
      {WeightFormat::kInt8, 0.02}, {WeightFormat::kFp16, 0.002}, {WeightFormat::kInt4, 0.02}};
  for (const auto& [format, bound] : kFormats) {
    const auto small = graph->clone();
    const auto changed = store_weights_as(*small, format);
    ASSERT_TRUE(changed) << changed.error().message();
    EXPECT_EQ(*changed, 1u);  // of 576 numbers; the others are too small to be worth it
    ASSERT_TRUE(verify(*small));
    EXPECT_LT(error_against(*graph, *small, data), bound);
  }
}

Graph& matrix(Graph& graph, int64_t inner) {
  Value& x =
      graph.add_input("x", {DataType::kFp32, graph::Shape{graph::Dim(2), graph::Dim(inner)}});
  std::mt19937_64 random(5);
  std::normal_distribution<float> normal;
  std::vector<float> numbers(static_cast<size_t>(inner) * 9);
  for (float& number : numbers) number = normal(random);
  Value& w = graph.add_constant("w", Constant::of(DataType::kFp32, {9, inner}, numbers));
  Value& b = graph.add_constant("b", Constant::of(DataType::kFp32, {9}, std::vector<float>(9, 1)));
  graph.add_output(graph.add("Gemm", {&x, &w, &b}, {{"transB", int64_t{1}}}, "y"));
  graph::TypeInference inference;
  EXPECT_TRUE(inference.infer(graph));
  return graph;
}

TEST(WeightOnly, Int4HasAScaleForEachBlock) {
  Graph graph;
  matrix(graph, 70);  // two blocks and a part of one
  const auto small = graph.clone();
  ASSERT_EQ(*store_weights_as(*small, WeightFormat::kInt4), 1u);
  ASSERT_TRUE(verify(*small));
  EXPECT_THAT(to_text(*small), HasSubstr("FP32[9,3]"));
  EXPECT_LT(error_against(graph, *small, samples(4, {2, 70})), 0.15);
}

TEST(DynamicQuantisation, TakesItsScalesFromTheInput) {
  Graph graph;
  matrix(graph, 70);
  const auto dynamic = graph.clone();
  const auto changed = quantise_dynamic(*dynamic);
  ASSERT_TRUE(changed) << changed.error().message();
  EXPECT_EQ(*changed, 1u);
  ASSERT_TRUE(verify(*dynamic));
  EXPECT_LT(error_against(graph, *dynamic, samples(4, {2, 70})), 0.02);
}

TEST(Equalisation, ComputesTheSameWithBetterRanges) {
  const auto graph = Network().build();
  // One channel a hundred times the others.
  Node& first = *graph->find("conv")->producer();
  std::vector<float> weights(first.input(1)->constant()->as<float>().begin(),
                             first.input(1)->constant()->as<float>().end());
  for (size_t i = 0; i < 27; ++i) weights[i] *= 100;
  // The residual reads the first layer too: only the one behind the groups has a pair.
  first.set_input(
      1, &graph->add_constant("big", Constant::of(DataType::kFp32, {8, 3, 3, 3}, weights)));
  const auto equal = graph->clone();
  const auto pairs = equalise(*equal);
  ASSERT_TRUE(pairs);
  ASSERT_TRUE(verify(*equal));
  EXPECT_LT(error_against(*graph, *equal, images(4)), 1e-5);

  Graph chain;
  Value& x = chain.add_input("x", {DataType::kFp32, graph::Shape{graph::Dim(1), graph::Dim(2)}});
  Value& w = chain.add_constant(
      "w", Constant::of(DataType::kFp32, {2, 2}, std::vector<float>{100, 0.01F, 50, 0.02F}));
  Value& v = chain.add_constant(
      "v", Constant::of(DataType::kFp32, {2, 1}, std::vector<float>{0.01F, 100}));
  chain.add_output(
      chain.add("Gemm", {&chain.add("Relu", {&chain.add("Gemm", {&x, &w})}), &v}, {}, "y"));
  graph::TypeInference inference;
  ASSERT_TRUE(inference.infer(chain));
  const auto before = chain.clone();
  EXPECT_EQ(*equalise(chain), 1u);
  EXPECT_LT(error_against(*before, chain, samples(4, {1, 2})), 1e-5);
  const auto now = chain.nodes().front()->input(1)->constant()->as<float>();
  EXPECT_NEAR(std::abs(now[0]), 1, 0.01);
  EXPECT_NEAR(std::abs(now[3]), 1.414, 0.01);
}

// One channel a hundred times the others, as encoders have behind their normalisations.
TEST(Smoothing, ComputesTheSameAndLosesLess) {
  auto parsed = graph::parse_text(R"(graph "encoder" {
  input %x: FP32[1,4,8]
  const %scale = FP32[8] {100, 1, 1, 1, 1, 1, 1, 1}
  const %bias = FP32[8] {0, 0.1, 0.2, 0, 0, 0, 0, 0}
  const %w = FP32[8,2] {0.01, -0.01, 1, 0.5, -1, 1, 0.3, 0.7, 1, -1, 0.2, 0.4, 1, 1, -0.5, 0.6}
  %n = LayerNormalization(%x, %scale, %bias)
  %y = MatMul(%n, %w)
  return %y
})");
  ASSERT_TRUE(parsed) << parsed.error().message();
  const Graph& graph = **parsed;
  const auto data = samples(8, {1, 4, 8});
  const auto calibration = calibrate(graph, data);
  ASSERT_TRUE(calibration);
  const auto smoothed = graph.clone();
  ASSERT_EQ(*smooth(*smoothed, *calibration), 1u);
  ASSERT_TRUE(verify(*smoothed));
  EXPECT_LT(error_against(graph, *smoothed, data), 1e-5);
  const auto calibrated = calibrate(*smoothed, data);
  ASSERT_TRUE(calibrated);
  const auto rough = graph.clone();
  ASSERT_EQ(*quantise_static(*rough, *calibration), 1u);
  ASSERT_EQ(*quantise_static(*smoothed, *calibrated), 1u);
  EXPECT_LT(error_against(graph, *smoothed, data), error_against(graph, *rough, data) / 3);
}

TEST(Observer, RangesOfKnownDistributions) {
  std::mt19937_64 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> values(100000);
  for (float& value : values) value = normal(random);
  values[0] = 1000;  // an outlier
  values[1] = NAN;
  const auto constant = Constant::of(DataType::kFp32, {100000}, values);
  Observer observer;
  observer.add(graph::Array::from(constant.view()));
  EXPECT_EQ(observer.count(), 99999u);
  EXPECT_EQ(observer.range(RangeMethod::kMinMax).highest, 1000);
  EXPECT_LT(observer.range(RangeMethod::kPercentile).highest, 10);
  EXPECT_GT(observer.range(RangeMethod::kPercentile).highest, 2);
  EXPECT_LT(observer.range(RangeMethod::kEntropy).highest, 100);
  EXPECT_LT(observer.range(RangeMethod::kMinMax).lowest, -3);

  const Scale scale = scale_for({-1, 1.55}, DataType::kUint8, false);
  EXPECT_FLOAT_EQ(scale.scale, 0.01F);
  EXPECT_EQ(scale.zero_point, 100);
  EXPECT_EQ(scale_for({-1, 0.5}, DataType::kUint8, true).zero_point, 128);
  EXPECT_EQ(scale_for({0, 0}, DataType::kUint8, false).scale, 1);
  EXPECT_EQ(scale_for({2, 4}, DataType::kUint8, false).zero_point, 0);  // zero is in every range
}

}  // namespace
}  // namespace skerry::optimise
