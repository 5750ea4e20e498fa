// CBOR in and out, by the JSON library; what it would follow without end is refused before.
#include "streams/messages.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace skerry::streams {
namespace {

using nlohmann::json;

constexpr size_t kMaxDepth = 16;
constexpr int64_t kMostCount = INT32_MAX;
constexpr int64_t kMostTimeoutMs = 9'223'372'036'854;

// Whether CBOR is nested at most kMaxDepth deep. The decoder calls itself for each level; whoever
// nests a million arrays would end the program. Lengths that are wrong are the decoder's to refuse.
class Nesting {
 public:
  explicit Nesting(std::string_view bytes) : bytes_(bytes) {}

  bool is_fine() {
    std::vector<uint64_t> open;  // items that are missing to each open array, map or tag
    while (offset_ < bytes_.size()) {
      const auto head = static_cast<unsigned char>(bytes_[offset_++]);
      const int major = head >> 5;
      const bool indefinite = (head & 0x1f) == 0x1f;
      const uint64_t number = argument(head & 0x1f);
      if (head == 0xff) {  // the end of an indefinite one
        if (!open.empty()) open.pop_back();
      } else if ((major == 2 || major == 3) && !indefinite) {
        offset_ = number > bytes_.size() - offset_ ? bytes_.size() : offset_ + number;
      } else if (major >= 2 && major <= 6) {
        const uint64_t items = major == 6 ? 1 : (major == 5 ? number * 2 : number);
        open.push_back(indefinite ? UINT64_MAX : items + 1);
        if (open.size() > kMaxDepth) return false;
      }
      // It was an item of what is open, and perhaps the last.
      while (!open.empty() && open.back() != UINT64_MAX) {
        --open.back();
        if (open.back() > 0) break;
        open.pop_back();
      }
    }
    return true;
  }

 private:
  uint64_t argument(int low) {
    if (low < 24 || low > 27) return static_cast<uint64_t>(low);
    const size_t size = std::min<size_t>(size_t{1} << (low - 24), bytes_.size() - offset_);
    uint64_t value = 0;
    for (size_t i = 0; i < size; ++i) {
      value = value << 8 | static_cast<unsigned char>(bytes_[offset_++]);
    }
    return value;
  }

  std::string_view bytes_;
  size_t offset_ = 0;
};

}  // namespace

Result<json> decode(std::string_view payload) {
  if (!Nesting(payload).is_fine()) {
    return fail(Code::kInvalidArgument, "the request is nested too deeply");
  }
  json request(json::value_t::discarded);
  try {
    request = json::from_cbor(payload, true, false);
  } catch (const json::exception&) {  // all the same, for a count that no container can hold
  }
  if (request.is_discarded() || !request.is_object()) {
    return fail(Code::kInvalidArgument, "the request is no CBOR map");
  }
  const auto id = request.find("requestId");
  if (id == request.end() || !id->is_string() || id->get_ref<const std::string&>().empty()) {
    return fail(Code::kInvalidArgument, "requestId must be a text of at least one character");
  }
  return request;
}

std::string request_id_of(std::string_view payload) {
  constexpr std::string_view kKey = "\x69requestId";
  const size_t key = payload.substr(0, 32).find(kKey);
  if (key == std::string_view::npos) return "";
  std::string_view text = payload.substr(key + kKey.size());
  if (text.empty()) return "";
  const auto head = static_cast<unsigned char>(text[0]);
  size_t size = head - 0x60u, skip = 1;
  if (head == 0x78 && text.size() > 1) {
    size = static_cast<unsigned char>(text[1]);
    skip = 2;
  } else if (head < 0x60 || head > 0x77) {
    return "";
  }
  return text.size() < skip + size ? "" : std::string(text.substr(skip, size));
}

std::string encode(Operation operation, const Answer& body) {
  std::string frame(kFrameLengthBytes + 1, '\0');
  frame[kFrameLengthBytes] = static_cast<char>(operation);
  Answer::to_cbor(body, frame);
  const auto length = static_cast<uint32_t>(frame.size() - kFrameLengthBytes);
  for (size_t i = 0; i < kFrameLengthBytes; ++i) {
    frame[i] = static_cast<char>(length >> (8 * (kFrameLengthBytes - 1 - i)) & 0xff);
  }
  return frame;
}

std::optional<Operation> response_of(Operation operation) {
  switch (operation) {
    case Operation::kConnect:
      return Operation::kConnectResponse;
    case Operation::kCreateMessageStream:
      return Operation::kCreateMessageStreamResponse;
    case Operation::kDeleteMessageStream:
      return Operation::kDeleteMessageStreamResponse;
    case Operation::kAppendMessage:
      return Operation::kAppendMessageResponse;
    case Operation::kReadMessages:
      return Operation::kReadMessagesResponse;
    case Operation::kListStreams:
      return Operation::kListStreamsResponse;
    case Operation::kDescribeMessageStream:
      return Operation::kDescribeMessageStreamResponse;
    case Operation::kUpdateMessageStream:
      return Operation::kUpdateMessageStreamResponse;
    default:
      return std::nullopt;
  }
}

Status status_of(const Error& error) {
  switch (error.code()) {
    case Code::kInvalidArgument:
    case Code::kUnsupported:
    case Code::kAlreadyExists:
      return Status::kInvalidRequest;
    case Code::kNotFound:
      return Status::kResourceNotFound;
    case Code::kPermissionDenied:
      return Status::kUnauthorized;
    case Code::kFailedPrecondition:
      return Status::kUpdateNotAllowed;
    case Code::kResourceExhausted:
      return Status::kOutOfMemory;
    case Code::kUnavailable:
      return Status::kNotEnoughMessages;
    case Code::kCorrupt:
      return Status::kMessageStoreReadError;
    case Code::kTimeout:
      return Status::kServerTimeout;
    case Code::kCancelled:
    case Code::kInternal:
      break;
  }
  return Status::kUnknownFailure;
}

Answer success(const std::string& request_id) {
  return {{"requestId", request_id}, {"status", static_cast<int>(Status::kSuccess)}};
}

Answer failure(const std::string& request_id, Status status, const std::string& message) {
  return {
      {"requestId", request_id}, {"status", static_cast<int>(status)}, {"errorMessage", message}};
}

std::optional<std::string> common_version(const std::vector<std::string>& wanted) {
  for (auto ours = std::rbegin(kProtocolVersions); ours != std::rend(kProtocolVersions); ++ours) {
    if (std::ranges::find(wanted, *ours) != wanted.end()) return *ours;
  }
  return std::nullopt;
}

Result<ReadOptions> parse_read_options(const json& request) {
  ReadOptions options;
  const auto found = request.find("readMessagesOptions");
  if (found == request.end() || found->is_null()) return options;
  if (!found->is_object()) {
    return fail(Code::kInvalidArgument, "readMessagesOptions must be a map");
  }
  int64_t min_count = 1;
  SKERRY_TRY(read_integer(*found, "desiredStartSequenceNumber", 0, INT64_MAX, options.from));
  SKERRY_TRY(read_integer(*found, "minMessageCount", 1, kMostCount, min_count));
  int64_t max_count = min_count;
  SKERRY_TRY(read_integer(*found, "maxMessageCount", 1, kMostCount, max_count));
  SKERRY_TRY(read_integer(*found, "readTimeoutMillis", 0, kMostTimeoutMs, options.timeout_ms));
  if (max_count < min_count) {
    return fail(Code::kInvalidArgument, "maxMessageCount is less than minMessageCount");
  }
  options.min_count = static_cast<size_t>(min_count);
  options.max_count = static_cast<size_t>(max_count);
  return options;
}

Answer to_json(const std::string& stream, std::vector<Message> messages) {
  Answer out = Answer::array();
  for (Message& message : messages) {
    const std::string& payload = message.payload;
    out.push_back({{"streamName", stream},
                   {"sequenceNumber", message.sequence},
                   {"ingestTime", message.ingest_ms},
                   {"payload", Answer::binary({payload.begin(), payload.end()})}});
    message.payload = {};
  }
  return out;
}

json to_json(const StreamInfo& info) {
  json exports = json::array();
  for (const auto& [identifier, progress] : info.exports) {
    json status = {{"exportConfigIdentifier", identifier},
                   {"lastExportedSequenceNumber", progress.next - 1},
                   {"exportedBytesFromStream", progress.bytes},
                   {"exportedMessagesCount", progress.messages}};
    if (progress.last_ms > 0) status["lastExportTime"] = progress.last_ms;
    if (!progress.error.empty()) status["errorMessage"] = progress.error;
    exports.push_back(std::move(status));
  }
  return {{"definition", to_json(info.definition)},
          {"storageStatus",
           {{"oldestSequenceNumber", info.range.oldest},
            {"newestSequenceNumber", info.range.newest},
            {"totalBytes", info.range.bytes}}},
          {"exportStatuses", std::move(exports)}};
}

}  // namespace skerry::streams
