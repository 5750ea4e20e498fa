// Each node: shapes by its shape function from the real inputs, then its reference semantics.
#include "graph/executor.h"

#include <algorithm>

#include "graph/inference.h"
#include "graph/operator.h"

namespace skerry::graph {
namespace {

bool is_half(DataType type) {
  return type == DataType::kFp16 || type == DataType::kBf16;
}

// Values of integer inputs, for shape functions.
std::optional<std::vector<Dim>> values_of(const Array* array) {
  if (array == nullptr) return {};
  if (array->type != DataType::kInt64 && array->type != DataType::kInt32) return {};
  return fixed_shape(array->to_ints());
}

// What the shape function says of these inputs.
Result<std::vector<Type>> types_of_outputs(const Node& node,
                                           const std::vector<const Array*>& inputs) {
  std::vector<Type> types(inputs.size());
  std::vector<const Type*> given(inputs.size(), nullptr);
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i] == nullptr) continue;
    types[i] = {inputs[i]->type, fixed_shape(inputs[i]->shape)};
    given[i] = &types[i];
  }
  Inference inference(node, std::move(given), [&](size_t i) { return values_of(inputs[i]); });
  SKERRY_TRY(node.definition().infer(inference));
  return std::move(inference.outputs());
}

// The node of `value`'s own graph that reads it at `use`, itself or in a subgraph; null for the
// graph's own output.
const Node* reader_in_own_graph(const Value& value, const Use& use) {
  const Node* node = use.node;
  if (node == nullptr && use.graph == &value.graph()) return nullptr;
  if (node == nullptr) node = use.graph->owner();
  while (&node->graph() != &value.graph()) node = node->graph().owner();
  return node;
}

}  // namespace

Executor::Executor(const Graph& graph, ExecutorOptions options)
    : graph_(graph), options_(std::move(options)) {
  prepare(graph);
}

Executor::Shared Executor::widened(Array array) const {
  const bool widen = options_.as_fp64 && array.type == DataType::kFp32;
  return std::make_shared<const Array>(widen ? convert_float(array, DataType::kFp64)
                                             : std::move(array));
}

void Executor::prepare(const Graph& graph) {
  std::unordered_map<const Node*, size_t> order;
  for (const auto& node : graph.nodes()) {
    order[node.get()] = order.size();
    for (const auto& subgraph : node->subgraphs()) prepare(*subgraph);
  }
  const auto find_last = [&](const Value& value) {
    const Node* last = nullptr;
    for (const Use& use : value.uses()) {
      const Node* reader = reader_in_own_graph(value, use);
      if (reader == nullptr) return;  // an output lives to the end
      if (last == nullptr || order[reader] > order[last]) last = reader;
    }
    if (last != nullptr) last_reader_[&value] = last;
  };
  for (const auto& input : graph.inputs()) find_last(*input);
  for (const auto& node : graph.nodes()) {
    for (const auto& output : node->outputs()) {
      if (output) find_last(*output);
    }
  }
  for (const auto& constant : graph.constants()) {
    constants_[constant.get()] = widened(Array::from(constant->constant()->view()));
  }
}

Result<std::vector<tensor::Tensor>> Executor::run(std::span<const tensor::TensorView> inputs) {
  std::vector<tensor::TensorSpec> specs;
  for (const auto& input : graph_.inputs()) {
    std::vector<int64_t> shape;
    for (const Dim& dim : input->type().shape.value_or(Shape())) {
      shape.push_back(dim.is_fixed() ? dim.size() : -1);
    }
    // An input whose rank is open takes any shape.
    if (!input->type().shape) {
      for (const auto& view : inputs) {
        if (view.name == input->name()) shape.assign(view.shape.begin(), view.shape.end());
      }
    }
    specs.push_back({input->name(), input->type().element, std::move(shape)});
  }
  SKERRY_ASSIGN(const auto matched, tensor::match_inputs(specs, inputs));
  std::vector<Shared> arrays;
  for (const tensor::TensorView* view : matched) arrays.push_back(widened(Array::from(*view)));
  values_.clear();
  SKERRY_ASSIGN(const auto results, run_graph(graph_, std::move(arrays)));
  std::vector<tensor::Tensor> outputs;
  for (size_t i = 0; i < results.size(); ++i) {
    outputs.push_back(results[i]->to_tensor(graph_.outputs()[i]->name()));
  }
  values_.clear();
  return outputs;
}

Result<std::vector<Executor::Shared>> Executor::run_graph(const Graph& graph,
                                                          std::vector<Shared> inputs) {
  for (size_t i = 0; i < inputs.size(); ++i) values_[graph.inputs()[i].get()] = inputs[i];
  inputs.clear();
  for (const auto& node : graph.nodes()) {
    SKERRY_TRY(run_node(*node));
    std::erase_if(values_, [&](const auto& value) {
      const auto last = last_reader_.find(value.first);
      return last != last_reader_.end() && last->second == node.get();
    });
  }
  std::vector<Shared> outputs;
  for (const Value* output : graph.outputs()) {
    outputs.push_back(output->constant() != nullptr ? constants_.at(output) : values_.at(output));
  }
  return outputs;
}

Result<void> Executor::run_node(const Node& node) {
  std::vector<const Array*> inputs;
  for (const Value* input : node.inputs()) {
    if (input == nullptr) {
      inputs.push_back(nullptr);
    } else {
      inputs.push_back(input->constant() != nullptr ? constants_.at(input).get()
                                                    : values_.at(input).get());
    }
  }
  std::vector<Type> types(node.outputs().size());
  std::vector<Array> converted;
  const bool has_subgraphs = !node.subgraphs().empty();
  if (!has_subgraphs) {
    SKERRY_ASSIGN(types, types_of_outputs(node, inputs));
  }
  const std::vector<Type> wanted = types;
  const auto halves = [](const Array* array) { return array != nullptr && is_half(array->type); };
  if (node.definition().halves == Halves::kAsFloat && std::ranges::any_of(inputs, halves)) {
    converted.reserve(inputs.size());
    for (const Array*& input : inputs) {
      if (!halves(input)) continue;
      converted.push_back(convert_float(*input, DataType::kFp32));
      input = &converted.back();
    }
    SKERRY_ASSIGN(types, types_of_outputs(node, inputs));
  }
  Evaluation evaluation(node, std::move(inputs), options_.max_tensor_bytes);
  for (size_t i = 0; i < types.size() && !has_subgraphs; ++i) {
    const auto sizes = sizes_of(types[i]);
    evaluation.out(i).type = types[i].element;
    if (sizes) {
      SKERRY_TRY(evaluation.allocate(i, types[i].element, *sizes));
    }
  }
  SKERRY_TRY(evaluate(evaluation));
  for (size_t i = 0; i < types.size(); ++i) {
    const Value* output = node.output(i);
    if (output == nullptr) continue;
    Array& result = evaluation.out(i);
    if (!has_subgraphs && is_half(wanted[i].element)) {
      result = convert_float(result, wanted[i].element);
    }
    const Shared kept = widened(std::move(result));
    if (options_.observe && &node.graph() == &graph_) options_.observe(*output, *kept);
    if (!output->uses().empty()) values_[output] = kept;
  }
  return {};
}

Result<void> Executor::evaluate(Evaluation& evaluation) {
  evaluation.run_subgraph = [this](const Graph& graph,
                                   std::vector<Array> inputs) -> Result<std::vector<Array>> {
    std::vector<Shared> shared;
    for (Array& input : inputs) shared.push_back(widened(std::move(input)));
    SKERRY_ASSIGN(const auto results, run_graph(graph, std::move(shared)));
    std::vector<Array> outputs;
    for (const Shared& result : results) outputs.push_back(*result);
    return outputs;
  };
  return evaluation.node().definition().evaluate(evaluation);
}

}  // namespace skerry::graph
