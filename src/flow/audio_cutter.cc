// Header, frames, one channel, the windows' rate, windows.
#include "flow/audio_cutter.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace skerry::flow {
namespace {

constexpr size_t kMaxHeaderBytes = 2 << 20;
// What programs that write to a pipe say for a size they do not know.
constexpr uint64_t kNoSize = 0x7fff'0000;

tensor::Tensor tensor_of(std::span<const float> samples) {
  tensor::Tensor tensor{.shape = {static_cast<int64_t>(samples.size())}};
  const auto bytes = std::as_bytes(samples);
  tensor.bytes.assign(bytes.begin(), bytes.end());
  return tensor;
}

}  // namespace

void AudioCutter::begin(std::string source) {
  source_ = std::move(source);
  windows_.reset();
  held_.clear();
  format_.reset();
  resampler_.reset();
}

// Sets format_ once there is enough of the header.
Result<void> AudioCutter::find_format() {
  pipeline::AudioFormat format;
  left_bytes_ = std::numeric_limits<uint64_t>::max();
  if (raw_format_) {
    format = *raw_format_;
  } else {
    SKERRY_ASSIGN(const auto header, pipeline::parse_wav_header(held_));
    if (!header && held_.size() > kMaxHeaderBytes) {
      return fail(Code::kInvalidArgument, source_ + ": there are no samples in the first 2 MiB");
    }
    if (!header) return {};
    format = header->format;
    if (header->data_bytes != 0 && header->data_bytes < kNoSize) left_bytes_ = header->data_bytes;
    held_.erase(0, header->data_begin);
  }
  if (format.rate != config_.rate) {
    SKERRY_ASSIGN(auto resampler, pipeline::Resampler::make(format.rate, config_.rate));
    resampler_.emplace(std::move(resampler));
  }
  format_ = format;
  return {};
}

Result<std::vector<Item>> AudioCutter::push(std::string_view bytes) {
  held_ += bytes;
  std::vector<Item> items;
  if (!format_) SKERRY_TRY(find_format());
  if (!format_) return items;
  // What follows the samples in a file is not one of them.
  const size_t frame = format_->frame_bytes();
  const size_t usable =
      static_cast<size_t>(std::min<uint64_t>(held_.size(), left_bytes_)) / frame * frame;
  std::vector<float> samples;
  pipeline::append_samples(*format_, std::string_view(held_).substr(0, usable), -1, samples);
  const bool is_over = left_bytes_ <= held_.size();
  held_.erase(0, is_over ? std::string::npos : usable);
  if (left_bytes_ != std::numeric_limits<uint64_t>::max())
    left_bytes_ -= is_over ? left_bytes_ : usable;
  if (!resampler_) {
    cut(samples, items);
    return items;
  }
  std::vector<float> resampled;
  resampler_->push(samples, resampled);
  cut(resampled, items);
  return items;
}

std::vector<Item> AudioCutter::finish() {
  std::vector<Item> items;
  if (!resampler_) return items;
  std::vector<float> rest;
  resampler_->finish(rest);
  cut(rest, items);
  return items;
}

void AudioCutter::cut(std::span<const float> samples, std::vector<Item>& items) {
  windows_.push(samples, [&](std::span<const float> window, int64_t number) {
    const double first = static_cast<double>(number * config_.stride - config_.before);
    items.push_back({source_, number, std::max(0.0, first / static_cast<double>(config_.rate)),
                     number == 0, tensor_of(window)});
  });
}

}  // namespace skerry::flow
