// The names and numbers of the event-stream RPC protocol, shared by server and client.
#pragma once

#include <cstdint>
#include <string_view>

namespace skerry::rpc {

enum class MessageType : int32_t {
  kApplicationMessage = 0,
  kApplicationError = 1,
  kPing = 2,
  kPingResponse = 3,
  kConnect = 4,
  kConnectAck = 5,
  kProtocolError = 6,
  kInternalError = 7,
};

constexpr int32_t kFlagConnectionAccepted = 1;
constexpr int32_t kFlagTerminateStream = 2;

constexpr std::string_view kProtocolVersion = "0.1.0";

constexpr std::string_view kMessageTypeHeader = ":message-type";
constexpr std::string_view kMessageFlagsHeader = ":message-flags";
constexpr std::string_view kStreamIdHeader = ":stream-id";
constexpr std::string_view kVersionHeader = ":version";
constexpr std::string_view kContentTypeHeader = ":content-type";
constexpr std::string_view kShapeHeader = "service-model-type";
constexpr std::string_view kOperationHeader = "operation";

constexpr std::string_view kJson = "application/json";
constexpr std::string_view kPlainText = "text/plain";

}  // namespace skerry::rpc
