// One datagram for each state. Lost ones do not matter: the manager has a timeout.
#include "io/service_manager.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>

#include "io/fd.h"

namespace skerry::io {
namespace {

std::string take(const char* name) {
  const char* value = std::getenv(name);
  std::string text = value ? value : "";
  ::unsetenv(name);
  return text;
}

std::optional<int64_t> number_in(const std::string& text) {
  int64_t number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || parsed.ec != std::errc() || parsed.ptr != text.data() + text.size())
    return std::nullopt;
  return number;
}

}  // namespace

ServiceManager ServiceManager::from_environment() {
  ServiceManager manager;
  manager.socket_ = take("NOTIFY_SOCKET");
  const auto period_us = number_in(take("WATCHDOG_USEC"));
  const auto pid = number_in(take("WATCHDOG_PID"));
  if (period_us && *period_us > 0 && pid.value_or(::getpid()) == ::getpid())
    manager.watchdog_ms_ = std::max<int64_t>(1, *period_us / 1000);
  return manager;
}

void ServiceManager::notify(std::string_view state) const {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_.empty() || socket_.size() >= sizeof address.sun_path) return;
  std::memcpy(address.sun_path, socket_.data(), socket_.size());
  if (socket_.front() == '@') address.sun_path[0] = '\0';  // an abstract one
  const Fd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return;
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_.size());
  (void)::sendto(fd.get(), state.data(), state.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
                 reinterpret_cast<const sockaddr*>(&address), size);
}

void ServiceManager::ready(Loop& loop) {
  notify("READY=1");
  feed(loop);
}

void ServiceManager::feed(Loop& loop) {
  if (!watchdog_ms_) return;
  notify("WATCHDOG=1");
  timer_ = loop.after(std::max<int64_t>(1, *watchdog_ms_ / 2), [this, &loop] { feed(loop); });
}

}  // namespace skerry::io
