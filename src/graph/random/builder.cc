// See builder.h.
#include "graph/random/builder.h"

#include <cmath>

#include "graph/verify.h"

namespace skerry::graph::random {
namespace {

constexpr int64_t kMostElements = 2048;  // of a value, with open dimensions as 2

// True for what every later operator can have: known rank, little.
bool is_small(const Type& type) {
  if (!type.shape || type.rank() > 6) return false;
  int64_t count = 1;
  for (const Dim& dim : *type.shape) {
    const int64_t size = dim.is_fixed() ? dim.size() : 2;
    if (size < 1) return false;
    count *= size;
    if (count > kMostElements) return false;
  }
  return true;
}

}  // namespace

std::optional<std::vector<int64_t>> tail_of(const Value& value) {
  std::vector<int64_t> tail;
  const Shape& shape = *value.type().shape;
  for (size_t i = 1; i < shape.size(); ++i) {
    if (!shape[i].is_fixed()) return {};
    tail.push_back(shape[i].size());
  }
  return tail;
}

Value* Builder::pick(const std::function<bool(const Value&)>& suits) {
  std::vector<Value*> found;
  for (Value* value : values_) {
    if (suits(*value)) found.push_back(value);
  }
  if (found.empty()) return nullptr;
  if (chance(50)) return found.back();
  return one_of(found);
}

Value* Builder::pick_float(size_t lowest_rank, size_t highest_rank) {
  return pick([&](const Value& value) {
    return value.type().element == DataType::kFp32 && value.type().rank() >= lowest_rank &&
           value.type().rank() <= highest_rank && tail_of(value).has_value();
  });
}

Value& Builder::weights(std::vector<int64_t> shape, float lowest, float highest) {
  std::vector<float> numbers(tensor::element_count(shape).value_or(0));
  // Few bits: products and sums of a few are exact, whatever the order.
  for (float& number : numbers) number = std::nearbyint(real(lowest, highest) * 64) / 64;
  return graph_.add_constant("w", Constant::of(DataType::kFp32, std::move(shape), numbers));
}

Value& Builder::ints(std::vector<int64_t> values) {
  return graph_.add_constant("i", Constant::of_ints(values));
}

Value& Builder::scalar(float value) {
  return graph_.add_constant("s", Constant::of_float(value));
}

Value& Builder::byte(DataType type, int64_t value) {
  return graph_.add_constant(
      "z", Constant::of(type, {}, std::vector<int8_t>{static_cast<int8_t>(value)}));
}

Node* Builder::add(Op op, std::vector<Value*> inputs, Attributes attributes, size_t outputs,
                   const std::function<void(Node&)>& fill) {
  std::vector<std::string> names(outputs, "v");
  Node& node = graph_.add_node({.op = op,
                                .inputs = std::move(inputs),
                                .outputs = std::move(names),
                                .attributes = std::move(attributes)});
  if (fill) fill(node);
  bool fine = check_signature(node) && inference_.infer(node);
  for (const auto& output : node.outputs()) fine = fine && is_small(output->type());
  if (fine) return &node;
  graph_.erase(node);
  inference_ = {};  // what it knows of values that are gone
  return nullptr;
}

Value* Builder::make(Op op, std::vector<Value*> inputs, Attributes attributes) {
  for (const Value* input : inputs) {
    if (input == nullptr && op != "Clip" && op != "Resize") return nullptr;  // what it is made of
  }
  Node* node = add(op, std::move(inputs), std::move(attributes));
  return node != nullptr ? node->output(0) : nullptr;
}

}  // namespace skerry::graph::random
