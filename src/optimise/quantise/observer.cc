// Observers. The entropy method follows Migacz, "8-bit Inference with TensorRT" (GTC 2017).
#include "optimise/quantise/observer.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "graph/ops/quantisation.h"

namespace skerry::optimise {
namespace {

constexpr std::array<std::pair<RangeMethod, std::string_view>, 4> kNames = {{
    {RangeMethod::kMinMax, "minmax"},
    {RangeMethod::kPercentile, "percentile"},
    {RangeMethod::kEntropy, "entropy"},
    {RangeMethod::kMse, "mse"},
}};

constexpr double kLevels = 255;

// What is lost when `reference` is said in `levels` numbers, as Kullback-Leibler divergence.
double divergence(const std::vector<double>& reference, size_t levels) {
  const size_t size = reference.size();
  double total = 0;
  for (const double p : reference) total += p;
  double sum = 0;
  for (size_t level = 0; level < levels; ++level) {
    const size_t begin = level * size / levels;
    const size_t end = std::max(begin + 1, (level + 1) * size / levels);
    double mass = 0;
    size_t used = 0;
    for (size_t i = begin; i < end; ++i) {
      mass += reference[i];
      used += reference[i] > 0 ? 1 : 0;
    }
    if (used == 0) continue;
    const double each = mass / static_cast<double>(used);
    for (size_t i = begin; i < end; ++i) {
      if (reference[i] > 0) sum += reference[i] / total * std::log(reference[i] / each);
    }
  }
  return sum;
}

}  // namespace

std::string_view name_of(RangeMethod method) {
  return std::ranges::find(kNames, method, &std::pair<RangeMethod, std::string_view>::first)
      ->second;
}

Scale scale_for(const Range& range, graph::DataType type, bool symmetric) {
  const auto [first, last] = graph::ops::range_of(type);
  const double lowest = std::min(range.lowest, 0.0);
  const double highest = std::max(range.highest, 0.0);
  // Below this a float has no inverse, and there is nothing to say.
  constexpr double kSmallest = 1e-30;
  if (symmetric) {
    const int64_t middle = (first + last + 1) / 2;
    const double largest = std::max(-lowest, highest);
    const double scale = largest / static_cast<double>(last - middle);
    return {scale > kSmallest ? static_cast<float>(scale) : 1.0F, middle};
  }
  const double step = (highest - lowest) / static_cast<double>(last - first);
  if (step <= kSmallest) return {1.0F, first};
  const double zero = std::nearbyint(static_cast<double>(first) - lowest / step);
  return {static_cast<float>(step),
          static_cast<int64_t>(
              std::clamp(zero, static_cast<double>(first), static_cast<double>(last)))};
}

void Observer::add(const graph::Array& values) {
  const std::vector<double> numbers = values.to_doubles();
  double largest = 0;
  for (const double number : numbers) {
    if (std::isfinite(number)) largest = std::max(largest, std::abs(number));
  }
  widen(largest);
  for (const double number : numbers) {
    if (!std::isfinite(number)) continue;
    lowest_ = count_ == 0 ? number : std::min(lowest_, number);
    highest_ = count_ == 0 ? number : std::max(highest_, number);
    ++count_;
    const double at = (number / limit_ + 1) / 2 * static_cast<double>(kBins);
    bins_[std::min(static_cast<size_t>(std::max(at, 0.0)), kBins - 1)] += 1;
  }
  add_channels(values, numbers);
  add_last(values, numbers);
}

void Observer::widen(double to) {
  if (bins_.empty()) {
    bins_.assign(kBins, 0);
    limit_ = to > 0 ? to : 1e-6;
    return;
  }
  while (limit_ < to) {
    std::vector<double> wider(kBins, 0);
    for (size_t i = 0; i < kBins; ++i) wider[kBins / 4 + i / 2] += bins_[i];
    bins_ = std::move(wider);
    limit_ *= 2;
  }
}

void Observer::add_channels(const graph::Array& values, const std::vector<double>& numbers) {
  if (values.rank() < 2 || numbers.empty()) return;
  const auto channels = static_cast<size_t>(values.shape[1]);
  if (channel_sums_.empty()) channel_sums_.assign(channels, 0);
  if (channel_sums_.size() != channels) channel_count_ = -1;
  if (channel_count_ < 0) return;
  const size_t inner = numbers.size() / channels / static_cast<size_t>(values.shape[0]);
  for (size_t i = 0; i < numbers.size(); ++i) {
    if (!std::isfinite(numbers[i])) continue;
    channel_sums_[i / inner % channels] += numbers[i];
  }
  channel_count_ += static_cast<double>(numbers.size()) / static_cast<double>(channels);
}

void Observer::add_last(const graph::Array& values, const std::vector<double>& numbers) {
  if (values.rank() < 2 || numbers.empty() || last_differs_) return;
  const auto last = static_cast<size_t>(values.shape.back());
  if (last_largest_.empty()) last_largest_.assign(last, 0);
  if (last_largest_.size() != last) {
    last_differs_ = true;
    last_largest_.clear();
    return;
  }
  for (size_t i = 0; i < numbers.size(); ++i) {
    if (!std::isfinite(numbers[i])) continue;
    last_largest_[i % last] = std::max(last_largest_[i % last], std::abs(numbers[i]));
  }
}

std::vector<double> Observer::channel_means() const {
  if (channel_count_ <= 0) return {};
  std::vector<double> means = channel_sums_;
  for (double& mean : means) mean /= channel_count_;
  return means;
}

double Observer::center(size_t bin) const {
  return ((static_cast<double>(bin) + 0.5) / static_cast<double>(kBins) * 2 - 1) * limit_;
}

Range Observer::seen() const {
  return {std::min(lowest_, 0.0), std::max(highest_, 0.0)};
}

Range Observer::range(RangeMethod method, double percentile) const {
  if (count_ == 0) return {};
  switch (method) {
    case RangeMethod::kPercentile:
      return percentile_range(percentile);
    case RangeMethod::kEntropy:
      return entropy_range();
    case RangeMethod::kMse:
      return mse_range();
    case RangeMethod::kMinMax:
      break;
  }
  return seen();
}

Range Observer::percentile_range(double percentile) const {
  const double outside = static_cast<double>(count_) * (1 - percentile / 100) / 2;
  const double width = 2 * limit_ / static_cast<double>(kBins);
  Range range = seen();
  double below = 0;
  for (size_t i = 0; i < kBins && below + bins_[i] <= outside; ++i) {
    below += bins_[i];
    range.lowest = std::max(range.lowest, center(i) + width / 2);
  }
  double above = 0;
  for (size_t i = kBins; i > 0 && above + bins_[i - 1] <= outside; --i) {
    above += bins_[i - 1];
    range.highest = std::min(range.highest, center(i - 1) - width / 2);
  }
  return {std::min(range.lowest, 0.0), std::max(range.highest, 0.0)};
}

// The threshold on absolute values that loses the least information.
Range Observer::entropy_range() const {
  constexpr size_t kHalf = kBins / 2;
  constexpr size_t kTargets = 128;
  std::vector<double> magnitude(kHalf, 0);
  for (size_t i = 0; i < kBins; ++i) {
    magnitude[i < kHalf ? kHalf - 1 - i : i - kHalf] += bins_[i];
  }
  magnitude[0] = 0;  // exact zeros, which a Relu makes many of, say nothing about the range
  double best = INFINITY;
  size_t chosen = kHalf;
  for (size_t size = kTargets; size <= kHalf; size += kHalf / kTargets) {
    std::vector<double> reference(magnitude.begin(),
                                  magnitude.begin() + static_cast<std::ptrdiff_t>(size));
    double outside = 0;
    for (size_t i = size; i < kHalf; ++i) outside += magnitude[i];
    // What is cut off comes to lie on the threshold, where the quantised values do not expect it.
    const double inside = divergence(reference, kTargets);
    double total = outside;
    for (const double p : reference) total += p;
    if (total == 0) return seen();
    const double cut = outside / total;
    const double loss = inside + (cut > 0 ? cut * std::log(cut * static_cast<double>(kHalf)) : 0);
    if (loss < best) {
      best = loss;
      chosen = size;
    }
  }
  const double threshold = limit_ * static_cast<double>(chosen) / static_cast<double>(kHalf);
  const Range all = seen();
  return {std::max(all.lowest, -threshold), std::min(all.highest, threshold)};
}

Range Observer::mse_range() const {
  const Range all = seen();
  Range best = all;
  double least = INFINITY;
  constexpr int kSteps = 60;
  for (int step = 0; step < kSteps; ++step) {
    const double shrink = 1 - static_cast<double>(step) / kSteps * 0.9;
    const Range range{all.lowest * shrink, all.highest * shrink};
    const double scale = (range.highest - range.lowest) / kLevels;
    if (scale <= 0) break;
    double error = 0;
    for (size_t i = 0; i < kBins; ++i) {
      if (bins_[i] == 0) continue;
      const double x = center(i);
      const double inside = std::clamp(x, range.lowest, range.highest);
      // Inside the range the error is spread evenly over a step.
      error += bins_[i] * ((x - inside) * (x - inside) + scale * scale / 12);
    }
    if (error < least) {
      least = error;
      best = range;
    }
  }
  return best;
}

}  // namespace skerry::optimise
