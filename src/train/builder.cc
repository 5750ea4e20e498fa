// Typed nodes.
#include "train/builder.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"

namespace skerry::train {

Sizes sizes_of(const Value& value) {
  const auto sizes = graph::sizes_of(value.type());
  SKERRY_CHECK(sizes.has_value(), "a training step has a value of unknown shape");
  return *sizes;
}

int64_t count_of(const Value& value) {
  const auto count = graph::count_of(value.type());
  SKERRY_CHECK(count.has_value(), "a training step has a value of unknown size");
  return *count;
}

std::vector<Value*> Builder::nodes(Op op, std::vector<Value*> inputs, size_t outputs,
                                   Attributes attributes, std::string_view name) {
  const std::string base(name.empty() ? op.name() : name);
  graph::NodeSpec spec{
      .op = op, .name = base, .inputs = std::move(inputs), .attributes = std::move(attributes)};
  for (size_t i = 0; i < outputs; ++i) {
    spec.outputs.push_back(i == 0 ? base : base + "." + std::to_string(i));
  }
  Node& node = graph_.add_node(std::move(spec), before_);
  const auto inferred = inference_.infer(node);
  SKERRY_CHECK(inferred.has_value(), inferred.error().message());
  std::vector<Value*> made;
  for (const auto& output : node.outputs()) made.push_back(output.get());
  return made;
}

Value* Builder::number(double value) {
  return &graph_.add_constant("number", Constant::of_float(static_cast<float>(value)));
}

Value* Builder::floats(const Sizes& shape, const std::vector<float>& values) {
  return &graph_.add_constant("floats", Constant::of(DataType::kFp32, shape, values));
}

Value* Builder::ints(const Sizes& values) {
  return &graph_.add_constant("ints", Constant::of_ints(values));
}

Value* Builder::filled(const Sizes& shape, float value) {
  return op("ConstantOfShape", {ints(shape)},
            {{"value", Constant::of<float>(DataType::kFp32, {1}, {value})}});
}

Value* Builder::reshape(Value* a, const Sizes& shape) {
  return sizes_of(*a) == shape ? a : op("Reshape", {a, ints(shape)});
}

Value* Builder::transpose(Value* a, const Sizes& perm) {
  return op("Transpose", {a}, {{"perm", perm}});
}

Value* Builder::swap(Value* a, size_t first, size_t second) {
  Sizes perm(sizes_of(*a).size());
  std::iota(perm.begin(), perm.end(), 0);
  std::swap(perm[first], perm[second]);
  return transpose(a, perm);
}

Value* Builder::expand(Value* a, const Sizes& shape) {
  return sizes_of(*a) == shape ? a : op("Expand", {a, ints(shape)});
}

Value* Builder::slice(Value* a, const Sizes& starts, const Sizes& ends, const Sizes& axes) {
  return op("Slice", {a, ints(starts), ints(ends), ints(axes)});
}

Value* Builder::sum(Value* a, const Sizes& axes, bool keep) {
  if (axes.empty()) return a;
  return op("ReduceSum", {a, ints(axes)}, {{"keepdims", int64_t{keep ? 1 : 0}}});
}

Value* Builder::mean(Value* a, const Sizes& axes, bool keep) {
  if (axes.empty()) return a;
  return op("ReduceMean", {a, ints(axes)}, {{"keepdims", int64_t{keep ? 1 : 0}}});
}

Value* Builder::sum_all(Value* a) {
  Sizes axes(sizes_of(*a).size());
  std::iota(axes.begin(), axes.end(), 0);
  return sum(a, axes, false);
}

Value* Builder::sum_to(Value* a, const Sizes& shape) {
  const Sizes from = sizes_of(*a);
  if (from == shape) return a;
  const size_t extra = from.size() - shape.size();
  Sizes axes;
  for (size_t i = 0; i < from.size(); ++i) {
    if (i < extra || (shape[i - extra] == 1 && from[i] != 1)) {
      axes.push_back(static_cast<int64_t>(i));
    }
  }
  return reshape(sum(a, axes), shape);
}

}  // namespace skerry::train
