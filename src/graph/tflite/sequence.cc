// See sequence.h.
#include "graph/tflite/sequence.h"

namespace skerry::graph::tflite {
namespace {

constexpr int64_t kMaxSteps = 1024;  // of a sequence, each ten to ninety nodes

}  // namespace

Result<Sequence> sequence_of(const Lowering& lower, const Value& x, bool time_major) {
  const Sequence sequence{.axis = time_major ? 0 : 1};
  const auto& shape = x.type().shape;
  if (!shape || shape->size() != 3) return lower.refuse("its input has no three dimensions");
  const Dim& steps = (*shape)[static_cast<size_t>(sequence.axis)];
  if (!steps.is_fixed() || steps.size() < 1 || steps.size() > kMaxSteps) {
    return lower.refuse("it has {} steps; 1 to {} are read", to_string(steps), kMaxSteps);
  }
  return Sequence{steps.size(), sequence.axis};
}

Result<Value*> product(Lowering& lower, Value* x, Value* weights, Value* bias) {
  SKERRY_ASSIGN(Value * turned, lower.permuted(weights, {1, 0}));
  SKERRY_ASSIGN(Value * y, lower.make("MatMul", {x, turned}));
  return bias != nullptr ? lower.make("Add", {y, bias}) : y;
}

Result<Value*> at_step(Lowering& lower, const Sequence& sequence, int64_t at, Value* all) {
  return lower.make("Gather", {all, lower.scalar_int(at)}, {{"axis", sequence.axis}});
}

Result<int64_t> units_of(const Lowering& lower, size_t weights) {
  if (lower.has(weights) && lower.in_table(weights).shape.size() == 2) {
    return lower.in_table(weights).shape[0];
  }
  return lower.refuse("its weights are no matrix");
}

Result<Value*> together(Lowering& lower, const Sequence& sequence, std::vector<Value*> made,
                        int64_t units) {
  SKERRY_ASSIGN(Value * rows, lower.make("Concat", std::move(made), {{"axis", sequence.axis}}));
  const std::vector<int64_t> shape = sequence.axis == 0
                                         ? std::vector<int64_t>{sequence.steps, -1, units}
                                         : std::vector<int64_t>{-1, sequence.steps, units};
  return lower.make("Reshape", {rows, lower.list(shape)});
}

}  // namespace skerry::graph::tflite
