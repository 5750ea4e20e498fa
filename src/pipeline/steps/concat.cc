// concat: values of one type behind each other along "axis" (the last one is -1).
#include <fmt/format.h>

#include "pipeline/steps/makers.h"

namespace skerry::pipeline {
namespace {

class Concat : public Step {
 public:
  explicit Concat(int64_t axis) : axis_(axis) {}

  Result<std::vector<Value>> run(std::span<const Value> inputs,
                                 const std::stop_token&) const override {
    const Value& first = inputs[0];
    const auto rank = static_cast<int64_t>(first.shape.size());
    const int64_t axis = axis_ < 0 ? axis_ + rank : axis_;
    const size_t element = tensor::size_of(first.type);
    if (axis < 0 || axis >= rank || element == 0) {
      return fail(Code::kInvalidArgument,
                  fmt::format("{} has no axis {} to join along", first.describe(), axis_));
    }
    Shape shape = first.shape;
    int64_t& joined = shape[static_cast<size_t>(axis)];
    joined = 0;
    for (const Value& each : inputs) {
      Shape like = each.shape;
      if (like.size() == first.shape.size()) {
        joined +=
            std::exchange(like[static_cast<size_t>(axis)], first.shape[static_cast<size_t>(axis)]);
      }
      if (each.type == first.type && like == first.shape) continue;
      return fail(Code::kInvalidArgument,
                  fmt::format("{} does not go behind {}", each.describe(), first.describe()));
    }
    size_t all_bytes = 0;
    for (const Value& each : inputs) all_bytes += each.bytes.size();
    if (all_bytes > kMaxValueBytes) {
      return fail(Code::kResourceExhausted, "the values are over 1 GiB together");
    }
    tensor::Bytes bytes;
    const size_t rows = around(shape, static_cast<size_t>(axis)).before;
    for (size_t row = 0; row < rows; ++row) {
      for (const Value& each : inputs) {
        const auto part =
            each.bytes.subspan(row * (each.bytes.size() / rows), each.bytes.size() / rows);
        bytes.insert(bytes.end(), part.begin(), part.end());
      }
    }
    return std::vector{own(first.type, std::move(shape), std::move(bytes))};
  }

 private:
  int64_t axis_;
};

}  // namespace

Result<StepPtr> make_concat(Settings& settings) {
  SKERRY_ASSIGN(const int64_t axis, settings.integer("axis", -16, 15, 0));
  return std::make_unique<Concat>(axis);
}

}  // namespace skerry::pipeline
