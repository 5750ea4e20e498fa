// The document, field by field.
#include "flow/flow_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "formats/json_ptr.h"
#include "formats/node.h"

namespace skerry::flow {
namespace {

using formats::EnumNames;
using formats::Node;

constexpr int64_t kMaxWindow = 1 << 24;
constexpr int64_t kMaxRate = 768'000;
constexpr int64_t kMaxSide = 1 << 14;  // of a frame
constexpr int64_t kMaxFrames = 1 << 10;
constexpr size_t kMaxWindowBytes = 64 << 20;
constexpr double kMaxFrameRate = 10'000;
constexpr int64_t kMaxQueue = 1 << 16;
constexpr size_t kMaxSinks = 16;

constexpr EnumNames<SourceConfig::Kind, 5> kSources = {
    {{SourceConfig::Kind::kDirectory, "directory"},
     {SourceConfig::Kind::kPipe, "pipe"},
     {SourceConfig::Kind::kCamera, "camera"},
     {SourceConfig::Kind::kTopic, "topic"},
     {SourceConfig::Kind::kIotCore, "iotCore"}}};
constexpr EnumNames<SourceConfig::Then, 3> kThen = {{{SourceConfig::Then::kEnd, "end"},
                                                     {SourceConfig::Then::kRepeat, "repeat"},
                                                     {SourceConfig::Then::kWatch, "watch"}}};
constexpr EnumNames<SinkConfig::Kind, 4> kSinks = {{{SinkConfig::Kind::kTopic, "topic"},
                                                    {SinkConfig::Kind::kIotCore, "iotCore"},
                                                    {SinkConfig::Kind::kFile, "file"},
                                                    {SinkConfig::Kind::kHttp, "http"}}};
constexpr EnumNames<Drop, 3> kDrops = {
    {{Drop::kNever, "never"}, {Drop::kOldest, "oldest"}, {Drop::kNewest, "newest"}}};
constexpr EnumNames<FrameFormat::Pixels, 6> kPixels = {{{FrameFormat::Pixels::kGrey, "GREY"},
                                                        {FrameFormat::Pixels::kRgb, "RGB"},
                                                        {FrameFormat::Pixels::kBgr, "BGR"},
                                                        {FrameFormat::Pixels::kYuyv, "YUYV"},
                                                        {FrameFormat::Pixels::kNv12, "NV12"},
                                                        {FrameFormat::Pixels::kMjpeg, "MJPEG"}}};
constexpr EnumNames<pipeline::SampleType, 5> kSamples = {
    {{pipeline::SampleType::kInt16, "INT16"},
     {pipeline::SampleType::kUint8, "UINT8"},
     {pipeline::SampleType::kInt24, "INT24"},
     {pipeline::SampleType::kInt32, "INT32"},
     {pipeline::SampleType::kFloat32, "FP32"}}};

Result<void> check_known(const Node& node, std::span<const std::string_view> known) {
  SKERRY_ASSIGN(const auto members, node.members());
  for (const auto& [key, member] : members) {
    const bool is_known = std::ranges::any_of(
        known, [&](std::string_view each) { return formats::equal_ignoring_case(each, key); });
    if (!is_known) return member.wrong("is unknown here");
  }
  return {};
}

Result<void> read_number(const Node& node, std::string_view key, int64_t least, int64_t most,
                         int64_t& out) {
  SKERRY_ASSIGN(const auto found, node.find(key));
  if (!found) return {};
  SKERRY_ASSIGN(out, found->as_integer());
  if (out >= least && out <= most) return {};
  return found->wrong(fmt::format("must be {} to {}", least, most));
}

Result<std::string> required(const Node& node, std::string_view key) {
  SKERRY_ASSIGN(const Node found, node.require(key));
  SKERRY_ASSIGN(std::string text, found.as_string());
  if (text.empty()) return found.wrong("is empty");
  return text;
}

// Which of `kinds` the object has: its name is the member that says where.
template <class E, size_t N>
Result<E> kind_of(const Node& node, const EnumNames<E, N>& kinds) {
  std::optional<E> kind;
  std::string names;
  for (const auto& [value, name] : kinds) {
    names += fmt::format("{}{}", names.empty() ? "" : ", ", name);
    SKERRY_ASSIGN(const auto found, node.find(name));
    if (found && kind) return node.wrong("must be one thing, not several");
    if (found) kind = value;
  }
  if (kind) return *kind;
  return node.wrong(fmt::format("must have one of: {}", names));
}

Result<FrameFormat> parse_frames(const Node& node, bool is_camera) {
  FrameFormat format;
  SKERRY_ASSIGN(const Node pixels, node.require("pixels"));
  SKERRY_ASSIGN(format.pixels, pixels.as_enum(kPixels));
  const bool says_its_size = format.pixels == FrameFormat::Pixels::kMjpeg && !is_camera;
  for (const std::string_view key : {"width", "height"}) {
    SKERRY_ASSIGN(const auto found, node.find(key));
    if (says_its_size && found) return found->wrong("a JPEG says its size itself");
    if (!says_its_size) SKERRY_TRY(node.require(key));
  }
  SKERRY_TRY(read_number(node, "width", 1, kMaxSide, format.width));
  SKERRY_TRY(read_number(node, "height", 1, kMaxSide, format.height));
  // Two pixels share their colours.
  const bool is_yuyv = format.pixels == FrameFormat::Pixels::kYuyv;
  const bool is_nv12 = format.pixels == FrameFormat::Pixels::kNv12;
  if (((is_yuyv || is_nv12) && format.width % 2 != 0) || (is_nv12 && format.height % 2 != 0)) {
    return node.wrong("has an odd size, which YUYV and NV12 do not have");
  }
  SKERRY_ASSIGN(const auto rate, node.find("rate"));
  if (rate) {
    SKERRY_ASSIGN(format.rate, rate->as_number());
    if (format.rate <= 0 || format.rate > kMaxFrameRate) {
      return rate->wrong(fmt::format("must be above 0, and at most {}", kMaxFrameRate));
    }
  }
  return format;
}

Result<SourceConfig> parse_source(const Node& node) {
  constexpr std::array<std::string_view, 13> kKnown = {
      "directory", "pipe",     "camera",  "topic",  "iotCore", "suffix", "then",
      "rate",      "channels", "samples", "pixels", "width",   "height"};
  SKERRY_TRY(check_known(node, kKnown));
  SourceConfig source;
  SKERRY_ASSIGN(source.kind, kind_of(node, kSources));
  SKERRY_ASSIGN(const std::string target,
                required(node, formats::enum_name(kSources, source.kind)));
  const bool is_message =
      source.kind == SourceConfig::Kind::kTopic || source.kind == SourceConfig::Kind::kIotCore;
  (is_message ? source.topic : source.path) = target;
  SKERRY_TRY(node.read("suffix", source.suffix));
  SKERRY_TRY(node.read("then", kThen, source.then));
  SKERRY_ASSIGN(const auto samples, node.find("samples"));
  SKERRY_ASSIGN(const auto pixels, node.find("pixels"));
  const bool is_camera = source.kind == SourceConfig::Kind::kCamera;
  if (samples && pixels) return node.wrong("has samples or pixels, not both");
  if (pixels || is_camera) {
    SKERRY_ASSIGN(source.frames, parse_frames(node, is_camera));
  }
  if (!samples) return source;
  pipeline::AudioFormat format;
  SKERRY_ASSIGN(format.type, samples->as_enum(kSamples));
  SKERRY_TRY(node.require("rate"));
  SKERRY_TRY(read_number(node, "rate", 1, kMaxRate, format.rate));
  SKERRY_TRY(read_number(node, "channels", 1, 64, format.channels));
  source.format = format;
  return source;
}

Result<WindowConfig> parse_window(const Node& node) {
  constexpr std::array<std::string_view, 4> kKnown = {"samples", "stride", "before", "rate"};
  SKERRY_TRY(check_known(node, kKnown));
  WindowConfig window;
  for (const std::string_view key : {"samples", "rate"}) SKERRY_TRY(node.require(key));
  SKERRY_TRY(read_number(node, "samples", 1, kMaxWindow, window.size));
  window.stride = window.size;
  SKERRY_TRY(read_number(node, "stride", 1, kMaxWindow, window.stride));
  SKERRY_TRY(read_number(node, "before", 0, window.size - 1, window.before));
  SKERRY_TRY(read_number(node, "rate", 1, kMaxRate, window.rate));
  return window;
}

// A window of frames has at most as many bytes as a file that is an input whole.
Result<FrameWindow> parse_frame_window(const Node& node, const FrameFormat& format) {
  constexpr std::array<std::string_view, 2> kKnown = {"frames", "stride"};
  SKERRY_TRY(check_known(node, kKnown));
  FrameWindow window;
  SKERRY_ASSIGN(const auto frames, node.find("frames"));
  window.is_clip = frames.has_value();
  SKERRY_TRY(read_number(node, "frames", 1, kMaxFrames, window.frames));
  window.stride = window.frames;
  SKERRY_TRY(read_number(node, "stride", 1, kMaxWindow, window.stride));
  const auto pixels = static_cast<size_t>(3 * format.width * format.height);
  if (pixels * static_cast<size_t>(window.frames) > kMaxWindowBytes) {
    return node.wrong("has more than 64 MiB");
  }
  return window;
}

Result<std::vector<SinkConfig>> parse_sinks(const Node& node) {
  constexpr std::array<std::string_view, 4> kKnown = {"topic", "iotCore", "file", "http"};
  SKERRY_ASSIGN(const auto elements, node.elements());
  if (elements.size() > kMaxSinks) return node.wrong(fmt::format("has more than {}", kMaxSinks));
  std::vector<SinkConfig> sinks;
  for (const Node& element : elements) {
    SKERRY_TRY(check_known(element, kKnown));
    SinkConfig sink;
    SKERRY_ASSIGN(sink.kind, kind_of(element, kSinks));
    SKERRY_ASSIGN(sink.target, required(element, formats::enum_name(kSinks, sink.kind)));
    sinks.push_back(std::move(sink));
  }
  return sinks;
}

Result<void> parse_model(const Node& root, FlowConfig& config) {
  SKERRY_ASSIGN(config.model, required(root, "model"));
  SKERRY_TRY(root.read("version", config.version));
  SKERRY_ASSIGN(config.input, required(root, "input"));
  SKERRY_ASSIGN(const auto constants, root.find("constants"));
  if (constants) {
    SKERRY_ASSIGN(const auto members, constants->members());
    for (const auto& [name, value] : members) {
      SKERRY_ASSIGN(config.constants[name], value.as_number());
    }
  }
  SKERRY_ASSIGN(const auto state, root.find("state"));
  if (state) {
    SKERRY_ASSIGN(const auto members, state->members());
    for (const auto& [name, value] : members) {
      SKERRY_ASSIGN(config.state[name], value.as_string());
    }
  }
  SKERRY_ASSIGN(const auto outputs, root.find("outputs"));
  if (outputs) {
    SKERRY_ASSIGN(config.outputs, outputs->as_string_list());
  }
  return {};
}

Result<FlowConfig> read_config(const Node& root) {
  constexpr std::array<std::string_view, 12> kKnown = {"source", "window",    "model", "version",
                                                       "input",  "constants", "state", "outputs",
                                                       "when",   "sinks",     "queue", "drop"};
  SKERRY_TRY(check_known(root, kKnown));
  FlowConfig config;
  SKERRY_ASSIGN(const Node source, root.require("source"));
  SKERRY_ASSIGN(config.source, parse_source(source));
  SKERRY_ASSIGN(const auto window, root.find("window"));
  const bool is_pipe = config.source.kind == SourceConfig::Kind::kPipe;
  const bool is_camera = config.source.kind == SourceConfig::Kind::kCamera;
  const bool is_directory = config.source.kind == SourceConfig::Kind::kDirectory;
  const std::optional<FrameFormat>& frames = config.source.frames;
  if (frames && !is_pipe && !is_camera && !is_directory) {
    return source.wrong("messages go to the model whole");
  }
  if (window && frames) {
    SKERRY_ASSIGN(config.frames, parse_frame_window(*window, *frames));
  } else if (window) {
    SKERRY_ASSIGN(config.window, parse_window(*window));
  }
  if (is_pipe && !window && !frames) {
    return source.wrong(
        "a pipe has samples: say in \"window\" how to cut them; or frames: say in \"pixels\" "
        "which");
  }
  const bool has_raw_samples = config.source.format.has_value();
  if (has_raw_samples && !is_pipe) return source.wrong("\"samples\" are for pipes");
  if (config.window && !is_pipe && !is_directory) {
    return window->wrong("messages go to the model whole");
  }
  SKERRY_TRY(parse_model(root, config));
  SKERRY_ASSIGN(const auto when, root.find("when"));
  if (when) {
    Condition condition;
    SKERRY_ASSIGN(condition.output, required(*when, "output"));
    SKERRY_ASSIGN(const Node least, when->require("least"));
    SKERRY_ASSIGN(condition.least, least.as_number());
    config.when = condition;
  }
  SKERRY_ASSIGN(const auto sinks, root.find("sinks"));
  if (sinks) {
    SKERRY_ASSIGN(config.sinks, parse_sinks(*sinks));
  }
  auto queue = static_cast<int64_t>(config.queue);
  SKERRY_TRY(read_number(root, "queue", 1, kMaxQueue, queue));
  config.queue = static_cast<size_t>(queue);
  // Nobody can hold back who sends messages, or what a camera sees.
  const bool can_wait = is_pipe || is_directory;
  if (!can_wait) config.drop = Drop::kOldest;
  SKERRY_TRY(root.read("drop", kDrops, config.drop));
  if (!can_wait && config.drop == Drop::kNever) {
    return fail(Code::kInvalidArgument,
                "drop: messages and cameras cannot wait; choose oldest or newest");
  }
  return config;
}

Result<TopicServiceConfig> read_topic_service(const Node& root) {
  constexpr std::array<std::string_view, 5> kKnown = {"serve", "model", "version", "answers",
                                                      "queue"};
  constexpr std::array<std::string_view, 2> kKnownTopics = {"topic", "iotCore"};
  SKERRY_TRY(check_known(root, kKnown));
  SKERRY_ASSIGN(const Node serve, root.require("serve"));
  SKERRY_TRY(check_known(serve, kKnownTopics));
  TopicServiceConfig config;
  SKERRY_ASSIGN(config.source, parse_source(serve));
  SKERRY_TRY(root.read("model", config.model));
  SKERRY_TRY(root.read("version", config.version));
  SKERRY_TRY(root.read("answers", config.answers));
  if (config.answers == config.source.topic) {
    return root.wrong("\"answers\" must be another topic than the one of requests");
  }
  auto queue = static_cast<int64_t>(config.queue);
  SKERRY_TRY(read_number(root, "queue", 1, kMaxQueue, queue));
  config.queue = static_cast<size_t>(queue);
  return config;
}

}  // namespace

bool is_topic_service(std::string_view json_text) {
  const auto document = formats::parse_json(json_text);
  return document && document->is_object() && document->contains("serve");
}

Result<TopicServiceConfig> parse_topic_service(std::string_view json_text) {
  SKERRY_ASSIGN(const auto document, formats::parse_json(json_text));
  return read_topic_service(Node(document, ""));
}

Result<FlowConfig> parse_flow_config(std::string_view json_text) {
  SKERRY_ASSIGN(const auto document, formats::parse_json(json_text));
  const Node root(document, "");
  if (!root.is_object()) return fail(Code::kInvalidArgument, "a stream must be an object");
  return read_config(root);
}

}  // namespace skerry::flow
