// How a client speaks the protocol, in the header order of the public JavaScript SDK.
#include "rpc/client_connection.h"

#include <array>
#include <nlohmann/json.hpp>
#include <utility>

namespace skerry::rpc {

void ClientConnection::connect(std::string_view token, std::span<const Header> headers) {
  std::vector<Header> all = {
      Header::text(kVersionHeader, kProtocolVersion),
      Header::int32(kMessageTypeHeader, static_cast<int32_t>(MessageType::kConnect)),
      Header::int32(kMessageFlagsHeader, 0), Header::int32(kStreamIdHeader, 0)};
  all.insert(all.end(), headers.begin(), headers.end());
  // The token is the caller's: nothing in it can exceed a frame's limits by accident.
  (void)emit(all, nlohmann::json{{"authToken", token}}.dump());
}

Result<int32_t> ClientConnection::call(std::string_view operation, std::string_view json,
                                       OnReply on_reply) {
  const int32_t id = last_stream_id_ + 1;
  const std::array headers = {
      Header::int32(kMessageTypeHeader, static_cast<int32_t>(MessageType::kApplicationMessage)),
      Header::int32(kMessageFlagsHeader, 0), Header::int32(kStreamIdHeader, id),
      Header::text(kOperationHeader, operation)};
  SKERRY_TRY(emit(headers, json));
  last_stream_id_ = id;
  streams_.emplace(id, std::make_shared<OnReply>(std::move(on_reply)));
  return id;
}

Result<void> ClientConnection::send(int32_t stream, std::string_view json, std::string_view shape) {
  std::array<Header, 5> headers;
  size_t count = 0;
  if (!shape.empty()) {
    headers[count++] = Header::text(kContentTypeHeader, kJson);
    headers[count++] = Header::text(kShapeHeader, shape);
  }
  headers[count++] =
      Header::int32(kMessageTypeHeader, static_cast<int32_t>(MessageType::kApplicationMessage));
  headers[count++] = Header::int32(kMessageFlagsHeader, 0);
  headers[count++] = Header::int32(kStreamIdHeader, stream);
  return emit(std::span(headers).first(count), json);
}

void ClientConnection::close(int32_t stream) {
  if (streams_.erase(stream) == 0) return;
  const std::array headers = {
      Header::int32(kMessageTypeHeader, static_cast<int32_t>(MessageType::kApplicationMessage)),
      Header::int32(kMessageFlagsHeader, kFlagTerminateStream),
      Header::int32(kStreamIdHeader, stream)};
  (void)emit(headers, {});  // cannot exceed a limit
}

void ClientConnection::ping(std::string_view payload,
                            std::function<void(std::string_view)> on_pong) {
  on_pong_ = std::move(on_pong);
  const std::array headers = {
      Header::int32(kMessageTypeHeader, static_cast<int32_t>(MessageType::kPing)),
      Header::int32(kMessageFlagsHeader, 0), Header::int32(kStreamIdHeader, 0)};
  (void)emit(headers, payload);
}

Result<void> ClientConnection::receive(std::string_view bytes) {
  decoder_.feed(bytes);
  for (;;) {
    SKERRY_ASSIGN(const Frame* frame, decoder_.next());
    if (!frame) return {};
    SKERRY_TRY(handle(*frame));
  }
}

Result<void> ClientConnection::handle(const Frame& frame) {
  const std::optional<int32_t> type = frame.int32(kMessageTypeHeader);
  const std::optional<int32_t> flags = frame.int32(kMessageFlagsHeader);
  const std::optional<int32_t> stream_id = frame.int32(kStreamIdHeader);
  if (!type || !flags || !stream_id) {
    return fail(Code::kCorrupt, "the server sent a message without its mandatory headers");
  }
  switch (static_cast<MessageType>(*type)) {
    case MessageType::kConnectAck:
      if (!(*flags & kFlagConnectionAccepted)) {
        return fail(Code::kPermissionDenied,
                    "the server refused the connection: is the token (SVCUID) a current one?");
      }
      connected_ = true;
      return {};
    case MessageType::kPingResponse:
      if (const auto on_pong = std::exchange(on_pong_, nullptr)) on_pong(frame.payload);
      return {};
    case MessageType::kProtocolError:
    case MessageType::kInternalError:
      return fail(Code::kFailedPrecondition,
                  "the server ended the connection: " + std::string(frame.payload.substr(0, 512)));
    case MessageType::kApplicationMessage:
    case MessageType::kApplicationError:
      break;
    case MessageType::kPing:
    case MessageType::kConnect:
      return {};
  }
  const auto found = streams_.find(*stream_id);
  if (found == streams_.end()) return {};  // closed here while this was on its way
  const std::shared_ptr<OnReply> on_reply = found->second;
  Reply reply;
  reply.is_error = *type == static_cast<int32_t>(MessageType::kApplicationError);
  reply.last = *flags & kFlagTerminateStream;
  reply.shape = frame.text(kShapeHeader).value_or(std::string_view());
  reply.payload = frame.payload;
  if (reply.last) streams_.erase(found);
  if (*on_reply) (*on_reply)(reply);
  return {};
}

Result<void> ClientConnection::emit(std::span<const Header> headers, std::string_view payload) {
  return append_frame(output_, headers, payload);
}

}  // namespace skerry::rpc
