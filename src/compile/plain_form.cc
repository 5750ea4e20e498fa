// One function for each operator; the table at the end.
#include "compile/plain_form.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "compile/rewriting.h"
#include "graph/decompose.h"
#include "graph/inference.h"
#include "graph/verify.h"

namespace skerry::compile {
namespace {

using Shape = std::vector<int64_t>;

int64_t axis_of(const Node& node, size_t rank) {
  const int64_t axis = node.int_of("axis");
  return axis < 0 ? axis + static_cast<int64_t>(rank) : axis;
}

// Only the first output is read.
bool has_one_output(const Node& node) {
  for (size_t i = 1; i < node.outputs().size(); ++i) {
    if (node.output(i) != nullptr && !node.output(i)->uses().empty()) return false;
  }
  return true;
}

Shape axes_from(int64_t first, size_t rank) {
  Shape axes(rank - static_cast<size_t>(first));
  std::iota(axes.begin(), axes.end(), first);
  return axes;
}

// [C, 1, 1, …], to go with [N, C, …].
Shape by_channel(const Shape& shape) {
  Shape sizes(shape.size() - 1, 1);
  sizes[0] = shape[1];
  return sizes;
}

bool plain_batch_norm(Maker& maker) {
  const Node& node = maker.node();
  const auto shape = fp32_shape(node.input(0));
  const auto scale = constant_floats(node.input(1)), bias = constant_floats(node.input(2));
  const auto mean = constant_floats(node.input(3)), variance = constant_floats(node.input(4));
  if (!shape || shape->size() < 2 || !scale || !bias || !mean || !variance ||
      node.int_of("training_mode") != 0 || !has_one_output(node)) {
    return false;
  }
  std::vector<float> factors, offsets;
  for (size_t c = 0; c < scale->size(); ++c) {
    const double factor = (*scale)[c] / std::sqrt(static_cast<double>((*variance)[c]) +
                                                  static_cast<double>(node.float_of("epsilon")));
    factors.push_back(static_cast<float>(factor));
    offsets.push_back(static_cast<float>((*bias)[c] - (*mean)[c] * factor));
  }
  const Shape sizes = by_channel(*shape);
  maker.replace({maker.add(maker.mul(node.input(0), maker.floats(sizes, factors)),
                           maker.floats(sizes, offsets))});
  return true;
}

// What is left of the mean along the axes, through the root of the mean of its squares.
Value* normalised(Maker& maker, Value* x, const Shape& axes, float epsilon) {
  Value* centred = maker.sub(x, maker.reduce("ReduceMean", x, axes));
  Value* variance = maker.reduce("ReduceMean", maker.mul(centred, centred), axes);
  return maker.div(centred, maker.make("Sqrt", {maker.add(variance, maker.number(epsilon))}));
}

bool plain_layer_norm(Maker& maker) {
  const Node& node = maker.node();
  const auto shape = fp32_shape(node.input(0));
  if (!shape || !has_one_output(node)) return false;
  const Shape axes = axes_from(axis_of(node, shape->size()), shape->size());
  Value* y = normalised(maker, node.input(0), axes, node.float_of("epsilon"));
  y = maker.mul(y, node.input(1));
  if (node.input(2) != nullptr) y = maker.add(y, node.input(2));
  maker.replace({y});
  return true;
}

bool plain_instance_norm(Maker& maker) {
  const Node& node = maker.node();
  const auto shape = fp32_shape(node.input(0));
  if (!shape || shape->size() < 3) return false;
  Value* y =
      normalised(maker, node.input(0), axes_from(2, shape->size()), node.float_of("epsilon"));
  const Shape sizes = by_channel(*shape);
  maker.replace({maker.add(maker.mul(y, maker.reshape(node.input(1), sizes)),
                           maker.reshape(node.input(2), sizes))});
  return true;
}

bool plain_split(Maker& maker) {
  const Node& node = maker.node();
  const auto shape = known_shape(node.input(0));
  if (!shape) return false;
  const int64_t axis = axis_of(node, shape->size());
  std::vector<Value*> parts;
  int64_t from = 0;
  for (const auto& output : node.outputs()) {
    const auto sizes = known_shape(output.get());
    if (!sizes) return false;
    const int64_t to = from + (*sizes)[static_cast<size_t>(axis)];
    parts.push_back(maker.slice(node.input(0), axis, from, to));
    from = to;
  }
  maker.replace(parts);
  return true;
}

// Expand and Tile: indices that repeat.
bool plain_repeat(Maker& maker) {
  const Node& node = maker.node();
  auto from = known_shape(node.input(0));
  const auto to = known_shape(node.output(0));
  if (!from || !to || to->size() < from->size()) return false;
  Value* value = node.input(0);
  if (to->size() > from->size()) {
    from->insert(from->begin(), to->size() - from->size(), 1);
    value = maker.reshape(value, *from);
  }
  for (size_t i = 0; i < to->size(); ++i) {
    Shape indices(static_cast<size_t>((*to)[i]));
    for (size_t k = 0; k < indices.size(); ++k) indices[k] = static_cast<int64_t>(k) % (*from)[i];
    value = maker.gather(value, static_cast<int64_t>(i), (*from)[i], indices);
  }
  maker.replace({value == node.input(0) ? maker.make("Identity", {value}) : value});
  return true;
}

// With steps: those without are views.
bool plain_slice(Maker& maker) {
  const Node& node = maker.node();
  const auto shape = known_shape(node.input(0)), out = known_shape(node.output(0));
  const auto starts = constant_ints(node.input(1)), steps = constant_ints(node.input(4));
  auto axes = constant_ints(node.input(3));
  if (!shape || !out || !starts || !steps ||
      std::ranges::all_of(*steps, [](int64_t step) { return step == 1; })) {
    return false;
  }
  if (!axes) axes = axes_from(0, starts->size());
  Value* value = node.input(0);
  for (size_t i = 0; i < starts->size(); ++i) {
    const auto rank = static_cast<int64_t>(shape->size());
    const auto axis = static_cast<size_t>((*axes)[i] < 0 ? (*axes)[i] + rank : (*axes)[i]);
    const int64_t size = (*shape)[axis], step = (*steps)[i];
    int64_t start = (*starts)[i] < 0 ? (*starts)[i] + size : (*starts)[i];
    start = std::clamp<int64_t>(start, 0, step > 0 ? size : size - 1);
    Shape indices;
    for (int64_t k = 0; k < (*out)[axis]; ++k) indices.push_back(start + k * step);
    value = maker.gather(value, static_cast<int64_t>(axis), size, indices);
  }
  maker.replace({value == node.input(0) ? maker.make("Identity", {value}) : value});
  return true;
}

// Indices of an axis with `before` more in front and `after` behind, negative: fewer.
std::optional<Shape> padded(const std::string& mode, int64_t size, int64_t before, int64_t after) {
  Shape indices;
  for (int64_t i = -before; i < size + after; ++i) {
    int64_t at = i;
    if (mode == "edge") {
      at = std::clamp<int64_t>(i, 0, size - 1);
    } else if (mode == "wrap") {
      at = ((i % size) + size) % size;
    } else if (mode == "reflect" && size > 1) {
      const int64_t period = 2 * (size - 1);
      at = ((i % period) + period) % period;
      at = at < size ? at : period - at;
    }
    if (at < 0 || at >= size) return {};
    indices.push_back(at);
  }
  return indices;
}

// All but what lower_pad() does.
bool plain_pad(Maker& maker) {
  const Node& node = maker.node();
  const auto shape = known_shape(node.input(0));
  auto pads = constant_ints(node.input(1));
  if (!shape || !pads) return false;
  const size_t rank = shape->size();
  if (node.input(3) != nullptr) {
    const auto axes = constant_ints(node.input(3));
    if (!axes) return false;
    Shape all(2 * rank, 0);
    for (size_t i = 0; i < axes->size(); ++i) {
      const auto axis = static_cast<size_t>((*axes)[i] < 0 ? (*axes)[i] + static_cast<int64_t>(rank)
                                                           : (*axes)[i]);
      all[axis] = (*pads)[i];
      all[axis + rank] = (*pads)[i + axes->size()];
    }
    pads = all;
  }
  const std::string& mode = node.string_of("mode");
  const bool is_constant = mode == "constant";
  const bool crops = std::ranges::any_of(*pads, [](int64_t n) { return n < 0; });
  if (is_constant && !crops && node.input(3) == nullptr) return false;
  Value* value = node.input(0);
  for (size_t i = 0; i < rank; ++i) {
    int64_t& before = (*pads)[i];
    int64_t& after = (*pads)[i + rank];
    const auto indices =
        padded(mode, (*shape)[i], is_constant ? std::min<int64_t>(before, 0) : before,
               is_constant ? std::min<int64_t>(after, 0) : after);
    if (!indices) return false;
    value = maker.gather(value, static_cast<int64_t>(i), (*shape)[i], *indices);
    before = std::max<int64_t>(before, 0), after = std::max<int64_t>(after, 0);
  }
  if (is_constant) {
    value = maker.make("Pad", {value, maker.ints(*pads), node.input(2)}, node.attributes());
  }
  maker.replace({value == node.input(0) ? maker.make("Identity", {value}) : value});
  return true;
}

// Of any number of inputs.
bool plain_variadic(Maker& maker) {
  const Node& node = maker.node();
  const bool sums = node.op() == "Sum" || node.op() == "Mean";
  if (!fp32_shape(node.output(0)) || (!sums && node.inputs().size() == 2)) return false;
  const graph::Op op = sums ? graph::Op("Add") : node.op();
  Value* value = node.input(0);
  for (size_t i = 1; i < node.inputs().size(); ++i) value = maker.make(op, {value, node.input(i)});
  if (node.op() == "Mean") {
    value = maker.div(value, maker.number(static_cast<float>(node.inputs().size())));
  }
  maker.replace({value == node.input(0) ? maker.make("Identity", {value}) : value});
  return true;
}

bool plain_log_softmax(Maker& maker) {
  const Node& node = maker.node();
  const auto shape = fp32_shape(node.input(0));
  if (!shape) return false;
  const Shape axes = {axis_of(node, shape->size())};
  Value* less = maker.sub(node.input(0), maker.reduce("ReduceMax", node.input(0), axes));
  Value* sum = maker.reduce("ReduceSum", maker.make("Exp", {less}), axes);
  maker.replace({maker.sub(less, maker.make("Log", {sum}))});
  return true;
}

// Reductions of something, and something of reductions.
bool plain_reduce(Maker& maker) {
  const Node& node = maker.node();
  const auto op = node.op();
  Value* x = node.input(0);
  if (!fp32_shape(x)) return false;
  if (op == "ReduceL1") x = maker.make("Abs", {x});
  if (op == "ReduceL2" || op == "ReduceSumSquare") x = maker.mul(x, x);
  if (op == "ReduceLogSumExp") x = maker.make("Exp", {x});
  std::vector<Value*> inputs = {x};
  if (node.input(1) != nullptr) inputs.push_back(node.input(1));
  Value* y = maker.make("ReduceSum", inputs, node.attributes());
  if (op == "ReduceL2") y = maker.make("Sqrt", {y});
  if (op == "ReduceLogSum" || op == "ReduceLogSumExp") y = maker.make("Log", {y});
  maker.replace({y});
  return true;
}

struct PlainRow {
  graph::Op op;
  bool (*rewrite)(Maker&);
};
constexpr PlainRow kPlainRows[] = {
    {"BatchNormalization", plain_batch_norm},
    {"LayerNormalization", plain_layer_norm},
    {"InstanceNormalization", plain_instance_norm},
    {"Split", plain_split},
    {"Expand", plain_repeat},
    {"Tile", plain_repeat},
    {"Slice", plain_slice},
    {"Pad", plain_pad},
    {"Sum", plain_variadic},
    {"Mean", plain_variadic},
    {"Max", plain_variadic},
    {"Min", plain_variadic},
    {"LogSoftmax", plain_log_softmax},
    {"ReduceL1", plain_reduce},
    {"ReduceL2", plain_reduce},
    {"ReduceSumSquare", plain_reduce},
    {"ReduceLogSum", plain_reduce},
    {"ReduceLogSumExp", plain_reduce},
    {"MaxPool", plain_max_pool},
    {"DepthToSpace", plain_depth},
    {"SpaceToDepth", plain_depth},
    {"ConvTranspose", plain_conv_transpose},
    {"LSTM", plain_recurrent},
    {"GRU", plain_recurrent},
    {"RNN", plain_recurrent},
};

}  // namespace

Result<void> to_plain_form(Graph& graph) {
  SKERRY_ASSIGN(const size_t attentions, graph::decompose_attention(graph));
  bool changed = attentions > 0;
  std::vector<Node*> nodes;
  for (const auto& node : graph.nodes()) nodes.push_back(node.get());
  for (Node* node : nodes) {
    Maker maker(graph, *node);
    const auto* row = std::ranges::find(kPlainRows, node->op(), &PlainRow::op);
    if (row != std::end(kPlainRows)) {
      changed = row->rewrite(maker) || changed;
    } else if (node->op() == "Resize") {
      SKERRY_ASSIGN(const bool done, plain_resize(maker));
      changed = changed || done;
    }
  }
  if (!changed) return {};
  SKERRY_TRY(graph.sort());
  graph::TypeInference inference;
  SKERRY_TRY(inference.infer(graph));
  return graph::verify(graph);
}

}  // namespace skerry::compile
