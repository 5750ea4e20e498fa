// Calls of linux/videodev2.h, in the order of the kernel's own example (capture by mmap).
#include "flow/camera.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/videodev2.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <cerrno>
#include <cmath>
#include <system_error>

namespace skerry::flow {
namespace {

using Pixels = FrameFormat::Pixels;

constexpr uint32_t kBuffers = 4;

int call(int fd, unsigned long request, void* argument) {
  int result = 0;
  do {
    result = ::ioctl(fd, request, argument);
  } while (result < 0 && errno == EINTR);
  return result;
}

uint32_t fourcc_of(Pixels pixels) {
  switch (pixels) {
    case Pixels::kGrey:
      return V4L2_PIX_FMT_GREY;
    case Pixels::kRgb:
      return V4L2_PIX_FMT_RGB24;
    case Pixels::kBgr:
      return V4L2_PIX_FMT_BGR24;
    case Pixels::kYuyv:
      return V4L2_PIX_FMT_YUYV;
    case Pixels::kNv12:
      return V4L2_PIX_FMT_NV12;
    case Pixels::kMjpeg:
      return V4L2_PIX_FMT_MJPEG;
  }
  return 0;
}

std::string name_of(uint32_t fourcc) {
  std::string name;
  for (unsigned shift = 0; shift < 32; shift += 8) {
    name += static_cast<char>(fourcc >> shift & 0x7fU);
  }
  return name;
}

// Without padding behind its lines.
size_t bytes_of_line(const FrameFormat& format) {
  const auto width = static_cast<size_t>(format.width);
  switch (format.pixels) {
    case Pixels::kRgb:
    case Pixels::kBgr:
      return 3 * width;
    case Pixels::kYuyv:
      return 2 * width;
    default:
      return width;
  }
}

}  // namespace

Error Camera::error(const char* what) const {
  return Error(Code::kUnavailable, fmt::format("source.camera: {}: {}: {}", path_, what,
                                               std::generic_category().message(errno)));
}

Result<Camera> Camera::open(const std::string& path, FrameFormat& format) {
  Camera camera(path, io::Fd(::open(path.c_str(), O_RDWR | O_CLOEXEC)));
  if (!camera.fd_) return fail(camera.error("cannot be opened"));
  v4l2_capability capability{};
  if (call(camera.fd_.get(), VIDIOC_QUERYCAP, &capability) < 0) {
    return fail(Code::kInvalidArgument, fmt::format("source.camera: {} is no camera", path));
  }
  const uint32_t can = (capability.capabilities & V4L2_CAP_DEVICE_CAPS) != 0
                           ? capability.device_caps
                           : capability.capabilities;
  if ((can & V4L2_CAP_VIDEO_CAPTURE) == 0 || (can & V4L2_CAP_STREAMING) == 0) {
    return fail(Code::kInvalidArgument,
                fmt::format("source.camera: {} gives no frames into shared memory", path));
  }
  SKERRY_TRY(camera.set_format(format));
  camera.set_rate(format);
  SKERRY_TRY(camera.start());
  return camera;
}

Result<void> Camera::set_format(FrameFormat& format) {
  v4l2_format wanted{};
  wanted.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
  v4l2_pix_format& picture = wanted.fmt.pix;
  picture.width = static_cast<uint32_t>(format.width);
  picture.height = static_cast<uint32_t>(format.height);
  picture.pixelformat = fourcc_of(format.pixels);
  picture.field = V4L2_FIELD_NONE;
  if (call(fd_.get(), VIDIOC_S_FMT, &wanted) < 0) return fail(error("takes no format"));
  // A driver takes what comes nearest.
  if (picture.pixelformat != fourcc_of(format.pixels) || picture.width != format.width ||
      picture.height != format.height) {
    return fail(Code::kInvalidArgument,
                fmt::format("source.camera: {} offers {} {}x{} instead of {} {}x{}", path_,
                            name_of(picture.pixelformat), picture.width, picture.height,
                            name_of(fourcc_of(format.pixels)), format.width, format.height));
  }
  if (format.pixels != Pixels::kMjpeg && picture.bytesperline != 0 &&
      picture.bytesperline != bytes_of_line(format)) {
    return fail(
        Code::kUnsupported,
        fmt::format("source.camera: {} has padding behind its lines: choose another width", path_));
  }
  return {};
}

// As near as the driver can.
void Camera::set_rate(FrameFormat& format) {
  v4l2_streamparm parameters{};
  parameters.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
  v4l2_fract& interval = parameters.parm.capture.timeperframe;
  if (format.rate > 0) {
    interval = {1'000, static_cast<uint32_t>(std::lround(format.rate * 1'000))};
  }
  const bool is_known =
      call(fd_.get(), format.rate > 0 ? VIDIOC_S_PARM : VIDIOC_G_PARM, &parameters) == 0;
  if (!is_known || interval.numerator == 0) return;
  format.rate = static_cast<double>(interval.denominator) / interval.numerator;
}

Result<void> Camera::start() {
  v4l2_requestbuffers request{};
  request.count = kBuffers;
  request.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
  request.memory = V4L2_MEMORY_MMAP;
  if (call(fd_.get(), VIDIOC_REQBUFS, &request) < 0) return fail(error("gives no buffers"));
  for (uint32_t i = 0; i < request.count; ++i) {
    v4l2_buffer buffer{};
    buffer.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    buffer.memory = V4L2_MEMORY_MMAP;
    buffer.index = i;
    if (call(fd_.get(), VIDIOC_QUERYBUF, &buffer) < 0) return fail(error("gives no buffer"));
    void* const begin = ::mmap(nullptr, buffer.length, PROT_READ | PROT_WRITE, MAP_SHARED,
                               fd_.get(), static_cast<off_t>(buffer.m.offset));
    if (begin == MAP_FAILED) return fail(error("a buffer cannot be mapped"));
    buffers_.push_back({begin, buffer.length});
    if (call(fd_.get(), VIDIOC_QBUF, &buffer) < 0) return fail(error("takes no buffer"));
  }
  int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
  if (call(fd_.get(), VIDIOC_STREAMON, &type) < 0) return fail(error("does not start"));
  return {};
}

Result<std::string> Camera::read() {
  v4l2_buffer buffer{};
  buffer.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
  buffer.memory = V4L2_MEMORY_MMAP;
  if (call(fd_.get(), VIDIOC_DQBUF, &buffer) < 0) return fail(error("gives no frame"));
  if (buffer.index >= buffers_.size() || buffer.bytesused > buffers_[buffer.index].size) {
    return fail(Code::kCorrupt, fmt::format("source.camera: {}: a frame that is none", path_));
  }
  std::string frame(static_cast<const char*>(buffers_[buffer.index].begin), buffer.bytesused);
  if (call(fd_.get(), VIDIOC_QBUF, &buffer) < 0) return fail(error("takes no buffer"));
  return frame;
}

Camera::~Camera() {
  for (const Buffer& buffer : buffers_) ::munmap(buffer.begin, buffer.size);
}

}  // namespace skerry::flow
