// If whose condition is known is the branch that it takes: exporters ask for ranks and sizes that
// are constants once shapes are known.
#include "optimise/passes/passes.h"

namespace skerry::optimise {
namespace {

// Folds what the value is made of; whether it is a constant then. What makes it may be computed in
// a branch that never runs, where it would fail: nothing else is looked at.
Result<bool> folded(Node& reader, size_t input) {
  const Value* value = reader.input(input);
  if (value == nullptr || constant_of(value) != nullptr) return value != nullptr;
  Node* maker = value->producer();
  if (maker == nullptr || !maker->subgraphs().empty() || count_of(value->type()) != 1) return false;
  for (size_t i = 0; i < maker->inputs().size(); ++i) {
    if (maker->input(i) == nullptr) continue;
    SKERRY_ASSIGN(const bool done, folded(*maker, i));
    if (!done) return false;
  }
  return fold_node(*maker);
}

// The first one, from outside to inside; null where there is none.
Result<Node*> decided(Graph& graph) {
  std::vector<Node*> nodes;
  for (const auto& node : graph.nodes()) nodes.push_back(node.get());
  for (Node* node : nodes) {
    if (node->op() != "If") continue;
    SKERRY_ASSIGN(const bool is_known, folded(*node, 0));
    if (is_known && scalar_of(node->input(0))) return node;
  }
  for (Node* node : nodes) {
    for (const auto& subgraph : node->subgraphs()) {
      SKERRY_ASSIGN(Node* const found, decided(*subgraph));
      if (found != nullptr) return found;
    }
  }
  return nullptr;
}

void inline_branch(Node& node) {
  Graph& graph = node.graph();
  const bool condition = *scalar_of(node.input(0)) != 0;
  const std::vector<Value*> made = graph.take_subgraph(node, condition ? 0 : 1);
  for (size_t i = 0; i < node.outputs().size(); ++i) {
    Value* old = node.output(i);
    if (old == nullptr || old->uses().empty()) continue;
    Value* with = made[i];
    if (!can_replace(*old, *with)) {  // callers know the output's name
      const graph::NodeSpec same{.op = "Identity", .inputs = {with}, .outputs = {old->name()}};
      with = graph.add_node(same, &node).output(0);
      with->set_type(made[i]->type());
    }
    replace(*old, *with);
  }
  graph.erase(node);
}

}  // namespace

Result<size_t> inline_branches(Graph& graph) {
  size_t count = 0;
  for (;; ++count) {
    SKERRY_ASSIGN(Node* const node, decided(graph));
    if (node == nullptr) break;
    inline_branch(*node);
  }
  if (count > 0) sweep(graph);
  return count;
}

}  // namespace skerry::optimise
