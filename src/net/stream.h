// Byte streams: TCP, Unix sockets and TLS over either, all awaited on one Loop.
#pragma once

#include <algorithm>
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

class Socket;

// One coroutine may read while another writes; two readers or two writers may not.
class Stream {
 public:
  virtual ~Stream() = default;  // closes at once
  // At least one byte into [data, data + size); 0 at the end of the stream.
  virtual io::Task<Result<size_t>> read_some(char* data, size_t size) = 0;
  // All of it. The bytes must stay where they are until the task ends.
  virtual io::Task<Result<void>> write_all(std::string_view bytes) = 0;
  // `first`, then `second`, in one system call where the socket takes them.
  virtual io::Task<Result<void>> write_both(std::string_view first, std::string_view second) = 0;
  // Says that nothing more will be written (TLS: close_notify); reading goes on.
  virtual void shutdown_write() = 0;
  // Ends pending and later reads and writes, which then fail or read the end of the stream.
  virtual void abort() = 0;
  // True where the other side has closed, or sent something nobody asked for, while nothing was
  // awaited.
  virtual bool is_stale() = 0;
  // True where the other side has closed, whatever it sent before.
  virtual bool is_closed_by_peer() const = 0;
  // Bytes read and written so far; tells a slow stream from a dead one.
  virtual uint64_t bytes_moved() const = 0;
  virtual const Peer& peer() const = 0;
  // The socket itself, for a protocol that goes on where this one ends; the stream is then only to
  // be destroyed. Null where bytes are not sent as they are (TLS).
  virtual std::unique_ptr<Socket> release() { return nullptr; }
};

// Aborts a stream on which no byte has moved for `timeout_ms` (up to a quarter more). Checks by one
// timer in the background, so that guarding costs a request nothing. Destroy it before the stream.
class IdleGuard {
 public:
  enum class Mode {
    kPaused,    // counts nothing: the stream is not what is waited for
    kProgress,  // every byte moved starts the count again
    kDeadline,  // only set_mode starts the count again
  };
  IdleGuard(io::Loop& loop, Stream& stream, int64_t timeout_ms);
  IdleGuard(const IdleGuard&) = delete;
  IdleGuard& operator=(const IdleGuard&) = delete;
  void set_mode(Mode mode);
  Mode mode() const { return mode_; }
  bool expired() const { return expired_; }
  // In mode kProgress: what has to move in the timeout for it to be progress.
  void set_min_bytes(uint64_t bytes) { min_bytes_per_tick_ = std::max<uint64_t>(1, bytes / 4); }

 private:
  void arm();
  void tick();
  io::Loop& loop_;
  Stream& stream_;
  int64_t tick_ms_;
  Mode mode_ = Mode::kProgress;
  uint64_t seen_bytes_ = 0;
  uint64_t min_bytes_per_tick_ = 1;
  int quiet_ticks_ = 0;
  bool expired_ = false;
  io::Timer timer_;
};

// `host` may be a name or an address. With `tls`, verifies the server's certificate for `host`.
io::Task<Result<std::unique_ptr<Stream>>> connect_tcp(io::Loop& loop, std::string host,
                                                      uint16_t port,
                                                      std::shared_ptr<TlsContext> tls,
                                                      int64_t timeout_ms = 10'000);
io::Task<Result<std::unique_ptr<Stream>>> connect_unix(io::Loop& loop, std::string path);

// Accepts connections and hands each, after its TLS handshake, to `on_stream`. Destroying it stops
// accepting and removes a Unix socket's file; streams handed out live on. Not to be destroyed from
// inside `on_stream`.
class Listener {
 public:
  using OnStream = std::function<void(std::unique_ptr<Stream>)>;
  virtual ~Listener() = default;
  virtual uint16_t port() const = 0;  // the real one where 0 was asked for; 0 for a Unix socket
};

// How many connections a listener has at once, handshakes included. The process's limit of open
// files lowers both: half of it at most.
struct ListenLimits {
  size_t max_connections = 10'000;
  size_t max_per_source = 10'000;  // of one Peer::source
  // Asked when somebody waits and a limit is reached: ends a connection of `source` ("": of
  // anybody) that does nothing, or says false. Where it says false, one more of that source is
  // refused, and one more of anybody waits in the kernel's queue. Handshakes that have not ended
  // are displaced in any case.
  std::function<bool(const std::string& source)> make_room;
};

// `address` is numeric or "localhost". `tls` may be null. A handshake that takes over 10 s is
// dropped.
Result<std::unique_ptr<Listener>> listen_tcp(io::Loop& loop, const std::string& address,
                                             uint16_t port, std::shared_ptr<TlsContext> tls,
                                             Listener::OnStream on_stream,
                                             ListenLimits limits = {});
// Replaces a stale socket file; kAlreadyExists where a program still listens on it. `mode`:
// permission bits of the socket. Paths over 107 bytes are reached through /proc/self/fd of their
// directory.
Result<std::unique_ptr<Listener>> listen_unix(io::Loop& loop, const std::string& path,
                                              uint32_t mode, Listener::OnStream on_stream,
                                              ListenLimits limits = {});

// As many open files as the system lets this process have. Programs that serve call it first.
void raise_open_file_limit();

}  // namespace skerry::net
