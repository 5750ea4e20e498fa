// Byte streams: TCP, Unix sockets and TLS over either, all awaited on one Loop.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "io/loop.h"
#include "io/task.h"
#include "net/http.h"
#include "net/tls.h"

namespace skerry::net {

class Stream {
 public:
  virtual ~Stream() = default;  // closes at once
  // At least one byte into [data, data + size); 0 at the end of the stream.
  virtual io::Task<Result<size_t>> read_some(char* data, size_t size) = 0;
  // All of it.
  virtual io::Task<Result<void>> write_all(std::string_view bytes) = 0;
  virtual const Peer& peer() const = 0;
};

// `host` may be a name or an address. With `tls`, verifies the server's certificate for `host`.
io::Task<Result<std::unique_ptr<Stream>>> connect_tcp(io::Loop& loop, std::string host, uint16_t port,
                                                      std::shared_ptr<TlsContext> tls,
                                                      int64_t timeout_ms = 10'000);
io::Task<Result<std::unique_ptr<Stream>>> connect_unix(io::Loop& loop, std::string path);

// Accepts connections and hands each, after its TLS handshake, to `on_stream`. Destroying it stops
// accepting; streams handed out live on.
class Listener {
 public:
  using OnStream = std::function<void(std::unique_ptr<Stream>)>;
  virtual ~Listener() = default;
  virtual uint16_t port() const = 0;  // the real one where 0 was asked for; 0 for a Unix socket
};

// `tls` may be null. A handshake that takes over 10 s is dropped. At most `max_connections` at once.
Result<std::unique_ptr<Listener>> listen_tcp(io::Loop& loop, const std::string& address, uint16_t port,
                                             std::shared_ptr<TlsContext> tls,
                                             Listener::OnStream on_stream);
// Replaces a stale socket file. `mode`: permission bits of the socket. Paths over 107 bytes are reached
// through /proc/self/fd of their directory.
Result<std::unique_ptr<Listener>> listen_unix(io::Loop& loop, const std::string& path, uint32_t mode,
                                              Listener::OnStream on_stream);

}  // namespace skerry::net
