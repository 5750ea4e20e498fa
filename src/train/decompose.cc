// One function for each operator that is taken apart: parts are put before the node, then stand
// for its output.
#include "train/decompose.h"

#include <cmath>
#include <numeric>

#include "graph/decompose.h"

namespace skerry::train {
namespace {

constexpr size_t kMean = 3;
constexpr size_t kVariance = 4;

double epsilon_of(const Node& node) {
  return static_cast<double>(node.float_of("epsilon"));
}

// (x − mean)/√(variance + ε) over `axes`.
Value* normalised(Builder& make, Value* x, const Sizes& axes, double epsilon) {
  Value* centred = make.sub(x, make.mean(x, axes));
  Value* variance = make.mean(make.square(centred), axes);
  return make.div(centred, make.op("Sqrt", {make.plus(variance, epsilon)}));
}

// One number for each channel, to be broadcast over [N, C, space…].
Value* per_channel(Builder& make, Value* value, size_t rank) {
  Sizes shape(rank, 1);
  shape[1] = count_of(*value);
  return make.reshape(value, shape);
}

Sizes axes_from(size_t first, size_t rank) {
  Sizes axes(rank - first);
  std::iota(axes.begin(), axes.end(), static_cast<int64_t>(first));
  return axes;
}

Value* running(Builder& make, Value* before, Value* now, double momentum) {
  return make.add(make.scale(before, momentum), make.scale(now, 1 - momentum));
}

Value* batch_norm(Node& node, const DecomposeOptions& options) {
  Builder make(node.graph(), &node);
  Value* x = node.input(0);
  const size_t rank = sizes_of(*x).size();
  Value* mean = node.input(kMean);
  Value* variance = node.input(kVariance);
  const bool learns = options.statistics != nullptr && mean->constant() == nullptr;
  if (learns) {
    Sizes axes = axes_from(2, rank);
    axes.insert(axes.begin(), 0);
    const double momentum = static_cast<double>(node.float_of("momentum"));
    Value* now = make.mean(x, axes, false);
    Value* centred = make.sub(x, per_channel(make, now, rank));
    Value* spread = make.mean(make.square(centred), axes, false);
    options.statistics->push_back({mean, running(make, mean, now, momentum)});
    options.statistics->push_back({variance, running(make, variance, spread, momentum)});
    mean = now;
    variance = spread;
  }
  Value* deviation = make.op("Sqrt", {make.plus(variance, epsilon_of(node))});
  Value* factor = make.div(node.input(1), deviation);
  Value* centred = make.sub(x, per_channel(make, mean, rank));
  return make.add(make.mul(centred, per_channel(make, factor, rank)),
                  per_channel(make, node.input(2), rank));
}

// Groups of channels are one axis for the time being; an instance norm has one channel in each.
Value* group_norm(Node& node, int64_t groups) {
  Builder make(node.graph(), &node);
  Value* x = node.input(0);
  const Sizes sizes = sizes_of(*x);
  const int64_t rest = count_of(*x) / (sizes[0] * groups);
  Value* grouped = make.reshape(x, {sizes[0], groups, rest});
  Value* out = make.reshape(normalised(make, grouped, {2}, epsilon_of(node)), sizes);
  return make.add(make.mul(out, per_channel(make, node.input(1), sizes.size())),
                  per_channel(make, node.input(2), sizes.size()));
}

size_t axis_of(const Node& node) {
  const auto rank = static_cast<int64_t>(sizes_of(*node.input(0)).size());
  const int64_t axis = node.int_of("axis");
  return static_cast<size_t>(axis < 0 ? axis + rank : axis);
}

Value* layer_norm(Node& node) {
  Builder make(node.graph(), &node);
  const Sizes axes = axes_from(axis_of(node), sizes_of(*node.input(0)).size());
  Value* out = make.mul(normalised(make, node.input(0), axes, epsilon_of(node)), node.input(1));
  return node.input(2) != nullptr ? make.add(out, node.input(2)) : out;
}

Value* rms_norm(Node& node) {
  Builder make(node.graph(), &node);
  Value* x = node.input(0);
  const Sizes axes = axes_from(axis_of(node), sizes_of(*x).size());
  Value* power = make.plus(make.mean(make.square(x), axes), epsilon_of(node));
  return make.mul(make.div(x, make.op("Sqrt", {power})), node.input(1));
}

Value* lp_norm(Node& node) {
  Builder make(node.graph(), &node);
  Value* x = node.input(0);
  const Op op = node.int_of("p") == 1 ? Op("ReduceL1") : Op("ReduceL2");
  return make.div(x, make.op(op, {x, make.ints({static_cast<int64_t>(axis_of(node))})}));
}

Value* global_max(Node& node) {
  Builder make(node.graph(), &node);
  Value* x = node.input(0);
  return make.op("ReduceMax", {x, make.ints(axes_from(2, sizes_of(*x).size()))});
}

// The same with its second output.
Value* indexed_max_pool(Node& node) {
  if (node.output(1) != nullptr) return nullptr;
  Builder make(node.graph(), &node);
  return make.nodes("MaxPool", node.inputs(), 2, node.attributes(), node.name())[0];
}

// Null where it stays.
Value* parts_of(Node& node, const DecomposeOptions& options) {
  const auto only_first = [&] {
    for (size_t i = 1; i < node.outputs().size(); ++i) {
      if (node.output(i) != nullptr) return false;
    }
    return true;
  };
  if (!only_first()) return nullptr;
  if (node.op() == "BatchNormalization") return batch_norm(node, options);
  if (node.op() == "InstanceNormalization") {
    return group_norm(node, sizes_of(*node.input(0))[1]);
  }
  if (node.op() == "GroupNormalization") return group_norm(node, node.int_of("num_groups"));
  if (node.op() == "LayerNormalization") return layer_norm(node);
  if (node.op() == "RMSNormalization") return rms_norm(node);
  if (node.op() == "LpNormalization") return lp_norm(node);
  if (node.op() == "GlobalMaxPool") return global_max(node);
  if (node.op() == "MaxPool") return indexed_max_pool(node);
  return nullptr;
}

}  // namespace

Result<void> decompose(Graph& graph, const DecomposeOptions& options) {
  SKERRY_TRY(graph::decompose_attention(graph));
  std::vector<Node*> nodes;
  for (const auto& node : graph.nodes()) nodes.push_back(node.get());
  for (Node* node : nodes) {
    if (node->op() == "LSTM") {
      SKERRY_TRY(internal::unroll_lstm(*node));
      continue;
    }
    bool known = true;
    for (const Value* input : node->inputs()) {
      known = known && (input == nullptr || graph::sizes_of(input->type()));
    }
    if (!known) continue;  // no gradient leads through it, or differentiation refuses it
    Value* parts = parts_of(*node, options);
    if (parts == nullptr) continue;
    node->output(0)->replace_uses(*parts);
    graph.erase(*node);
  }
  return {};
}

}  // namespace skerry::train
