// Which values lie between the parameters and the loss, and the walk back over them.
#include "train/gradient.h"

#include <algorithm>
#include <array>

namespace skerry::train {
namespace {

const GradientRule* rule_of(Op op) {
  static const auto kTable = [] {
    std::array<const GradientRule*, Op::kCount> table{};
    for (const auto rules :
         {convolution_rules(), matmul_rules(), pooling_rules(), arithmetic_rules(),
          activation_rules(), movement_rules(), index_rules(), reduction_rules()}) {
      for (const GradientRule& rule : rules) table[rule.op.index()] = &rule;
    }
    return table;
  }();
  return kTable[op.index()];
}

bool is_real(const Value& value) {
  return value.type().element == DataType::kFp32;
}

// Everything that depends on the parameters.
std::unordered_set<const Value*> values_from(const Graph& graph,
                                             std::span<Value* const> parameters) {
  std::unordered_set<const Value*> needed(parameters.begin(), parameters.end());
  for (const auto& node : graph.nodes()) {
    bool depends = false;
    for (const Value* input : node->inputs()) depends |= input != nullptr && needed.contains(input);
    if (!depends) continue;
    for (const auto& output : node->outputs()) {
      if (output && is_real(*output)) needed.insert(output.get());
    }
  }
  return needed;
}

// What goes on in other floats would silently learn nothing.
Result<void> check_types(const Graph& graph, const std::unordered_set<const Value*>& needed) {
  for (const auto& node : graph.nodes()) {
    const bool reads = std::ranges::any_of(
        node->inputs(), [&](const Value* input) { return needed.contains(input); });
    for (const auto& output : node->outputs()) {
      const bool other = output && tensor::is_float(output->type().element) && !is_real(*output);
      if (reads && other && !output->uses().empty()) {
        return fail(Code::kUnsupported, node->describe() + " computes in " +
                                            std::string(tensor::name_of(output->type().element)) +
                                            "; only FP32 can be trained");
      }
    }
  }
  return {};
}

Result<void> check_shapes(const Node& node) {
  const auto known = [](const Value* value) {
    return value == nullptr || graph::sizes_of(value->type()).has_value();
  };
  bool all = true;
  for (const Value* input : node.inputs()) all = all && known(input);
  for (const auto& output : node.outputs()) all = all && known(output.get());
  if (all) return {};
  return fail(Code::kUnsupported,
              node.describe() + ": its shapes depend on values, so that it cannot be trained");
}

}  // namespace

size_t Backward::axis(std::string_view name) const {
  const int64_t given = node_.int_of(name);
  const auto size = static_cast<int64_t>(rank());
  return static_cast<size_t>(given < 0 ? given + size : given);
}

Value* Backward::gradient(size_t output) const {
  const auto found = gradients_.find(out(output));
  return found == gradients_.end() ? nullptr : found->second;
}

void Backward::give(size_t input, Value* gradient) {
  const Value* value = in(input);
  Value*& sum = gradients_[value];
  Value* part = make.sum_to(gradient, sizes_of(*value));
  sum = sum == nullptr ? part : make.add(sum, part);
}

Result<Sizes> Backward::constant_ints(size_t input) const {
  const Value* value = in(input);
  const auto ints = value != nullptr && value->constant() != nullptr
                        ? graph::ints_of(*value->constant())
                        : std::nullopt;
  if (!ints) return refuse("an input that is no constant says how");
  return *ints;
}

std::unexpected<Error> Backward::refuse(std::string_view why) const {
  return fail(Code::kUnsupported, node_.describe() + " has no gradient here: " + std::string(why));
}

Result<std::vector<Value*>> add_gradients(Graph& graph, Value& loss,
                                          std::span<Value* const> parameters) {
  const auto needed = values_from(graph, parameters);
  SKERRY_TRY(check_types(graph, needed));
  std::vector<Node*> nodes;
  for (const auto& node : graph.nodes()) nodes.push_back(node.get());
  Builder make(graph);
  Backward::Gradients gradients;
  if (needed.contains(&loss)) gradients[&loss] = make.filled(sizes_of(loss), 1);
  for (size_t i = nodes.size(); i-- > 0;) {
    Backward back(*nodes[i], make, needed, gradients);
    bool flows = false;
    bool wanted = false;
    for (size_t k = 0; k < nodes[i]->outputs().size(); ++k) {
      flows |= nodes[i]->output(k) != nullptr && back.gradient(k) != nullptr;
    }
    for (size_t k = 0; k < nodes[i]->inputs().size(); ++k) wanted |= back.wants(k);
    if (!flows || !wanted) continue;
    const GradientRule* rule = rule_of(nodes[i]->op());
    if (rule == nullptr) {
      return fail(Code::kUnsupported,
                  nodes[i]->describe() +
                      ": its operator has no gradient; freeze the layers in front of it");
    }
    SKERRY_TRY(check_shapes(*nodes[i]));
    SKERRY_TRY(rule->run(back));
  }
  std::vector<Value*> result;
  for (const Value* parameter : parameters) {
    const auto found = gradients.find(parameter);
    result.push_back(found != gradients.end() ? found->second
                                              : make.filled(sizes_of(*parameter), 0));
  }
  return result;
}

}  // namespace skerry::train
