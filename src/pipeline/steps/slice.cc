// slice: "size" places of a dimension from "start" on (both negative: from its end); pad: a
// dimension of "size" places, of which what is too many is cut off and what is missing is zero.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "pipeline/steps/makers.h"

namespace skerry::pipeline {
namespace {

constexpr int64_t kMaxSize = 1 << 28;

// The axis of `value` that is meant; kInvalidArgument where it has not got it, or has no numbers.
Result<size_t> axis_of(const Value& value, int64_t axis) {
  const auto rank = static_cast<int64_t>(value.shape.size());
  const int64_t meant = axis < 0 ? axis + rank : axis;
  if (meant >= 0 && meant < rank && tensor::size_of(value.type) > 0) {
    return static_cast<size_t>(meant);
  }
  return fail(Code::kInvalidArgument, fmt::format("{} has no axis {}", value.describe(), axis));
}

// Places [start, start + size) of the axis; what lies outside is zero.
Result<Value> cut(const Value& in, size_t axis, int64_t start, int64_t size) {
  const Around there = around(in.shape, axis);
  const size_t place = there.behind * tensor::size_of(in.type);
  Shape shape = in.shape;
  shape[axis] = size;
  if (size > 0 && there.before * place > kMaxValueBytes / static_cast<size_t>(size)) {
    return fail(Code::kResourceExhausted,
                fmt::format("{} is over 1 GiB", tensor::describe(in.type, shape)));
  }
  const size_t row = static_cast<size_t>(size) * place;
  tensor::Bytes bytes(there.before * row);
  const auto end = static_cast<int64_t>(there.size);
  const int64_t first = std::clamp<int64_t>(start, 0, end);
  const int64_t last = std::clamp<int64_t>(start + size, first, end);
  const size_t length = static_cast<size_t>(last - first) * place;
  for (size_t i = 0; i < there.before && length > 0; ++i) {
    std::memcpy(bytes.data() + i * row,
                in.bytes.data() + (i * there.size + static_cast<size_t>(first)) * place, length);
  }
  return own(in.type, std::move(shape), std::move(bytes));
}

class Slice : public Step {
 public:
  Slice(int64_t axis, int64_t start, int64_t size) : axis_(axis), start_(start), size_(size) {}

  Result<std::vector<Value>> run(std::span<const Value> inputs,
                                 const std::stop_token&) const override {
    const Value& in = inputs[0];
    SKERRY_ASSIGN(const size_t axis, axis_of(in, axis_));
    const int64_t there = in.shape[axis];
    const int64_t start = start_ < 0 ? start_ + there : start_;
    const int64_t size = size_ < 0 ? there - start : size_;
    if (start < 0 || size < 0 || start + size > there) {
      return fail(Code::kInvalidArgument, fmt::format("{} has no places {} to {} along axis {}",
                                                      in.describe(), start, start + size, axis_));
    }
    SKERRY_ASSIGN(Value part, cut(in, axis, start, size));
    return std::vector{std::move(part)};
  }

 private:
  int64_t axis_;
  int64_t start_;
  int64_t size_;
};

class Pad : public Step {
 public:
  Pad(int64_t axis, int64_t size) : axis_(axis), size_(size) {}

  Result<std::vector<Value>> run(std::span<const Value> inputs,
                                 const std::stop_token&) const override {
    SKERRY_ASSIGN(const size_t axis, axis_of(inputs[0], axis_));
    if (inputs[0].shape[axis] == size_) return std::vector{inputs[0]};
    SKERRY_ASSIGN(Value padded, cut(inputs[0], axis, 0, size_));
    return std::vector{std::move(padded)};
  }

 private:
  int64_t axis_;
  int64_t size_;
};

}  // namespace

Result<StepPtr> make_slice(Settings& settings) {
  SKERRY_ASSIGN(const int64_t axis, settings.integer("axis", -16, 15, 0));
  SKERRY_ASSIGN(const int64_t start, settings.integer("start", -kMaxSize, kMaxSize, 0));
  SKERRY_ASSIGN(const int64_t size, settings.integer("size", -1, kMaxSize, -1));
  return std::make_unique<Slice>(axis, start, size);
}

Result<StepPtr> make_pad(Settings& settings) {
  SKERRY_ASSIGN(const int64_t axis, settings.integer("axis", -16, 15, -1));
  SKERRY_ASSIGN(const int64_t size, settings.integer("size", 1, kMaxSize));
  return std::make_unique<Pad>(axis, size);
}

}  // namespace skerry::pipeline
