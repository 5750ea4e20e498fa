// The rules of the protocol: what a server accepts in which state, and how it answers.
#include "rpc/server_connection.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

namespace skerry::rpc {
namespace {

void append_json_text(std::string& out, std::string_view text) {
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
}

bool starts_with_colon(std::string_view name) {
  return !name.empty() && name[0] == ':';
}

}  // namespace

// --- Streams ------------------------------------------------------------------------------------

void ServerStream::emit(MessageType type, int32_t flags, std::string_view content_type,
                        std::string_view shape, std::string_view payload) const {
  ServerConnection* connection = state_->connection;
  if (!connection) return;
  // The order of the public servers; clients do not care, recorded sessions do.
  std::array<Header, 5> headers;
  size_t count = 0;
  if (!content_type.empty()) headers[count++] = Header::text(kContentTypeHeader, content_type);
  if (!shape.empty()) headers[count++] = Header::text(kShapeHeader, shape);
  headers[count++] = Header::int32(kMessageTypeHeader, static_cast<int32_t>(type));
  headers[count++] = Header::int32(kMessageFlagsHeader, flags);
  headers[count++] = Header::int32(kStreamIdHeader, state_->id);
  // What ends the connection (a full output) ends the stream, and may destroy this very handle.
  const ServerStream keep(*this);
  connection->emit(std::span(headers).first(count), payload);
  if (flags & kFlagTerminateStream && keep.state_->connection) {
    keep.state_->connection->close_stream(keep.state_->id);
  }
}

void ServerStream::respond(std::string_view shape, std::string_view json) const {
  emit(MessageType::kApplicationMessage, kFlagTerminateStream, kJson, shape, json);
}
void ServerStream::start(std::string_view shape, std::string_view json) const {
  emit(MessageType::kApplicationMessage, 0, kJson, shape, json);
}
void ServerStream::send(std::string_view shape, std::string_view json) const {
  emit(MessageType::kApplicationMessage, 0, kJson, shape, json);
}
void ServerStream::fail(std::string_view shape, std::string_view json) const {
  emit(MessageType::kApplicationError, kFlagTerminateStream, kJson, shape, json);
}
void ServerStream::fail_unmodelled(std::string_view text) const {
  emit(MessageType::kApplicationError, kFlagTerminateStream, kPlainText, {}, text);
}
void ServerStream::close() const {
  emit(MessageType::kApplicationMessage, kFlagTerminateStream, {}, {}, {});
}

// --- The connection -----------------------------------------------------------------------------

ServerConnection::ServerConnection(const Service& service, ServerLimits limits,
                                   std::function<void()> on_output)
    : service_(service),
      limits_(limits),
      on_output_(std::move(on_output)),
      decoder_(std::min(limits.connect_bytes, limits.message_bytes)),
      principal_(std::make_shared<const std::string>()) {}

ServerConnection::~ServerConnection() {
  on_output_ = nullptr;
  end("the server closed the connection");
}

void ServerConnection::receive(std::string_view bytes) {
  receiving_ = true;
  decoder_.feed(bytes);
  while (!ended()) {
    Result<const Frame*> frame = decoder_.next();
    if (!frame) {
      end(frame.error().message());
    } else if (*frame) {
      handle(**frame);
    } else {
      break;
    }
  }
  receiving_ = false;
}

void ServerConnection::handle(const Frame& frame) {
  const std::optional<int32_t> type = frame.int32(kMessageTypeHeader);
  const std::optional<int32_t> flags = frame.int32(kMessageFlagsHeader);
  const std::optional<int32_t> stream_id = frame.int32(kStreamIdHeader);
  if (!type || !flags || !stream_id) {
    return protocol_error("Every message needs :message-type, :message-flags and :stream-id.");
  }
  const auto message_type = static_cast<MessageType>(*type);
  if (state_ == State::kWaitingForConnect) {
    if (message_type != MessageType::kConnect || *stream_id != 0) {
      return protocol_error("The first message of a connection must be CONNECT on stream 0.");
    }
    handle_connect(frame);
  } else if (*stream_id == 0) {
    handle_connection_message(message_type, frame);
  } else {
    handle_stream_message(*stream_id, message_type, *flags, frame);
  }
}

void ServerConnection::handle_connect(const Frame& frame) {
  const std::optional<std::string_view> version = frame.text(kVersionHeader);
  Result<std::string> principal =
      fail(Code::kUnsupported, "protocol version " + std::string(version.value_or("missing")) +
                                   ", this server speaks " + std::string(kProtocolVersion));
  if (version == kProtocolVersion) principal = service_.authenticate(frame);
  if (!principal && principal.error().retryable()) return end(principal.error().message());
  const std::array headers = {
      Header::int32(kMessageTypeHeader, static_cast<int32_t>(MessageType::kConnectAck)),
      Header::int32(kMessageFlagsHeader, principal ? kFlagConnectionAccepted : 0),
      Header::int32(kStreamIdHeader, 0)};
  emit(headers, {});
  if (!principal) return end("refused: " + principal.error().message());
  principal_ = std::make_shared<const std::string>(std::move(*principal));
  state_ = State::kConnected;
  decoder_.set_max_message_bytes(limits_.message_bytes);
}

void ServerConnection::handle_connection_message(MessageType type, const Frame& frame) {
  switch (type) {
    case MessageType::kPing:
      return answer_ping(frame);
    case MessageType::kPingResponse:
      return;
    case MessageType::kProtocolError:
    case MessageType::kInternalError:
      return end("the client reported: " + std::string(frame.payload.substr(0, 512)));
    case MessageType::kConnect:
      return protocol_error("CONNECT came a second time.");
    case MessageType::kApplicationMessage:
    case MessageType::kApplicationError:
      return protocol_error("Application messages belong on a stream, not on :stream-id 0.");
    case MessageType::kConnectAck:
      break;
  }
  protocol_error("A client may not send :message-type " +
                 std::to_string(static_cast<int32_t>(type)) + ".");
}

void ServerConnection::handle_stream_message(int32_t id, MessageType type, int32_t flags,
                                             const Frame& frame) {
  if (type != MessageType::kApplicationMessage && type != MessageType::kApplicationError) {
    return protocol_error("Only application messages belong on a stream.");
  }
  const bool terminates = flags & kFlagTerminateStream;
  const auto found = streams_.find(id);
  if (found != streams_.end()) {
    const std::shared_ptr<ServerStream::State> stream = found->second;
    if (!terminates || !frame.payload.empty()) {
      // A copy: the handler may replace or end itself.
      if (const auto on_message = stream->on_message) on_message(frame.payload);
    }
    if (terminates && stream->connection) close_stream(id);
    return;
  }
  const std::optional<std::string_view> operation = frame.text(kOperationHeader);
  if (id > 0 && id <= last_stream_id_) {
    // The stream has ended here while this was on its way; only opening it again is wrong.
    if (terminates || !operation) return;
    return protocol_error("A new :stream-id must be the last one plus 1; " + std::to_string(id) +
                          " was used before.");
  }
  if (last_stream_id_ == std::numeric_limits<int32_t>::max() || id != last_stream_id_ + 1) {
    return protocol_error("A new :stream-id must be the last one plus 1; " + std::to_string(id) +
                          " came after " + std::to_string(last_stream_id_) + ".");
  }
  if (!operation) {
    return protocol_error("The first message of a stream needs an operation header.");
  }
  last_stream_id_ = id;
  open_stream(id, *operation, frame.payload);
  if (terminates) close_stream(id);
}

void ServerConnection::open_stream(int32_t id, std::string_view operation,
                                   std::string_view payload) {
  auto state = std::make_shared<ServerStream::State>();
  state->connection = this;
  state->id = id;
  state->principal = principal_;
  const ServerStream stream(state);
  streams_.emplace(id, std::move(state));
  if (streams_.size() > limits_.streams) {
    return stream.fail_unmodelled("Too many open streams: this server allows " +
                                  std::to_string(limits_.streams) + " on a connection.");
  }
  const auto handler = service_.operations.find(operation);
  if (handler != service_.operations.end()) return handler->second(stream, payload);
  std::string body =
      R"({ "error": "Unsupported Operation", "message": "This server has no operation )";
  append_json_text(body, operation.substr(0, 256));
  body += R"(" })";
  stream.fail({}, body);
}

void ServerConnection::answer_ping(const Frame& ping) {
  std::vector<Header> headers;
  for (const Header& header : ping.headers) {
    if (!starts_with_colon(header.name)) headers.push_back(header);
  }
  headers.push_back(
      Header::int32(kMessageTypeHeader, static_cast<int32_t>(MessageType::kPingResponse)));
  headers.push_back(Header::int32(kMessageFlagsHeader, 0));
  headers.push_back(Header::int32(kStreamIdHeader, 0));
  emit(headers, ping.payload);
}

void ServerConnection::protocol_error(std::string_view message) {
  std::string body = R"({ "message": ")";
  append_json_text(body, message);
  body += R"(" })";
  const std::array headers = {
      Header::text(kContentTypeHeader, kJson),
      Header::int32(kMessageTypeHeader, static_cast<int32_t>(MessageType::kProtocolError)),
      Header::int32(kMessageFlagsHeader, 0), Header::int32(kStreamIdHeader, 0)};
  emit(headers, body);
  end("protocol error: " + std::string(message));
}

void ServerConnection::end(std::string reason) {
  if (ended()) return;
  state_ = State::kEnded;
  end_reason_ = std::move(reason);
  while (!streams_.empty()) close_stream(streams_.begin()->first);
  notify();
}

void ServerConnection::close_stream(int32_t id) {
  auto node = streams_.extract(id);
  if (!node) return;
  const std::shared_ptr<ServerStream::State> state = std::move(node.mapped());
  state->connection = nullptr;
  state->on_message = nullptr;
  if (auto on_closed = std::exchange(state->on_closed, nullptr)) on_closed();
}

void ServerConnection::emit(std::span<const Header> headers, std::string_view payload) {
  if (ended()) return;
  const bool was_empty = output_.empty();
  if (auto appended = append_frame(output_, headers, payload, kMaxMessageBytes); !appended) {
    return end(appended.error().message());
  }
  if (output_.size() > limits_.outbound_bytes) {
    const std::string unread = std::to_string(output_.size());
    output_ = {};
    return end("the client does not read: " + unread + " bytes are waiting, at most " +
               std::to_string(limits_.outbound_bytes) + " may");
  }
  if (was_empty) notify();
}

void ServerConnection::notify() {
  if (!receiving_ && on_output_) on_output_();
}

}  // namespace skerry::rpc
