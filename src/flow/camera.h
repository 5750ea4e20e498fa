// A camera by the kernel's interface for video (V4L2): frames in memory that it shares with its
// driver. Reads wait for the next frame; one thread at a time.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "flow/frames.h"
#include "io/fd.h"

namespace skerry::flow {

class Camera {
 public:
  // Has the device make such frames; `format.rate` becomes the one that it has. kInvalidArgument
  // where it is no camera or makes others.
  static Result<Camera> open(const std::string& path, FrameFormat& format);
  Camera(Camera&& other) noexcept = default;
  Camera& operator=(Camera&&) = delete;
  ~Camera();

  // The next frame's bytes. kUnavailable once the camera is gone.
  Result<std::string> read();

 private:
  struct Buffer {
    void* begin = nullptr;
    size_t size = 0;
  };

  Camera(std::string path, io::Fd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  Result<void> set_format(FrameFormat& format);
  void set_rate(FrameFormat& format);
  Result<void> start();
  Error error(const char* what) const;

  std::string path_;
  io::Fd fd_;
  std::vector<Buffer> buffers_;
};

}  // namespace skerry::flow
