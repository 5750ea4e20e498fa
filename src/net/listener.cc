// Accepting connections on TCP and Unix sockets, within a limit, with TLS handshakes on the side.
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <list>
#include <unordered_map>

#include "base/log_limit.h"
#include "net/address.h"
#include "net/plain_stream.h"
#include "net/stream.h"
#include "net/tls_stream.h"

namespace skerry::net {
namespace {

constexpr int64_t kHandshakeTimeoutMs = 10'000;
constexpr int64_t kRetryAcceptMs = 100;
constexpr int kAcceptsAtOnce = 64;

// Half of the open files that this process may have are for connections.
size_t within_file_limit(size_t connections) {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return connections;
  return std::min<size_t>(connections, std::max<size_t>(1, files.rlim_cur / 2));
}

class SocketListener : public Listener {
 public:
  SocketListener(io::Loop& loop, Fd fd, std::shared_ptr<TlsContext> tls, OnStream on_stream,
                 ListenLimits limits)
      : loop_(loop),
        fd_(std::move(fd)),
        watch_(loop.watch(fd_.get())),
        tls_(std::move(tls)),
        on_stream_(std::move(on_stream)),
        limits_(std::move(limits)),
        places_(std::make_shared<Places>(within_file_limit(limits_.max_connections))) {
    limits_.max_per_source = within_file_limit(limits_.max_per_source);
    // Runs when a connection has given its place back, wherever its stream lived; not inside that
    // stream's destructor.
    places_->on_free = [this] { resume_ = loop_.after(0, [this] { accept_all(); }); };
    await_connections();
  }
  ~SocketListener() override {
    places_->on_free = nullptr;
    watch_.reset();
    remove_socket_file();
  }
  uint16_t port() const override { return bound_port(fd_.get()); }

  void own_socket_file(const std::string& path) {
    if (::lstat(path.c_str(), &file_) == 0) path_ = path;
  }

 private:
  struct Places {
    explicit Places(size_t count) : free(count) {}
    size_t free;
    std::unordered_map<std::string, size_t> by_source;
    std::function<void()> on_free;
  };
  struct Handshake {
    Socket* socket;
    std::string source;
  };

  // One connection's place; the socket holds it.
  std::shared_ptr<void> take_place(const std::string& source) {
    --places_->free;
    ++places_->by_source[source];
    return {nullptr, [places = places_, source](void*) {
              if (--places->by_source[source] == 0) places->by_source.erase(source);
              if (places->free++ == 0 && places->on_free) places->on_free();
            }};
  }

  void await_connections() {
    if (std::exchange(watching_, true)) return;
    watch_->when_readable([this] {
      watching_ = false;
      // Where nobody can make room, the next place that comes free lets the others in.
      if (places_->free > 0) return accept_all();
      make_room("");
    });
  }

  void accept_all() {
    // In turns, so that no crowd at the door stops the loop.
    for (int turn = 0; places_->free > 0; ++turn) {
      if (turn == kAcceptsAtOnce) {
        resume_ = loop_.after(0, [this] { accept_all(); });
        return;
      }
      Fd fd(::accept4(fd_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (fd) {
        complained_ = false;
        accepted(std::move(fd));
        continue;
      }
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno != EAGAIN) return out_of_descriptors(errno);
      break;
    }
    await_connections();
  }

  // Or of memory: the connections wait in the kernel's queue.
  void out_of_descriptors(int error) {
    if (!std::exchange(complained_, true)) {
      log::warn("net", "cannot accept connections, trying again",
                {{"error", errno_error("accept", "", error).message()}});
    }
    make_room("");
    resume_ = loop_.after(kRetryAcceptMs, [this] { accept_all(); });
  }

  // Has a connection ended that does nothing; its place comes free a moment later.
  bool make_room(const std::string& source) {
    if (limits_.make_room && limits_.make_room(source)) return true;
    auto oldest = std::ranges::find_if(
        under_way_, [&](const Handshake& h) { return source.empty() || h.source == source; });
    if (oldest == under_way_.end()) return false;
    Socket* socket = oldest->socket;
    under_way_.erase(oldest);
    socket->abort();
    return true;
  }

  void accepted(Fd fd) {
    if (path_.empty()) set_no_delay(fd.get());
    std::string address = peer_address(fd.get());
    std::string source = peer_source(fd.get());
    auto of_source = places_->by_source.find(source);
    if (of_source != places_->by_source.end() && of_source->second >= limits_.max_per_source &&
        !make_room(source)) {
      return;
    }
    auto socket = std::make_unique<Socket>(loop_, std::move(fd), take_place(source));
    if (!tls_) {
      return on_stream_(plain_stream(std::move(socket), std::move(address), std::move(source)));
    }
    handshakes_.spawn(shake_hands(std::move(socket), std::move(address), std::move(source)));
  }

  io::Task<void> shake_hands(std::unique_ptr<Socket> socket, std::string address,
                             std::string source) {
    bool late = false;
    Socket* const raw = socket.get();
    under_way_.push_back({raw, source});
    io::Timer timer = loop_.after(kHandshakeTimeoutMs, [&late, raw] {
      late = true;
      raw->abort();
    });
    auto stream = co_await tls_handshake(std::move(socket), tls_, "", address, std::move(source));
    timer.cancel();
    std::erase_if(under_way_, [&](const Handshake& h) { return h.socket == raw; });
    if (stream) {
      on_stream_(std::move(*stream));
    } else if (stream.error().code() == Code::kPermissionDenied) {
      refusals_.write(log::Level::kWarn, "net", "connection refused",
                      {{"error", stream.error().message()}});
    } else {
      log::debug("net", late ? "TLS handshake took too long" : "TLS handshake failed",
                 {{"error", stream.error().message()}});
    }
  }

  // Unless another program has replaced it in the meantime.
  void remove_socket_file() {
    struct stat now;
    if (!path_.empty() && ::lstat(path_.c_str(), &now) == 0 && now.st_ino == file_.st_ino &&
        now.st_dev == file_.st_dev) {
      ::unlink(path_.c_str());
    }
  }

  io::Loop& loop_;
  Fd fd_;
  std::unique_ptr<io::FdWatch> watch_;
  std::shared_ptr<TlsContext> tls_;
  OnStream on_stream_;
  ListenLimits limits_;
  std::shared_ptr<Places> places_;  // shared with the streams handed out, which may outlive this
  io::Timer resume_;
  bool watching_ = false;
  bool complained_ = false;
  log::Limit refusals_;
  std::string path_;
  struct stat file_{};
  std::list<Handshake> under_way_;  // oldest first
  io::TaskScope handshakes_;
};

Result<Fd> listen_on(const SocketAddress& address) {
  Fd fd(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return fail(errno_error("socket", "", errno));
  int on = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(fd.get(), address.get(), address.size) != 0) {
    return fail(errno_error("listening on", address.str(), errno));
  }
  if (::listen(fd.get(), SOMAXCONN) != 0) {
    return fail(errno_error("listening on", address.str(), errno));
  }
  return fd;
}

// Whether somebody answers at the socket file `path`.
bool is_alive(const UnixAddress& address) {
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  return ::connect(fd.get(), address.get(), sizeof address.address) == 0 || errno == EAGAIN;
}

Result<void> remove_stale_socket(const std::string& path, const UnixAddress& address) {
  struct stat info;
  if (::lstat(path.c_str(), &info) != 0) return {};
  if (!S_ISSOCK(info.st_mode)) {
    return fail(Code::kAlreadyExists, path + " exists and is not a socket: move it away");
  }
  if (is_alive(address)) {
    return fail(Code::kAlreadyExists, "another program is listening on " + path);
  }
  if (::unlink(path.c_str()) != 0) return fail(errno_error("remove stale socket", path, errno));
  return {};
}

}  // namespace

Result<std::unique_ptr<Listener>> listen_tcp(io::Loop& loop, const std::string& address,
                                             uint16_t port, std::shared_ptr<TlsContext> tls,
                                             Listener::OnStream on_stream, ListenLimits limits) {
  auto addresses = local_addresses(address, port);
  if (addresses.empty()) {
    return fail(Code::kInvalidArgument, "not an address to listen on: '" + address +
                                            "' (give a numeric one, 127.0.0.1 or ::)");
  }
  SKERRY_ASSIGN(Fd fd, listen_on(addresses.front()));
  return std::make_unique<SocketListener>(loop, std::move(fd), std::move(tls), std::move(on_stream),
                                          std::move(limits));
}

Result<std::unique_ptr<Listener>> listen_unix(io::Loop& loop, const std::string& path,
                                              uint32_t mode, Listener::OnStream on_stream,
                                              ListenLimits limits) {
  SKERRY_ASSIGN(UnixAddress address, unix_address(path));
  SKERRY_TRY(remove_stale_socket(path, address));
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return fail(errno_error("socket", "", errno));
  if (::bind(fd.get(), address.get(), sizeof address.address) != 0) {
    return fail(errno_error("listening on", path, errno));
  }
  // Nobody can connect before listen(): the mode is right from the first moment on.
  if (::chmod(path.c_str(), mode) != 0) return fail(errno_error("chmod", path, errno));
  if (::listen(fd.get(), SOMAXCONN) != 0) return fail(errno_error("listening on", path, errno));
  auto listener = std::make_unique<SocketListener>(loop, std::move(fd), nullptr,
                                                   std::move(on_stream), std::move(limits));
  listener->own_socket_file(path);
  return listener;
}

void raise_open_file_limit() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  files.rlim_cur = files.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &files);
}

}  // namespace skerry::net
