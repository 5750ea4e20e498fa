// Raw frames are counted, JPEGs found by their markers.
#include "flow/frames.h"

#include <algorithm>
#include <utility>

namespace skerry::flow {
namespace {

using Pixels = FrameFormat::Pixels;

constexpr size_t kMaxFrameBytes = 64 << 20;

std::byte clamped(int value) {
  return static_cast<std::byte>(std::clamp(value, 0, 255));
}

// BT.601 in fixed point, a 256th the unit.
void put_rgb(int y, int u, int v, std::byte* to) {
  const int luma = 298 * (y - 16) + 128;
  to[0] = clamped((luma + 409 * (v - 128)) >> 8);
  to[1] = clamped((luma - 100 * (u - 128) - 208 * (v - 128)) >> 8);
  to[2] = clamped((luma + 516 * (u - 128)) >> 8);
}

int at(std::string_view bytes, size_t index) {
  return static_cast<unsigned char>(bytes[index]);
}

size_t pixel_count(const FrameFormat& format) {
  return static_cast<size_t>(format.width * format.height);
}

}  // namespace

size_t bytes_of_frame(const FrameFormat& format) {
  switch (format.pixels) {
    case Pixels::kGrey:
      return pixel_count(format);
    case Pixels::kRgb:
    case Pixels::kBgr:
      return pixel_count(format) * 3;
    case Pixels::kYuyv:
      return pixel_count(format) * 2;
    case Pixels::kNv12:
      return pixel_count(format) * 3 / 2;
    case Pixels::kMjpeg:
      break;
  }
  return 0;
}

tensor::Bytes pixels_of(const FrameFormat& format, std::string_view frame) {
  const auto width = static_cast<size_t>(format.width);
  const size_t count = pixel_count(format);
  tensor::Bytes pixels(format.pixels == Pixels::kGrey ? count : 3 * count);
  if (format.pixels == Pixels::kGrey || format.pixels == Pixels::kRgb) {
    std::ranges::transform(frame, pixels.begin(), [](char each) { return std::byte(each); });
    return pixels;
  }
  for (size_t i = 0; i < count; ++i) {
    std::byte* const to = pixels.data() + 3 * i;
    if (format.pixels == Pixels::kBgr) {
      for (size_t c = 0; c < 3; ++c) to[c] = std::byte(frame[3 * i + 2 - c]);
    } else if (format.pixels == Pixels::kYuyv) {
      const size_t pair = i / 2 * 4;
      put_rgb(at(frame, 2 * i), at(frame, pair + 1), at(frame, pair + 3), to);
    } else {
      const size_t uv = count + i / width / 2 * width + i % width / 2 * 2;
      put_rgb(at(frame, i), at(frame, uv), at(frame, uv + 1), to);
    }
  }
  return pixels;
}

// One marker, or the entropy-coded bytes before one (ITU T.81, B.1.1).
JpegSplitter::Step JpegSplitter::scan() {
  if (in_entropy_) at_ = std::min(held_.find('\xff', at_), held_.size());
  if (held_.size() - at_ < 2) return Step::kNeedsMore;
  if (at(held_, at_) != 0xff) return Step::kBroken;
  const int code = at(held_, at_ + 1);
  if (code == 0xff) {  // fill
    ++at_;
    return Step::kGoOn;
  }
  if ((code >= 0xd0 && code <= 0xd7) || (in_entropy_ && code == 0)) {  // restarts, stuffed zeros
    at_ += 2;
    return Step::kGoOn;
  }
  in_entropy_ = false;
  if (code == 0xd9) {
    at_ += 2;
    return Step::kWhole;
  }
  if (code == 0xd8 || code < 0xc0) return Step::kBroken;
  if (held_.size() - at_ < 4) return Step::kNeedsMore;
  const auto size = static_cast<size_t>(at(held_, at_ + 2) << 8 | at(held_, at_ + 3));
  if (size < 2) return Step::kBroken;
  if (held_.size() - at_ < 2 + size) return Step::kNeedsMore;
  at_ += 2 + size;
  in_entropy_ = code == 0xda;
  return Step::kGoOn;
}

Result<std::optional<std::string>> JpegSplitter::next() {
  for (;;) {
    if (at_ == 0) {
      size_t begin = held_.find("\xff\xd8");
      if (begin == std::string::npos)
        begin = held_.ends_with('\xff') ? held_.size() - 1 : held_.size();
      held_.erase(0, begin);
      if (held_.size() < 2) return std::nullopt;
      at_ = 2;
      in_entropy_ = false;
    }
    const Step step = scan();
    if (step == Step::kWhole) {
      std::string jpeg = held_.substr(0, at_);
      held_.erase(0, std::exchange(at_, 0));
      return jpeg;
    }
    if (step == Step::kBroken) {
      // The next one begins here, or in what was taken for this one's.
      const size_t begin = held_.rfind("\xff\xd8", at_);
      held_.erase(0, begin == 0 ? at_ : begin);
      at_ = 0;
    }
    if (step != Step::kNeedsMore) continue;
    if (held_.size() > kMaxFrameBytes) {
      return fail(Code::kInvalidArgument, "a frame does not end within 64 MiB");
    }
    return std::nullopt;
  }
}

void FrameCutter::begin(std::string source) {
  source_ = std::move(source);
  held_.clear();
  jpegs_ = {};
  frames_.clear();
  skip_ = number_ = 0;
}

Result<std::vector<Item>> FrameCutter::push(std::string_view bytes) {
  std::vector<Item> items;
  const auto take = [&](std::string_view frame) {
    if (auto item = push_frame(frame)) items.push_back(*std::move(item));
  };
  if (format_.pixels == Pixels::kMjpeg) {
    jpegs_.push(bytes);
    for (;;) {
      auto jpeg = jpegs_.next();
      if (!jpeg) return fail(jpeg.error().with_context(source_));
      if (!*jpeg) return items;
      take(**jpeg);
    }
  }
  held_.append(bytes);
  const size_t size = bytes_of_frame(format_);
  size_t first = 0;
  for (; held_.size() - first >= size; first += size) {
    take(std::string_view(held_).substr(first, size));
  }
  held_.erase(0, first);
  return items;
}

std::optional<Item> FrameCutter::push_frame(std::string_view frame) {
  if (skip_ > 0) {
    --skip_;
    return std::nullopt;
  }
  if (format_.pixels == Pixels::kMjpeg) {
    tensor::append_bytes(frames_.emplace_back(), frame);
  } else {
    frames_.push_back(pixels_of(format_, frame));
  }
  if (std::ssize(frames_) < window_.frames) return std::nullopt;
  Item item{.source = source_, .number = number_, .begins = number_ == 0};
  item.content = tensor_of_window();
  if (format_.rate > 0) {
    item.start_s = static_cast<double>(number_ * window_.stride) / format_.rate;
  }
  ++number_;
  const int64_t gone = std::min(window_.stride, window_.frames);
  frames_.erase(frames_.begin(), frames_.begin() + gone);
  skip_ = window_.stride - gone;
  return item;
}

tensor::Tensor FrameCutter::tensor_of_window() const {
  tensor::Tensor made;
  for (const tensor::Bytes& frame : frames_) {
    made.bytes.insert(made.bytes.end(), frame.begin(), frame.end());
  }
  if (format_.pixels == Pixels::kMjpeg) {
    made.type = tensor::DataType::kBytes;
    made.shape = {window_.frames};
    return made;
  }
  made.type = tensor::DataType::kUint8;
  made.shape = {format_.height, format_.width, format_.pixels == Pixels::kGrey ? 1 : 3};
  if (window_.is_clip) made.shape.insert(made.shape.begin(), window_.frames);
  return made;
}

}  // namespace skerry::flow
