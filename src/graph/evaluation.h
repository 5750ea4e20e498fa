// What reference semantics see of a run: one node with its inputs as arrays.
#pragma once

#include <fmt/format.h>

#include <functional>

#include "graph/operator.h"

namespace skerry::graph {

// A tensor while the reference executor runs: 4-bit integers one in a byte, strings as strings.
struct Array {
  DataType type = DataType::kFp32;
  std::vector<int64_t> shape;
  tensor::Bytes bytes;
  std::vector<std::string> strings;  // of BYTES, instead of bytes

  static size_t element_size(DataType type);  // in an array; 0 for BYTES
  // Zeros. kResourceExhausted above `max_bytes`.
  static Result<Array> make(DataType type, std::vector<int64_t> shape, uint64_t max_bytes);
  static Array from(const tensor::TensorView& view);
  tensor::Tensor to_tensor(std::string name) const;

  size_t count() const;
  int64_t dim(size_t axis) const { return shape[axis]; }
  size_t rank() const { return shape.size(); }
  template <class T>
  std::span<const T> as() const {
    return {reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T)};
  }
  template <class T>
  std::span<T> as() {
    return {reinterpret_cast<T*>(bytes.data()), bytes.size() / sizeof(T)};
  }
  // Any number type as the widest of its kind; for indices, scales and the like.
  std::vector<int64_t> to_ints() const;
  std::vector<double> to_doubles() const;
};

// Floats of another width, each rounded once; arrays of other types unchanged.
Array convert_float(const Array& array, DataType to);

class Evaluation {
 public:
  using RunSubgraph =
      std::function<Result<std::vector<Array>>(const Graph& graph, std::vector<Array> inputs)>;

  Evaluation(const Node& node, std::vector<const Array*> inputs, uint64_t max_bytes)
      : outputs(node.outputs().size()),
        node_(node),
        inputs_(std::move(inputs)),
        max_bytes_(max_bytes) {}

  const Node& node() const { return node_; }
  size_t input_count() const { return inputs_.size(); }
  bool has(size_t input) const { return input < inputs_.size() && inputs_[input] != nullptr; }
  const Array& in(size_t input) const { return *inputs_[input]; }
  const std::vector<const Array*>& inputs() const { return inputs_; }
  bool wants(size_t output) const { return node_.output(output) != nullptr; }
  Array& out(size_t output) { return outputs[output]; }
  // Where the shape depends on values.
  Result<void> allocate(size_t output, DataType type, std::vector<int64_t> shape);
  uint64_t max_bytes() const { return max_bytes_; }
  // 0 ≤ axis < rank from one that the shape function has checked.
  static size_t axis(int64_t axis, size_t rank) {
    return static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(rank) : axis);
  }
  template <class... Args>
  std::unexpected<Error> refuse(fmt::format_string<Args...> text, Args&&... args) const {
    return fail(Code::kInvalidArgument,
                node_.describe() + ": " + fmt::format(text, std::forward<Args>(args)...));
  }

  std::vector<Array> outputs;
  RunSubgraph run_subgraph;

 private:
  const Node& node_;
  std::vector<const Array*> inputs_;
  uint64_t max_bytes_;
};

// --- Calling a lambda with a value of the C++ type -----------------------------------------------

template <class F>
Result<void> visit_float(const Evaluation& evaluation, DataType type, F&& f) {
  if (type == DataType::kFp32) return f(float{});
  if (type == DataType::kFp64) return f(double{});
  return evaluation.refuse("is not defined for {}", tensor::name_of(type));
}

template <class F>
Result<void> visit_integer(const Evaluation& evaluation, DataType type, F&& f) {
  switch (type) {
    case DataType::kInt8:
    case DataType::kInt4:
      return f(int8_t{});
    case DataType::kInt16:
      return f(int16_t{});
    case DataType::kInt32:
      return f(int32_t{});
    case DataType::kInt64:
      return f(int64_t{});
    case DataType::kUint8:
    case DataType::kUint4:
    case DataType::kBool:
      return f(uint8_t{});
    case DataType::kUint16:
      return f(uint16_t{});
    case DataType::kUint32:
      return f(uint32_t{});
    case DataType::kUint64:
      return f(uint64_t{});
    default:
      return evaluation.refuse("is not defined for {}", tensor::name_of(type));
  }
}

template <class F>
Result<void> visit_number(const Evaluation& evaluation, DataType type, F&& f) {
  if (type == DataType::kFp32) return f(float{});
  if (type == DataType::kFp64) return f(double{});
  return visit_integer(evaluation, type, std::forward<F>(f));
}

}  // namespace skerry::graph
