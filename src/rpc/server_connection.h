// The server's side of one event-stream RPC connection as a state machine: bytes in, calls into a
// table of operations, bytes out. It knows no socket and no service model. One thread.
//
// A client connects with a token, then opens streams by calling an operation on each. A unary
// operation answers once and its stream ends; a streaming one answers, then sends events until
// either side ends the stream.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "rpc/event_stream.h"
#include "rpc/protocol.h"

namespace skerry::rpc {

class ServerConnection;

// One open stream. Copies refer to the same stream and may outlive it and its connection: sending
// on a stream that has ended does nothing. Payloads are JSON unless said otherwise; `shape` is the
// service model's name of what is sent.
class ServerStream {
 public:
  bool open() const { return state_->connection != nullptr; }
  // What the authentication returned for this connection.
  const std::string& principal() const { return *state_->principal; }

  void respond(std::string_view shape, std::string_view json) const;  // the answer; ends the stream
  void start(std::string_view shape, std::string_view json) const;    // the answer; goes on
  void send(std::string_view shape, std::string_view json) const;     // an event
  // An error of the model; ends the stream. An empty shape sends the body unmodelled.
  void fail(std::string_view shape, std::string_view json) const;
  void fail_unmodelled(std::string_view text) const;  // plain text; ends the stream
  void close() const;                                 // ends the stream without a word

  // What the client sends on the stream after its request.
  void on_message(std::function<void(std::string_view payload)> handler) const {
    state_->on_message = std::move(handler);
  }
  // Runs once when the stream ends, whoever ends it, also with its connection; at once where it has
  // ended already. What the handler holds is released then.
  void on_closed(std::move_only_function<void()> handler) const {
    if (open()) {
      state_->on_closed = std::move(handler);
    } else {
      handler();
    }
  }

 private:
  friend class ServerConnection;
  struct State {
    ServerConnection* connection = nullptr;  // null once the stream has ended
    int32_t id = 0;
    std::shared_ptr<const std::string> principal;
    std::function<void(std::string_view)> on_message;
    std::move_only_function<void()> on_closed;
  };
  explicit ServerStream(std::shared_ptr<State> state) : state_(std::move(state)) {}
  void emit(MessageType type, int32_t flags, std::string_view content_type, std::string_view shape,
            std::string_view payload) const;

  std::shared_ptr<State> state_;  // shared: the connection ends the stream under its holders
};

// What a server offers.
struct Service {
  // Called with the CONNECT message. Returns who the client is, or why it is refused (for the log).
  // After a retryable error the connection ends without an answer: clients try such again, and give
  // up after a refusal.
  std::function<Result<std::string>(const Frame& connect)> authenticate;
  // Operation name → handler. `payload` lives for the call only.
  using Handler = std::function<void(const ServerStream&, std::string_view payload)>;
  std::map<std::string, Handler, std::less<>> operations;
};

struct ServerLimits {
  size_t message_bytes = kMaxMessageBytes;
  size_t connect_bytes = 16 << 10;               // of a message before the client is known
  size_t streams = 1024;                         // open at once
  size_t outbound_bytes = 2 * kMaxMessageBytes;  // produced and not yet taken
};

class ServerConnection {
 public:
  // `service` must outlive the connection. `on_output` is called when output() becomes non-empty or
  // the connection ends, except from inside receive(), whose caller looks for itself.
  ServerConnection(const Service& service, ServerLimits limits, std::function<void()> on_output);
  ~ServerConnection();  // ends every stream
  ServerConnection(const ServerConnection&) = delete;
  ServerConnection& operator=(const ServerConnection&) = delete;

  void receive(std::string_view bytes);
  // Bytes for the client, handed over.
  std::string take_output() { return std::exchange(output_, {}); }
  bool has_output() const { return !output_.empty(); }

  // No more will be read or produced: write the rest of the output, then close the socket.
  bool ended() const { return state_ == State::kEnded; }
  // Why, for the log; empty until then.
  const std::string& end_reason() const { return end_reason_; }
  bool connected() const { return state_ == State::kConnected; }
  const std::string& principal() const { return *principal_; }
  size_t streams() const { return streams_.size(); }

 private:
  friend class ServerStream;
  enum class State { kWaitingForConnect, kConnected, kEnded };

  void handle(const Frame& frame);
  void handle_connect(const Frame& frame);
  void handle_connection_message(MessageType type, const Frame& frame);
  void handle_stream_message(int32_t id, MessageType type, int32_t flags, const Frame& frame);
  void open_stream(int32_t id, std::string_view operation, std::string_view payload);
  void answer_ping(const Frame& ping);
  // Tells the client what it did wrong, and ends.
  void protocol_error(std::string_view message);
  void end(std::string reason);
  void close_stream(int32_t id);
  void emit(std::span<const Header> headers, std::string_view payload);
  void notify();

  const Service& service_;
  const ServerLimits limits_;
  std::function<void()> on_output_;
  State state_ = State::kWaitingForConnect;
  FrameDecoder decoder_;
  std::string output_;
  bool receiving_ = false;
  std::string end_reason_;
  std::shared_ptr<const std::string> principal_;
  int32_t last_stream_id_ = 0;
  std::map<int32_t, std::shared_ptr<ServerStream::State>> streams_;
};

}  // namespace skerry::rpc
