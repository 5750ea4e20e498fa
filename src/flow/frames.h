// Video as cameras and pipes give it: frames one behind the other, their pixels as models want
// them, windows of several frames.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "flow/cutter.h"
#include "flow/frame_format.h"
#include "tensor/tensor.h"

namespace skerry::flow {

// Bytes of a frame without padding; 0: each says its own.
size_t bytes_of_frame(const FrameFormat& format);
// Of a raw frame: UINT8 [height, width, 1], or [height, width, 3] as red, green, blue. YUV is
// BT.601 in the range 16 to 235, which V4L2 takes where a camera says nothing else.
tensor::Bytes pixels_of(const FrameFormat& format, std::string_view frame);

// JPEGs out of a stream of them, by their markers, so that pictures within (thumbnails) are left
// alone. What stands between them and what is broken is skipped.
class JpegSplitter {
 public:
  void push(std::string_view bytes) { held_.append(bytes); }
  // The next one that is whole. kInvalidArgument where one does not end within 64 MiB.
  Result<std::optional<std::string>> next();

 private:
  enum class Step { kGoOn, kWhole, kNeedsMore, kBroken };
  Step scan();

  std::string held_;
  size_t at_ = 0;            // up to here it is one JPEG; 0: its begin is to be found
  bool in_entropy_ = false;  // between a scan's header and the next marker
};

// The bytes of frames, as they come, into windows: UINT8 [height, width, channels] or, of clips,
// [frames, height, width, channels]; JPEGs as elements of BYTES [frames].
class FrameCutter : public Cutter {
 public:
  FrameCutter(const FrameFormat& format, const FrameWindow& window)
      : format_(format), window_(window) {}

  void begin(std::string source) override;
  Result<std::vector<Item>> push(std::string_view bytes) override;
  std::vector<Item> finish() override { return {}; }
  // A frame that came whole, as from a camera.
  std::optional<Item> push_frame(std::string_view frame);

 private:
  tensor::Tensor tensor_of_window() const;

  const FrameFormat format_;
  const FrameWindow window_;
  std::string source_;
  std::string held_;  // part of a raw frame
  JpegSplitter jpegs_;
  std::deque<tensor::Bytes> frames_;  // of the next window
  int64_t skip_ = 0;                  // frames before it
  int64_t number_ = 0;
};

}  // namespace skerry::flow
