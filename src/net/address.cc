// Socket addresses, and names to addresses without blocking the loop.
#include "net/address.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>

#include <cerrno>
#include <cstring>
#include <mutex>
#include <system_error>
#include <thread>

namespace skerry::net {

std::string SocketAddress::str() const {
  char host[NI_MAXHOST];
  char service[NI_MAXSERV];
  if (family() == AF_UNIX || getnameinfo(get(), size, host, sizeof host, service, sizeof service,
                                         NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "unix";
  }
  if (family() == AF_INET6) return "[" + std::string(host) + "]:" + service;
  return std::string(host) + ":" + service;
}

std::string SocketAddress::host() const {
  char host[NI_MAXHOST];
  int status = getnameinfo(get(), size, host, sizeof host, nullptr, 0, NI_NUMERICHOST);
  return status == 0 ? host : "";
}

// getaddrinfo with `flags`; its return code, and the addresses where that is 0.
static int look_up(const std::string& host, uint16_t port, int flags,
                   std::vector<SocketAddress>* out) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  int status = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list);
  if (status != 0) return status;
  for (addrinfo* entry = list; entry; entry = entry->ai_next) {
    SocketAddress address;
    std::memcpy(&address.storage, entry->ai_addr, entry->ai_addrlen);
    address.size = entry->ai_addrlen;
    out->push_back(address);
  }
  freeaddrinfo(list);
  return 0;
}

std::vector<SocketAddress> local_addresses(const std::string& host, uint16_t port) {
  std::vector<SocketAddress> addresses;
  if (host == "localhost") {
    look_up("127.0.0.1", port, AI_NUMERICHOST, &addresses);
    look_up("::1", port, AI_NUMERICHOST, &addresses);
  } else {
    look_up(host, port, AI_NUMERICHOST, &addresses);
  }
  return addresses;
}

namespace {

using Addresses = Result<std::vector<SocketAddress>>;

// What a lookup thread and the coroutine that started it share: the coroutine may be gone by the
// time the answer comes, and its loop with it.
struct Lookup {
  std::mutex mutex;
  bool abandoned = false;
};

struct AbandonOnExit {
  std::shared_ptr<Lookup> lookup;
  explicit AbandonOnExit(std::shared_ptr<Lookup> l) : lookup(std::move(l)) {}
  AbandonOnExit(const AbandonOnExit&) = delete;
  ~AbandonOnExit() {
    std::lock_guard lock(lookup->mutex);
    lookup->abandoned = true;
  }
};

Addresses look_up_name(const std::string& host, uint16_t port) {
  std::vector<SocketAddress> addresses;
  int status = look_up(host, port, AI_ADDRCONFIG, &addresses);
  if (status != 0) {
    return fail(Code::kUnavailable,
                "the name " + host + " cannot be resolved: " +
                    (status == EAI_SYSTEM ? std::strerror(errno) : gai_strerror(status)));
  }
  return addresses;
}

}  // namespace

io::Task<Addresses> resolve(io::Loop& loop, std::string host, uint16_t port, int64_t timeout_ms) {
  auto local = local_addresses(host, port);
  if (!local.empty()) co_return local;
  io::Completion<Addresses> answer(loop);
  AbandonOnExit guard(std::make_shared<Lookup>());
  auto work = [&loop, host, port, answer, lookup = guard.lookup] {
    auto addresses = std::make_shared<Addresses>(look_up_name(host, port));
    std::lock_guard lock(lookup->mutex);
    if (lookup->abandoned) return;
    loop.post([answer, addresses]() mutable { answer.complete(std::move(*addresses)); });
  };
  try {
    std::thread(std::move(work)).detach();
  } catch (const std::system_error& error) {
    co_return fail(Code::kResourceExhausted, "resolving " + host + ": no thread: " + error.what());
  }
  co_return co_await io::with_timeout(loop, timeout_ms, answer, "resolving " + host);
}

uint16_t bound_port(int fd) {
  SocketAddress address;
  address.size = sizeof address.storage;
  getsockname(fd, reinterpret_cast<sockaddr*>(&address.storage), &address.size);
  if (address.family() == AF_INET) {
    return ntohs(reinterpret_cast<sockaddr_in*>(&address.storage)->sin_port);
  }
  if (address.family() == AF_INET6) {
    return ntohs(reinterpret_cast<sockaddr_in6*>(&address.storage)->sin6_port);
  }
  return 0;
}

std::string peer_address(int fd) {
  SocketAddress address;
  address.size = sizeof address.storage;
  getpeername(fd, reinterpret_cast<sockaddr*>(&address.storage), &address.size);
  return address.str();
}

std::string peer_source(int fd) {
  SocketAddress address;
  address.size = sizeof address.storage;
  getpeername(fd, reinterpret_cast<sockaddr*>(&address.storage), &address.size);
  if (address.family() == AF_UNIX) {
    ucred user{};
    socklen_t size = sizeof user;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &user, &size) != 0) return "unix";
    return "uid " + std::to_string(user.uid);
  }
  if (address.family() != AF_INET6) return address.host();
  auto& ip = reinterpret_cast<sockaddr_in6*>(&address.storage)->sin6_addr;
  if (IN6_IS_ADDR_V4MAPPED(&ip)) {
    char text[INET_ADDRSTRLEN] = "";
    inet_ntop(AF_INET, ip.s6_addr + 12, text, sizeof text);
    return text;
  }
  std::memset(ip.s6_addr + 8, 0, 8);
  return address.host() + "/64";
}

Result<UnixAddress> unix_address(const std::string& path) {
  UnixAddress result;
  result.address.sun_family = AF_UNIX;
  std::string name = path;
  if (path.empty() || path.find('\0') != std::string::npos) {
    return fail(Code::kInvalidArgument, "not a socket path: '" + path + "'");
  }
  if (path.size() >= sizeof result.address.sun_path) {
    size_t slash = path.rfind('/');
    std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    result.directory = Fd(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!result.directory) return fail(errno_error("open", directory, errno));
    name = "/proc/self/fd/" + std::to_string(result.directory.get()) + "/" +
           path.substr(slash == std::string::npos ? 0 : slash + 1);
    if (name.size() >= sizeof result.address.sun_path) {
      return fail(Code::kInvalidArgument, "the socket's file name is too long: " + path);
    }
  }
  std::memcpy(result.address.sun_path, name.c_str(), name.size() + 1);
  return result;
}

}  // namespace skerry::net
