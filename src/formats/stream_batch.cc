// JSON with payloads in Base64.
#include "formats/stream_batch.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "formats/json_ptr.h"
#include "formats/thing_topic.h"

namespace skerry::formats {
namespace {

using nlohmann::json;

constexpr std::string_view kStreamsTopic = "/skerry/streams";

std::unexpected<Error> wrong(const std::string& what) {
  return fail(Code::kInvalidArgument, "stream batch: " + what);
}

bool is_id(std::string_view text) {
  return text.size() >= 8 && text.size() <= 32 && std::ranges::all_of(text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
         });
}

// As the SDKs allow names of streams.
bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= 255 && std::ranges::all_of(text, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           std::string_view(" ,.-_").contains(c);
  });
}

std::string text_of(const json& map, const char* key) {
  const auto found = map.find(key);
  return found != map.end() && found->is_string() ? found->get<std::string>() : "";
}

// A whole number from 0 on; nothing else.
std::optional<int64_t> number_of(const json& map, const char* key) {
  const auto found = map.find(key);
  if (found == map.end() || !found->is_number_unsigned()) return std::nullopt;
  const uint64_t value = found->get<uint64_t>();
  return value <= static_cast<uint64_t>(INT64_MAX - 1) ? std::optional(static_cast<int64_t>(value))
                                                       : std::nullopt;
}

}  // namespace

std::string stream_batch_topic(const ThingName& thing) {
  return thing_topic(thing, kStreamsTopic);
}

std::string stream_answer_topic(const ThingName& thing) {
  return stream_batch_topic(thing) + "/accepted";
}

std::optional<ThingName> parse_stream_batch_topic(std::string_view topic) {
  return thing_of_topic(topic, kStreamsTopic);
}

std::string to_text(const StreamBatch& batch) {
  json messages = json::array();
  for (const StreamMessage& message : batch.messages) {
    messages.push_back({{"sequence", message.sequence},
                        {"timeMs", message.time_ms},
                        {"payload", base64_encode(message.payload)}});
  }
  return json_text(
      {{"stream", batch.stream}, {"name", batch.name}, {"messages", std::move(messages)}});
}

std::string to_text(const StreamAnswer& answer) {
  json map = {{"stream", answer.stream}, {"next", answer.next}};
  if (!answer.error.empty()) map["error"] = answer.error;
  return json_text(map);
}

Result<StreamBatch> parse_stream_batch(std::string_view text) {
  SKERRY_ASSIGN(const json map, parse_json(text, {.size_bytes = kMaxStreamBatchBytes, .depth = 4}));
  if (!map.is_object()) return wrong("must be a map");
  StreamBatch batch{text_of(map, "stream"), text_of(map, "name"), {}};
  if (!is_id(batch.stream)) return wrong("stream must be 8 to 32 letters and digits");
  if (!is_name(batch.name)) return wrong("name is no name of a stream");
  const auto messages = map.find("messages");
  if (messages == map.end() || !messages->is_array() || messages->empty() ||
      messages->size() > kMaxStreamBatchMessages) {
    return wrong("messages must be a list of 1 to 500");
  }
  for (const json& each : *messages) {
    if (!each.is_object()) return wrong("a message must be a map");
    const auto sequence = number_of(each, "sequence"), time_ms = number_of(each, "timeMs");
    auto payload = base64_decode(text_of(each, "payload"));
    if (!sequence || !time_ms || !payload) {
      return wrong("a message has sequence and timeMs, and payload in Base64");
    }
    if (!batch.messages.empty() && *sequence <= batch.messages.back().sequence) {
      return wrong("sequences must ascend");
    }
    batch.messages.push_back({*sequence, *time_ms, *std::move(payload)});
  }
  return batch;
}

Result<StreamAnswer> parse_stream_answer(std::string_view text) {
  SKERRY_ASSIGN(const json map, parse_json(text, {.size_bytes = 64 << 10, .depth = 4}));
  if (!map.is_object()) return wrong("the answer must be a map");
  const auto next = number_of(map, "next");
  StreamAnswer answer{text_of(map, "stream"), next.value_or(0), text_of(map, "error")};
  if (!is_id(answer.stream) || !next) return wrong("the answer has stream and next");
  return answer;
}

}  // namespace skerry::formats
