// Images and recordings come from whoever calls: any bytes are decoded or refused. What is decoded
// has the size that it says.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "pipeline/audio.h"
#include "pipeline/image.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace skerry::pipeline;
  const std::string_view file(reinterpret_cast<const char*>(data), size);
  for (const int64_t channels : {1, 3}) {
    const auto image = decode_image(file, channels, 1 << 16);
    if (!image) break;
    const auto bytes = static_cast<int64_t>(image->pixels.size());
    if (bytes != image->width * image->height * channels) std::abort();
  }
  const auto header = parse_wav_header(file);
  if (!header || !*header) return 0;
  const AudioFormat& format = (*header)->format;
  if ((*header)->data_begin > size) std::abort();
  std::vector<float> samples;
  append_samples(format, file.substr((*header)->data_begin), -1, samples);
  if (samples.size() != (size - (*header)->data_begin) / format.frame_bytes()) std::abort();
  auto resampler = Resampler::make(format.rate, 16'000);
  if (!resampler || samples.size() > 10'000) return 0;
  std::vector<float> resampled;
  resampler->push(samples, resampled);
  resampler->finish(resampled);
  return 0;
}
