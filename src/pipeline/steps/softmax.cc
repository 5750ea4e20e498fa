// softmax along the last dimension; sigmoid of each element. The usual way against overflow: the
// largest is taken away first.
#include <algorithm>
#include <cmath>

#include "pipeline/steps/makers.h"

namespace skerry::pipeline {
namespace {

class Softmax : public Step {
 public:
  Result<std::vector<Value>> run(std::span<const Value> inputs,
                                 const std::stop_token&) const override {
    const Value& in = inputs[0];
    if (in.shape.empty()) return fail(Code::kInvalidArgument, "a scalar has no last dimension");
    SKERRY_ASSIGN(const Floats logits, Floats::of(in));
    std::vector<float> result(logits.span().begin(), logits.span().end());
    const auto size = static_cast<size_t>(in.shape.back());
    for (size_t first = 0; first < result.size(); first += size) {
      const std::span<float> row = std::span(result).subspan(first, size);
      const float largest = *std::ranges::max_element(row);
      double sum = 0;
      for (float& element : row) sum += element = std::exp(element - largest);
      for (float& element : row) element = static_cast<float>(element / sum);
    }
    return std::vector{own(DataType::kFp32, in.shape, result)};
  }
};

class Sigmoid : public Step {
 public:
  Result<std::vector<Value>> run(std::span<const Value> inputs,
                                 const std::stop_token&) const override {
    SKERRY_ASSIGN(const Floats logits, Floats::of(inputs[0]));
    std::vector<float> result(logits.size());
    std::ranges::transform(logits.span(), result.begin(),
                           [](float x) { return 1 / (1 + std::exp(-x)); });
    return std::vector{own(DataType::kFp32, inputs[0].shape, result)};
  }
};

}  // namespace

Result<StepPtr> make_softmax(Settings&) {
  return std::make_unique<Softmax>();
}

Result<StepPtr> make_sigmoid(Settings&) {
  return std::make_unique<Sigmoid>();
}

}  // namespace skerry::pipeline
