// Inside of net: a socket whose readiness coroutines await.
#pragma once

#include <coroutine>
#include <cstdint>
#include <memory>
#include <utility>

#include "io/fd.h"
#include "io/loop.h"

namespace skerry::net {

using io::Fd;

// A non-blocking socket: `co_await socket.readable()`, one waiter for each direction. Whichever of
// the waiting coroutine and the socket is destroyed first, the other is left safe.
class Socket {
 public:
  // `slot` is released with the socket: its place in a listener's count.
  Socket(io::Loop& loop, Fd fd, std::shared_ptr<void> slot = nullptr)
      : slot_(std::move(slot)), fd_(std::move(fd)), watch_(loop.watch(fd_.get())) {}
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  ~Socket();

  class Readiness {
   public:
    Readiness(Socket* socket, int side) : socket_(socket), side_(side) {}
    Readiness(const Readiness&) = delete;
    Readiness& operator=(const Readiness&) = delete;
    ~Readiness();
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle);
    void await_resume() const noexcept {}

   private:
    friend class Socket;
    Socket* socket_;
    int side_;
    std::coroutine_handle<> handle_;
  };
  Readiness readable() { return Readiness(this, 0); }
  Readiness writable() { return Readiness(this, 1); }

  int fd() const { return fd_.get(); }
  // The other side has closed or is gone, even where bytes of it are still to be read.
  bool is_closed_by_peer() const;
  // Both directions end; whoever waits wakes up.
  void abort();

 private:
  struct Side {
    Readiness* waiter = nullptr;
    bool armed = false;  // the watch holds a callback; it outlives a waiter that was cancelled
  };
  void ready(int side);

  std::shared_ptr<void> slot_;
  Fd fd_;
  std::unique_ptr<io::FdWatch> watch_;
  Side sides_[2];
};

}  // namespace skerry::net
