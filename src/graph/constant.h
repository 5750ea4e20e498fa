// Tensors that never change: weights, tables, attributes. Copying one copies a reference.
#pragma once

#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "graph/shape.h"

namespace skerry::graph {

class Constant {
 public:
  // kInvalidArgument where `bytes` is not what type and shape take (layout: tensor/tensor.h).
  static Result<Constant> make(DataType type, std::vector<int64_t> shape, tensor::Bytes bytes);
  // The bytes stay where they are, kept alive by `owner`; copied only where they lie unaligned.
  static Result<Constant> share(DataType type, std::vector<int64_t> shape,
                                std::span<const std::byte> bytes,
                                std::shared_ptr<const void> owner);
  // `values` fill `shape`; an empty shape is a scalar.
  template <class T>
  static Constant of(DataType type, std::vector<int64_t> shape, const std::vector<T>& values) {
    tensor::Bytes bytes(values.size() * sizeof(T));
    if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
    return must(make(type, std::move(shape), std::move(bytes)));
  }
  static Constant of_ints(const std::vector<int64_t>& values);  // INT64, one dimension
  static Constant of_int(int64_t value);                        // INT64 scalar
  static Constant of_float(float value);                        // FP32 scalar
  static Constant of_strings(std::vector<int64_t> shape, std::span<const std::string> values);

  DataType type() const { return type_; }
  const std::vector<int64_t>& shape() const { return shape_; }
  std::span<const std::byte> bytes() const { return bytes_; }
  size_t count() const;  // elements
  Type value_type() const { return {type_, fixed_shape(shape_)}; }
  tensor::TensorView view() const { return {"", type_, shape_, bytes_}; }
  template <class T>
  std::span<const T> as() const {  // T is what the type is stored as
    return {reinterpret_cast<const T*>(bytes_.data()), bytes_.size() / sizeof(T)};
  }
  bool operator==(const Constant& other) const;  // type, shape, bytes

 private:
  Constant(DataType type, std::vector<int64_t> shape, std::span<const std::byte> bytes,
           std::shared_ptr<const void> owner)
      : type_(type), shape_(std::move(shape)), bytes_(bytes), owner_(std::move(owner)) {}
  static Constant must(Result<Constant> made);

  DataType type_;
  std::vector<int64_t> shape_;
  std::span<const std::byte> bytes_;
  std::shared_ptr<const void> owner_;
};

// The values of an integer constant; absent where it is none.
std::optional<std::vector<int64_t>> ints_of(const Constant& constant);

}  // namespace skerry::graph
