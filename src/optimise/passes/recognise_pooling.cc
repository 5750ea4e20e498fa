// Means and maxima over the whole image under the name for which engines have a kernel.
#include <algorithm>

#include "optimise/passes/passes.h"

namespace skerry::optimise {
namespace {

// A reduction with kept dimensions over exactly the spatial axes of [batch, channels, spatial…].
bool is_over_space(const Node& reduce) {
  const auto axes = ints_of(reduce.input(1));
  if (!axes || reduce.int_of("keepdims") == 0 || !reduce.input(0)->type().shape) return false;
  const size_t rank = reduce.input(0)->type().rank();
  std::vector<int64_t> sorted;
  for (const int64_t axis : *axes) {
    sorted.push_back(axis < 0 ? axis + static_cast<int64_t>(rank) : axis);
  }
  std::ranges::sort(sorted);
  if (rank < 3 || sorted.size() != rank - 2) return false;
  for (size_t i = 0; i < sorted.size(); ++i) {
    if (sorted[i] != static_cast<int64_t>(i) + 2) return false;
  }
  return true;
}

// A pool whose window is the whole image.
bool is_whole_image(const Node& pool) {
  const Type& type = pool.input(0)->type();
  const auto pads = pool.ints_of("pads");
  if (!type.shape || std::ranges::any_of(pads, [](int64_t pad) { return pad != 0; })) return false;
  if (pool.string_of("auto_pad") != "NOTSET" && pool.string_of("auto_pad") != "VALID") return false;
  const auto kernel = pool.ints_of("kernel_shape");
  const auto dilations = pool.ints_of("dilations");
  if (std::ranges::any_of(dilations, [](int64_t d) { return d != 1; })) return false;
  if (kernel.size() + 2 != type.rank()) return false;
  for (size_t i = 0; i < kernel.size(); ++i) {
    if (!(*type.shape)[i + 2].is(kernel[i])) return false;
  }
  return true;
}

}  // namespace

Result<size_t> recognise_pooling(Graph& graph) {
  return rewrite_nodes(graph, [](Node& node) -> Result<bool> {
    if (node.output(0) == nullptr || node.output(0)->uses().empty()) return false;
    const bool mean = (node.op() == "ReduceMean" && is_over_space(node)) ||
                      (node.op() == "AveragePool" && is_whole_image(node));
    const bool maximum =
        (node.op() == "ReduceMax" && is_over_space(node)) ||
        (node.op() == "MaxPool" && node.output(1) == nullptr && is_whole_image(node));
    if ((!mean && !maximum) || !tensor::is_float(node.input(0)->type().element)) return false;
    SKERRY_ASSIGN(Value * made, insert(node, mean ? Op("GlobalAveragePool") : Op("GlobalMaxPool"),
                                       {node.input(0)}, {}, node.output(0)->name()));
    take_over(*node.output(0), *made);
    return true;
  });
}

}  // namespace skerry::optimise
