// Plain streams over TCP and Unix sockets, connecting, and the guard against dead connections.
#include "net/stream.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "net/address.h"
#include "net/plain_stream.h"
#include "net/socket.h"
#include "net/tls_stream.h"

namespace skerry::net {
namespace {

constexpr std::string_view kUnixAddress = "unix";

class PlainStream : public Stream {
 public:
  PlainStream(std::unique_ptr<Socket> socket, std::string address, std::string source)
      : socket_(std::move(socket)) {
    peer_.address = std::move(address);
    ucred other{};
    socklen_t size = sizeof other;
    if (peer_.address == kUnixAddress &&
        getsockopt(socket_->fd(), SOL_SOCKET, SO_PEERCRED, &other, &size) == 0) {
      peer_.uid = other.uid;
    }
    peer_.source = std::move(source);
  }

  io::Task<Result<size_t>> read_some(char* data, size_t size) override {
    // A read that did not fill its buffer has emptied the socket: waiting first saves a system
    // call.
    if (emptied_) co_await socket_->readable();
    for (;;) {
      ssize_t count = ::recv(socket_->fd(), data, size, 0);
      if (count >= 0) {
        emptied_ = count > 0 && static_cast<size_t>(count) < size;
        bytes_moved_ += static_cast<uint64_t>(count);
        co_return static_cast<size_t>(count);
      }
      if (errno == EINTR) continue;
      if (errno != EAGAIN) co_return fail(io_error("reading from"));
      co_await socket_->readable();
    }
  }

  io::Task<Result<void>> write_all(std::string_view bytes) override {
    return write_both(bytes, {});
  }

  io::Task<Result<void>> write_both(std::string_view first, std::string_view second) override {
    while (!first.empty() || !second.empty()) {
      iovec parts[2] = {{const_cast<char*>(first.data()), first.size()},
                        {const_cast<char*>(second.data()), second.size()}};
      msghdr message{};
      message.msg_iov = parts;
      message.msg_iovlen = second.empty() ? 1 : 2;
      ssize_t count = ::sendmsg(socket_->fd(), &message, MSG_NOSIGNAL);
      if (count < 0) {
        if (errno == EINTR) continue;
        if (errno != EAGAIN) co_return fail(io_error("writing to"));
        co_await socket_->writable();
        continue;
      }
      bytes_moved_ += static_cast<uint64_t>(count);
      size_t of_first = std::min(static_cast<size_t>(count), first.size());
      first.remove_prefix(of_first);
      second.remove_prefix(static_cast<size_t>(count) - of_first);
    }
    co_return {};
  }

  void shutdown_write() override { ::shutdown(socket_->fd(), SHUT_WR); }
  void abort() override { socket_->abort(); }
  bool is_stale() override {
    char byte;
    ssize_t count = ::recv(socket_->fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return count >= 0 || errno != EAGAIN;
  }
  bool is_closed_by_peer() const override { return socket_->is_closed_by_peer(); }
  uint64_t bytes_moved() const override { return bytes_moved_; }
  const Peer& peer() const override { return peer_; }
  std::unique_ptr<Socket> release() override { return std::move(socket_); }

 private:
  Error io_error(std::string_view what) const {
    int error = errno;
    return Error(Code::kUnavailable, errno_error(what, peer_.address, error).message());
  }

  std::unique_ptr<Socket> socket_;
  Peer peer_;
  uint64_t bytes_moved_ = 0;
  bool emptied_ = false;
};

}  // namespace

std::unique_ptr<Stream> plain_stream(std::unique_ptr<Socket> socket, std::string address,
                                     std::string source) {
  return std::make_unique<PlainStream>(std::move(socket), std::move(address), std::move(source));
}

void set_no_delay(int fd) {
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static io::Task<Result<std::unique_ptr<Socket>>> connect_address(io::Loop& loop,
                                                                 SocketAddress address) {
  Fd fd(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) co_return fail(errno_error("socket", "", errno));
  set_no_delay(fd.get());
  auto socket = std::make_unique<Socket>(loop, std::move(fd));
  if (::connect(socket->fd(), address.get(), address.size) == 0) co_return socket;
  if (errno != EINPROGRESS) {
    co_return fail(errno_error("connecting to", address.str(), errno));
  }
  co_await socket->writable();
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(socket->fd(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) {
    co_return fail(Code::kUnavailable,
                   errno_error("connecting to", address.str(), error).message());
  }
  co_return socket;
}

static io::Task<Result<std::unique_ptr<Stream>>> connect_one(io::Loop& loop, SocketAddress address,
                                                             std::string host,
                                                             std::shared_ptr<TlsContext> tls) {
  SKERRY_CO_ASSIGN(auto socket, co_await connect_address(loop, address));
  if (!tls) co_return plain_stream(std::move(socket), address.str());
  co_return co_await tls_handshake(std::move(socket), std::move(tls), std::move(host),
                                   address.str());
}

static io::Task<void> complete_with(io::Task<Result<std::unique_ptr<Stream>>> task,
                                    io::Completion<Result<std::unique_ptr<Stream>>> completion) {
  completion.complete(co_await std::move(task));
}

io::Task<Result<std::unique_ptr<Stream>>> connect_tcp(io::Loop& loop, std::string host,
                                                      uint16_t port,
                                                      std::shared_ptr<TlsContext> tls,
                                                      int64_t timeout_ms) {
  SKERRY_CO_ASSIGN(auto addresses, co_await resolve(loop, host, port, timeout_ms));
  Error last(Code::kUnavailable, "the name " + host + " has no address");
  // One dead address must not use up the time of the others.
  int64_t each_ms = std::max<int64_t>(1, timeout_ms / static_cast<int64_t>(addresses.size()));
  for (const SocketAddress& address : addresses) {
    io::Completion<Result<std::unique_ptr<Stream>>> done(loop);
    io::TaskScope attempt;
    attempt.spawn(complete_with(connect_one(loop, address, host, tls), done));
    auto stream = co_await io::with_timeout(loop, each_ms, done, "connecting to " + address.str());
    if (stream) co_return std::move(*stream);
    last = stream.error();
    // The server answered, and will say the same at its other addresses.
    if (!last.retryable()) break;
  }
  co_return fail(std::move(last));
}

io::Task<Result<std::unique_ptr<Stream>>> connect_unix(io::Loop& loop, std::string path) {
  SKERRY_CO_ASSIGN(UnixAddress address, unix_address(path));
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) co_return fail(errno_error("socket", "", errno));
  // A Unix connect never waits for the other side to accept; EAGAIN means that its queue is full.
  if (::connect(fd.get(), address.get(), sizeof address.address) != 0) {
    Error error = errno_error("connecting to", path, errno);
    if (errno == EAGAIN || errno == ECONNREFUSED || errno == ENOENT) {
      error = Error(Code::kUnavailable, error.message());
    }
    co_return fail(std::move(error));
  }
  co_return plain_stream(std::make_unique<Socket>(loop, std::move(fd)), "unix");
}

// --- IdleGuard ----------------------------------------------------------------------------------

constexpr int kTicks = 4;

IdleGuard::IdleGuard(io::Loop& loop, Stream& stream, int64_t timeout_ms)
    : loop_(loop), stream_(stream), tick_ms_(std::max<int64_t>(1, timeout_ms / kTicks)) {
  arm();
}

void IdleGuard::arm() {
  timer_ = loop_.after(tick_ms_, [this] { tick(); });
}

void IdleGuard::set_mode(Mode mode) {
  mode_ = mode;
  quiet_ticks_ = 0;
}

void IdleGuard::tick() {
  uint64_t bytes = stream_.bytes_moved();
  const bool moved = bytes - std::exchange(seen_bytes_, bytes) >= min_bytes_per_tick_;
  if (mode_ == Mode::kPaused) {
    quiet_ticks_ = 0;
  } else if (mode_ == Mode::kProgress && moved) {
    quiet_ticks_ = 1;  // the byte moved somewhere within the tick before this one
  } else if (++quiet_ticks_ > kTicks) {
    expired_ = true;
    stream_.abort();
    return;
  }
  arm();
}

}  // namespace skerry::net
