// Frames out of streams of bytes, however these are cut; pixels; windows; what the document may
// say. A camera needs one: what can be tested without is that something else is refused.
#include "flow/frames.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "flow/camera.h"
#include "flow/flow_config.h"

namespace skerry::flow {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using Pixels = FrameFormat::Pixels;

std::string marker(char code, const std::string& content) {
  const size_t size = content.size() + 2;
  return std::string("\xff") + code + static_cast<char>(size >> 8) + static_cast<char>(size) +
         content;
}

// Laid out as one: a thumbnail within, two scans, restarts, stuffed zeros, fill.
std::string jpeg(const std::string& scan) {
  const std::string soi = "\xff\xd8", eoi = "\xff\xd9";
  return soi + marker('\xe1', "Exif" + soi + "thumbnail" + eoi) + "\xff" + marker('\xdb', "table") +
         marker('\xda', "head") + scan + std::string("\xff\0\xff\xd0", 4) + scan +
         marker('\xda', "head") + scan + "\xff" + eoi;
}

std::vector<std::string> jpegs_in(const std::string& stream, size_t piece) {
  JpegSplitter splitter;
  std::vector<std::string> found;
  for (size_t first = 0; first < stream.size(); first += piece) {
    splitter.push(std::string_view(stream).substr(first, piece));
    for (;;) {
      const auto next = splitter.next();
      EXPECT_TRUE(next);
      if (!next || !*next) break;
      found.push_back(**next);
    }
  }
  return found;
}

TEST(JpegSplitter, FindsEachHoweverTheBytesCome) {
  const std::vector<std::string> want = {jpeg("aaaa"), jpeg(""), jpeg("b")};
  const std::string stream =
      "noise\xff" + want[0] + want[1] + "--boundary\r\n\r\n" + want[2] + "\xff\xd8 cut";
  for (const size_t piece : {size_t{1}, size_t{3}, size_t{17}, stream.size()}) {
    EXPECT_EQ(jpegs_in(stream, piece), want) << piece;
  }
}

// A camera that was unplugged in the middle of a header: what follows is no part of it.
TEST(JpegSplitter, FramesBehindACutOneAreFound) {
  const std::string whole = "\xff\xd8" + marker('\xdb', std::string(65, '\1')) +
                            marker('\xda', "head") + "data" + "\xff\xd9";
  for (size_t cut = 2; cut < whole.size() - 2; ++cut) {
    std::string stream = whole.substr(0, cut) + "\r\n--frame\r\n\r\n";
    for (int i = 0; i < 1000; ++i) stream += whole;
    const auto found = jpegs_in(stream, 5000);
    ASSERT_FALSE(found.empty()) << cut;
    EXPECT_EQ(found.back(), whole) << cut;
    // A length that is cut takes so many bytes at most.
    EXPECT_GE((found.size() + 1) * whole.size() + 65'535, stream.size()) << cut;
  }
}

TEST(JpegSplitter, GoesOnBehindWhatIsBroken) {
  const std::string whole = jpeg("a");
  for (const std::string& broken :
       {std::string("\xff\xd8") + "no marker", whole.substr(0, whole.size() / 2),
        std::string("\xff\xd8\xff\xe1\0\1", 6), std::string("\xff\xd8\xff\x10")}) {
    const auto found = jpegs_in(broken + whole + whole, 5);
    ASSERT_FALSE(found.empty()) << broken;
    EXPECT_EQ(found.back(), whole);
  }
}

std::vector<int> pixels(const FrameFormat& format, const std::vector<uint8_t>& frame) {
  std::vector<int> values;
  for (const std::byte each :
       pixels_of(format, {reinterpret_cast<const char*>(frame.data()), frame.size()})) {
    values.push_back(static_cast<int>(each));
  }
  return values;
}

TEST(Frames, PixelsAreRedGreenBlue) {
  EXPECT_EQ(pixels({Pixels::kGrey, 2, 1}, {1, 255}), (std::vector{1, 255}));
  EXPECT_EQ(pixels({Pixels::kRgb, 1, 1}, {1, 2, 3}), (std::vector{1, 2, 3}));
  EXPECT_EQ(pixels({Pixels::kBgr, 2, 1}, {1, 2, 3, 4, 5, 6}), (std::vector{3, 2, 1, 6, 5, 4}));
  // Black and white; red of full saturation; beyond the range.
  EXPECT_EQ(pixels({Pixels::kYuyv, 2, 1}, {16, 128, 235, 128}),
            (std::vector{0, 0, 0, 255, 255, 255}));
  EXPECT_EQ(pixels({Pixels::kYuyv, 2, 1}, {81, 90, 81, 240}), (std::vector{255, 0, 0, 255, 0, 0}));
  EXPECT_EQ(pixels({Pixels::kYuyv, 2, 1}, {0, 128, 255, 128}),
            (std::vector{0, 0, 0, 255, 255, 255}));
  // Colours of four pixels: grey left, red right.
  EXPECT_EQ(pixels({Pixels::kNv12, 4, 2}, {16, 235, 81, 81, 235, 16, 81, 81, 128, 128, 90, 240}),
            (std::vector{0,   0,   0,   255, 255, 255, 255, 0, 0, 255, 0, 0,
                         255, 255, 255, 0,   0,   0,   255, 0, 0, 255, 0, 0}));
}

// [first byte of each frame of a window], and when it begins.
std::vector<std::pair<std::string, double>> windows(const FrameWindow& window, size_t piece) {
  FrameCutter cutter({Pixels::kGrey, 3, 2, 10}, window);
  cutter.begin("camera");
  std::string stream;
  for (char frame = 'a'; frame < 'k'; ++frame) stream += std::string(6, frame);
  std::vector<std::pair<std::string, double>> found;
  for (size_t first = 0; first < stream.size(); first += piece) {
    const auto items = cutter.push(std::string_view(stream).substr(first, piece));
    EXPECT_TRUE(items);
    for (const Item& item : *items) {
      EXPECT_EQ(item.begins, found.empty());
      EXPECT_EQ(item.number, std::ssize(found));
      EXPECT_EQ(item.content.type, tensor::DataType::kUint8);
      std::vector<int64_t> shape{2, 3, 1};
      if (window.is_clip) shape.insert(shape.begin(), window.frames);
      EXPECT_EQ(item.content.shape, shape);
      std::string frames;
      for (size_t at = 0; at < item.content.bytes.size(); at += 6) {
        frames += static_cast<char>(item.content.bytes[at]);
      }
      found.emplace_back(frames, item.start_s.value_or(-1));
    }
  }
  return found;
}

TEST(Frames, AreWindowsOfSeveral) {
  for (const size_t piece : {1u, 4u, 60u}) {
    EXPECT_EQ(windows({}, piece).size(), 10u);
    EXPECT_EQ(windows({4, 2, true}, piece),
              (std::vector<std::pair<std::string, double>>{
                  {"abcd", 0}, {"cdef", .2}, {"efgh", .4}, {"ghij", .6}}));
    EXPECT_EQ(windows({2, 4, true}, piece),
              (std::vector<std::pair<std::string, double>>{{"ab", 0}, {"ef", .4}, {"ij", .8}}));
    EXPECT_EQ(windows({1, 5, false}, piece),
              (std::vector<std::pair<std::string, double>>{{"a", 0}, {"f", .5}}));
  }
}

TEST(Frames, JpegsAreElements) {
  FrameCutter cutter({.pixels = Pixels::kMjpeg}, {2, 2, true});
  cutter.begin("pipe");
  const std::string first = jpeg("a"), second = jpeg("bb");
  const auto items = cutter.push(first + second + first);
  ASSERT_TRUE(items);
  ASSERT_EQ(items->size(), 1u);
  const tensor::Tensor& content = (*items)[0].content;
  EXPECT_EQ(content.shape, std::vector<int64_t>{2});
  const auto elements = tensor::split_bytes(content.bytes, 2);
  ASSERT_TRUE(elements);
  EXPECT_EQ((*elements)[0], first);
  EXPECT_EQ((*elements)[1], second);
  EXPECT_FALSE((*items)[0].start_s);
}

TEST(Frames, ARecordingForgetsTheOneBefore) {
  FrameCutter cutter({Pixels::kGrey, 2, 1}, {2, 2, true});
  cutter.begin("a");
  EXPECT_TRUE(cutter.push("112")->empty());
  cutter.begin("b");
  const auto items = cutter.push("3344");
  ASSERT_EQ(items->size(), 1u);
  EXPECT_EQ(static_cast<char>((*items)[0].content.bytes[0]), '3');
}

TEST(FrameConfig, IsReadAndNamesWhatIsWrong) {
  const json camera = {{"source",
                        {{"camera", "/dev/video0"},
                         {"pixels", "YUYV"},
                         {"width", 640},
                         {"height", 480},
                         {"rate", 29.97}}},
                       {"window", {{"frames", 4}, {"stride", 2}}},
                       {"model", "m"},
                       {"input", "x"}};
  const auto config = parse_flow_config(camera.dump());
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(config->source.frames->pixels, Pixels::kYuyv);
  EXPECT_EQ(config->frames.stride, 2);
  EXPECT_TRUE(config->frames.is_clip);
  EXPECT_FALSE(config->window);
  EXPECT_EQ(config->drop, Drop::kOldest);
  const auto refusal = [&](const json& changes) {
    json document = camera;
    document.merge_patch(changes);
    const auto changed = parse_flow_config(document.dump());
    return changed ? "accepted" : changed.error().message();
  };
  const json pipe = {{"camera", nullptr}, {"pipe", "-"}};
  const auto with = [](json base, const json& more) {
    base.update(more);
    return json{{"source", base}};
  };
  EXPECT_EQ(refusal(with(pipe, json::object())), "accepted");
  EXPECT_EQ(refusal(with(pipe, {{"pixels", "MJPEG"}, {"width", nullptr}, {"height", nullptr}})),
            "accepted");
  EXPECT_EQ(refusal(with(pipe, {{"pixels", "MJPEG"}})),
            "source.width: a JPEG says its size itself");
  EXPECT_EQ(refusal(with(json::object(), {{"width", nullptr}})), "source.width: is missing");
  EXPECT_EQ(refusal(with(json::object(), {{"pixels", nullptr}})), "source.pixels: is missing");
  EXPECT_THAT(refusal(with(json::object(), {{"width", 641}})), HasSubstr("odd size"));
  EXPECT_THAT(refusal(with(json::object(), {{"height", 0}})),
              HasSubstr("source.height: must be 1 to"));
  EXPECT_THAT(refusal(with(json::object(), {{"rate", 0}})),
              HasSubstr("source.rate: must be above 0"));
  EXPECT_THAT(refusal(with(json::object(), {{"samples", "INT16"}})), HasSubstr("not both"));
  EXPECT_THAT(refusal(with({{"camera", nullptr}, {"topic", "a"}}, json::object())),
              HasSubstr("messages go to the model whole"));
  EXPECT_EQ(refusal({{"window", {{"frames", 1024}}}}), "window: has more than 64 MiB");
  EXPECT_EQ(refusal({{"window", {{"samples", 3}}}}), "window.samples: is unknown here");
  EXPECT_EQ(refusal({{"drop", "never"}}),
            "drop: messages and cameras cannot wait; choose oldest or newest");
}

TEST(Camera, IsNoOtherDevice) {
  FrameFormat format{Pixels::kMjpeg, 640, 480};
  const auto null_device = Camera::open("/dev/null", format);
  ASSERT_FALSE(null_device);
  EXPECT_EQ(null_device.error().message(), "source.camera: /dev/null is no camera");
  const auto none = Camera::open("/dev/no-such-video", format);
  ASSERT_FALSE(none);
  EXPECT_TRUE(none.error().retryable());
}

}  // namespace
}  // namespace skerry::flow
