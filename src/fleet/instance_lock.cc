// flock(2); the file holds the owner's process id for the message to the second one.
#include "fleet/instance_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>

namespace skerry::fleet {
namespace {
constexpr int kAttempts = 50;
}

Result<InstanceLock> InstanceLock::acquire(const std::string& path) {
  InstanceLock lock{io::Fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600))};
  if (!lock.fd_) return fail(errno_error("open", path, errno));
  const int fd = lock.fd_.get();
  bool locked = ::flock(fd, LOCK_EX | LOCK_NB) == 0;
  // Who only looks whether somebody holds it has it for a moment, and so has one that was killed.
  for (int attempt = 0; !locked && errno == EWOULDBLOCK && attempt < kAttempts; ++attempt) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    locked = ::flock(fd, LOCK_EX | LOCK_NB) == 0;
  }
  if (!locked) {
    if (errno != EWOULDBLOCK) return fail(errno_error("lock", path, errno));
    char owner[16] = "";
    ssize_t size = ::pread(fd, owner, sizeof owner - 1, 0);
    return fail(Code::kFailedPrecondition,
                "another skerry-fleet (process " + std::string(owner, size > 0 ? size : 0) +
                    ") runs in this directory (" + path + "): stop it, or choose another --dir");
  }
  const std::string pid = std::to_string(::getpid());
  if (::ftruncate(fd, 0) != 0 || ::pwrite(fd, pid.data(), pid.size(), 0) < 0) {
    return fail(errno_error("write", path, errno));
  }
  return lock;
}

}  // namespace skerry::fleet
