// Readiness of a socket as something to co_await.
#include "net/socket.h"

#include <poll.h>
#include <sys/socket.h>

namespace skerry::net {

bool Socket::is_closed_by_peer() const {
  pollfd socket{fd_.get(), POLLRDHUP, 0};
  return ::poll(&socket, 1, 0) > 0;
}

Socket::~Socket() {
  for (Side& side : sides_) {
    if (side.waiter) side.waiter->socket_ = nullptr;
  }
  watch_.reset();
}

Socket::Readiness::~Readiness() {
  if (socket_ && socket_->sides_[side_].waiter == this) socket_->sides_[side_].waiter = nullptr;
}

void Socket::Readiness::await_suspend(std::coroutine_handle<> handle) {
  handle_ = handle;
  Side& side = socket_->sides_[side_];
  side.waiter = this;
  if (std::exchange(side.armed, true)) return;
  auto fire = [socket = socket_, index = side_] { socket->ready(index); };
  if (side_ == 0) {
    socket_->watch_->when_readable(fire);
  } else {
    socket_->watch_->when_writable(fire);
  }
}

void Socket::ready(int side) {
  sides_[side].armed = false;
  // Resuming may destroy this socket: nothing of it is touched afterwards.
  if (Readiness* waiter = std::exchange(sides_[side].waiter, nullptr)) waiter->handle_.resume();
}

void Socket::abort() {
  ::shutdown(fd_.get(), SHUT_RDWR);
}

}  // namespace skerry::net
