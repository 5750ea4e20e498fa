// One walk over the nodes with a ledger of what is alive.
#include "graph/statistics.h"

#include <unordered_map>
#include <unordered_set>

#include "graph/inference.h"
#include "graph/operator.h"

namespace skerry::graph {
namespace {

std::optional<int64_t> bytes_of(const Type& type) {
  const auto count = count_of(type);
  if (!count) return {};
  const auto bytes = tensor::byte_size(type.element, static_cast<size_t>(*count));
  if (!bytes || *bytes > static_cast<size_t>(INT64_MAX)) return {};
  return static_cast<int64_t>(*bytes);
}

void add_bytes(std::optional<int64_t>& sum, const Type& type) {
  const auto bytes = bytes_of(type);
  if (!bytes || !sum || __builtin_add_overflow(*sum, *bytes, &*sum)) sum.reset();
}

NodeCost cost_of(const Node& node) {
  NodeCost cost{.node = &node, .macs = 0, .input_bytes = 0, .output_bytes = 0};
  if (const CostFunction macs = node.definition().macs) cost.macs = macs(node);
  for (const Value* input : node.inputs()) {
    if (input == nullptr) continue;
    if (input->constant() != nullptr) {
      cost.parameter_bytes += static_cast<int64_t>(input->constant()->bytes().size());
    } else {
      add_bytes(cost.input_bytes, input->type());
    }
  }
  for (const auto& output : node.outputs()) {
    if (output) add_bytes(cost.output_bytes, output->type());
  }
  return cost;
}

void count_operators(const Graph& graph, Statistics& statistics) {
  for (const auto& node : graph.nodes()) {
    ++statistics.operators[std::string(node->op().name())];
    for (const auto& subgraph : node->subgraphs()) count_operators(*subgraph, statistics);
  }
  for (const auto& constant : graph.constants()) {
    statistics.parameters += static_cast<int64_t>(constant->constant()->count());
    statistics.parameter_bytes += static_cast<int64_t>(constant->constant()->bytes().size());
  }
}

// The node of the graph itself that reads a value at this place; null for its own output.
const Node* outer_reader(const Value& value, const Use& use) {
  const Node* node = use.node;
  if (node == nullptr && use.graph == &value.graph()) return nullptr;
  if (node == nullptr) node = use.graph->owner();
  while (&node->graph() != &value.graph()) node = node->graph().owner();
  return node;
}

void find_peak(const Graph& graph, Statistics& statistics) {
  std::unordered_map<const Node*, size_t> order;
  for (const auto& node : graph.nodes()) order.emplace(node.get(), order.size());
  std::vector<int64_t> freed_after(order.size(), 0);
  int64_t alive = 0;
  const auto add = [&](const Value& value) {
    const int64_t bytes = bytes_of(value.type()).value_or(0);
    if (__builtin_add_overflow(alive, bytes, &alive)) alive = INT64_MAX / 2;
    std::optional<size_t> last;
    for (const Use& use : value.uses()) {
      const Node* reader = outer_reader(value, use);
      if (reader == nullptr) return;
      last = std::max(last.value_or(0), order[reader]);
    }
    if (!last && value.producer() != nullptr) last = order[value.producer()];
    if (last) freed_after[*last] += bytes;
  };
  for (const auto& input : graph.inputs()) add(*input);
  statistics.peak_activation_bytes = alive;
  size_t at = 0;
  for (const auto& node : graph.nodes()) {
    for (const auto& output : node->outputs()) {
      if (output) add(*output);
    }
    if (alive > statistics.peak_activation_bytes) {
      statistics.peak_activation_bytes = alive;
      statistics.peak_at = node.get();
    }
    statistics.nodes[at].alive_bytes = alive;
    alive -= freed_after[at++];
  }
}

}  // namespace

std::optional<double> NodeCost::intensity() const {
  if (!macs || !input_bytes || !output_bytes) return {};
  const int64_t bytes = *input_bytes + *output_bytes + parameter_bytes;
  if (bytes == 0) return {};
  return static_cast<double>(*macs) / static_cast<double>(bytes);
}

Statistics statistics_of(const Graph& graph) {
  Statistics statistics;
  count_operators(graph, statistics);
  for (const auto& node : graph.nodes()) {
    statistics.nodes.push_back(cost_of(*node));
    const NodeCost& cost = statistics.nodes.back();
    const bool known = cost.macs && cost.output_bytes && cost.input_bytes;
    statistics.complete = statistics.complete && known;
    if (cost.macs && __builtin_add_overflow(statistics.macs, *cost.macs, &statistics.macs)) {
      statistics.macs = INT64_MAX;
    }
  }
  find_peak(graph, statistics);
  return statistics;
}

Result<std::unique_ptr<Graph>> with_open_dimensions(const Graph& graph, int64_t size) {
  auto copy = graph.clone();
  for (const auto& input : copy->inputs()) {
    Type type = input->type();
    if (!type.shape) continue;
    for (Dim& dim : *type.shape) {
      if (!dim.is_fixed()) dim = Dim(size);
    }
    input->set_type(std::move(type));
  }
  TypeInference inference;
  SKERRY_TRY(inference.infer(*copy));
  return copy;
}

}  // namespace skerry::graph
