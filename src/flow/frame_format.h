// What frames are made of, and how many go to the model at once.
#pragma once

#include <cstdint>

namespace skerry::flow {

struct FrameFormat {
  // Of V4L2's formats: GREY, RGB3, BGR3, YUYV (4:2:2 packed), NV12 (4:2:0, Y and then pairs of UV),
  // MJPG (a JPEG each).
  enum class Pixels { kGrey, kRgb, kBgr, kYuyv, kNv12, kMjpeg };
  Pixels pixels = Pixels::kMjpeg;
  int64_t width = 0;  // both 0 for JPEGs of a pipe, which say it themselves
  int64_t height = 0;
  double rate = 0;  // frames a second; 0: unknown
};

// Which frames make a window, and how far it is to the next one.
struct FrameWindow {
  int64_t frames = 1;
  int64_t stride = 1;
  bool is_clip = false;  // a dimension for the frames, also where it is one
};

}  // namespace skerry::flow
