// DequantizeLinear → something that only moves elements → QuantizeLinear by the same scale: the
// quantised elements are moved instead.
#include <algorithm>

#include "optimise/passes/passes.h"

namespace skerry::optimise {
namespace {

bool only_moves(Op op) {
  constexpr Op kMoves[] = {"Reshape", "Flatten", "Squeeze", "Unsqueeze",    "Transpose",   "Slice",
                           "Gather",  "Expand",  "Tile",    "DepthToSpace", "SpaceToDepth"};
  return std::ranges::find(kMoves, op) != std::end(kMoves);
}

}  // namespace

Result<size_t> propagate_quantisation(Graph& graph) {
  return rewrite_nodes(graph, [](Node& quantise) -> Result<bool> {
    if (quantise.op() != "QuantizeLinear" || quantise.output(0)->uses().empty()) return false;
    const Value* moved = quantise.input(0);
    Node* move = moved->producer();
    if (move == nullptr || !only_moves(move->op()) || !has_one_use(*moved)) return false;
    const Node* dequantise = made_by(move->input(0), "DequantizeLinear");
    if (dequantise == nullptr || !same_constant(dequantise->input(1), quantise.input(1)) ||
        !same_constant(dequantise->input(2), quantise.input(2))) {
      return false;
    }
    // One scale for all: moving does not change which element has which.
    const Constant* scale = constant_of(quantise.input(1));
    if (scale == nullptr || scale->count() != 1) return false;
    if (dequantise->input(0)->type().element != quantise.output(0)->type().element) return false;
    std::vector<Value*> inputs = move->inputs();
    inputs[0] = dequantise->input(0);
    SKERRY_ASSIGN(Value * made, insert(quantise, move->op(), inputs, move->attributes(),
                                       quantise.output(0)->name()));
    made->set_type(quantise.output(0)->type());
    take_over(*quantise.output(0), *made);
    return true;
  });
}

}  // namespace skerry::optimise
