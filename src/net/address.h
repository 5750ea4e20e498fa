// Inside of net: socket addresses, names to addresses, Unix socket paths of any length.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "io/loop.h"
#include "io/task.h"
#include "net/socket.h"

namespace skerry::net {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  int family() const { return storage.ss_family; }
  // The address alone, "127.0.0.1" or "::1".
  std::string host() const;
  // "127.0.0.1:443", "[::1]:443", or "unix".
  std::string str() const;
};

// Numeric addresses and "localhost" (both families), without asking anybody; empty for other names.
std::vector<SocketAddress> local_addresses(const std::string& host, uint16_t port);
// The same, and names through getaddrinfo on a thread of its own, so that the loop goes on.
io::Task<Result<std::vector<SocketAddress>>> resolve(io::Loop& loop, std::string host,
                                                     uint16_t port, int64_t timeout_ms);
// The port a bound socket really has.
uint16_t bound_port(int fd);
// Who is at the other end of a connected socket.
std::string peer_address(int fd);
// Whom limits count that one to: an IPv4 address, the /64 of an IPv6 address (whoever has one has
// 2^64 of them), or the user of a Unix socket.
std::string peer_source(int fd);

// The address of a Unix socket. sockaddr_un holds 107 bytes; a longer path is reached through
// /proc/self/fd of its directory, which `directory` keeps open until bind or connect has been
// called.
struct UnixAddress {
  sockaddr_un address{};
  Fd directory;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address); }
};
Result<UnixAddress> unix_address(const std::string& path);

}  // namespace skerry::net
