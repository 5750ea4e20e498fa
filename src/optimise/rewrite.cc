// Rewriting: see rewrite.h.
#include "optimise/rewrite.h"

#include <algorithm>
#include <unordered_set>

#include "base/check.h"
#include "graph/evaluation.h"
#include "graph/inference.h"

namespace skerry::optimise {

Node* made_by(const Value* value, Op op) {
  if (value == nullptr || value->producer() == nullptr) return nullptr;
  return value->producer()->op() == op ? value->producer() : nullptr;
}

bool has_one_use(const Value& value) {
  return value.uses().size() == 1 && value.uses()[0].node != nullptr;
}

Node* made_only_for_here(const Value* value, Op op) {
  Node* node = made_by(value, op);
  if (node == nullptr || !has_one_use(*value)) return nullptr;
  return value->uses()[0].graph == &node->graph() ? node : nullptr;
}

const Constant* constant_of(const Value* value) {
  return value != nullptr ? value->constant() : nullptr;
}

std::vector<double> numbers_of(const Constant& constant) {
  return graph::Array::from(constant.view()).to_doubles();
}

std::optional<double> scalar_of(const Value* value) {
  const Constant* constant = constant_of(value);
  if (constant == nullptr || constant->count() != 1 || constant->type() == DataType::kBytes) {
    return {};
  }
  return numbers_of(*constant)[0];
}

std::optional<std::vector<int64_t>> ints_of(const Value* value) {
  const Constant* constant = constant_of(value);
  return constant != nullptr ? graph::ints_of(*constant) : std::nullopt;
}

bool same_constant(const Value* a, const Value* b) {
  if (a == b) return true;
  const Constant* x = constant_of(a);
  const Constant* y = constant_of(b);
  return x != nullptr && y != nullptr && *x == *y;
}

bool same_type(const Type& a, const Type& b) {
  if (a.element != b.element || !a.shape || !b.shape) return false;
  return std::ranges::equal(*a.shape, *b.shape,
                            [](const auto& x, const auto& y) { return x.same_as(y); });
}

Operand operand_of(const Node& node) {
  for (size_t i = 0; i < 2 && node.inputs().size() == 2; ++i) {
    if (const Constant* constant = constant_of(node.input(i)); constant != nullptr) {
      return {node.input(1 - i), constant, i};
    }
  }
  return {};
}

std::optional<std::vector<double>> per_channel(const Constant& constant, size_t rank, size_t axis,
                                               int64_t channels) {
  if (!tensor::is_float(constant.type()) || constant.shape().size() > rank) return {};
  const size_t missing = rank - constant.shape().size();
  for (size_t i = 0; i < constant.shape().size(); ++i) {
    const int64_t size = constant.shape()[i];
    if (size != 1 && (i + missing != axis || size != channels)) return {};
  }
  std::vector<double> numbers = numbers_of(constant);
  if (numbers.size() == 1) numbers.resize(static_cast<size_t>(channels), numbers[0]);
  return numbers;
}

// --- Changing -----------------------------------------------------------------------------------

namespace {

bool is_dead(const Node& node) {
  return std::ranges::all_of(node.outputs(), [](const auto& output) {
    return output == nullptr || output->uses().empty();
  });
}

// `node`, and what was made only for it; all that goes is put into `erased`.
void erase_dead(Node& node, std::unordered_set<const Node*>& erased) {
  std::vector<Node*> waiting = {&node};
  while (!waiting.empty()) {
    Node* next = waiting.back();
    waiting.pop_back();
    if (erased.contains(next) || !next->subgraphs().empty() || !is_dead(*next)) continue;
    for (const Value* input : next->inputs()) {
      if (input != nullptr && input->producer() != nullptr) waiting.push_back(input->producer());
    }
    erased.insert(next);
    next->graph().erase(*next);
  }
}

void collect(const Graph& graph, std::vector<Node*>& nodes) {
  for (const auto& node : graph.nodes()) {
    nodes.push_back(node.get());
    for (const auto& subgraph : node->subgraphs()) collect(*subgraph, nodes);
  }
}

}  // namespace

size_t sweep(Graph& graph) {
  size_t swept = 0;
  std::vector<Node*> nodes;
  for (const auto& node : graph.nodes()) nodes.push_back(node.get());
  for (size_t i = nodes.size(); i-- > 0;) {
    if (is_dead(*nodes[i])) {
      graph.erase(*nodes[i]);
      ++swept;
    } else {
      for (const auto& subgraph : nodes[i]->subgraphs()) swept += sweep(*subgraph);
    }
  }
  std::vector<Value*> unread;
  for (const auto& constant : graph.constants()) {
    if (constant->uses().empty()) unread.push_back(constant.get());
  }
  for (Value* constant : unread) graph.erase(*constant);
  return swept + unread.size();
}

Result<size_t> rewrite_nodes(Graph& graph, const std::function<Result<bool>(Node&)>& rewrite) {
  constexpr int kMaxRewriteRounds = 64;
  size_t changes = 0;
  for (int round = 0; round < kMaxRewriteRounds; ++round) {
    std::vector<Node*> nodes;
    collect(graph, nodes);
    // Whoever is erased, or was made at the place of one, has its turn in the next round.
    std::unordered_set<const Node*> erased;
    const size_t before = changes;
    for (Node* node : nodes) {
      if (erased.contains(node)) continue;
      SKERRY_ASSIGN(const bool changed, rewrite(*node));
      if (!changed) continue;
      ++changes;
      erase_dead(*node, erased);
    }
    if (changes == before) break;
  }
  if (changes > 0) sweep(graph);
  return changes;
}

bool can_replace(const Value& old, const Value& with) {
  if (&old == &with) return false;
  if (!old.is_graph_output()) return true;
  return with.producer() != nullptr && !with.is_graph_output() && &with.graph() == &old.graph();
}

void replace(Value& old, Value& with) {
  SKERRY_CHECK(can_replace(old, with), "an output would lose its name");
  if (old.is_graph_output()) old.graph().swap_names(old, with);
  old.replace_uses(with);
}

void take_over(Value& old, Value& with) {
  SKERRY_CHECK(can_replace(old, with), "an output would lose its name");
  old.graph().swap_names(old, with);
  old.replace_uses(with);
}

Result<Value*> insert(Node& before, Op op, std::vector<Value*> inputs, Attributes attributes,
                      std::string_view name) {
  const std::string wanted(name.empty() ? op.name() : name);
  Node& node = before.graph().add_node({.op = op,
                                        .name = wanted,
                                        .inputs = std::move(inputs),
                                        .outputs = {wanted},
                                        .attributes = std::move(attributes)},
                                       &before);
  graph::TypeInference inference;
  SKERRY_TRY(inference.infer(node));
  return node.output(0);
}

Value& add_constant(Node& beside, std::string_view name, Constant constant) {
  return beside.graph().add_constant(name, std::move(constant));
}

Constant floats(DataType type, std::vector<int64_t> shape, std::span<const double> numbers) {
  graph::Array wide{.type = DataType::kFp64, .shape = std::move(shape)};
  wide.bytes.resize(numbers.size_bytes());
  if (!numbers.empty()) std::memcpy(wide.bytes.data(), numbers.data(), numbers.size_bytes());
  tensor::Tensor narrow = convert_float(wide, type).to_tensor("");
  auto made = Constant::make(type, std::move(narrow.shape), std::move(narrow.bytes));
  SKERRY_CHECK(made.has_value(), "numbers do not fill their shape");
  return std::move(*made);
}

}  // namespace skerry::optimise
