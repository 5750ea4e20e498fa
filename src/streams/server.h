// The Stream Manager protocol on a TCP port, for the stock SDKs.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/error.h"
#include "io/loop.h"
#include "io/task.h"
#include "net/stream.h"
#include "streams/service.h"

namespace skerry::streams {

struct ServerOptions {
  std::string address = "127.0.0.1";
  uint16_t port = 8088;
  size_t max_frame_bytes = 64 << 20;
  size_t max_connections = 256;
  std::string version = "0.1.0";
  // Whether whoever has this token (AWS_CONTAINER_AUTHORIZATION_TOKEN of a component) may connect;
  // unset: anybody may.
  std::function<io::Task<Result<void>>(std::string token)> authenticate;
};

class Server {
 public:
  Server(io::Loop& loop, StreamService& service, ServerOptions options);
  Result<void> listen();
  // And on a Unix socket that only this user may open: such clients need no token.
  Result<void> listen_unix(const std::string& path);
  uint16_t port() const { return listener_->port(); }

 private:
  class Connection;
  io::Task<void> serve(std::unique_ptr<net::Stream> stream, bool is_trusted);

  io::Loop& loop_;
  StreamService& service_;
  ServerOptions options_;
  std::unique_ptr<net::Listener> listener_, local_listener_;
  io::TaskScope connections_;
};

}  // namespace skerry::streams
