// Two nodes with the same operator, inputs and attributes are one.
#include <unordered_map>

#include "optimise/passes/passes.h"

namespace skerry::optimise {
namespace {

struct Seen {
  size_t operator()(const Node* node) const {
    size_t hash = node->op().index();
    for (const Value* input : node->inputs()) {
      hash = hash * 1000003 + std::hash<const Value*>()(input);
    }
    return hash;
  }
  bool operator()(const Node* a, const Node* b) const {
    return a->op() == b->op() && a->inputs() == b->inputs() && a->attributes() == b->attributes() &&
           a->outputs().size() == b->outputs().size();
  }
};

bool can_replace_all(const Node& node, const Node& with) {
  for (size_t i = 0; i < node.outputs().size(); ++i) {
    const Value* old = node.output(i);
    if (old == nullptr || old->uses().empty()) continue;
    if (with.output(i) == nullptr || !can_replace(*old, *with.output(i))) return false;
  }
  return true;
}

// In order, so that what two equal nodes make is seen as equal by those that read it.
size_t visit(Graph& graph) {
  size_t changes = 0;
  std::unordered_map<Node*, Node*, Seen, Seen> seen;
  for (const auto& node : graph.nodes()) {
    for (const auto& subgraph : node->subgraphs()) changes += visit(*subgraph);
    if (!node->subgraphs().empty() || node->op() == "Dropout") continue;
    const auto [first, is_new] = seen.emplace(node.get(), node.get());
    if (is_new || !can_replace_all(*node, *first->second)) continue;
    bool changed = false;
    for (size_t i = 0; i < node->outputs().size(); ++i) {
      Value* old = node->output(i);
      if (old == nullptr || old->uses().empty()) continue;
      replace(*old, *first->second->output(i));
      changed = true;
    }
    changes += changed ? 1 : 0;
  }
  return changes;
}

}  // namespace

Result<size_t> eliminate_common_subexpressions(Graph& graph) {
  const size_t changes = visit(graph);
  if (changes > 0) sweep(graph);
  return changes;
}

}  // namespace skerry::optimise
