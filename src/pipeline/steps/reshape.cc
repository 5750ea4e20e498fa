// reshape: the same elements in another shape; one dimension may be -1, what is left.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "pipeline/steps/makers.h"

namespace skerry::pipeline {
namespace {

class Reshape : public Step {
 public:
  explicit Reshape(Shape shape) : shape_(std::move(shape)) {}

  Result<std::vector<Value>> run(std::span<const Value> inputs,
                                 const std::stop_token&) const override {
    Value out = inputs[0];
    const auto count = static_cast<int64_t>(out.count());
    int64_t others = 1;
    for (const int64_t dimension : shape_) others *= dimension < 0 ? 1 : dimension;
    out.shape = shape_;
    const auto free = std::ranges::find(out.shape, -1);
    const bool fits = free == out.shape.end() ? count == others : others > 0 && count % others == 0;
    if (!fits) {
      return fail(Code::kInvalidArgument,
                  fmt::format("{} does not fit the shape [{}]", inputs[0].describe(),
                              fmt::join(shape_, ",")));
    }
    if (free != out.shape.end()) *free = count / others;
    return std::vector{std::move(out)};
  }

 private:
  Shape shape_;
};

}  // namespace

Result<StepPtr> make_reshape(Settings& settings) {
  SKERRY_ASSIGN(Shape shape, settings.integers("shape"));
  if (std::ranges::count(shape, -1) > 1) return settings.wrong("shape", "has more than one -1");
  if (std::ranges::any_of(shape, [](int64_t dimension) { return dimension < -1; })) {
    return settings.wrong("shape", "has a negative dimension");
  }
  Shape fixed = shape;
  std::ranges::replace(fixed, -1, 1);
  if (!tensor::element_count(fixed)) return settings.wrong("shape", "is too large");
  return std::make_unique<Reshape>(std::move(shape));
}

}  // namespace skerry::pipeline
