// resize: an image [height, width, channels] of another size. Pixels are areas whose centres lie at
// halves. "bilinear" weighs by a triangle that grows with the reduction, so that nothing is left
// out (as Pillow does it); "nearest" takes the pixel below the centre.
#include <algorithm>
#include <array>
#include <cmath>

#include "pipeline/steps/makers.h"

namespace skerry::pipeline {
namespace {

constexpr int64_t kMaxResizedSide = 1 << 14;
constexpr int64_t kMaxResizedElements = 1 << 28;
constexpr std::array<std::string_view, 2> kMethods = {"bilinear", "nearest"};

// What one place of the result is made of: weights of the places from `first` on.
struct Mix {
  size_t first = 0;
  std::vector<double> weights;
};

std::vector<Mix> triangle(size_t from, size_t to) {
  const double scale = static_cast<double>(from) / static_cast<double>(to);
  const double reach = std::max(scale, 1.0);
  std::vector<Mix> mixes(to);
  for (size_t i = 0; i < to; ++i) {
    const double centre = (static_cast<double>(i) + 0.5) * scale;
    const auto first = static_cast<size_t>(std::max(std::floor(centre - reach + 0.5), 0.0));
    const size_t last = std::min(static_cast<size_t>(std::floor(centre + reach + 0.5)), from);
    Mix& mix = mixes[i];
    mix.first = first;
    double sum = 0;
    for (size_t at = first; at < last; ++at) {
      const double distance = std::abs((static_cast<double>(at) + 0.5 - centre) / reach);
      mix.weights.push_back(std::max(1 - distance, 0.0));
      sum += mix.weights.back();
    }
    for (double& weight : mix.weights) weight /= sum;
  }
  return mixes;
}

std::vector<Mix> nearest(size_t from, size_t to) {
  std::vector<Mix> mixes(to);
  for (size_t i = 0; i < to; ++i) {
    const double centre = (static_cast<double>(i) + 0.5) * static_cast<double>(from);
    mixes[i] = {std::min(static_cast<size_t>(centre / static_cast<double>(to)), from - 1), {1.0}};
  }
  return mixes;
}

// Rows of `behind` elements each, mixed into `mixes.size()` rows.
std::vector<float> mix_axis(std::span<const float> in, const Around& axis,
                            const std::vector<Mix>& mixes) {
  std::vector<float> out(axis.before * mixes.size() * axis.behind);
  std::vector<double> sum(axis.behind);
  size_t to = 0;
  for (size_t before = 0; before < axis.before; ++before) {
    const float* rows = in.data() + before * axis.size * axis.behind;
    for (const Mix& mix : mixes) {
      std::ranges::fill(sum, 0.0);
      for (size_t k = 0; k < mix.weights.size(); ++k) {
        const float* row = rows + (mix.first + k) * axis.behind;
        for (size_t j = 0; j < axis.behind; ++j) sum[j] += mix.weights[k] * row[j];
      }
      for (const double each : sum) out[to++] = static_cast<float>(each);
    }
  }
  return out;
}

class Resize : public Step {
 public:
  Resize(int64_t width, int64_t height, bool is_nearest)
      : width_(width), height_(height), is_nearest_(is_nearest) {}

  Result<std::vector<Value>> run(std::span<const Value> inputs,
                                 const std::stop_token&) const override {
    const Value& in = inputs[0];
    SKERRY_TRY(need_rank(in, 3, "[height, width, channels]"));
    if (in.count() == 0 || (in.type != DataType::kUint8 && in.type != DataType::kFp32)) {
      return fail(Code::kInvalidArgument, "it takes pixels of UINT8 or FP32, not " + in.describe());
    }
    if (in.shape[0] == height_ && in.shape[1] == width_) return std::vector{in};
    // Of the image that is as wide as the new one and still as high as the old one, and of the new.
    const int64_t row = width_ * in.shape[2];
    if (row > kMaxResizedElements / std::max(in.shape[0], height_)) {
      return fail(Code::kResourceExhausted,
                  in.describe() + " is too large an image to make one of that size");
    }
    SKERRY_ASSIGN(const Floats pixels, Floats::of(in));
    const auto weights = is_nearest_ ? &nearest : &triangle;
    Shape shape = in.shape;
    const auto across = weights(static_cast<size_t>(shape[1]), static_cast<size_t>(width_));
    const std::vector<float> wide = mix_axis(pixels.span(), around(shape, 1), across);
    shape[1] = width_;
    const auto down = weights(static_cast<size_t>(shape[0]), static_cast<size_t>(height_));
    std::vector<float> result = mix_axis(wide, around(shape, 0), down);
    shape[0] = height_;
    if (in.type == DataType::kFp32) return std::vector{own(in.type, shape, result)};
    for (float& value : result) value = std::floor(value + 0.5f);
    const std::vector<uint8_t> bytes(result.begin(), result.end());
    return std::vector{own(in.type, shape, bytes)};
  }

 private:
  int64_t width_;
  int64_t height_;
  bool is_nearest_;
};

}  // namespace

Result<StepPtr> make_resize(Settings& settings) {
  SKERRY_ASSIGN(const int64_t width, settings.integer("width", 1, kMaxResizedSide));
  SKERRY_ASSIGN(const int64_t height, settings.integer("height", 1, kMaxResizedSide));
  SKERRY_ASSIGN(const std::string method, settings.choice("method", kMethods));
  return std::make_unique<Resize>(width, height, method == "nearest");
}

}  // namespace skerry::pipeline
