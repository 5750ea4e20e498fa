// Reading and hashing in one pass.
#include "runtime/model_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/encoding.h"

namespace skerry::runtime {

Result<void> ModelFile::read(std::span<std::byte> out) {
  SKERRY_ASSIGN(const size_t count, file_.read(out));
  hash_.update({reinterpret_cast<const char*>(out.data()), count});
  read_bytes_ += count;
  if (count < out.size()) {
    return fail(Code::kCorrupt, fmt::format("{} ends after {} bytes in the middle of the model",
                                            path_, read_bytes_));
  }
  return {};
}

Result<void> ModelFile::verify() {
  std::array<std::byte, 16384> piece;
  for (;;) {
    SKERRY_ASSIGN(const size_t count, file_.read(piece));
    if (count == 0) break;
    hash_.update({reinterpret_cast<const char*>(piece.data()), count});
  }
  if (sha256_.empty()) return {};
  const std::string actual = hex_encode(hash_.finish());
  if (actual == sha256_) return {};
  return fail(Code::kCorrupt, fmt::format("{} has SHA-256 {}, model.json says {}; the file is "
                                          "damaged or not the one that was packaged",
                                          path_, actual, sha256_));
}

Result<ModelFile> ModelSource::open(std::string_view path, uint64_t max_bytes) const {
  const auto digest = digests_.find(path);
  if (digest == digests_.end()) {
    return fail(Code::kInvalidArgument, fmt::format("the package has no file '{}'", path));
  }
  SKERRY_ASSIGN(auto file, io::RegularFile::open(directory_, path, max_bytes));
  return ModelFile(std::move(file), fmt::format("{}/{}", directory_, path), digest->second);
}

Result<tensor::Bytes> ModelSource::read(std::string_view path, uint64_t max_bytes) const {
  SKERRY_ASSIGN(auto file, open(path, max_bytes));
  tensor::Bytes bytes(file.size_bytes());
  SKERRY_TRY(file.read(bytes));
  SKERRY_TRY(file.verify());
  return bytes;
}

}  // namespace skerry::runtime
