// The Stream Manager protocol's frames and CBOR maps: what goes over the wire, without I/O.
//
// A client sends the byte 1, then frames: i32 big-endian length of what follows, u8 operation, CBOR
// map. The server answers the first one with the byte 1 and a frame; each later frame with one.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "io/message_log.h"
#include "streams/stream_store.h"

namespace skerry::streams {

enum class Operation : uint8_t {
  kUnknown = 0,
  kConnect = 1,
  kCreateMessageStream = 2,
  kDeleteMessageStream = 3,
  kAppendMessage = 4,
  kReadMessages = 5,
  kConnectResponse = 6,
  kCreateMessageStreamResponse = 7,
  kDeleteMessageStreamResponse = 8,
  kAppendMessageResponse = 9,
  kReadMessagesResponse = 10,
  kListStreams = 11,
  kListStreamsResponse = 12,
  kDescribeMessageStream = 13,
  kDescribeMessageStreamResponse = 14,
  kUpdateMessageStream = 15,
  kUpdateMessageStreamResponse = 16,
  kUnknownOperationError = 17,
};

enum class Status {
  kSuccess = 0,
  kUnknownFailure = 1,
  kUnauthorized = 2,
  kInvalidRequest = 3,
  kRequestPayloadTooLarge = 4,
  kResourceNotFound = 5,
  kServerTimeout = 6,
  kUnsupportedConnectVersion = 8,
  kUnexpectedOperation = 9,
  kUnsupportedProtocolVersion = 10,
  kInvalidProtocolVersion = 11,
  kNotEnoughMessages = 13,
  kMessageStoreReadError = 14,
  kOutOfMemory = 15,
  kUpdateFailed = 16,
  kUpdateNotAllowed = 17,
  kUnknownOperation = 18,
};

inline constexpr char kConnectVersion = 1;
inline constexpr size_t kFrameLengthBytes = 4;
inline constexpr const char* kProtocolVersions[] = {"1.0.0", "1.1.0"};  // oldest first

// A CBOR map with a text requestId. kInvalidArgument where it is none, or nested beyond reason.
Result<nlohmann::json> decode(std::string_view payload);
// The requestId, where a payload, or the beginning of one, has it as its first member.
std::string request_id_of(std::string_view payload);
// What is answered: a map in the order in which clients have seen it from the stock server.
using Answer = nlohmann::ordered_json;
// Length, operation and CBOR.
std::string encode(Operation operation, const Answer& body);

// The operation that answers a request; nothing where `operation` is no request.
std::optional<Operation> response_of(Operation operation);
Status status_of(const Error& error);
Answer success(const std::string& request_id);
Answer failure(const std::string& request_id, Status status, const std::string& message);

// The newest of `wanted` that this server speaks; nothing where there is none.
std::optional<std::string> common_version(const std::vector<std::string>& wanted);

struct ReadOptions {
  int64_t from = 0;
  size_t min_count = 1, max_count = 1;
  int64_t timeout_ms = 0;
};
Result<ReadOptions> parse_read_options(const nlohmann::json& request);
Answer to_json(const std::string& stream, std::vector<Message> messages);
nlohmann::json to_json(const StreamInfo& info);

}  // namespace skerry::streams
