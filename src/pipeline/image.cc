// Both libraries are used through the interfaces of theirs that return errors: nothing here jumps.
#include "pipeline/image.h"

#include <fmt/format.h>
#include <png.h>
#include <turbojpeg.h>

#include <memory>
#include <vector>

namespace skerry::pipeline {
namespace {

// Progressive scans that a file may have: each costs a pass over all pixels.
constexpr int kJpegFlags = TJFLAG_LIMITSCANS | TJFLAG_ACCURATEDCT;

Result<void> check_size(Image& image, int64_t width, int64_t height, int64_t max_pixels) {
  image.width = width;
  image.height = height;
  if (width > 0 && height > 0 && height <= max_pixels / width) return {};
  return fail(Code::kResourceExhausted, fmt::format("the image has {} by {} pixels, at most {} "
                                                    "are allowed",
                                                    width, height, max_pixels));
}

Result<Image> decode_jpeg(std::string_view file, int64_t channels, int64_t max_pixels) {
  struct Destroy {
    void operator()(void* handle) const { tjDestroy(handle); }
  };
  const std::unique_ptr<void, Destroy> handle(tjInitDecompress());
  if (!handle) return fail(Code::kResourceExhausted, "there is no memory for a JPEG decoder");
  const auto damaged = [&] {
    return fail(Code::kInvalidArgument,
                fmt::format("the JPEG is damaged: {}", tjGetErrorStr2(handle.get())));
  };
  const auto* bytes = reinterpret_cast<const unsigned char*>(file.data());
  int width = 0;
  int height = 0;
  int sampling = 0;
  int colours = 0;
  if (tjDecompressHeader3(handle.get(), bytes, file.size(), &width, &height, &sampling, &colours) !=
      0) {
    return damaged();
  }
  Image image{.channels = channels};
  SKERRY_TRY(check_size(image, width, height, max_pixels));
  image.pixels.resize(static_cast<size_t>(int64_t{width} * height * channels));
  const int format = channels == 1 ? TJPF_GRAY : TJPF_RGB;
  if (tjDecompress2(handle.get(), bytes, file.size(),
                    reinterpret_cast<unsigned char*>(image.pixels.data()), width, 0, height, format,
                    kJpegFlags) != 0) {
    return damaged();
  }
  return image;
}

// From `from` channels to the image's own.
void convert_channels(Image& image, const std::vector<uint8_t>& pixels, size_t from) {
  const size_t count = pixels.size() / from;
  image.pixels.resize(count * static_cast<size_t>(image.channels));
  for (size_t i = 0; i < count; ++i) {
    const uint8_t* in = pixels.data() + i * from;
    std::byte* out = image.pixels.data() + i * static_cast<size_t>(image.channels);
    if (image.channels == 1) {
      const unsigned luma =
          from == 1 ? in[0] : (299u * in[0] + 587u * in[1] + 114u * in[2] + 500u) / 1000u;
      out[0] = std::byte(luma);
    } else {
      for (size_t c = 0; c < 3; ++c) out[c] = std::byte(in[from == 1 ? 0 : c]);
    }
  }
}

Result<Image> decode_png(std::string_view file, int64_t channels, int64_t max_pixels) {
  png_image png = {};
  png.version = PNG_IMAGE_VERSION;
  struct Free {
    void operator()(png_image* image) const { png_image_free(image); }
  };
  const std::unique_ptr<png_image, Free> guard(&png);
  const auto damaged = [&] {
    return fail(Code::kInvalidArgument, fmt::format("the PNG is damaged: {}", png.message));
  };
  if (png_image_begin_read_from_memory(&png, file.data(), file.size()) == 0) return damaged();
  Image image{.channels = channels};
  SKERRY_TRY(check_size(image, png.width, png.height, max_pixels));
  const bool is_grey = (png.format & PNG_FORMAT_FLAG_COLOR) == 0;
  png.format = is_grey ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
  std::vector<uint8_t> pixels(PNG_IMAGE_SIZE(png));  // zeros: what transparency is seen on
  if (png_image_finish_read(&png, nullptr, pixels.data(), 0, nullptr) == 0) return damaged();
  convert_channels(image, pixels, is_grey ? 1 : 3);
  return image;
}

}  // namespace

Result<Image> decode_image(std::string_view file, int64_t channels, int64_t max_pixels) {
  if (file.starts_with("\xff\xd8\xff")) return decode_jpeg(file, channels, max_pixels);
  if (file.starts_with("\x89PNG")) return decode_png(file, channels, max_pixels);
  return fail(Code::kInvalidArgument,
              fmt::format("the {} bytes are neither a JPEG nor a PNG", file.size()));
}

}  // namespace skerry::pipeline
