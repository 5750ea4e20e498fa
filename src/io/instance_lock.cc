// flock(2); the file holds the owner's process id for the message to the second one.
#include "io/instance_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>

namespace skerry::io {
namespace {
constexpr int64_t kPauseMs = 20;
}

Result<InstanceLock> InstanceLock::acquire(const std::string& path, const Words& words,
                                           int64_t wait_ms) {
  InstanceLock lock{Fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600))};
  if (!lock.fd_) return fail(errno_error("open", path, errno));
  const int fd = lock.fd_.get();
  bool locked = ::flock(fd, LOCK_EX | LOCK_NB) == 0;
  // Who only looks whether somebody holds it has it for a moment, and so has one that was killed.
  for (int64_t waited = 0; !locked && errno == EWOULDBLOCK && waited < wait_ms;
       waited += kPauseMs) {
    std::this_thread::sleep_for(std::chrono::milliseconds(kPauseMs));
    locked = ::flock(fd, LOCK_EX | LOCK_NB) == 0;
  }
  if (!locked) {
    if (errno != EWOULDBLOCK) return fail(errno_error("lock", path, errno));
    char owner[16] = "";
    const ssize_t size = ::pread(fd, owner, sizeof owner - 1, 0);
    return fail(Code::kFailedPrecondition,
                "another " + words.program + " (process " +
                    std::string(owner, size > 0 ? static_cast<size_t>(size) : 0) +
                    ") runs in this directory (" + path + "): stop it, or " + words.remedy);
  }
  // A full disk keeps nobody from starting: only the other one's message lacks the number then.
  const std::string pid = std::to_string(::getpid());
  if (::ftruncate(fd, 0) == 0) (void)!::pwrite(fd, pid.data(), pid.size(), 0);
  return lock;
}

}  // namespace skerry::io
