// Reading a file that someone else may have put there: a regular file below a folder, never a
// device, a pipe or a way out of the folder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "io/fd.h"

namespace skerry::io {

class RegularFile {
 public:
  // `path` is relative to `directory`; "..", absolute paths and symbolic links on the way are
  // refused (`directory` itself may be reached through links). Never blocks on what it finds:
  // kInvalidArgument where it is no regular file, kResourceExhausted above `max_bytes`.
  static Result<RegularFile> open(const std::string& directory, std::string_view path,
                                  uint64_t max_bytes);
  uint64_t size_bytes() const { return size_bytes_; }  // when it was opened
  // The next bytes; fewer than asked for only at the end of the file.
  Result<size_t> read(std::span<std::byte> out);

 private:
  RegularFile(Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  Fd fd_;
  uint64_t size_bytes_ = 0;
  std::string path_;
};

}  // namespace skerry::io
