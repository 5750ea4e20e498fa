// Samples: what is in a WAV file, and the same at another rate. For whole recordings and for
// streams that come piece by piece.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace skerry::pipeline {

enum class SampleType { kUint8, kInt16, kInt24, kInt32, kFloat32 };

struct AudioFormat {
  SampleType type = SampleType::kInt16;
  int64_t channels = 1;
  int64_t rate = 16'000;  // frames a second

  size_t frame_bytes() const;
};

struct WavHeader {
  AudioFormat format;
  size_t data_begin = 0;    // in the file
  uint64_t data_bytes = 0;  // as the file says; what is written to a pipe says anything
};

// Untrusted: the first bytes of a WAV file. Nothing where more of them are needed; kInvalidArgument
// where it is none, kUnsupported for what is compressed.
Result<std::optional<WavHeader>> parse_wav_header(std::string_view bytes);

// One sample for each whole frame of `bytes`, from -1 to 1: of the channel, or the mean of all
// where it is -1.
void append_samples(const AudioFormat& format, std::string_view bytes, int64_t channel,
                    std::vector<float>& out);

// A windowed sinc at every phase that the two rates have, piece by piece: however the samples are
// cut, the result is the same.
class Resampler {
 public:
  // kUnsupported where the rates have too little in common.
  static Result<Resampler> make(int64_t from, int64_t to);
  void push(std::span<const float> samples, std::vector<float>& out);
  // What is still to come, as if silence followed: ceil(samples · to / from) in all. Then it begins
  // anew.
  void finish(std::vector<float>& out);

 private:
  int64_t up_ = 1;  // to / from is up / down
  int64_t down_ = 1;
  int64_t reach_ = 0;           // samples on each side of one that it is made of
  std::vector<float> weights_;  // up_ phases of 2 · reach_ each
  std::vector<float> history_;  // from sample `first_` on
  int64_t first_ = 0;
  int64_t pushed_ = 0;
  int64_t given_ = 0;
};

}  // namespace skerry::pipeline
