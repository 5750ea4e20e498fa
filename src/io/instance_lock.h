// One program per directory: an advisory lock that the kernel releases with the process.
#pragma once

#include <string>
#include <utility>

#include "base/error.h"
#include "io/fd.h"

namespace skerry::io {

class InstanceLock {
 public:
  struct Words {
    std::string program;  // "skerry-fleet"
    std::string remedy;   // "choose another --dir"
  };
  // kFailedPrecondition, with the other one's process id, where `path` is locked for `wait_ms`.
  static Result<InstanceLock> acquire(const std::string& path, const Words& words,
                                      int64_t wait_ms = 1'000);

 private:
  explicit InstanceLock(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

}  // namespace skerry::io
