// decode_image: the bytes of a JPEG or PNG file into UINT8 [height, width, channels].
#include "pipeline/image.h"
#include "pipeline/steps/makers.h"

namespace skerry::pipeline {
namespace {

constexpr int64_t kMaxPixels = 1 << 26;
constexpr int64_t kUsualPixels = 1 << 24;

class DecodeImage : public Step {
 public:
  DecodeImage(int64_t channels, int64_t max_pixels)
      : channels_(channels), max_pixels_(max_pixels) {}
  bool is_bounded() const override { return false; }

  Result<std::vector<Value>> run(std::span<const Value> inputs,
                                 const std::stop_token&) const override {
    SKERRY_ASSIGN(const std::string_view file, content_of(inputs[0]));
    SKERRY_ASSIGN(Image image, decode_image(file, channels_, max_pixels_));
    return std::vector{own(DataType::kUint8, {image.height, image.width, image.channels},
                           std::move(image.pixels))};
  }

 private:
  int64_t channels_;
  int64_t max_pixels_;
};

}  // namespace

Result<StepPtr> make_decode_image(Settings& settings) {
  SKERRY_ASSIGN(const int64_t channels, settings.integer("channels", 1, 3, 3));
  if (channels == 2) return settings.wrong("channels", "must be 1 (grey) or 3 (red, green, blue)");
  SKERRY_ASSIGN(const int64_t most, settings.integer("max_pixels", 1, kMaxPixels, kUsualPixels));
  return std::make_unique<DecodeImage>(channels, most);
}

}  // namespace skerry::pipeline
