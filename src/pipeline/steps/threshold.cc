// threshold: true where an element is at least "value".
#include "pipeline/steps/makers.h"

namespace skerry::pipeline {
namespace {

class Threshold : public Step {
 public:
  explicit Threshold(double value) : value_(value) {}

  Result<std::vector<Value>> run(std::span<const Value> inputs,
                                 const std::stop_token&) const override {
    SKERRY_ASSIGN(const Floats elements, Floats::of(inputs[0]));
    tensor::Bytes reached(elements.size());
    for (size_t i = 0; i < reached.size(); ++i) reached[i] = std::byte{elements[i] >= value_};
    return std::vector{own(DataType::kBool, inputs[0].shape, std::move(reached))};
  }

 private:
  double value_;
};

}  // namespace

Result<StepPtr> make_threshold(Settings& settings) {
  SKERRY_ASSIGN(const double value, settings.number("value", -1e38, 1e38));
  return std::make_unique<Threshold>(value);
}

}  // namespace skerry::pipeline
