// The notification protocol, with this test as the service manager.
#include "io/service_manager.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "io/fd.h"
#include "io/test_directory.h"

namespace skerry::io {
namespace {

// Bound to `name`; '@' stands for the NUL of an abstract socket.
Fd listen_at(const std::string& name) {
  Fd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, name.data(), name.size());
  if (name.front() == '@') address.sun_path[0] = '\0';
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
  EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), size), 0);
  return fd;
}

std::string receive(const Fd& fd) {
  char bytes[256];
  const ssize_t got = ::recv(fd.get(), bytes, sizeof bytes, MSG_DONTWAIT);
  return got < 0 ? "" : std::string(bytes, static_cast<size_t>(got));
}

TEST(ServiceManager, HearsThatTheProgramIsReadyAndWell) {
  const ScratchDirectory directory;
  for (const std::string& name :
       {directory.path() + "/notify", "@skerry-test-" + std::to_string(::getpid())}) {
    const Fd manager = listen_at(name);
    ::setenv("NOTIFY_SOCKET", name.c_str(), 1);
    ::setenv("WATCHDOG_USEC", "20000", 1);
    ::setenv("WATCHDOG_PID", std::to_string(::getpid()).c_str(), 1);
    RealLoop loop;
    ServiceManager program = ServiceManager::from_environment();
    EXPECT_EQ(std::getenv("NOTIFY_SOCKET"), nullptr) << "what is started does not speak for it";
    program.ready(loop);
    EXPECT_EQ(receive(manager), "READY=1");
    EXPECT_EQ(receive(manager), "WATCHDOG=1");
    std::string next;
    while (next.empty()) {
      loop.run_for(5);
      next = receive(manager);
    }
    EXPECT_EQ(next, "WATCHDOG=1");
    program.notify("STOPPING=1");
    while (!next.empty() && next != "STOPPING=1") next = receive(manager);
    EXPECT_EQ(next, "STOPPING=1");
  }
}

TEST(ServiceManager, TheWatchdogIsFedWhereItIsAskedFor) {
  const ScratchDirectory directory;
  const std::string name = directory.path("notify");
  const Fd manager = listen_at(name);
  const std::string other = std::to_string(::getpid() + 1);
  for (const auto& [period, pid] : std::vector<std::pair<std::string, std::string>>{
           {"2000", other}, {"", ""}, {"x", ""}, {"-5", ""}, {"0", ""}, {"10 s", ""}}) {
    ::setenv("NOTIFY_SOCKET", name.c_str(), 1);
    ::setenv("WATCHDOG_USEC", period.c_str(), 1);
    ::setenv("WATCHDOG_PID", pid.c_str(), 1);
    RealLoop loop;
    ServiceManager program = ServiceManager::from_environment();
    program.ready(loop);
    loop.run_for(5);
    EXPECT_EQ(receive(manager), "READY=1") << period;
    EXPECT_EQ(receive(manager), "") << period << " for process " << pid;
  }
}

TEST(ServiceManager, NobodyNeedsToListen) {
  for (const std::string& name : {std::string(), std::string("/no/such"), std::string(300, 'x')}) {
    ::setenv("NOTIFY_SOCKET", name.c_str(), 1);
    ServiceManager::from_environment().notify("READY=1");
    EXPECT_EQ(std::getenv("NOTIFY_SOCKET"), nullptr);
  }
}

}  // namespace
}  // namespace skerry::io
