// For tests: a ServerConnection and what comes out of it, as decoded messages or as a client sees
// it.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "rpc/client_connection.h"
#include "rpc/server_connection.h"

namespace skerry::rpc {

// A message with its memory.
struct WireMessage {
  int32_t type = -1, flags = -1, stream = -1;
  std::string shape, content_type, payload;
  std::vector<std::string> header_names;
};

inline std::vector<WireMessage> decode_all(std::string_view bytes) {
  FrameDecoder decoder;
  decoder.feed(bytes);
  std::vector<WireMessage> messages;
  for (;;) {
    auto frame = decoder.next();
    EXPECT_TRUE(frame);
    if (!frame || !*frame) return messages;
    WireMessage message;
    message.type = (*frame)->int32(kMessageTypeHeader).value_or(-1);
    message.flags = (*frame)->int32(kMessageFlagsHeader).value_or(-1);
    message.stream = (*frame)->int32(kStreamIdHeader).value_or(-1);
    message.shape = (*frame)->text(kShapeHeader).value_or("");
    message.content_type = (*frame)->text(kContentTypeHeader).value_or("");
    message.payload = (*frame)->payload;
    for (const Header& header : (*frame)->headers) message.header_names.emplace_back(header.name);
    messages.push_back(std::move(message));
  }
}

// A client and a server joined in memory.
class Wire {
 public:
  explicit Wire(const Service& service, ServerLimits limits = {})
      : server(service, limits, [this] { ++wake_ups; }) {}

  // Moves bytes both ways until nothing is left. The error is what the client made of the end.
  Result<void> run() {
    for (;;) {
      const std::string up = client.take_output();
      if (!up.empty()) server.receive(up);
      const std::string down = server.take_output();
      if (!down.empty()) SKERRY_TRY(client.receive(down));
      if (up.empty() && down.empty()) return {};
    }
  }
  Result<void> connect(std::string_view token, std::span<const Header> headers = {}) {
    client.connect(token, headers);
    return run();
  }

  int wake_ups = 0;
  ServerConnection server;
  ClientConnection client;
};

}  // namespace skerry::rpc
