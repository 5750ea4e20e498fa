// Which layers and values become integer is decided first, going with the graph; then it is
// rewritten. A value is quantised where a layer with weights makes or reads it, and from there on
// through every operator that has an integer kernel, so that a chain of layers stays in integers.
#include "optimise/quantise/static_quantise.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>
#include <unordered_set>

#include "optimise/pass.h"
#include "optimise/quantise/weights.h"

namespace skerry::optimise {
namespace {

constexpr DataType kActivations = DataType::kUint8;

enum class Kind {
  kFloat,     // stays
  kWeighted,  // Conv, Gemm, MatMul with constant weights
  kNumeric,   // integer kernel with scales of its own
  kSame,      // output by the scale of the input
  kClip,      // left to the saturation of its output
};

Kind kind_of(Op op) {
  constexpr Op kNumeric[] = {"Add",    "Mul",       "AveragePool", "GlobalAveragePool",
                             "Concat", "LeakyRelu", "Sigmoid",     "MatMul"};
  constexpr Op kSame[] = {"MaxPool", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose"};
  if (std::ranges::find(kNumeric, op) != std::end(kNumeric)) return Kind::kNumeric;
  if (std::ranges::find(kSame, op) != std::end(kSame)) return Kind::kSame;
  return op == "Relu" || op == "Clip" ? Kind::kClip : Kind::kFloat;
}

bool is_activation(const Value* value) {
  return value != nullptr && value->constant() == nullptr &&
         value->type().element == DataType::kFp32;
}

bool only_moves_first(Op op) {  // the other inputs are shapes and axes
  return kind_of(op) == Kind::kSame;
}

class Quantiser {
 public:
  Quantiser(Graph& graph, const Calibration& calibration, const StaticOptions& options)
      : graph_(graph), calibration_(calibration), options_(options) {}

  Result<size_t> run() {
    for (const auto& node : graph_.nodes()) plan(*node);
    leave_out_lonely_outputs();
    for (const WeightedLayer& layer : layers_) {
      if (options_.correct_bias) correct_bias(layer);
    }
    for (const auto& value : graph_.inputs()) SKERRY_TRY(quantise(*value));
    std::vector<Node*> nodes;
    for (const auto& node : graph_.nodes()) nodes.push_back(node.get());
    for (Node* node : nodes) {
      for (const auto& output : node->outputs()) {
        if (output) SKERRY_TRY(quantise(*output));
      }
    }
    for (const WeightedLayer& layer : layers_) SKERRY_TRY(quantise_weights(layer));
    SKERRY_TRY(run_passes(graph_, {.only = {"fold-quantisation", "dead-code"}}));
    return layers_.size();
  }

 private:
  bool is_integer(const Value* value) const { return scales_.contains(value); }

  bool calibrated(const Value* value) const {
    return is_activation(value) && calibration_.find(*value) != nullptr;
  }

  Scale scale_of(const Value& value) const {
    const Observer& seen = *calibration_.find(value);
    return scale_for(seen.range(options_.method, options_.percentile), kActivations,
                     options_.symmetric);
  }

  void mark(const Value* value) {
    if (!scales_.contains(value)) scales_.emplace(value, scale_of(*value));
  }

  void plan(Node& node) {
    if (node.outputs().size() != 1 || options_.keep_float.contains(node.name())) return;
    Value* output = node.output(0);
    if (!calibrated(output)) return;
    if (const auto layer = weighted_layer(node)) {
      if (!calibrated(node.input(0))) return;
      mark(node.input(0));
      integer_nodes_.insert(&node);
      layers_.push_back(*layer);
      // A clip behind it is done by the scale of the clip's output.
      if (!is_clipped_next(*output)) mark(output);
      return;
    }
    const Kind kind = kind_of(node.op());
    if (kind == Kind::kFloat) return;
    if (kind == Kind::kClip) return plan_clip(node);
    const size_t count = only_moves_first(node.op()) ? 1 : node.inputs().size();
    for (size_t i = 0; i < count; ++i) {
      if (!is_integer(node.input(i))) return;
    }
    integer_nodes_.insert(&node);
    if (kind == Kind::kSame) {
      scales_[output] = scales_.at(node.input(0));
    } else if (!is_clipped_next(*output)) {
      mark(output);
    }
  }

  bool is_clipped_next(const Value& value) const {
    if (!has_one_use(value)) return false;
    const Node& next = *value.uses()[0].node;
    return kind_of(next.op()) == Kind::kClip && calibrated(next.output(0)) &&
           !options_.keep_float.contains(next.name());
  }

  void plan_clip(Node& node) {
    const Node* before = node.input(0)->producer();
    const bool fuses = before != nullptr && integer_nodes_.contains(before) &&
                       has_one_use(*node.input(0)) && !is_integer(node.input(0));
    if (!fuses && !is_integer(node.input(0))) return;
    integer_nodes_.insert(&node);
    mark(node.output(0));
  }

  // A result that nothing reads as integers stays float, where the layer can make one: the model's
  // answer loses nothing to rounding then.
  void leave_out_lonely_outputs() {
    for (const WeightedLayer& layer : layers_) {
      const Value* output = layer.node->output(0);
      const bool read = std::ranges::any_of(output->uses(), [&](const graph::Use& use) {
        return use.node != nullptr && integer_nodes_.contains(use.node);
      });
      if (!read && layer.node->op() != "Conv") scales_.erase(output);
    }
  }

  // --- Activations --------------------------------------------------------------------------

  Result<void> quantise(Value& value) {
    const auto found = scales_.find(&value);
    if (found == scales_.end()) return {};
    const bool made_here = value.producer() != nullptr && integer_nodes_.contains(value.producer());
    Node* first = first_reader_or_next(value);
    Value& scale =
        graph_.add_constant(value.name() + ".scale", Constant::of_float(found->second.scale));
    Value& zero = graph_.add_constant(
        value.name() + ".zero",
        Constant::of(kActivations, {},
                     std::vector<uint8_t>{static_cast<uint8_t>(found->second.zero_point)}));
    const std::vector<graph::Use> uses = value.uses();
    Value& stored =
        add_before(first, "QuantizeLinear", {&value, &scale, &zero}, ".q", value, kActivations);
    Value& real = add_before(first, "DequantizeLinear", {&stored, &scale, &zero}, ".dq", value,
                             DataType::kFp32);
    for (const graph::Use& use : uses) {
      if (use.node != nullptr) {
        // What others make keeps its float readers.
        if (made_here || integer_nodes_.contains(use.node)) use.node->set_input(use.index, &real);
      } else if (made_here) {
        if (real.uses().empty() || !real.is_graph_output()) graph_.swap_names(value, real);
        use.graph->set_output(use.index, real);
      }
    }
    return {};
  }

  // Where the pair goes: right behind the producer; null at the end.
  Node* first_reader_or_next(const Value& value) const {
    auto at = graph_.nodes().begin();
    if (value.producer() != nullptr) {
      at = std::ranges::find_if(graph_.nodes(),
                                [&](const auto& node) { return node.get() == value.producer(); });
      ++at;
    }
    return at == graph_.nodes().end() ? nullptr : at->get();
  }

  Value& add_before(Node* before, Op op, std::vector<Value*> inputs, const char* suffix,
                    const Value& of, DataType type) {
    const std::string name = of.name() + suffix;
    Value& made =
        *graph_
             .add_node({.op = op, .name = name, .inputs = std::move(inputs), .outputs = {name}},
                       before)
             .output(0);
    made.set_type({type, of.type().shape});
    return made;
  }

  // --- Weights ------------------------------------------------------------------------------

  IntegerWeights rounded(const WeightedLayer& layer) const {
    const int64_t largest = options_.seven_bits ? 63 : 127;
    IntegerWeights weights =
        round_weights(*layer.weights, layer.axis, options_.per_channel, largest);
    if (options_.products == nullptr) return weights;
    const auto found = options_.products->find(layer.node->output(0)->name());
    if (found != options_.products->end()) {
      round_by_products(layer, found->second, largest, weights);
    }
    return weights;
  }

  // The mean of what the rounded weights add to each output channel is taken from the bias.
  void correct_bias(const WeightedLayer& layer) {
    Node& node = *layer.node;
    if (node.op() == "MatMul") return;
    const Observer* seen = calibration_.find(*node.input(0));
    const std::vector<double> means = seen->channel_means();
    const IntegerWeights weights = rounded(layer);
    std::vector<double> bias = bias_of(layer);
    const AxisSizes sizes = axis_sizes(layer.weights->shape(), layer.axis);
    for (size_t i = 0; i < weights.error.size(); ++i) {
      const size_t channel = input_channel(layer, i);
      if (channel >= means.size()) return;
      bias[sizes.at(i)] -= weights.error[i] * means[channel];
    }
    set_bias(layer, bias);
  }

  static std::vector<double> bias_of(const WeightedLayer& layer) {
    const auto channels = static_cast<size_t>(layer.channels);
    const Constant* constant = constant_of(layer.node->input(2));
    if (constant == nullptr) return std::vector<double>(channels, 0);
    const bool gemm = layer.node->op() == "Gemm";
    return per_channel(*constant, gemm ? 2 : 1, gemm ? 1 : 0, layer.channels)
        .value_or(std::vector<double>(channels, 0));
  }

  void set_bias(const WeightedLayer& layer, const std::vector<double>& bias) {
    Node& node = *layer.node;
    const std::string name = node.input(2) != nullptr ? node.input(2)->name() : node.name() + ".b";
    node.set_input(2, &graph_.add_constant(name, floats(DataType::kFp32, {layer.channels}, bias)));
  }

  Result<void> quantise_weights(const WeightedLayer& layer) {
    Node& node = *layer.node;
    const IntegerWeights weights = rounded(layer);
    const std::string name = node.input(1)->name();
    Value& stored =
        graph_.add_constant(name + ".q", int8_constant(layer.weights->shape(), weights.numbers));
    const bool one = weights.scales.size() == 1;
    const std::vector<int64_t> shape =
        one ? std::vector<int64_t>{} : std::vector<int64_t>{layer.channels};
    Value& scale =
        graph_.add_constant(name + ".scale", Constant::of(DataType::kFp32, shape, weights.scales));
    Value& zero = graph_.add_constant(
        name + ".zero",
        Constant::of(DataType::kInt8, shape, std::vector<int8_t>(weights.scales.size(), 0)));
    Attributes attributes;
    if (!one) attributes.emplace("axis", static_cast<int64_t>(layer.axis));
    const float input_scale = scales_.at(input_value(node)).scale;
    SKERRY_ASSIGN(Value * real, insert(node, "DequantizeLinear", {&stored, &scale, &zero},
                                       attributes, name + ".dq"));
    const std::vector<double> bias = bias_of(layer);
    node.set_input(1, real);
    return node.input(2) != nullptr ? quantise_bias(node, bias, weights.scales, input_scale)
                                    : Result<void>();
  }

  // The float value that was quantised for the node's first input.
  static const Value* input_value(const Node& node) {
    const Node* dequantise = node.input(0)->producer();
    return dequantise->input(0)->producer()->input(0);
  }

  // As INT32, by exactly the product of both scales: any other, and the runtime does not fuse.
  Result<void> quantise_bias(Node& node, const std::vector<double>& bias,
                             const std::vector<float>& weight_scales, float input_scale) {
    std::vector<float> scales;
    for (const float scale : weight_scales) scales.push_back(scale * input_scale);
    std::vector<int32_t> numbers;
    for (size_t i = 0; i < bias.size(); ++i) {
      const double rounded = std::nearbyint(bias[i] / scales[scales.size() > 1 ? i : 0]);
      constexpr double kLargest = 2147483000;
      numbers.push_back(static_cast<int32_t>(std::clamp(rounded, -kLargest, kLargest)));
    }
    const std::string name = node.input(2)->name();
    const auto count = static_cast<int64_t>(bias.size());
    Value& stored =
        graph_.add_constant(name + ".q", Constant::of(DataType::kInt32, {count}, numbers));
    const bool one = scales.size() == 1;
    Value& scale = graph_.add_constant(
        name + ".scale",
        Constant::of(DataType::kFp32, one ? std::vector<int64_t>{} : std::vector<int64_t>{count},
                     scales));
    Attributes attributes;
    if (!one) attributes.emplace("axis", int64_t{0});
    SKERRY_ASSIGN(Value * real,
                  insert(node, "DequantizeLinear", {&stored, &scale}, attributes, name + ".dq"));
    node.set_input(2, real);
    return {};
  }

  Graph& graph_;
  const Calibration& calibration_;
  const StaticOptions& options_;
  std::unordered_map<const Value*, Scale> scales_;
  std::unordered_set<const Node*> integer_nodes_;
  std::vector<WeightedLayer> layers_;
};

}  // namespace

std::vector<std::string> quantisable_layers(const Graph& graph) {
  std::vector<std::string> names;
  for (const auto& node : graph.nodes()) {
    if (weighted_layer(*node)) names.push_back(node->name());
  }
  return names;
}

Result<size_t> quantise_static(Graph& graph, const Calibration& calibration,
                               const StaticOptions& options) {
  return Quantiser(graph, calibration, options).run();
}

}  // namespace skerry::optimise
