// TensorFlow Lite's 8-bit activations are signed: QuantizeLinear to UINT8 becomes one to INT8 whose
// zero point is 128 less. Only where nothing but DequantizeLinear reads it.
#include <algorithm>

#include "optimise/passes/passes.h"

namespace skerry::optimise {
namespace {

// Of UINT8; 0 where none is given; absent where it is computed, or not one for all.
std::optional<int64_t> unsigned_zero(const Node& node) {
  const Constant* scale = constant_of(node.input(1));
  if (scale == nullptr || scale->count() != 1) return {};
  if (node.input(2) == nullptr) return 0;
  const Constant* zero = constant_of(node.input(2));
  if (zero == nullptr || zero->count() != 1 || zero->type() != DataType::kUint8) return {};
  return int64_t{zero->as<uint8_t>()[0]};
}

Result<bool> make_signed(Node& quantise) {
  if (quantise.op() != "QuantizeLinear") return false;
  Value& stored = *quantise.output(0);
  if (stored.type().element != DataType::kUint8 || stored.is_graph_output() ||
      stored.uses().empty() || quantise.find("output_dtype") != nullptr) {
    return false;
  }
  const auto zero = unsigned_zero(quantise);
  const bool only_read_as_reals = std::ranges::all_of(stored.uses(), [&](const graph::Use& use) {
    return use.node != nullptr && use.index == 0 && use.node->op() == "DequantizeLinear" &&
           unsigned_zero(*use.node) == zero;
  });
  if (!zero || !only_read_as_reals) return false;
  constexpr int64_t kHalf = 128;
  Value& shifted =
      add_constant(quantise, stored.name() + ".zero",
                   Constant::of<int8_t>(DataType::kInt8, {}, {static_cast<int8_t>(*zero - kHalf)}));
  const std::vector<graph::Use> uses = stored.uses();
  for (const graph::Use& use : uses) use.node->set_input(2, &shifted);
  quantise.set_input(2, &shifted);
  Type type = stored.type();
  type.element = DataType::kInt8;
  stored.set_type(std::move(type));
  return true;
}

}  // namespace

Result<size_t> make_activations_signed(Graph& graph) {
  return rewrite_nodes(graph, make_signed);
}

}  // namespace skerry::optimise
