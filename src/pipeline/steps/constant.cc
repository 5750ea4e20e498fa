// constant: what a model wants at every run, such as a sample rate. One value fills the shape.
#include <algorithm>

#include "pipeline/steps/makers.h"

namespace skerry::pipeline {
namespace {

constexpr size_t kMaxElements = 1 << 20;

class Constant : public Step {
 public:
  explicit Constant(Value value) : value_(std::move(value)) {}

  Result<std::vector<Value>> run(std::span<const Value>, const std::stop_token&) const override {
    return std::vector{value_};
  }
  uint64_t memory_bytes() const override { return value_.bytes.size(); }

 private:
  Value value_;
};

}  // namespace

Result<StepPtr> make_constant(Settings& settings) {
  SKERRY_ASSIGN(const Shape shape, settings.integers("shape"));
  const auto count = tensor::element_count(shape);
  if (!count) return settings.wrong("shape", count.error().message());
  if (*count > kMaxElements) return settings.wrong("shape", "has too many elements");
  SKERRY_ASSIGN(auto numbers, settings.numbers("value"));
  if (numbers.empty()) {
    SKERRY_ASSIGN(const double number, settings.number("fill", -1e300, 1e300));
    numbers.assign(*count, number);
  } else {
    settings.note("fill");
  }
  if (numbers.size() != *count) return settings.wrong("value", "has not one number an element");
  const Value doubles = own(DataType::kFp64, shape, numbers);
  SKERRY_ASSIGN(const StepPtr cast, make_cast(settings));
  SKERRY_ASSIGN(const auto values, cast->run({&doubles, 1}, {}));
  return std::make_unique<Constant>(values[0]);
}

}  // namespace skerry::pipeline
