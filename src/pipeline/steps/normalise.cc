// normalise: (x · scale − mean) / std as floats; mean and std are one number, or one for each place
// of the last dimension.
#include <fmt/format.h>

#include "pipeline/steps/makers.h"

namespace skerry::pipeline {
namespace {

class Normalise : public Step {
 public:
  Normalise(double scale, std::vector<double> mean, std::vector<double> deviation)
      : scale_(scale), mean_(std::move(mean)), deviation_(std::move(deviation)) {}

  Result<std::vector<Value>> run(std::span<const Value> inputs,
                                 const std::stop_token&) const override {
    const Value& in = inputs[0];
    SKERRY_ASSIGN(const Floats elements, Floats::of(in));
    const size_t channels = in.shape.empty() ? 1 : static_cast<size_t>(in.shape.back());
    for (const auto* given : {&mean_, &deviation_}) {
      if (given->size() == 1 || given->size() == channels) continue;
      return fail(Code::kInvalidArgument, fmt::format("it has {} channels, and {} has {}",
                                                      given->size(), in.describe(), channels));
    }
    std::vector<float> result(elements.size());
    for (size_t i = 0; i < result.size(); ++i) {
      const size_t channel = i % channels;
      const double mean = mean_[mean_.size() == 1 ? 0 : channel];
      const double deviation = deviation_[deviation_.size() == 1 ? 0 : channel];
      result[i] = static_cast<float>((elements[i] * scale_ - mean) / deviation);
    }
    return std::vector{own(DataType::kFp32, in.shape, result)};
  }

 private:
  double scale_;
  std::vector<double> mean_;
  std::vector<double> deviation_;
};

}  // namespace

Result<StepPtr> make_normalise(Settings& settings) {
  SKERRY_ASSIGN(const double scale, settings.number("scale", -1e30, 1e30, 1));
  SKERRY_ASSIGN(auto mean, settings.numbers("mean"));
  SKERRY_ASSIGN(auto deviation, settings.numbers("std"));
  if (mean.empty()) mean = {0};
  if (deviation.empty()) deviation = {1};
  for (const double each : deviation) {
    if (each == 0) return settings.wrong("std", "must not be 0");
  }
  return std::make_unique<Normalise>(scale, std::move(mean), std::move(deviation));
}

}  // namespace skerry::pipeline
