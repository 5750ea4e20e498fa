// Scale and offset by channel in front of a layer, such as the normalisation of an image, into its
// weights. An offset goes only where no padding is around: padding would have to be offset too.
#include <algorithm>
#include <cmath>

#include "optimise/passes/passes.h"

namespace skerry::optimise {
namespace {

bool has_padding(const Node& node) {
  if (node.op() != "Conv") return false;
  const auto pads = node.ints_of("pads");
  const std::string& mode = node.string_of("auto_pad");
  return mode.starts_with("SAME") || std::ranges::any_of(pads, [](int64_t p) { return p != 0; });
}

// Numbers of the constant by the layer's input channel; Conv of one group, Gemm and MatMul.
std::optional<std::vector<double>> by_channel(const Node& layer, const Operand& operand) {
  const Type& type = operand.value->type();
  const Constant& weights = *constant_of(layer.input(1));
  if (!type.shape || weights.shape().size() < 2) return {};
  if (layer.op() == "Conv") {
    if (layer.int_of("group") != 1) return {};
    return per_channel(*operand.constant, type.rank(), 1, weights.shape()[1]);
  }
  if (weights.shape().size() != 2 || type.rank() < 1) return {};
  const bool gemm = layer.op() == "Gemm";
  if (gemm && layer.int_of("transA") != 0) return {};
  const bool transposed = gemm && layer.int_of("transB") != 0;
  return per_channel(*operand.constant, type.rank(), type.rank() - 1,
                     weights.shape()[transposed ? 1 : 0]);
}

struct Place {
  size_t in, out;  // channels of an element of the weights
};

Place place_of(const Node& layer, const std::vector<int64_t>& shape, size_t element) {
  const auto at = static_cast<int64_t>(element);
  if (layer.op() == "Conv") {
    int64_t space = 1;
    for (size_t i = 2; i < shape.size(); ++i) space *= shape[i];
    return {static_cast<size_t>(at / space % shape[1]), static_cast<size_t>(at / space / shape[1])};
  }
  const auto row = static_cast<size_t>(at / shape[1]);
  const auto column = static_cast<size_t>(at % shape[1]);
  const bool transposed = layer.op() == "Gemm" && layer.int_of("transB") != 0;
  return transposed ? Place{column, row} : Place{row, column};
}

Result<bool> fold_scale(Node& layer, const Node& before, const Operand& operand,
                        const std::vector<double>& scale) {
  const Constant& weights = *constant_of(layer.input(1));
  std::vector<double> numbers = numbers_of(weights);
  for (size_t i = 0; i < numbers.size(); ++i) {
    const double factor = scale[place_of(layer, weights.shape(), i).in];
    numbers[i] *= before.op() == "Div" ? 1 / factor : factor;
    if (!std::isfinite(static_cast<float>(numbers[i]))) return false;
  }
  layer.set_input(1, &add_constant(layer, layer.input(1)->name(),
                                   floats(weights.type(), weights.shape(), numbers)));
  layer.set_input(0, operand.value);
  return true;
}

Result<bool> fold_offset(Node& layer, const Node& before, const Operand& operand,
                         const std::vector<double>& offset) {
  if (layer.op() == "MatMul" || has_padding(layer)) return false;
  const Constant& weights = *constant_of(layer.input(1));
  const std::vector<double> numbers = numbers_of(weights);
  const bool gemm = layer.op() == "Gemm";
  const bool transposed = gemm && layer.int_of("transB") != 0;
  const auto channels = weights.shape()[gemm && !transposed ? 1 : 0];
  std::vector<double> bias(static_cast<size_t>(channels), 0);
  if (layer.input(2) != nullptr) {
    const Constant* given = constant_of(layer.input(2));
    if (given == nullptr || (gemm && layer.float_of("beta") != 1)) return false;
    const auto old = per_channel(*given, gemm ? 2 : 1, gemm ? 1 : 0, channels);
    if (!old) return false;
    bias = *old;
  }
  const double alpha = gemm ? layer.float_of("alpha") : 1;
  for (size_t i = 0; i < numbers.size(); ++i) {
    const Place place = place_of(layer, weights.shape(), i);
    bias[place.out] += alpha * numbers[i] * (before.op() == "Sub" ? -1 : 1) * offset[place.in];
  }
  if (gemm) layer.set_attribute("beta", 1.0F);
  layer.set_input(
      2, &add_constant(layer, layer.name() + ".bias", floats(weights.type(), {channels}, bias)));
  layer.set_input(0, operand.value);
  return true;
}

Result<bool> fold_into_layer(Node& layer) {
  if (layer.op() != "Conv" && layer.op() != "Gemm" && layer.op() != "MatMul") return false;
  const Constant* weights = constant_of(layer.input(1));
  if (weights == nullptr || !tensor::is_float(weights->type())) return false;
  for (const Op op : {Op("Mul"), Op("Div"), Op("Add"), Op("Sub")}) {
    const Node* before = made_only_for_here(layer.input(0), op);
    if (before == nullptr) continue;
    const Operand operand = operand_of(*before);
    const bool commutes = op == "Mul" || op == "Add";
    if (operand.constant == nullptr || (!commutes && operand.constant_at == 0)) return false;
    if (!same_type(operand.value->type(), before->output(0)->type())) return false;
    const auto numbers = by_channel(layer, operand);
    if (!numbers) return false;
    return op == "Mul" || op == "Div" ? fold_scale(layer, *before, operand, *numbers)
                                      : fold_offset(layer, *before, operand, *numbers);
  }
  return false;
}

}  // namespace

Result<size_t> fold_input_affine(Graph& graph) {
  return rewrite_nodes(graph, fold_into_layer);
}

}  // namespace skerry::optimise
