// What a stream is made of: where its data come from, how they are cut, which model they go
// through, where its answers go. docs/streams.md describes the document.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "flow/frame_format.h"
#include "flow/queue.h"
#include "flow/windows.h"
#include "pipeline/audio.h"

namespace skerry::flow {

struct SourceConfig {
  enum class Kind { kDirectory, kPipe, kCamera, kTopic, kIotCore };
  enum class Then { kEnd, kRepeat, kWatch };
  Kind kind = Kind::kDirectory;
  std::string path;    // of a folder, or a pipe, file or device; "-": standard input
  std::string suffix;  // of the folder's files
  Then then = Then::kEnd;
  std::string topic;                            // or filter
  std::optional<pipeline::AudioFormat> format;  // of samples without a WAV header
  std::optional<FrameFormat> frames;            // it is video
};

struct SinkConfig {
  enum class Kind { kTopic, kIotCore, kFile, kHttp };
  Kind kind = Kind::kTopic;
  std::string target;  // topic, path or URL
};

// Windows are only told of where an element of the output is at least that.
struct Condition {
  std::string output;
  double least = 0;
};

struct FlowConfig {
  SourceConfig source;
  std::optional<WindowConfig> window;  // of audio; without: each file or message is the input whole
  FrameWindow frames;                  // of video
  std::string model;
  std::string version;
  std::string input;
  std::map<std::string, double> constants;   // further inputs
  std::map<std::string, std::string> state;  // output → input of the next window
  std::vector<std::string> outputs;          // told of; empty: all but the state
  std::optional<Condition> when;
  std::vector<SinkConfig> sinks;
  size_t queue = 64;
  Drop drop =
      Drop::kNever;  // of windows that the model, and of answers that a sink has no time for
};

// Requests that come as messages, and whom they ask (topic_service.h).
struct TopicServiceConfig {
  SourceConfig source;  // kTopic or kIotCore
  std::string model;    // "": each request names its own
  std::string version;
  std::string answers;  // topic of answers to requests that name none; "": they are ignored
  size_t queue = 64;    // of requests, and of answers, that wait
};

// Untrusted. kInvalidArgument names the field.
Result<TopicServiceConfig> parse_topic_service(std::string_view json_text);
// Whether the document is one of those: it has "serve".
bool is_topic_service(std::string_view json_text);
Result<FlowConfig> parse_flow_config(std::string_view json_text);

}  // namespace skerry::flow
