// One control plane per directory: an advisory lock that the kernel releases with the process.
#pragma once

#include <string>
#include <utility>

#include "base/error.h"
#include "io/fd.h"

namespace skerry::fleet {

class InstanceLock {
 public:
  // kFailedPrecondition, with the other one's process id, where `path` is locked.
  static Result<InstanceLock> acquire(const std::string& path);

 private:
  explicit InstanceLock(io::Fd fd) : fd_(std::move(fd)) {}
  io::Fd fd_;
};

}  // namespace skerry::fleet
