// Channels that depend on each other are found by going through the graph once: what keeps channels
// apart (activations, pools, sums, depthwise layers) puts values into one group; a layer that mixes
// them ends one and begins another. Then the least are chosen, and every constant is cut.
#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <unordered_map>

#include "graph/inference.h"
#include "optimise/prune/prune.h"
#include "optimise/quantise/weights.h"

namespace skerry::optimise {
namespace {

// A constant that has the group's channels along an axis, each `repeat` times in a row.
struct Part {
  Node* node = nullptr;
  size_t input = 0;
  size_t axis = 0;
  size_t repeat = 1;
  bool reads = false;  // weights behind the channels; else before them, or beside
};

struct Group {
  size_t channels = 0;
  bool fixed = false;
  std::vector<Part> parts;
  std::vector<Node*> depthwise;  // their `group` shrinks too
  const Value* first = nullptr;  // whose statistics stand for all of them
};

// A value's channels: which group, and how many features in a row belong to one.
struct Channels {
  size_t group = 0;
  size_t repeat = 1;
};

bool keeps_channels(Op op) {
  constexpr Op kOps[] = {"Relu",     "Clip",      "LeakyRelu",         "Sigmoid",
                         "Tanh",     "HardSwish", "HardSigmoid",       "Gelu",
                         "Mish",     "Elu",       "MaxPool",           "AveragePool",
                         "Identity", "Abs",       "GlobalAveragePool", "GlobalMaxPool"};
  return std::ranges::find(kOps, op) != std::end(kOps);
}

class Dependencies {
 public:
  explicit Dependencies(Graph& graph) {
    for (const auto& input : graph.inputs()) begin(*input).fixed = true;
    for (const auto& node : graph.nodes()) visit(*node);
    for (const Value* output : graph.outputs()) freeze(output);
  }

  // Those of which channels may go.
  std::vector<Group> movable() const {
    std::vector<Group> found;
    for (size_t g = 0; g < groups_.size(); ++g) {
      if (parent_[g] == g && !groups_[g].fixed && groups_[g].channels > 1) {
        found.push_back(groups_[g]);
      }
    }
    return found;
  }

 private:
  Group& begin(const Value& value) {
    const Type& type = value.type();
    const bool known = type.shape && type.rank() >= 2 && (*type.shape)[1].is_fixed();
    Group group{.first = &value};
    group.channels = known ? static_cast<size_t>((*type.shape)[1].size()) : 0;
    group.fixed = !known || value.type().element != DataType::kFp32;
    of_[&value] = {groups_.size(), 1};
    parent_.push_back(groups_.size());
    groups_.push_back(std::move(group));
    return groups_.back();
  }

  size_t root(size_t g) const {
    while (parent_[g] != g) g = parent_[g];
    return g;
  }
  Group& group_of(const Value* value) { return groups_[root(of_.at(value).group)]; }

  void freeze(const Value* value) {
    if (of_.contains(value)) group_of(value).fixed = true;
  }

  void unite(const Value* a, const Value* b) {
    const size_t x = root(of_.at(a).group);
    const size_t y = root(of_.at(b).group);
    if (x == y) return;
    parent_[y] = x;
    Group& into = groups_[x];
    const Group& from = groups_[y];
    into.fixed = into.fixed || from.fixed || into.channels != from.channels;
    into.parts.insert(into.parts.end(), from.parts.begin(), from.parts.end());
    into.depthwise.insert(into.depthwise.end(), from.depthwise.begin(), from.depthwise.end());
  }

  void visit(Node& node) {
    for (const auto& subgraph : node.subgraphs()) freeze_in(*subgraph);
    if (node.outputs().size() == 1 && visit_known(node)) return;
    for (const Value* input : node.inputs()) freeze(input);
    for (const auto& output : node.outputs()) {
      if (output) begin(*output).fixed = true;
    }
  }

  void freeze_in(const Graph& graph) {
    for (const auto& node : graph.nodes()) {
      for (const Value* input : node->inputs()) freeze(input);
      for (const auto& subgraph : node->subgraphs()) freeze_in(*subgraph);
    }
    for (const Value* output : graph.outputs()) freeze(output);
  }

  bool visit_known(Node& node) {
    if (!of_.contains(node.input(0))) return visit_sum(node);
    if (const auto layer = weighted_layer(node)) return visit_layer(*layer);
    if (keeps_channels(node.op())) return follow(node, of_.at(node.input(0)).repeat);
    if (node.op() == "BatchNormalization") return visit_norm(node);
    if (node.op() == "Flatten") return visit_flatten(node);
    return visit_sum(node);
  }

  bool follow(const Node& node, size_t repeat) {
    of_[node.output(0)] = {of_.at(node.input(0)).group, repeat};
    return true;
  }

  bool visit_norm(Node& node) {
    for (size_t i = 1; i < 5; ++i) {
      if (constant_of(node.input(i)) == nullptr) return false;
    }
    Group& group = group_of(node.input(0));
    for (size_t i = 1; i < 5; ++i) group.parts.push_back({.node = &node, .input = i});
    return follow(node, 1);
  }

  bool visit_flatten(const Node& node) {
    const Group& group = group_of(node.input(0));
    const Type& type = node.output(0)->type();
    if (node.int_of("axis") != 1 || !type.shape || !(*type.shape)[1].is_fixed()) return false;
    const auto features = static_cast<size_t>((*type.shape)[1].size());
    if (group.channels == 0 || features % group.channels != 0) return false;
    return follow(node, features / group.channels);
  }

  // Sums and products of values of the same shape, or with one number.
  bool visit_sum(Node& node) {
    if (node.op() != "Add" && node.op() != "Mul" && node.op() != "Sub") return false;
    Value* first = nullptr;
    for (Value* input : node.inputs()) {
      if (of_.contains(input)) {
        if (!same_type(input->type(), node.output(0)->type())) return false;
        if (first != nullptr && of_.at(first).repeat != of_.at(input).repeat) return false;
        if (first != nullptr) unite(first, input);
        first = first == nullptr ? input : first;
      } else if (constant_of(input) == nullptr || constant_of(input)->count() != 1) {
        return false;
      }
    }
    if (first == nullptr) return false;
    of_[node.output(0)] = of_.at(first);
    return true;
  }

  bool visit_layer(const WeightedLayer& layer) {
    Node& node = *layer.node;
    const Channels in = of_.at(node.input(0));
    Group& before = groups_[root(in.group)];
    const bool conv = node.op() == "Conv";
    const int64_t groups = conv ? node.int_of("group") : 1;
    if (node.op() == "MatMul" && node.output(0)->type().rank() != 2) return false;
    if (conv && groups > 1) {
      const auto& shape = layer.weights->shape();
      if (groups != shape[0] || shape[1] != 1) return false;
      before.depthwise.push_back(&node);
      add_outputs(layer, before);
      return follow(node, 1);
    }
    before.parts.push_back({.node = &node,
                            .input = 1,
                            .axis = conv ? 1 : 1 - layer.axis,
                            .repeat = in.repeat,
                            .reads = true});
    add_outputs(layer, begin(*node.output(0)));
    return true;
  }

  static void add_outputs(const WeightedLayer& layer, Group& group) {
    group.parts.push_back({.node = layer.node, .input = 1, .axis = layer.axis});
    const Constant* bias = constant_of(layer.node->input(2));
    if (bias == nullptr) return;
    // Of a Gemm it may be one number for all.
    if (bias->count() != static_cast<size_t>(layer.channels)) group.fixed = true;
    group.parts.push_back({.node = layer.node, .input = 2, .axis = bias->shape().size() - 1});
  }

  std::vector<Group> groups_;
  std::vector<size_t> parent_;
  std::unordered_map<const Value*, Channels> of_;
};

// --- Importance ---------------------------------------------------------------------------------

// Sum of the magnitudes of each channel's weights.
void add_magnitudes(const Part& part, std::vector<double>& sums) {
  const Constant& constant = *constant_of(part.node->input(part.input));
  const AxisSizes sizes = axis_sizes(constant.shape(), part.axis);
  const std::vector<double> numbers = numbers_of(constant);
  for (size_t i = 0; i < numbers.size(); ++i) {
    const size_t channel = sizes.at(i) / part.repeat;
    if (channel < sums.size()) sums[channel] += std::abs(numbers[i]);
  }
}

// What each channel contributes, relative to the mean of its group.
std::vector<double> importance_of(const Group& group, const Calibration* calibration) {
  std::vector<double> before(group.channels, 0);
  std::vector<double> behind(group.channels, 0);
  for (const Part& part : group.parts) {
    if (part.input == 1) add_magnitudes(part, part.reads ? behind : before);
  }
  const Observer* seen = calibration != nullptr ? calibration->find(*group.first) : nullptr;
  const std::vector<double> means = seen != nullptr ? seen->channel_means() : std::vector<double>();
  std::vector<double> importance(group.channels);
  for (size_t c = 0; c < group.channels; ++c) {
    const double own = means.size() == group.channels ? std::abs(means[c]) + 1e-3 : 1;
    importance[c] = own * before[c] * behind[c];
  }
  const double mean = std::accumulate(importance.begin(), importance.end(), 0.0) /
                      static_cast<double>(group.channels);
  for (double& value : importance) value = mean > 0 ? value / mean : 1;
  return importance;
}

// Which channels each group keeps: the least of all groups go, but a group keeps a multiple.
std::vector<std::vector<size_t>> choose(const std::vector<Group>& groups,
                                        const ChannelPruning& options,
                                        const Calibration* calibration) {
  struct Ranked {
    double importance;
    size_t group, channel;
  };
  std::vector<Ranked> all;
  for (size_t g = 0; g < groups.size(); ++g) {
    const auto importance = importance_of(groups[g], calibration);
    for (size_t c = 0; c < importance.size(); ++c) all.push_back({importance[c], g, c});
  }
  std::ranges::sort(all, std::less(), [](const Ranked& one) {
    return std::tuple(one.importance, one.group, one.channel);
  });
  std::vector<size_t> go(groups.size(), 0);
  const auto wanted = static_cast<size_t>(options.share * static_cast<double>(all.size()));
  for (size_t i = 0; i < wanted; ++i) ++go[all[i].group];
  std::vector<std::vector<size_t>> kept(groups.size());
  const auto step = static_cast<size_t>(std::max<int64_t>(options.multiple_of, 1));
  for (size_t g = 0; g < groups.size(); ++g) {
    const size_t left = groups[g].channels - std::min(go[g], groups[g].channels - 1);
    go[g] = groups[g].channels - std::min((left + step - 1) / step * step, groups[g].channels);
  }
  for (const Ranked& one : all) {
    if (go[one.group] > 0) {
      --go[one.group];
    } else {
      kept[one.group].push_back(one.channel);
    }
  }
  for (auto& channels : kept) std::ranges::sort(channels);
  return kept;
}

// --- Cutting ------------------------------------------------------------------------------------

void cut(Graph& graph, const Part& part, const std::vector<size_t>& kept) {
  Value* value = part.node->input(part.input);
  const Constant& constant = *constant_of(value);
  const AxisSizes sizes = axis_sizes(constant.shape(), part.axis);
  const std::vector<double> numbers = numbers_of(constant);
  std::vector<int64_t> shape = constant.shape();
  shape[part.axis] = static_cast<int64_t>(kept.size() * part.repeat);
  std::vector<double> left;
  for (size_t outer = 0; outer < sizes.outer; ++outer) {
    for (const size_t channel : kept) {
      const size_t begin = (outer * sizes.size + channel * part.repeat) * sizes.inner;
      const auto first = numbers.begin() + static_cast<std::ptrdiff_t>(begin);
      left.insert(left.end(), first,
                  first + static_cast<std::ptrdiff_t>(part.repeat * sizes.inner));
    }
  }
  part.node->set_input(part.input,
                       &graph.add_constant(value->name(), floats(constant.type(), shape, left)));
}

// The mean of the channels that go, as the layers behind would have seen it.
void keep_the_mean(Graph& graph, const Part& part, const std::vector<size_t>& kept,
                   const Calibration& calibration) {
  Node& node = *part.node;
  const auto layer = weighted_layer(node);
  const Observer* seen = calibration.find(*node.input(0));
  if (!part.reads || !layer || seen == nullptr || node.op() == "MatMul") return;
  const std::vector<double> means = seen->channel_means();
  std::vector<double> bias(static_cast<size_t>(layer->channels), 0);
  if (const Constant* constant = constant_of(node.input(2)); constant != nullptr) {
    bias = numbers_of(*constant);
    if (bias.size() != static_cast<size_t>(layer->channels)) return;
  }
  const AxisSizes out = axis_sizes(layer->weights->shape(), layer->axis);
  const std::vector<double> weights = numbers_of(*layer->weights);
  for (size_t i = 0; i < weights.size(); ++i) {
    const size_t feature = input_channel(*layer, i);
    if (feature >= means.size()) return;
    if (!std::ranges::binary_search(kept, feature / part.repeat)) {
      bias[out.at(i)] += weights[i] * means[feature];
    }
  }
  node.set_input(2, &graph.add_constant(node.name() + ".bias",
                                        floats(DataType::kFp32, {layer->channels}, bias)));
}

// So that the mean has a place, and is cut with the rest.
void add_biases(Graph& graph) {
  for (const auto& node : graph.nodes()) {
    const auto layer = weighted_layer(*node);
    if (!layer || node->op() == "MatMul" || node->input(2) != nullptr) continue;
    const std::vector<double> zeros(static_cast<size_t>(layer->channels), 0);
    node->set_input(2, &graph.add_constant(node->name() + ".bias",
                                           floats(DataType::kFp32, {layer->channels}, zeros)));
  }
}

}  // namespace

Result<PruneReport> prune_channels(Graph& graph, const ChannelPruning& options,
                                   const Calibration* calibration) {
  if (!(options.share >= 0 && options.share < 1)) {
    return fail(Code::kInvalidArgument, "the share of channels to prune is from 0 up to below 1");
  }
  if (calibration != nullptr) add_biases(graph);
  const std::vector<Group> groups = Dependencies(graph).movable();
  const auto kept = choose(groups, options, calibration);
  PruneReport report{.groups = groups.size()};
  for (size_t g = 0; g < groups.size(); ++g) {
    report.channels += groups[g].channels;
    report.removed += groups[g].channels - kept[g].size();
    if (kept[g].size() == groups[g].channels) continue;
    for (const Part& part : groups[g].parts) {
      if (calibration != nullptr) keep_the_mean(graph, part, kept[g], *calibration);
      cut(graph, part, kept[g]);
    }
    for (Node* node : groups[g].depthwise) {
      node->set_attribute("group", static_cast<int64_t>(kept[g].size()));
    }
  }
  sweep(graph);
  graph::TypeInference inference;
  SKERRY_TRY(inference.infer(graph));
  return report;
}

}  // namespace skerry::optimise
