// The client's side of one event-stream RPC connection: calls in, bytes out; bytes in, replies out.
// No I/O; one thread. For the tests, the benchmarks and our own tools; components use the public
// SDKs.
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

// One message of a stream, as views that live for the callback only.
struct Reply {
  bool is_error = false;     // an application error; `shape` is empty where it is not modelled
  bool last = false;         // the stream ends with it
  std::string_view shape;    // service-model-type
  std::string_view payload;  // empty in the message that only ends a stream
};

class ClientConnection {
 public:
  explicit ClientConnection(size_t max_message_bytes = kMaxMessageBytes)
      : decoder_(max_message_bytes) {}

  // First of all. `token` goes into {"authToken":…}; `headers` are sent besides the usual ones.
  void connect(std::string_view token, std::span<const Header> headers = {});
  bool connected() const { return connected_; }

  // Opens a stream; `on_reply` runs for the response and for each event. Returns the stream's id.
  using OnReply = std::function<void(const Reply&)>;
  Result<int32_t> call(std::string_view operation, std::string_view json, OnReply on_reply);
  // A message on an open stream, and the end of one.
  Result<void> send(int32_t stream, std::string_view json, std::string_view shape = {});
  void close(int32_t stream);
  void ping(std::string_view payload, std::function<void(std::string_view)> on_pong);

  // kPermissionDenied where the server refused the connection, kCorrupt on bytes that are no
  // frames, kFailedPrecondition where the server reported a protocol error. The connection is over
  // then.
  Result<void> receive(std::string_view bytes);
  std::string take_output() { return std::exchange(output_, {}); }
  size_t streams() const { return streams_.size(); }

 private:
  Result<void> handle(const Frame& frame);
  Result<void> emit(std::span<const Header> headers, std::string_view payload);

  FrameDecoder decoder_;
  std::string output_;
  bool connected_ = false;
  int32_t last_stream_id_ = 0;
  std::map<int32_t, std::shared_ptr<OnReply>>
      streams_;  // shared: a callback may end its own stream
  std::function<void(std::string_view)> on_pong_;
};

}  // namespace skerry::rpc
