// crop: a part of an image [height, width, channels], from its middle where x and y are not given.
#include <fmt/format.h>

#include <cstring>

#include "pipeline/steps/makers.h"

namespace skerry::pipeline {
namespace {

constexpr int64_t kMaxSide = 1 << 16;

class Crop : public Step {
 public:
  Crop(int64_t width, int64_t height, int64_t x, int64_t y)
      : width_(width), height_(height), x_(x), y_(y) {}

  Result<std::vector<Value>> run(std::span<const Value> inputs,
                                 const std::stop_token&) const override {
    const Value& in = inputs[0];
    SKERRY_TRY(need_rank(in, 3, "[height, width, channels]"));
    const int64_t x = x_ < 0 ? (in.shape[1] - width_) / 2 : x_;
    const int64_t y = y_ < 0 ? (in.shape[0] - height_) / 2 : y_;
    const size_t pixel = tensor::size_of(in.type) * static_cast<size_t>(in.shape[2]);
    if (x < 0 || y < 0 || x + width_ > in.shape[1] || y + height_ > in.shape[0] || pixel == 0) {
      return fail(Code::kInvalidArgument,
                  fmt::format("{} by {} pixels at {}, {} are not inside of {}", width_, height_, x,
                              y, in.describe()));
    }
    const size_t row = static_cast<size_t>(width_) * pixel;
    tensor::Bytes bytes(static_cast<size_t>(height_) * row);
    for (int64_t line = 0; line < height_; ++line) {
      const auto from = static_cast<size_t>((y + line) * in.shape[1] + x) * pixel;
      std::memcpy(bytes.data() + static_cast<size_t>(line) * row, in.bytes.data() + from, row);
    }
    return std::vector{own(in.type, {height_, width_, in.shape[2]}, std::move(bytes))};
  }

 private:
  int64_t width_;
  int64_t height_;
  int64_t x_;
  int64_t y_;
};

}  // namespace

Result<StepPtr> make_crop(Settings& settings) {
  SKERRY_ASSIGN(const int64_t width, settings.integer("width", 1, kMaxSide));
  SKERRY_ASSIGN(const int64_t height, settings.integer("height", 1, kMaxSide));
  SKERRY_ASSIGN(const int64_t x, settings.integer("x", 0, kMaxSide, -1));
  SKERRY_ASSIGN(const int64_t y, settings.integer("y", 0, kMaxSide, -1));
  return std::make_unique<Crop>(width, height, x, y);
}

}  // namespace skerry::pipeline
