// decode_wav: the bytes of a WAV file into samples FP32 [n] from -1 to 1, and their rate INT64 [];
// resample: samples at another rate.
#include <fmt/format.h>

#include "pipeline/audio.h"
#include "pipeline/steps/makers.h"

namespace skerry::pipeline {
namespace {

constexpr int64_t kMaxWavRate = 768'000;
constexpr size_t kMaxSamples = size_t{1} << 28;

Result<std::vector<float>> at_rate(std::span<const float> samples, int64_t from, int64_t to) {
  if (samples.size() > kMaxSamples / static_cast<size_t>(to / from + 1)) {
    return fail(Code::kResourceExhausted, "the recording is too long");
  }
  SKERRY_ASSIGN(Resampler resampler, Resampler::make(from, to));
  std::vector<float> out;
  resampler.push(samples, out);
  resampler.finish(out);
  return out;
}

class DecodeWav : public Step {
 public:
  DecodeWav(int64_t channel, int64_t rate) : channel_(channel), rate_(rate) {}
  bool is_bounded() const override { return false; }

  Result<std::vector<Value>> run(std::span<const Value> inputs,
                                 const std::stop_token&) const override {
    SKERRY_ASSIGN(const std::string_view file, content_of(inputs[0]));
    SKERRY_ASSIGN(const auto header, parse_wav_header(file));
    if (!header) return fail(Code::kInvalidArgument, "the WAV ends before its samples");
    const AudioFormat& format = header->format;
    if (channel_ >= format.channels) {
      return fail(Code::kInvalidArgument, fmt::format("the WAV has no channel {}, only {} of them",
                                                      channel_, format.channels));
    }
    std::vector<float> samples;
    append_samples(format, file.substr(header->data_begin, header->data_bytes), channel_, samples);
    int64_t rate = format.rate;
    if (rate_ != 0 && rate_ != rate) {
      SKERRY_ASSIGN(samples, at_rate(samples, rate, rate_));
      rate = rate_;
    }
    const auto count = static_cast<int64_t>(samples.size());
    return std::vector{own(DataType::kFp32, {count}, samples),
                       own(DataType::kInt64, {}, std::vector{rate})};
  }

 private:
  int64_t channel_;
  int64_t rate_;  // 0: as it is
};

class Resample : public Step {
 public:
  Resample(int64_t from, int64_t to) : from_(from), to_(to) {}

  Result<std::vector<Value>> run(std::span<const Value> inputs,
                                 const std::stop_token&) const override {
    SKERRY_TRY(need_rank(inputs[0], 1, "samples [n]"));
    SKERRY_ASSIGN(const Floats samples, Floats::of(inputs[0]));
    SKERRY_ASSIGN(const auto out, at_rate(samples.span(), from_, to_));
    return std::vector{own(DataType::kFp32, {static_cast<int64_t>(out.size())}, out)};
  }

 private:
  int64_t from_;
  int64_t to_;
};

}  // namespace

Result<StepPtr> make_decode_wav(Settings& settings) {
  SKERRY_ASSIGN(const int64_t channel, settings.integer("channel", -1, 63, -1));
  SKERRY_ASSIGN(const int64_t rate, settings.integer("rate", 1, kMaxWavRate, 0));
  return std::make_unique<DecodeWav>(channel, rate);
}

Result<StepPtr> make_resample(Settings& settings) {
  SKERRY_ASSIGN(const int64_t from, settings.integer("from", 1, kMaxWavRate));
  SKERRY_ASSIGN(const int64_t to, settings.integer("to", 1, kMaxWavRate));
  if (auto made = Resampler::make(from, to); !made) {
    return settings.wrong("to", made.error().message());
  }
  return std::make_unique<Resample>(from, to);
}

}  // namespace skerry::pipeline
