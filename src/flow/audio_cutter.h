// The bytes of a recording or an audio pipe, as they come, into windows.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "flow/cutter.h"
#include "flow/windows.h"

namespace skerry::flow {

class AudioCutter : public Cutter {
 public:
  // `format`: of samples without a header; otherwise it is WAV.
  AudioCutter(const WindowConfig& window, std::optional<pipeline::AudioFormat> format)
      : config_(window), windows_(window), raw_format_(format) {}

  void begin(std::string source) override;
  // The windows that are whole now. kInvalidArgument or kUnsupported where it is no such audio.
  Result<std::vector<Item>> push(std::string_view bytes) override;
  // What the resampler still held.
  std::vector<Item> finish() override;

 private:
  Result<void> find_format();
  void cut(std::span<const float> samples, std::vector<Item>& items);

  const WindowConfig config_;
  Windows windows_;
  const std::optional<pipeline::AudioFormat> raw_format_;
  std::string source_;
  std::optional<pipeline::AudioFormat> format_;   // once it is known
  std::optional<pipeline::Resampler> resampler_;  // where the rates differ
  uint64_t left_bytes_ = 0;                       // of the samples
  std::string held_;                              // header, or part of a frame
};

}  // namespace skerry::flow
