// Pairs and dequantised constants, there and back. Both ways walk over the same nodes, and names
// of constants tie them together: NAME of the weights, NAME.log_scale.
#include "train/qat.h"

#include <algorithm>
#include <cmath>

#include "graph/evaluation.h"
#include "optimise/pass.h"
#include "optimise/rewrite.h"

namespace skerry::train {
namespace {

using graph::Array;

const std::string kLogScale = ".log_scale";

std::vector<double> doubles_of(const Constant& constant) {
  return Array::from(constant.view()).to_doubles();
}

std::vector<int64_t> integers_of(const Constant& constant) {
  return Array::from(constant.view()).to_ints();
}

const Constant* constant_of(const Value* value) {
  return value != nullptr ? value->constant() : nullptr;
}

bool is_weights(const Node& node) {
  const Constant* stored = constant_of(node.input(0));
  return node.op() == "DequantizeLinear" && stored != nullptr && stored->type() == DataType::kInt8;
}

bool is_bias(const Node& node) {
  const Constant* stored = constant_of(node.input(0));
  return node.op() == "DequantizeLinear" && stored != nullptr && stored->type() == DataType::kInt32;
}

// Of a pair: the QuantizeLinear before a DequantizeLinear; null where it is none.
Node* quantiser_of(const Node& node) {
  if (node.op() != "DequantizeLinear" || node.input(0)->constant() != nullptr) return nullptr;
  return optimise::made_by(node.input(0), "QuantizeLinear");
}

// "conv1.weight" of "conv1.weight.q".
std::string float_name(const Node& dequantise) {
  std::string name = dequantise.input(0)->name();
  if (name.ends_with(".q")) name.resize(name.size() - 2);
  return name;
}

bool only_moves(Op op) {
  for (const Op mover : {Op("MaxPool"), Op("Reshape"), Op("Flatten"), Op("Squeeze"),
                         Op("Unsqueeze"), Op("Transpose")}) {
    if (op == mover) return true;
  }
  return false;
}

bool same_scale(const Node& a, const Node& b) {
  return constant_of(a.input(1)) != nullptr && constant_of(b.input(1)) != nullptr &&
         *a.input(1)->constant() == *b.input(1)->constant();
}

// The pair whose integers this one's are, only moved; itself where there is none.
const Node& first_of_chain(const Node& dequantise) {
  const Node* first = &dequantise;
  while (true) {
    const Node* node = quantiser_of(*first)->input(0)->producer();
    while (node != nullptr && only_moves(node->op())) node = node->input(0)->producer();
    const bool goes_on =
        node != nullptr && quantiser_of(*node) != nullptr && same_scale(*node, *first);
    if (!goes_on) return *first;
    first = node;
  }
}

std::vector<float> dequantised(const Node& node) {
  const Constant& stored = *node.input(0)->constant();
  const auto numbers = integers_of(stored);
  const auto scales = doubles_of(*node.input(1)->constant());
  int64_t inner = 1;
  const auto axis = static_cast<size_t>(std::max<int64_t>(node.int_of("axis"), 0));
  for (size_t i = axis + 1; i < stored.shape().size(); ++i) inner *= stored.shape()[i];
  std::vector<float> values;
  for (size_t i = 0; i < numbers.size(); ++i) {
    const size_t channel = scales.size() == 1 ? 0 : i / static_cast<size_t>(inner) % scales.size();
    values.push_back(static_cast<float>(static_cast<double>(numbers[i]) * scales[channel]));
  }
  return values;
}

Value& log_scale(Graph& graph, const std::string& name, const Constant& scale) {
  std::vector<float> logs;
  for (const double one : doubles_of(scale)) logs.push_back(static_cast<float>(std::log(one)));
  return graph.add_constant(
      name, Constant::of(DataType::kFp32, {static_cast<int64_t>(logs.size())}, logs));
}

// (clip(round(x/s) + z, least, most) − z)·s
Value* rounded(Builder& make, Value* x, Value* scale, double zero, double least, double most) {
  Value* whole = make.op("Round", {make.div(x, scale)});
  Value* inside = make.op("Clip", {whole, make.number(least - zero), make.number(most - zero)});
  return make.mul(inside, scale);
}

class Training {
 public:
  Training(const Graph& quantised, const Graph& source)
      : graph_(quantised.clone()), source_(source) {}

  Result<std::unique_ptr<Graph>> run() {
    std::vector<Node*> nodes;
    for (const auto& node : graph_->nodes()) nodes.push_back(node.get());
    // Chains are looked at while all pairs are there.
    std::unordered_map<const Node*, const Node*> first;
    for (const Node* node : nodes) {
      if (quantiser_of(*node) != nullptr) first[node] = &first_of_chain(*node);
    }
    for (Node* node : nodes) {
      Value* made = nullptr;
      if (is_weights(*node)) made = weights(*node);
      if (is_bias(*node)) made = bias(*node);
      if (first.contains(node)) {
        // What was only moved is rounded already.
        made = first.at(node) == node ? activation(*node) : quantiser_of(*node)->input(0);
      }
      if (made == nullptr) continue;
      Value& old = *node->output(0);
      if (old.is_graph_output()) graph_->swap_names(old, *made);
      old.replace_uses(*made);
    }
    SKERRY_TRY(optimise::run_passes(*graph_, {.only = {"dead-code"}}));
    for (const auto& node : graph_->nodes()) {
      if (node->op().name().contains("QuantizeLinear")) {
        return fail(Code::kUnsupported, node->describe() + " cannot be trained");
      }
    }
    return std::move(graph_);
  }

 private:
  Value* weights(Node& node) {
    Builder make(*graph_, &node);
    const Constant& stored = *node.input(0)->constant();
    const std::string name = float_name(node);
    const Value* given = source_.find(name);
    const Constant* real = given != nullptr ? given->constant() : nullptr;
    const bool usable =
        real != nullptr && real->type() == DataType::kFp32 && real->shape() == stored.shape();
    Value& values = graph_->add_constant(
        name, usable ? *real : Constant::of(DataType::kFp32, stored.shape(), dequantised(node)));
    Value& logs = log_scale(*graph_, name + kLogScale, *node.input(1)->constant());
    Value* scale = make.op("Exp", {&logs});
    Sizes shape(stored.shape().size(), 1);
    const size_t axis = static_cast<size_t>(std::max<int64_t>(node.int_of("axis"), 0));
    if (count_of(*scale) > 1) shape[axis] = count_of(*scale);
    return rounded(make, &values, make.reshape(scale, shape), 0, -127, 127);
  }

  Value* bias(Node& node) {
    return &graph_->add_constant(
        float_name(node),
        Constant::of(DataType::kFp32, node.input(0)->constant()->shape(), dequantised(node)));
  }

  Value* activation(Node& node) {
    const Node& quantiser = *quantiser_of(node);
    const Constant* scale = constant_of(quantiser.input(1));
    const Constant* zero = constant_of(quantiser.input(2));
    if (scale == nullptr || scale->count() != 1) return nullptr;
    Builder make(*graph_, &node);
    const std::string name = quantiser.input(0)->name() + kLogScale;
    Value* real = make.op("Exp", {&log_scale(*graph_, name, *scale)});
    const bool is_signed = zero != nullptr && zero->type() == DataType::kInt8;
    const double middle = zero != nullptr ? static_cast<double>(integers_of(*zero)[0]) : 0;
    return rounded(make, quantiser.input(0), real, middle, is_signed ? -128 : 0,
                   is_signed ? 127 : 255);
  }

  std::unique_ptr<Graph> graph_;
  const Graph& source_;
};

class Quantising {
 public:
  Quantising(const Graph& quantised, const Graph& trained)
      : graph_(quantised.clone()), trained_(trained) {}

  Result<std::unique_ptr<Graph>> run() {
    std::vector<Node*> nodes;
    for (const auto& node : graph_->nodes()) nodes.push_back(node.get());
    std::unordered_map<const Node*, std::string> activations;
    for (const Node* node : nodes) {
      if (quantiser_of(*node) == nullptr) continue;
      activations[node] = quantiser_of(first_of_chain(*node))->input(0)->name() + kLogScale;
    }
    for (Node* node : nodes) {
      if (activations.contains(node)) SKERRY_TRY(set_activation(*node, activations.at(node)));
      if (is_weights(*node)) SKERRY_TRY(set_weights(*node));
    }
    // Its scale follows from the others.
    for (Node* node : nodes) {
      if (is_bias(*node)) SKERRY_TRY(set_bias(*node));
    }
    SKERRY_TRY(optimise::run_passes(*graph_, {.only = {"dead-code"}}));
    return std::move(graph_);
  }

 private:
  Result<const Constant*> learned(const std::string& name) const {
    const Value* value = trained_.find(name);
    if (value == nullptr || value->constant() == nullptr) {
      return fail(Code::kInvalidArgument, "the trained model lacks '" + name + "'");
    }
    return value->constant();
  }

  Result<std::vector<float>> scales(const std::string& name) const {
    SKERRY_ASSIGN(const Constant* logs, learned(name));
    std::vector<float> values;
    for (const double log : doubles_of(*logs)) values.push_back(static_cast<float>(std::exp(log)));
    return values;
  }

  Value& constant(const Value& old, DataType type, const Sizes& shape,
                  const std::vector<float>& values) {
    return graph_->add_constant(old.name(), Constant::of(type, shape, values));
  }

  Result<void> set_activation(Node& node, const std::string& name) {
    SKERRY_ASSIGN(const auto values, scales(name));
    Node& quantiser = *quantiser_of(node);
    Value& scale = constant(*node.input(1), DataType::kFp32, {}, values);
    quantiser.set_input(1, &scale);
    node.set_input(1, &scale);
    return {};
  }

  Result<void> set_weights(Node& node) {
    const std::string name = float_name(node);
    SKERRY_ASSIGN(const Constant* real, learned(name));
    SKERRY_ASSIGN(const auto values, scales(name + kLogScale));
    int64_t inner = 1;
    const auto axis = static_cast<size_t>(std::max<int64_t>(node.int_of("axis"), 0));
    for (size_t i = axis + 1; i < real->shape().size(); ++i) inner *= real->shape()[i];
    std::vector<int8_t> stored;
    const auto numbers = real->as<float>();
    for (size_t i = 0; i < numbers.size(); ++i) {
      const float scale =
          values.size() == 1 ? values[0] : values[i / static_cast<size_t>(inner) % values.size()];
      stored.push_back(
          static_cast<int8_t>(std::clamp(std::nearbyint(numbers[i] / scale), -127.0F, 127.0F)));
    }
    node.set_input(0, &graph_->add_constant(node.input(0)->name(),
                                            Constant::of(DataType::kInt8, real->shape(), stored)));
    const Sizes shape = node.input(1)->constant()->shape();
    node.set_input(1, &constant(*node.input(1), DataType::kFp32, shape, values));
    return {};
  }

  Result<void> set_bias(Node& node) {
    const Node& layer = *node.output(0)->uses()[0].node;
    const Node* input = layer.input(0)->producer();
    const Node* weights = layer.input(1)->producer();
    const bool fits = input != nullptr && weights != nullptr && input->op() == "DequantizeLinear" &&
                      is_weights(*weights);
    if (!fits) return fail(Code::kUnsupported, layer.describe() + ": its bias stands alone");
    SKERRY_ASSIGN(const Constant* real, learned(float_name(node)));
    const float of_input = input->input(1)->constant()->as<float>()[0];
    std::vector<float> both;
    for (const float scale : weights->input(1)->constant()->as<float>()) {
      both.push_back(scale * of_input);
    }
    std::vector<int32_t> stored;
    const auto numbers = real->as<float>();
    for (size_t i = 0; i < numbers.size(); ++i) {
      const double scale = static_cast<double>(both[both.size() == 1 ? 0 : i]);
      constexpr double kLargest = 2147483000;
      stored.push_back(static_cast<int32_t>(
          std::clamp(std::nearbyint(numbers[i] / scale), -kLargest, kLargest)));
    }
    node.set_input(0, &graph_->add_constant(node.input(0)->name(),
                                            Constant::of(DataType::kInt32, real->shape(), stored)));
    const Sizes shape = node.input(1)->constant()->shape();
    node.set_input(1, &constant(*node.input(1), DataType::kFp32, shape, both));
    return {};
  }

  std::unique_ptr<Graph> graph_;
  const Graph& trained_;
};

}  // namespace

Result<std::unique_ptr<Graph>> trainable(const Graph& quantised, const Graph& source) {
  return Training(quantised, source).run();
}

Result<std::unique_ptr<Graph>> quantised_again(const Graph& quantised, const Graph& trained) {
  return Quantising(quantised, trained).run();
}

}  // namespace skerry::train
