// Types of all values, from those of the inputs: open dimensions keep their names. Integers that
// exporters compute from shapes become constants, and of a Reshape's target one dimension may stay
// open (-1): graphs with a symbolic batch lose their Shape, Gather, Concat chains that way.
#include "graph/inference.h"
#include "optimise/passes/passes.h"

namespace skerry::optimise {
namespace {

using graph::Dim;

// What was known before and inference does not see: importers and people declare more.
Type merged(const Type& declared, const Type& inferred) {
  if (declared.element != inferred.element || !declared.shape) return inferred;
  Type type = inferred;
  if (!type.shape) type.shape = declared.shape;
  if (type.rank() != declared.rank()) return inferred;
  for (size_t i = 0; i < type.rank(); ++i) {
    Dim& dim = (*type.shape)[i];
    const Dim& before = (*declared.shape)[i];
    if (dim.is_unknown() || (!dim.is_fixed() && before.is_fixed())) dim = before;
  }
  if (!type.quantisation) type.quantisation = declared.quantisation;
  return type;
}

bool equal(const Type& a, const Type& b) {
  return a.element == b.element && a.shape == b.shape;
}

std::optional<std::vector<int64_t>> as_sizes(const std::vector<Dim>& dims) {
  std::vector<int64_t> sizes;
  for (const Dim& dim : dims) {
    if (!dim.is_fixed()) return {};
    sizes.push_back(dim.size());
  }
  return sizes;
}

// All sizes but at most one, which is -1.
std::optional<std::vector<int64_t>> as_target(const std::vector<Dim>& dims) {
  std::vector<int64_t> target;
  int open = 0;
  for (const Dim& dim : dims) {
    if (dim.is_fixed() && dim.size() == 0) return {};
    open += dim.is_fixed() ? 0 : 1;
    target.push_back(dim.is_fixed() ? dim.size() : -1);
  }
  if (open > 1) return {};
  return target;
}

Constant constant_like(const Type& type, const std::vector<int64_t>& values) {
  auto shape = sizes_of(type).value_or(std::vector<int64_t>{static_cast<int64_t>(values.size())});
  if (type.element == DataType::kInt64) return Constant::of(type.element, shape, values);
  return Constant::of(type.element, shape, std::vector<int32_t>(values.begin(), values.end()));
}

bool is_known_integer(const Value* value) {
  return value != nullptr && !value->is_graph_output() && !value->uses().empty() &&
         (value->type().element == DataType::kInt64 || value->type().element == DataType::kInt32) &&
         value->type().shape.has_value();
}

class ShapeInference {
 public:
  Result<size_t> run(Graph& graph) {
    for (const auto& node : graph.nodes()) SKERRY_TRY(visit(*node));
    for (const auto& [value, constant] : constants_) {
      Value& made = value->graph().add_constant(value->name(), constant);
      value->replace_uses(made);
    }
    for (const auto& [node, constant] : targets_) {
      node->set_input(1, &node->graph().add_constant(node->name() + ".shape", constant));
    }
    if (!constants_.empty() || !targets_.empty()) sweep(graph);
    return changes_ + constants_.size() + targets_.size();
  }

 private:
  Result<void> visit(Node& node) {
    std::vector<Type> before;
    for (const auto& output : node.outputs()) before.push_back(output ? output->type() : Type{});
    SKERRY_TRY(inference_.infer(node));
    for (size_t i = 0; i < before.size(); ++i) {
      Value* output = node.output(i);
      if (output == nullptr) continue;
      output->set_type(merged(before[i], output->type()));
      changes_ += equal(output->type(), before[i]) ? 0 : 1;
    }
    Value* output = node.output(0);
    if (is_known_integer(output)) {
      const auto known = inference_.known(*output);
      const auto sizes = known ? as_sizes(*known) : std::nullopt;
      const auto count = count_of(output->type());
      if (sizes && count && *count == static_cast<int64_t>(sizes->size())) {
        constants_.emplace_back(output, constant_like(output->type(), *sizes));
      }
    }
    const bool computed = node.op() == "Reshape" && constant_of(node.input(1)) == nullptr;
    if (computed && node.int_of("allowzero") == 0 && output->type().shape) {
      const auto target = as_target(*output->type().shape);
      if (target) targets_.emplace_back(&node, Constant::of_ints(*target));
    }
    return {};
  }

  graph::TypeInference inference_;
  size_t changes_ = 0;
  std::vector<std::pair<Value*, Constant>> constants_;
  std::vector<std::pair<Node*, Constant>> targets_;
};

}  // namespace

Result<size_t> infer_shapes(Graph& graph) {
  return ShapeInference().run(graph);
}

}  // namespace skerry::optimise
