// A model file's bytes in anonymous memory that nobody can change, under a path, for
// libraries that want one.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "io/fd.h"
#include "runtime/model_source.h"

namespace skerry::runtime {

// ONNX Runtime reads a file piece by piece and needs a third of the memory that it needs for the
// same bytes given as an array; but the file that was verified might be another one by then.
class MemoryFile {
 public:
  // All of `file`, verified.
  static Result<MemoryFile> copy(ModelFile file);
  static Result<MemoryFile> copy_of(std::string_view bytes);
  MemoryFile(MemoryFile&& other) noexcept;
  MemoryFile& operator=(MemoryFile&&) = delete;
  ~MemoryFile();

  std::string path() const;  // within this process
  // Only the pages that are looked at take memory.
  std::string_view bytes() const { return {static_cast<const char*>(mapped_), size_bytes_}; }

 private:
  MemoryFile(io::Fd fd, uint64_t size_bytes) : fd_(std::move(fd)), size_bytes_(size_bytes) {}
  static Result<MemoryFile> create(uint64_t size_bytes);
  Result<void> fill(ModelFile& file) const;
  Result<void> write(std::span<const std::byte> bytes) const;
  Result<void> seal();

  io::Fd fd_;
  uint64_t size_bytes_;
  void* mapped_ = nullptr;
};

}  // namespace skerry::runtime
