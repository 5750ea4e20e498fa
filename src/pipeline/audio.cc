// WAV is RIFF: chunks of a name, a size and bytes, of which two are needed.
#include "pipeline/audio.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>
#include <numeric>

namespace skerry::pipeline {
namespace {

constexpr size_t kChunkHead = 8;
constexpr size_t kRiffHead = 12;
constexpr size_t kMaxHeaderBytes = 1 << 20;  // of chunks before the samples
constexpr int64_t kMaxChannels = 64;
constexpr int64_t kMaxRate = 768'000;

template <class T>
T number_at(std::string_view bytes, size_t at) {
  T value = 0;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

std::optional<SampleType> type_of(uint16_t tag, uint16_t bits) {
  constexpr uint16_t kPcm = 1;
  constexpr uint16_t kFloat = 3;
  if (tag == kFloat && bits == 32) return SampleType::kFloat32;
  if (tag != kPcm) return std::nullopt;
  switch (bits) {
    case 8:
      return SampleType::kUint8;
    case 16:
      return SampleType::kInt16;
    case 24:
      return SampleType::kInt24;
    case 32:
      return SampleType::kInt32;
    default:
      return std::nullopt;
  }
}

Result<AudioFormat> parse_format(std::string_view chunk) {
  constexpr uint16_t kExtensible = 0xfffe;
  constexpr size_t kSubFormat = 24;
  if (chunk.size() < 16) return fail(Code::kInvalidArgument, "the WAV's format is cut off");
  auto tag = number_at<uint16_t>(chunk, 0);
  if (tag == kExtensible && chunk.size() >= kSubFormat + 2) {
    tag = number_at<uint16_t>(chunk, kSubFormat);
  }
  AudioFormat format;
  format.channels = number_at<uint16_t>(chunk, 2);
  format.rate = number_at<uint32_t>(chunk, 4);
  const auto bits = number_at<uint16_t>(chunk, 14);
  const auto type = type_of(tag, bits);
  if (!type) {
    return fail(Code::kUnsupported,
                fmt::format("a WAV of {} bits in format {} is not read, only PCM of 8, 16, 24 or "
                            "32 bits and floats of 32",
                            bits, tag));
  }
  format.type = *type;
  const bool fits = format.channels >= 1 && format.channels <= kMaxChannels && format.rate >= 1 &&
                    format.rate <= kMaxRate &&
                    number_at<uint16_t>(chunk, 12) == format.frame_bytes();
  if (fits) return format;
  return fail(Code::kInvalidArgument,
              fmt::format("the WAV's format does not add up: {} channels, "
                          "{} Hz, {} bytes a frame",
                          format.channels, format.rate, number_at<uint16_t>(chunk, 12)));
}

size_t sample_bytes(SampleType type) {
  switch (type) {
    case SampleType::kUint8:
      return 1;
    case SampleType::kInt16:
      return 2;
    case SampleType::kInt24:
      return 3;
    default:
      return 4;
  }
}

float sample_at(SampleType type, const char* at) {
  const std::string_view bytes(at, sample_bytes(type));
  switch (type) {
    case SampleType::kUint8:
      return (static_cast<float>(number_at<uint8_t>(bytes, 0)) - 128) / 128;
    case SampleType::kInt16:
      return static_cast<float>(number_at<int16_t>(bytes, 0)) / 32768;
    case SampleType::kInt24: {
      uint32_t bits = 0;
      std::memcpy(&bits, at, 3);
      const int32_t whole = static_cast<int32_t>(bits << 8) >> 8;  // with its sign
      return static_cast<float>(whole) / 8388608;
    }
    case SampleType::kInt32:
      return static_cast<float>(number_at<int32_t>(bytes, 0)) / 2147483648.0f;
    case SampleType::kFloat32:
      return number_at<float>(bytes, 0);
  }
  return 0;
}

}  // namespace

size_t AudioFormat::frame_bytes() const {
  return sample_bytes(type) * static_cast<size_t>(channels);
}

Result<std::optional<WavHeader>> parse_wav_header(std::string_view bytes) {
  const std::optional<WavHeader> more;
  const auto differs = [&](size_t at, std::string_view want) {
    const size_t there = std::min(want.size(), bytes.size() - std::min(at, bytes.size()));
    return bytes.substr(std::min(at, bytes.size()), there) != want.substr(0, there);
  };
  if (differs(0, "RIFF") || differs(8, "WAVE")) {
    return fail(Code::kInvalidArgument, "it is no WAV file");
  }
  WavHeader header;
  bool has_format = false;
  for (size_t at = kRiffHead; at + kChunkHead <= bytes.size();) {
    const std::string_view name = bytes.substr(at, 4);
    const auto size = number_at<uint32_t>(bytes, at + 4);
    at += kChunkHead;
    if (name == "data") {
      if (!has_format) return fail(Code::kInvalidArgument, "the WAV's samples have no format");
      header.data_begin = at;
      header.data_bytes = size;
      return std::optional(header);
    }
    if (size > kMaxHeaderBytes || at > kMaxHeaderBytes) {
      return fail(Code::kInvalidArgument, "the WAV has more than 1 MiB before its samples");
    }
    if (at + size > bytes.size()) return more;
    if (name == "fmt ") {
      SKERRY_ASSIGN(header.format, parse_format(bytes.substr(at, size)));
      has_format = true;
    }
    at += size + (size & 1);
  }
  return more;
}

void append_samples(const AudioFormat& format, std::string_view bytes, int64_t channel,
                    std::vector<float>& out) {
  const size_t frame = format.frame_bytes();
  const size_t sample = sample_bytes(format.type);
  const size_t frames = bytes.size() / frame;
  const auto all = static_cast<size_t>(format.channels);
  out.reserve(out.size() + frames);
  for (size_t i = 0; i < frames; ++i) {
    const char* at = bytes.data() + i * frame;
    if (channel >= 0) {
      out.push_back(sample_at(format.type, at + static_cast<size_t>(channel) * sample));
      continue;
    }
    float sum = 0;
    for (size_t c = 0; c < all; ++c) sum += sample_at(format.type, at + c * sample);
    out.push_back(sum / static_cast<float>(all));
  }
}

Result<Resampler> Resampler::make(int64_t from, int64_t to) {
  constexpr double kCrossings = 16;  // of the sinc on each side
  constexpr double kPassed = 0.94;   // of the lower rate's half
  constexpr int64_t kMaxWeights = 4 << 20;
  Resampler resampler;
  const int64_t common = std::gcd(from, to);
  resampler.up_ = to / common;
  resampler.down_ = from / common;
  const double cutoff =
      kPassed * std::min(1.0, static_cast<double>(to) / static_cast<double>(from));
  resampler.reach_ = static_cast<int64_t>(std::ceil(kCrossings / cutoff));
  if (resampler.up_ > kMaxWeights / (2 * resampler.reach_)) {
    return fail(Code::kUnsupported,
                fmt::format("{} Hz to {} Hz has too many phases; take rates with more in common",
                            from, to));
  }
  const int64_t taps = 2 * resampler.reach_;
  resampler.weights_.resize(static_cast<size_t>(resampler.up_ * taps));
  for (int64_t phase = 0; phase < resampler.up_; ++phase) {
    const double offset = static_cast<double>(phase) / static_cast<double>(resampler.up_);
    const auto row = std::span(resampler.weights_)
                         .subspan(static_cast<size_t>(phase * taps), static_cast<size_t>(taps));
    double sum = 0;
    std::vector<double> exact(row.size());
    for (size_t i = 0; i < row.size(); ++i) {
      const double distance =
          static_cast<double>(static_cast<int64_t>(i) - resampler.reach_ + 1) - offset;
      const double x = std::numbers::pi * cutoff * distance;
      const double sinc = distance == 0 ? 1 : std::sin(x) / x;
      const double window =
          std::cos(std::numbers::pi * distance / (2.0 * static_cast<double>(resampler.reach_)));
      exact[i] = sinc * window * window;  // Hann
      sum += exact[i];
    }
    for (size_t i = 0; i < row.size(); ++i) row[i] = static_cast<float>(exact[i] / sum);
  }
  resampler.first_ = 1 - resampler.reach_;
  resampler.history_.assign(static_cast<size_t>(resampler.reach_ - 1), 0);
  return resampler;
}

void Resampler::push(std::span<const float> samples, std::vector<float>& out) {
  history_.insert(history_.end(), samples.begin(), samples.end());
  pushed_ += static_cast<int64_t>(samples.size());
  const int64_t end = first_ + static_cast<int64_t>(history_.size());
  const auto taps = static_cast<size_t>(2 * reach_);
  for (;; ++given_) {
    const int64_t at = given_ * down_ / up_;  // the sample before it, or at it
    if (at + reach_ >= end) break;
    const auto phase = static_cast<size_t>(given_ * down_ % up_);
    const float* weights = weights_.data() + phase * taps;
    const float* in = history_.data() + (at - reach_ + 1 - first_);
    float sum = 0;
    for (size_t i = 0; i < taps; ++i) sum += weights[i] * in[i];
    out.push_back(sum);
  }
  // What no later sample is made of goes.
  const int64_t needed = given_ * down_ / up_ - reach_ + 1;
  const int64_t gone = std::min(needed - first_, static_cast<int64_t>(history_.size()));
  if (gone > 0) {
    history_.erase(history_.begin(), history_.begin() + gone);
    first_ += gone;
  }
}

void Resampler::finish(std::vector<float>& out) {
  const int64_t total = (pushed_ * up_ + down_ - 1) / down_;
  const size_t before = out.size();
  const auto missing = static_cast<size_t>(total - given_);
  push(std::vector<float>(static_cast<size_t>(reach_ + 1), 0), out);
  out.resize(before + missing);
  first_ = 1 - reach_;
  history_.assign(static_cast<size_t>(reach_ - 1), 0);
  pushed_ = given_ = 0;
}

}  // namespace skerry::pipeline
