// A node keeps its name for life, so that one with another name is made in its place.
#include "optimise/names.h"

#include <unordered_set>

namespace skerry::optimise {
namespace {

using graph::Node;

void collect_nodes(const graph::Graph& graph, std::vector<Node*>& nodes) {
  for (const auto& node : graph.nodes()) {
    nodes.push_back(node.get());
    for (const auto& subgraph : node->subgraphs()) collect_nodes(*subgraph, nodes);
  }
}

void rename(Node& node, std::string name) {
  graph::NodeSpec spec{.op = node.op(),
                       .name = std::move(name),
                       .inputs = node.inputs(),
                       .attributes = node.attributes()};
  for (const auto& output : node.outputs()) spec.outputs.push_back(output ? output->name() : "");
  graph::Graph& graph = node.graph();
  Node& made = graph.add_node(std::move(spec), &node);
  for (size_t i = 0; i < node.outputs().size(); ++i) {
    graph::Value* old = node.output(i);
    if (old == nullptr) continue;
    made.output(i)->set_type(old->type());
    graph.swap_names(*old, *made.output(i));
    old->replace_uses(*made.output(i));
  }
  graph.erase(node);
}

}  // namespace

void name_nodes_apart(graph::Graph& graph) {
  std::vector<Node*> nodes;
  collect_nodes(graph, nodes);
  std::unordered_set<std::string> taken;
  for (const Node* node : nodes) taken.insert(node->name());
  std::unordered_set<std::string> seen;
  for (Node* node : nodes) {
    // Those with subgraphs are no pass's.
    if (seen.insert(node->name()).second || !node->subgraphs().empty()) continue;
    int suffix = 1;
    std::string name;
    do {
      name = node->name() + "_" + std::to_string(suffix++);
    } while (!taken.insert(name).second);
    rename(*node, std::move(name));
  }
}

}  // namespace skerry::optimise
