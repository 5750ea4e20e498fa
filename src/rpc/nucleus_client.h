// A component's way to the nucleus that runs it: calls of IPC operations over the nucleus's socket,
// from the event loop. Any Greengrass nucleus will do.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "io/loop.h"
#include "io/task.h"
#include "net/stream.h"
#include "rpc/client_connection.h"

namespace skerry::rpc {

// As a nucleus tells its components in their environment; no socket: there is no nucleus.
struct NucleusAddress {
  std::string socket_path;
  std::string token;
  std::string thing;

  // Empty unless all of it is there.
  static NucleusAddress of_environment();
  bool empty() const { return socket_path.empty(); }
};

// What a component hears of a topic. The last two are MQTT 5's, which local topics do not have.
struct NucleusMessage {
  std::string payload;
  std::string response_topic;    // where its sender wants the answer; "": it says nothing
  std::string correlation_data;  // to go with the answer, bytes of any kind
};

class NucleusClient {
 public:
  struct Answer {
    bool is_error = false;
    std::string shape;  // "aws.greengrass#PublishToIoTCoreResponse"
    std::string payload;
  };

  // kUnavailable or kTimeout where the nucleus is not there, kPermissionDenied where it does not
  // know the token.
  static io::Task<Result<std::unique_ptr<NucleusClient>>> connect(io::Loop& loop,
                                                                  NucleusAddress nucleus);
  // `operation` in full. One call at a time; an application error is an Answer too. After an error
  // of another kind the connection is over.
  io::Task<Result<Answer>> call(std::string operation, std::string request);
  // Has the nucleus send a message to the broker with QoS 1; returns once it has taken it.
  // `correlation_data` of the message that it answers, if that has some.
  io::Task<Result<void>> publish_to_iot_core(std::string topic, std::string payload,
                                             std::string correlation_data = {});
  // To the components of this device.
  io::Task<Result<void>> publish_to_topic(std::string topic, std::string payload);
  // Says that this component is "RUNNING", as a Startup script may that goes on, or "ERRORED".
  io::Task<Result<void>> update_state(std::string state);
  // What the nucleus has of this component's configuration below `key`, as JSON.
  io::Task<Result<std::string>> configuration(std::string key);
  // Has the nucleus subscribe; returns once the broker knows of it. `on_message` hears messages
  // while a call or wait() is awaited.
  using OnMessage = std::function<void(NucleusMessage message)>;
  io::Task<Result<void>> subscribe_to_iot_core(std::string topic, OnMessage on_message);
  // The same for messages of this device's components.
  io::Task<Result<void>> subscribe_to_topic(std::string topic, OnMessage on_message);
  // Until something has come, however long that takes.
  io::Task<Result<void>> wait_for_ever() { return exchange(); }
  // Until something has come; kTimeout or kUnavailable after some seconds of silence, and then the
  // connection is over.
  io::Task<Result<void>> wait();

 private:
  NucleusClient(io::Loop& loop, std::unique_ptr<net::Stream> stream)
      : stream_(std::move(stream)), guard_(loop, *stream_, kSilenceMs) {}
  using Decode = std::optional<NucleusMessage> (*)(std::string_view event);
  io::Task<Result<void>> exchange();
  io::Task<Result<void>> subscribe(std::string operation, std::string request, std::string topic,
                                   Decode decode, OnMessage on_message);

  // The nucleus waits 5 s for the broker's answer before it takes a message over.
  static constexpr int64_t kSilenceMs = 8'000;

  std::unique_ptr<net::Stream> stream_;
  net::IdleGuard guard_;
  ClientConnection rpc_;
  std::string output_;
  std::array<char, 4096> buffer_{};
};

}  // namespace skerry::rpc
