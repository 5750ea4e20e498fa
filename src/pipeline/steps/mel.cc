// mel and mfcc: what librosa calls melspectrogram and mfcc (S. Davis, P. Mermelstein, "Comparison
// of parametric representations", 1980; mel scales of HTK and of Slaney's Auditory Toolbox). Frames
// of "fft" samples every "hop", a periodic Hann window of "window" samples in their middle.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <complex>
#include <numbers>

#include "pipeline/steps/makers.h"

namespace skerry::pipeline {
namespace {

using Complex = std::complex<double>;

constexpr int64_t kMaxFft = 1 << 15;
constexpr int64_t kMaxMels = 1024;
constexpr size_t kMaxResult = size_t{1} << 27;  // elements
constexpr std::array<std::string_view, 2> kScales = {"slaney", "htk"};
constexpr std::array<std::string_view, 3> kLogs = {"none", "natural", "db"};

// In place, of a power of two.
void transform(std::vector<Complex>& values) {
  const size_t size = values.size();
  for (size_t i = 1, j = 0; i < size; ++i) {
    size_t bit = size >> 1;
    for (; (j & bit) != 0; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) std::swap(values[i], values[j]);
  }
  for (size_t length = 2; length <= size; length *= 2) {
    const double angle = -2 * std::numbers::pi / static_cast<double>(length);
    std::vector<Complex> turns(length / 2);
    for (size_t k = 0; k < turns.size(); ++k) {
      turns[k] = std::polar(1.0, angle * static_cast<double>(k));
    }
    for (size_t first = 0; first < size; first += length) {
      for (size_t k = 0; k < length / 2; ++k) {
        const Complex even = values[first + k];
        const Complex odd = values[first + k + length / 2] * turns[k];
        values[first + k] = even + odd;
        values[first + k + length / 2] = even - odd;
      }
    }
  }
}

double mel_of(double hz, bool is_htk) {
  if (is_htk) return 2595 * std::log10(1 + hz / 700);
  // Linear to 1000 Hz, logarithmic above.
  return hz < 1000 ? hz * 3 / 200 : 15 + std::log(hz / 1000) * 27 / std::log(6.4);
}

double hz_of(double mel, bool is_htk) {
  if (is_htk) return 700 * (std::pow(10, mel / 2595) - 1);
  return mel < 15 ? mel * 200 / 3 : 1000 * std::exp((mel - 15) * std::log(6.4) / 27);
}

struct MelOptions {
  int64_t rate = 0;
  int64_t fft = 0;
  int64_t hop = 0;
  int64_t window = 0;
  int64_t mels = 0;
  double low_hz = 0;
  double high_hz = 0;
  bool is_htk = false;
  bool by_area = true;  // triangles of one area, not of one height
  bool is_power = true;
  bool is_centred = true;  // frames around every hop-th sample, with silence before and behind
  std::string log;
  double floor = 1e-10;
};

class Mel : public Step {
 public:
  explicit Mel(MelOptions options) : options_(std::move(options)) {
    make_window();
    make_bands();
  }

  Result<std::vector<Value>> run(std::span<const Value> inputs,
                                 const std::stop_token& stop) const override {
    SKERRY_ASSIGN(std::vector<float> result, compute(inputs[0], stop));
    const auto frames = static_cast<int64_t>(result.size()) / options_.mels;
    return std::vector{own(DataType::kFp32, {frames, options_.mels}, result)};
  }
  uint64_t memory_bytes() const override {
    size_t numbers = window_.size();
    for (const Band& band : bands_) numbers += band.weights.size();
    return numbers * sizeof(double);
  }

  // [frames, mels]
  Result<std::vector<float>> compute(const Value& in, const std::stop_token& stop) const {
    SKERRY_TRY(need_rank(in, 1, "samples [n]"));
    SKERRY_ASSIGN(const Floats samples, Floats::of(in));
    const auto count = static_cast<int64_t>(samples.size());
    const int64_t padding = options_.is_centred ? options_.fft / 2 : 0;
    const int64_t room = count + 2 * padding - options_.fft;
    const int64_t frames = room < 0 ? 0 : 1 + room / options_.hop;
    if (frames == 0) {
      return fail(Code::kInvalidArgument,
                  fmt::format("{} samples are less than one frame of {}", count, options_.fft));
    }
    if (static_cast<size_t>(frames) > kMaxResult / static_cast<size_t>(options_.mels)) {
      return fail(Code::kResourceExhausted, fmt::format("{} frames are too many", frames));
    }
    std::vector<float> result;
    result.reserve(static_cast<size_t>(frames * options_.mels));
    std::vector<Complex> frame(static_cast<size_t>(options_.fft));
    for (int64_t i = 0; i < frames; ++i) {
      if (stop.stop_requested()) return fail(Code::kCancelled, "the run was stopped");
      const int64_t first = i * options_.hop - padding;
      for (int64_t k = 0; k < options_.fft; ++k) {
        const int64_t at = first + k;
        const double sample = at < 0 || at >= count ? 0 : samples[static_cast<size_t>(at)];
        frame[static_cast<size_t>(k)] = sample * window_[static_cast<size_t>(k)];
      }
      transform(frame);
      append_bands(frame, result);
    }
    return result;
  }

 private:
  // Of a triangle: weights of the spectrum's places from `first` on.
  struct Band {
    size_t first = 0;
    std::vector<double> weights;
  };

  void make_window() {
    window_.assign(static_cast<size_t>(options_.fft), 0);
    const int64_t before = (options_.fft - options_.window) / 2;
    for (int64_t i = 0; i < options_.window; ++i) {
      const double turn = static_cast<double>(i) / static_cast<double>(options_.window);
      window_[static_cast<size_t>(before + i)] = 0.5 - 0.5 * std::cos(2 * std::numbers::pi * turn);
    }
  }

  void make_bands() {
    const double low = mel_of(options_.low_hz, options_.is_htk);
    const double high = mel_of(options_.high_hz, options_.is_htk);
    const auto edge = [&](int64_t i) {
      const double part = static_cast<double>(i) / static_cast<double>(options_.mels + 1);
      return hz_of(low + (high - low) * part, options_.is_htk);
    };
    const double step = static_cast<double>(options_.rate) / static_cast<double>(options_.fft);
    for (int64_t i = 0; i < options_.mels; ++i) {
      const double left = edge(i);
      const double middle = edge(i + 1);
      const double right = edge(i + 2);
      Band band;
      for (int64_t k = 0; k <= options_.fft / 2; ++k) {
        const double hz = static_cast<double>(k) * step;
        const double weight =
            std::min((hz - left) / (middle - left), (right - hz) / (right - middle));
        if (!(weight > 0)) continue;
        if (band.weights.empty()) band.first = static_cast<size_t>(k);
        band.weights.push_back(options_.by_area ? weight * 2 / (right - left) : weight);
      }
      bands_.push_back(std::move(band));
    }
  }

  void append_bands(const std::vector<Complex>& spectrum, std::vector<float>& result) const {
    for (const Band& band : bands_) {
      double sum = 0;
      for (size_t k = 0; k < band.weights.size(); ++k) {
        const double power = std::norm(spectrum[band.first + k]);
        sum += band.weights[k] * (options_.is_power ? power : std::sqrt(power));
      }
      if (options_.log == "natural") sum = std::log(std::max(sum, options_.floor));
      if (options_.log == "db") sum = 10 * std::log10(std::max(sum, options_.floor));
      result.push_back(static_cast<float>(sum));
    }
  }

  MelOptions options_;
  std::vector<double> window_;
  std::vector<Band> bands_;
};

// The orthonormal cosine transform (DCT-II) of each frame's logarithms; its first places.
class Mfcc : public Step {
 public:
  Mfcc(MelOptions options, int64_t coefficients)
      : mels_(static_cast<size_t>(options.mels)),
        coefficients_(coefficients),
        mel_(std::move(options)) {
    const auto size = static_cast<double>(mels_);
    for (int64_t k = 0; k < coefficients; ++k) {
      for (size_t m = 0; m < mels_; ++m) {
        const double turn = (static_cast<double>(m) + 0.5) * static_cast<double>(k) / size;
        cosines_.push_back(std::sqrt((k == 0 ? 1 : 2) / size) * std::cos(std::numbers::pi * turn));
      }
    }
  }

  Result<std::vector<Value>> run(std::span<const Value> inputs,
                                 const std::stop_token& stop) const override {
    SKERRY_ASSIGN(const std::vector<float> mels, mel_.compute(inputs[0], stop));
    std::vector<float> result;
    for (size_t first = 0; first < mels.size(); first += mels_) {
      for (size_t row = 0; row < cosines_.size(); row += mels_) {
        double sum = 0;
        for (size_t m = 0; m < mels_; ++m) sum += cosines_[row + m] * mels[first + m];
        result.push_back(static_cast<float>(sum));
      }
    }
    const auto frames = static_cast<int64_t>(mels.size() / mels_);
    return std::vector{own(DataType::kFp32, {frames, coefficients_}, result)};
  }

 private:
  size_t mels_;
  int64_t coefficients_;
  Mel mel_;
  std::vector<double> cosines_;  // a row of `mels_` for each coefficient
};

Result<MelOptions> read_options(Settings& settings, int64_t mels, std::string_view log) {
  MelOptions options;
  SKERRY_ASSIGN(options.rate, settings.integer("rate", 1, 768'000));
  SKERRY_ASSIGN(options.fft, settings.integer("fft", 2, kMaxFft));
  if (!std::has_single_bit(static_cast<uint64_t>(options.fft))) {
    return settings.wrong("fft", "must be a power of two");
  }
  SKERRY_ASSIGN(options.window, settings.integer("window", 2, options.fft, options.fft));
  SKERRY_ASSIGN(options.hop,
                settings.integer("hop", 1, kMaxFft, std::max(options.fft / 4, int64_t{1})));
  SKERRY_ASSIGN(options.mels, settings.integer("mels", 1, kMaxMels, mels));
  const double half = static_cast<double>(options.rate) / 2;
  SKERRY_ASSIGN(options.low_hz, settings.number("low_hz", 0, half, 0));
  SKERRY_ASSIGN(options.high_hz, settings.number("high_hz", 0, half, half));
  if (!(options.high_hz > options.low_hz)) return settings.wrong("high_hz", "must be above low_hz");
  SKERRY_ASSIGN(const std::string scale, settings.choice("scale", kScales));
  options.is_htk = scale == "htk";
  SKERRY_ASSIGN(options.by_area, settings.flag("by_area", true));
  SKERRY_ASSIGN(const int64_t power, settings.integer("power", 1, 2, 2));
  options.is_power = power == 2;
  SKERRY_ASSIGN(options.is_centred, settings.flag("centred", true));
  SKERRY_ASSIGN(options.floor, settings.number("floor", 1e-30, 1, 1e-10));
  SKERRY_ASSIGN(const auto given, settings.text("log"));
  options.log = given ? *given : log;
  if (std::ranges::count(kLogs, options.log) == 0) {
    return settings.wrong("log", "must be none, natural or db");
  }
  return options;
}

}  // namespace

Result<StepPtr> make_mel(Settings& settings) {
  SKERRY_ASSIGN(MelOptions options, read_options(settings, 80, "none"));
  return std::make_unique<Mel>(std::move(options));
}

Result<StepPtr> make_mfcc(Settings& settings) {
  SKERRY_ASSIGN(MelOptions options, read_options(settings, 40, "db"));
  SKERRY_ASSIGN(const int64_t count, settings.integer("coefficients", 1, options.mels,
                                                      std::min<int64_t>(13, options.mels)));
  return std::make_unique<Mfcc>(std::move(options), count);
}

}  // namespace skerry::pipeline
