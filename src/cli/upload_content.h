// Bytes to upload: of a file, read piece by piece, or in memory already.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/error.h"
#include "io/files.h"

namespace skerry::cli {

class UploadContent {
 public:
  // A regular file; kNotFound and others name it.
  static Result<UploadContent> of_file(const std::string& path);
  static UploadContent of_bytes(std::string bytes);

  uint64_t size_bytes() const { return size_bytes_; }
  static constexpr size_t kPieceBytes = 1 << 20;
  // Some bytes from `offset`, `most` at most; "" at the end only.
  Result<std::string> read(uint64_t offset, size_t most = kPieceBytes) const;
  Result<std::string> sha256_hex() const;  // reads all of it

 private:
  UploadContent() = default;
  std::shared_ptr<io::File> file_;  // null: bytes_. Shared, so that requests can hold it
  std::string bytes_;
  uint64_t size_bytes_ = 0;
};

}  // namespace skerry::cli
