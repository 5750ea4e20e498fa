// Variables, which streaming models keep from one run to the next: the graph takes their values and
// gives the new ones, so that whoever runs it keeps them. They begin with zeros.
#include <algorithm>

#include "graph/tflite/lowering.h"

namespace skerry::graph::tflite {

Result<void> Lowering::name_variable(const std::string& name) {
  if (name.empty()) return refuse("a variable without a name");
  handles_[node_->outputs[0]] = name;
  return {};
}

Result<Lowering::Variable*> Lowering::variable() {
  const auto handle = has(0) ? handles_.find(node_->inputs[0]) : handles_.end();
  if (handle == handles_.end()) return refuse("its variable is not known");
  return &variables_[handle->second];
}

Result<void> Lowering::read_variable() {
  SKERRY_ASSIGN(Variable * variable, this->variable());
  if (variable->value == nullptr) {
    SKERRY_ASSIGN(Type type, type_of(out_table()));
    variable->input = &graph_->add_input(handles_.at(node_->inputs[0]), std::move(type));
    variable->value = variable->input;
  }
  return set(0, variable->value);
}

Result<void> Lowering::assign_variable() {
  SKERRY_ASSIGN(Variable * variable, this->variable());
  SKERRY_ASSIGN(variable->value, in(1));
  return {};
}

std::string Lowering::variable_name(size_t i) const {
  const std::string_view name = in_table(i).name;
  return name.empty() ? fmt::format("variable_{}", node_->inputs[i]) : std::string(name);
}

Result<Value*> Lowering::kept(size_t i) {
  if (!has(i) || !in_table(i).is_variable) return refuse("its state is no variable");
  Variable& variable = variables_[variable_name(i)];
  if (variable.value == nullptr) {
    SKERRY_ASSIGN(Type type, type_of(in_table(i)));
    if (is_quantised(in_table(i))) type = {DataType::kFp32, type.shape};
    variable.input = &graph_->add_input(variable_name(i), std::move(type));
    variable.value = variable.input;
  }
  return variable.value;
}

Result<void> Lowering::keep(size_t i, Value* next) {
  const auto found = variables_.find(variable_name(i));
  if (found == variables_.end()) return refuse("its state is not known");
  found->second.value = next;
  return {};
}

// Those that the runs see of each other: a variable that is assigned before it is read is none.
Result<void> Lowering::add_state() {
  for (const auto& [name, variable] : variables_) {
    if (variable.input == nullptr) continue;
    if (variable.value->type().element != variable.input->type().element) {
      return fail(Code::kInvalidArgument, fmt::format("the variable '{}' changes its type", name));
    }
    Value& next = graph_->add("Identity", {variable.value}, {}, name + "/next");
    SKERRY_TRY(inference_.infer(*next.producer()));
    graph_->add_output(next);
  }
  return {};
}

// The subgraph that runs once: it may only set variables to zeros.
Result<void> Lowering::check_initial_state(const SubgraphTable& graph) const {
  for (const OperatorTable& node : graph.operators) {
    const int32_t code = model_.codes[node.code].code;
    if (code == 142) continue;
    if (code != 144 || node.inputs.size() != 2 || node.inputs[1] < 0) {
      return refuse("what it runs first is more than setting variables");
    }
    const TensorTable& value = graph.tensors[static_cast<size_t>(node.inputs[1])];
    if (std::ranges::any_of(model_.buffers[value.buffer], [](char c) { return c != 0; })) {
      return refuse("the variables begin with other numbers than zeros");
    }
  }
  return {};
}

Result<void> Lowering::run_once(int64_t index) const {
  if (index < 1 || index >= static_cast<int64_t>(model_.subgraphs.size())) {
    return refuse("its subgraph does not exist");
  }
  return check_initial_state(model_.subgraphs[static_cast<size_t>(index)]);
}

namespace {

Result<void> var_handle(Lowering& lower) {
  return lower.name_variable(lower.text_option(1));
}
Result<void> read(Lowering& lower) {
  return lower.read_variable();
}
Result<void> call_once(Lowering& lower) {
  return lower.run_once(lower.option(0));
}
Result<void> assign(Lowering& lower) {
  return lower.assign_variable();
}

}  // namespace

std::span<const Row> state_rows() {
  static const Row kRows[] = {
      {142, "VAR_HANDLE", var_handle},
      {143, "READ_VARIABLE", read},
      {129, "CALL_ONCE", call_once, "Identity", false},
      {144, "ASSIGN_VARIABLE", assign, "Identity", false},
  };
  return kRows;
}

}  // namespace skerry::graph::tflite
