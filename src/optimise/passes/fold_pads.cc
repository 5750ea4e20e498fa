// Zeros (or, for a maximum, the lowest number) around an image that a window then steps over are
// the window's own padding.
#include <algorithm>
#include <limits>

#include "optimise/passes/passes.h"

namespace skerry::optimise {
namespace {

// pads of all axes as [begin…, end…], of a Pad that names them as constants.
std::optional<std::vector<int64_t>> all_pads(const Node& pad, size_t rank) {
  const auto given = ints_of(pad.input(1));
  if (!given) return {};
  std::vector<int64_t> axes;
  if (pad.input(3) != nullptr) {
    const auto named = ints_of(pad.input(3));
    if (!named) return {};
    axes = *named;
  } else {
    for (size_t i = 0; i < rank; ++i) axes.push_back(static_cast<int64_t>(i));
  }
  if (given->size() != 2 * axes.size()) return {};
  std::vector<int64_t> pads(2 * rank, 0);
  for (size_t i = 0; i < axes.size(); ++i) {
    const auto axis =
        static_cast<size_t>(axes[i] < 0 ? axes[i] + static_cast<int64_t>(rank) : axes[i]);
    if (axis >= rank) return {};
    pads[axis] = (*given)[i];
    pads[rank + axis] = (*given)[axes.size() + i];
  }
  return pads;
}

// What the padding must be so that the window does not see the difference.
std::optional<double> neutral(const Node& window) {
  if (window.op() == "Conv" || window.op() == "AveragePool") return 0;
  if (window.op() == "MaxPool") return -std::numeric_limits<double>::infinity();
  return {};
}

bool has_no_padding(const Node& window) {
  const auto pads = window.ints_of("pads");
  return std::ranges::all_of(pads, [](int64_t pad) { return pad == 0; });
}

Result<bool> fold_pad(Node& node) {
  const auto wanted = neutral(node);
  if (!wanted || node.string_of("auto_pad") != "NOTSET") return false;
  const bool average = node.op() == "AveragePool";
  // The window's own pads are no part of an average, those of the Pad are.
  if (average && (!has_no_padding(node) || node.int_of("ceil_mode") != 0)) return false;
  if (node.op() == "MaxPool" && (node.output(1) != nullptr || node.int_of("ceil_mode") != 0)) {
    return false;
  }
  const Node* pad = made_by(node.input(0), "Pad");
  if (pad == nullptr || pad->string_of("mode") != "constant" || !pad->input(0)->type().shape) {
    return false;
  }
  const double value = pad->input(2) != nullptr ? scalar_of(pad->input(2)).value_or(NAN) : 0;
  const bool lowest = *wanted < 0 && value == std::numeric_limits<float>::lowest();
  if (value != *wanted && !lowest) return false;
  const size_t rank = pad->input(0)->type().rank();
  const auto pads = all_pads(*pad, rank);
  if (!pads || rank < 3) return false;
  if (std::ranges::any_of(*pads, [](int64_t size) { return size < 0; })) return false;
  std::vector<int64_t> own = node.ints_of("pads");
  own.resize(2 * (rank - 2), 0);
  for (const size_t side : {size_t{0}, size_t{1}}) {
    for (size_t axis = 0; axis < rank; ++axis) {
      const int64_t size = (*pads)[side * rank + axis];
      if (axis < 2 && size != 0) return false;
      if (axis >= 2) own[side * (rank - 2) + axis - 2] += size;
    }
  }
  node.set_input(0, pad->input(0));
  node.set_attribute("pads", own);
  if (average) node.set_attribute("count_include_pad", int64_t{1});
  return true;
}

}  // namespace

Result<size_t> fold_pads(Graph& graph) {
  return rewrite_nodes(graph, fold_pad);
}

}  // namespace skerry::optimise
