// argmax: the index of the largest along the last dimension, the first where several are. NaN is
// never the largest.
#include "pipeline/steps/makers.h"

namespace skerry::pipeline {
namespace {

class Argmax : public Step {
 public:
  Result<std::vector<Value>> run(std::span<const Value> inputs,
                                 const std::stop_token&) const override {
    const Value& in = inputs[0];
    if (in.shape.empty() || in.shape.back() == 0) {
      return fail(Code::kInvalidArgument, in.describe() + " has no elements to choose from");
    }
    SKERRY_ASSIGN(const Floats scores, Floats::of(in));
    const auto size = static_cast<size_t>(in.shape.back());
    std::vector<int64_t> indices(scores.size() / size);
    for (size_t row = 0; row < indices.size(); ++row) {
      const auto values = scores.span().subspan(row * size, size);
      size_t best = 0;
      for (size_t i = 1; i < size; ++i) {
        if (values[i] > values[best] || values[best] != values[best]) best = i;
      }
      indices[row] = static_cast<int64_t>(best);
    }
    return std::vector{own(DataType::kInt64, Shape(in.shape.begin(), in.shape.end() - 1), indices)};
  }
};

}  // namespace

Result<StepPtr> make_argmax(Settings&) {
  return std::make_unique<Argmax>();
}

}  // namespace skerry::pipeline
