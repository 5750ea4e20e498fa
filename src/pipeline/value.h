// Value: what stands between two steps. It shares its bytes, so that a step that only looks at them
// otherwise (another shape, another name) copies nothing, and knows no name: the file has those.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "tensor/tensor.h"

namespace skerry::pipeline {

using tensor::DataType;
using Shape = std::vector<int64_t>;

struct Value {
  DataType type = DataType::kFp32;
  Shape shape;
  std::span<const std::byte> bytes;      // row-major, at any address
  std::shared_ptr<tensor::Bytes> owner;  // null: the caller's, who holds them while steps run

  size_t count() const;  // elements; its shape is known to be good
  std::string describe() const { return tensor::describe(type, shape); }
  tensor::TensorView view(std::string_view name) const { return {name, type, shape, bytes}; }
};

// Of bytes that are its own from here on.
Value own(DataType type, Shape shape, tensor::Bytes bytes);

template <class T>
Value own(DataType type, Shape shape, const std::vector<T>& elements) {
  const auto* first = reinterpret_cast<const std::byte*>(elements.data());
  return own(type, std::move(shape), tensor::Bytes(first, first + elements.size() * sizeof(T)));
}

// The value as a tensor: its bytes are moved where nobody else has them, else copied.
tensor::Tensor into_tensor(Value value, std::string name);

// Any numbers as floats, in place where they are floats already and lie well.
class Floats {
 public:
  // kInvalidArgument for BYTES and types without a number.
  static Result<Floats> of(const Value& value);
  std::span<const float> span() const { return span_; }
  float operator[](size_t i) const { return span_[i]; }
  size_t size() const { return span_.size(); }

 private:
  std::shared_ptr<const std::vector<float>> converted_;
  std::span<const float> span_;
};

// The numbers of an integer value; kInvalidArgument for others.
Result<std::vector<int64_t>> integers_of(const Value& value);

// The numbers as another type (step "cast"); kInvalidArgument for what has none.
Result<Value> cast_to(const Value& value, DataType type);

// What a file's bytes are: the only element of a BYTES value, or a UINT8 vector.
Result<std::string_view> content_of(const Value& value);

// What a step makes at most.
inline constexpr size_t kMaxValueBytes = size_t{1} << 30;

// Size of everything before and behind `axis`.
struct Around {
  size_t before = 1;
  size_t size = 1;  // of the axis
  size_t behind = 1;
};
Around around(const Shape& shape, size_t axis);

// kInvalidArgument unless the value has `rank` dimensions; `layout` says which, "[height, width]".
Result<void> need_rank(const Value& value, size_t rank, std::string_view layout);

}  // namespace skerry::pipeline
