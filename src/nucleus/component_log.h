// A component's output in a file of its own, turned over at a size limit so that it never fills the
// disk.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "io/env.h"

namespace skerry::nucleus {

class ComponentLog {
 public:
  // PATH and one older PATH.1, each at most `limit_bytes`. Opened at the first line.
  ComponentLog(io::Env& env, std::string path, uint64_t limit_bytes = 4 << 20);
  // "2026-01-01T00:00:00.000Z [stdout] line". A full disk loses lines, never the component.
  void write(std::string_view line, bool is_stderr);

 private:
  io::Env& env_;
  std::string path_;
  uint64_t limit_bytes_;
  uint64_t size_bytes_ = 0;
  std::unique_ptr<io::File> file_;
};

}  // namespace skerry::nucleus
