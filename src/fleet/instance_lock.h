// One control plane per directory: an advisory lock that the kernel releases with the process.
#pragma once

#include <string>

#include "base/error.h"

namespace skerry::fleet {

class InstanceLock {
 public:
  // kFailedPrecondition, with the other one's process id, where `path` is locked.
  static Result<InstanceLock> acquire(const std::string& path);
  InstanceLock(InstanceLock&& other) noexcept;
  InstanceLock& operator=(InstanceLock&& other) noexcept;
  ~InstanceLock();

 private:
  explicit InstanceLock(int fd) : fd_(fd) {}
  int fd_ = -1;
};

}  // namespace skerry::fleet
