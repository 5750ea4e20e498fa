// One interface over a file and a string.
#include "cli/upload_content.h"

#include <filesystem>

#include "base/encoding.h"
#include "base/sha256.h"

namespace skerry::cli {

Result<UploadContent> UploadContent::of_file(const std::string& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status))
    return fail(Code::kInvalidArgument, path + " is not a regular file");
  io::RealFiles files;
  UploadContent content;
  SKERRY_ASSIGN(content.file_, files.open(path, io::OpenMode::kRead, 0));
  SKERRY_ASSIGN(content.size_bytes_, content.file_->size());
  return content;
}

UploadContent UploadContent::of_bytes(std::string bytes) {
  UploadContent content;
  content.size_bytes_ = bytes.size();
  content.bytes_ = std::move(bytes);
  return content;
}

Result<std::string> UploadContent::read(uint64_t offset, size_t most) const {
  if (file_) return file_->read_at(offset, most);
  return offset < bytes_.size() ? bytes_.substr(offset, most) : "";
}

Result<std::string> UploadContent::sha256_hex() const {
  Sha256 digest;
  for (uint64_t offset = 0; offset < size_bytes_;) {
    SKERRY_ASSIGN(const std::string piece, read(offset));
    if (piece.empty()) return fail(Code::kFailedPrecondition, "the file became shorter meanwhile");
    digest.update(piece);
    offset += piece.size();
  }
  return hex_encode(digest.finish());
}

}  // namespace skerry::cli
