// JPEG and PNG, decoded by libjpeg-turbo and libpng, which are linked in.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "tensor/tensor.h"

namespace skerry::pipeline {

struct Image {
  int64_t width = 0;
  int64_t height = 0;
  int64_t channels = 0;  // 1: grey (luma of BT.601), 3: red, green, blue
  tensor::Bytes pixels;  // row by row from the top, a byte a channel
};

// Untrusted. kInvalidArgument where it is neither or damaged, also where it ends early;
// kResourceExhausted above `max_pixels`, before memory is taken for them. Transparency is seen on
// black.
Result<Image> decode_image(std::string_view file, int64_t channels, int64_t max_pixels);

}  // namespace skerry::pipeline
