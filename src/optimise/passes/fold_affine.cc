// Batch normalisation, and scale and offset by channel, into the weights of the layer before.
#include <algorithm>
#include <cmath>

#include "optimise/passes/passes.h"

namespace skerry::optimise {
namespace {

// y = scale · x + offset, by channel of the layer before.
struct Affine {
  std::vector<double> scale, offset;
  bool has_offset() const {
    return std::ranges::any_of(offset, [](double value) { return value != 0; });
  }
};

// The layer whose weights can take it, how many channels it makes, and along which axis.
struct Layer {
  Node* node = nullptr;
  int64_t channels = 0;
  size_t rank = 0, axis = 0;
};

Layer layer_before(const Value* value) {
  Layer layer;
  for (const Op op : {Op("Conv"), Op("ConvTranspose"), Op("Gemm"), Op("MatMul")}) {
    if (Node* node = made_only_for_here(value, op); node != nullptr) layer.node = node;
  }
  if (layer.node == nullptr || !value->type().shape) return {};
  const Node& node = *layer.node;
  const Constant* weights = constant_of(node.input(1));
  if (weights == nullptr || !tensor::is_float(weights->type())) return {};
  if (node.input(2) != nullptr && constant_of(node.input(2)) == nullptr) return {};
  layer.rank = value->type().rank();
  const auto& shape = weights->shape();
  if (node.op() == "Conv") {
    layer.channels = shape[0];
    layer.axis = 1;
  } else if (node.op() == "ConvTranspose") {
    layer.channels = shape[1] * node.int_of("group");
    layer.axis = 1;
  } else {
    if (shape.size() != 2 || layer.rank < 2) return {};
    const bool transposed = node.op() == "Gemm" && node.int_of("transB") != 0;
    layer.channels = shape[transposed ? 0 : 1];
    layer.axis = layer.rank - 1;
  }
  return layer;
}

std::optional<Affine> affine_of_batch_norm(const Node& node, const Layer& layer) {
  if (node.int_of("training_mode") != 0 || layer.axis != 1) return {};
  std::vector<double> parts[4];
  for (size_t i = 0; i < 4; ++i) {
    const Constant* part = constant_of(node.input(i + 1));
    if (part == nullptr) return {};
    parts[i] = numbers_of(*part);
    if (static_cast<int64_t>(parts[i].size()) != layer.channels) return {};
  }
  Affine affine;
  const double epsilon = node.float_of("epsilon");
  for (size_t c = 0; c < parts[0].size(); ++c) {
    affine.scale.push_back(parts[0][c] / std::sqrt(parts[3][c] + epsilon));
    affine.offset.push_back(parts[1][c] - parts[2][c] * affine.scale.back());
  }
  return affine;
}

std::optional<Affine> affine_of_arithmetic(const Node& node, const Layer& layer) {
  const Operand operand = operand_of(node);
  if (operand.constant == nullptr) return {};
  const bool commutes = node.op() == "Add" || node.op() == "Mul";
  if (!commutes && operand.constant_at == 0) return {};
  auto numbers = per_channel(*operand.constant, layer.rank, layer.axis, layer.channels);
  if (!numbers) return {};
  Affine affine{std::vector<double>(numbers->size(), 1), std::vector<double>(numbers->size(), 0)};
  for (size_t c = 0; c < numbers->size(); ++c) {
    const double number = (*numbers)[c];
    if (node.op() == "Add") affine.offset[c] = number;
    if (node.op() == "Sub") affine.offset[c] = -number;
    if (node.op() == "Mul") affine.scale[c] = number;
    if (node.op() == "Div") affine.scale[c] = 1 / number;
  }
  return affine;
}

// Which channel an element of the weights belongs to.
size_t channel_of(const Node& node, const std::vector<int64_t>& shape, size_t element) {
  const auto at = static_cast<int64_t>(element);
  int64_t inner = 1;
  for (size_t i = 1; i < shape.size(); ++i) inner *= shape[i];
  if (node.op() == "Conv") return static_cast<size_t>(at / inner);
  if (node.op() == "ConvTranspose") {
    const int64_t in_group = shape[0] / node.int_of("group");
    const int64_t space = inner / shape[1];
    return static_cast<size_t>(at / inner / in_group * shape[1] + at / space % shape[1]);
  }
  const bool transposed = node.op() == "Gemm" && node.int_of("transB") != 0;
  return static_cast<size_t>(transposed ? at / shape[1] : at % shape[1]);
}

std::optional<std::vector<double>> folded_bias(const Layer& layer, const Affine& affine) {
  const Node& node = *layer.node;
  std::vector<double> bias(affine.scale.size(), 0);
  double beta = 1;
  if (const Constant* constant = constant_of(node.input(2)); constant != nullptr) {
    const bool gemm = node.op() == "Gemm";
    const auto given = per_channel(*constant, gemm ? 2 : 1, gemm ? 1 : 0, layer.channels);
    if (!given) return {};
    bias = *given;
    if (gemm) beta = node.float_of("beta");
  }
  for (size_t c = 0; c < bias.size(); ++c) {
    bias[c] = bias[c] * beta * affine.scale[c] + affine.offset[c];
  }
  return bias;
}

bool fold_into(const Layer& layer, const Affine& affine) {
  Node& node = *layer.node;
  const Constant& weights = *constant_of(node.input(1));
  const bool wants_bias = affine.has_offset() || node.input(2) != nullptr;
  if (wants_bias && node.op() == "MatMul") return false;
  const auto bias = folded_bias(layer, affine);
  if (!bias) return false;
  std::vector<double> numbers = numbers_of(weights);
  bool finite = true;
  for (size_t i = 0; i < numbers.size(); ++i) {
    numbers[i] *= affine.scale[channel_of(node, weights.shape(), i)];
    finite = finite && std::isfinite(static_cast<float>(numbers[i]));
  }
  if (!finite) return false;
  node.set_input(1, &add_constant(node, node.input(1)->name(),
                                  floats(weights.type(), weights.shape(), numbers)));
  if (!wants_bias) return true;
  const std::string name = node.input(2) != nullptr ? node.input(2)->name() : node.name() + ".bias";
  node.set_input(2, &add_constant(node, name, floats(weights.type(), {layer.channels}, *bias)));
  if (node.op() == "Gemm") node.set_attribute("beta", 1.0F);
  return true;
}

Result<bool> fold_affine_node(Node& node) {
  const Op op = node.op();
  const bool arithmetic = op == "Add" || op == "Sub" || op == "Mul" || op == "Div";
  if (!arithmetic && op != "BatchNormalization") return false;
  Value* x = arithmetic ? operand_of(node).value : node.input(0);
  const Layer layer = layer_before(x);
  if (layer.node == nullptr || node.output(0)->uses().empty()) return false;
  // A constant may also make more of the layer's output than it is.
  if (!same_type(x->type(), node.output(0)->type())) return false;
  const auto affine =
      arithmetic ? affine_of_arithmetic(node, layer) : affine_of_batch_norm(node, layer);
  if (!affine || !fold_into(layer, *affine)) return false;
  take_over(*node.output(0), *x);
  return true;
}

}  // namespace

Result<size_t> fold_affine(Graph& graph) {
  return rewrite_nodes(graph, fold_affine_node);
}

}  // namespace skerry::optimise
