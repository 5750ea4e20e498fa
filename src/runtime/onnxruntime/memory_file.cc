// memfd_create(2), sealed once the bytes are verified.
#include "runtime/onnxruntime/memory_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace skerry::runtime {
namespace {

constexpr size_t kPieceBytes = 1 << 20;

}  // namespace

Result<MemoryFile> MemoryFile::copy(ModelFile file) {
  io::Fd fd(::memfd_create("skerry-model", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return fail(errno_error("memfd_create", file.path(), errno));
  MemoryFile result(std::move(fd), file.size_bytes());
  SKERRY_TRY(result.fill(file));
  SKERRY_TRY(file.verify());
  SKERRY_TRY(result.seal());
  return result;
}

Result<void> MemoryFile::fill(ModelFile& file) const {
  tensor::Bytes piece(std::min<uint64_t>(kPieceBytes, size_bytes_));
  for (uint64_t left = size_bytes_; left > 0;) {
    const auto part = std::span(piece).first(std::min<uint64_t>(left, piece.size()));
    SKERRY_TRY(file.read(part));
    for (size_t written = 0; written < part.size();) {
      const ssize_t count = ::write(fd_.get(), part.data() + written, part.size() - written);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return fail(errno_error("write to memory", file.path(), errno));
      written += static_cast<size_t>(count);
    }
    left -= part.size();
  }
  return {};
}

Result<void> MemoryFile::seal() {
  constexpr int kSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
  if (::fcntl(fd_.get(), F_ADD_SEALS, kSeals) != 0)
    return fail(errno_error("seal", "memory", errno));
  if (size_bytes_ == 0) return {};
  mapped_ = ::mmap(nullptr, size_bytes_, PROT_READ, MAP_SHARED, fd_.get(), 0);
  if (mapped_ != MAP_FAILED) return {};
  mapped_ = nullptr;
  return fail(errno_error("mmap", "memory", errno));
}

MemoryFile::MemoryFile(MemoryFile&& other) noexcept
    : fd_(std::move(other.fd_)),
      size_bytes_(std::exchange(other.size_bytes_, 0)),
      mapped_(std::exchange(other.mapped_, nullptr)) {}

MemoryFile::~MemoryFile() {
  if (mapped_ != nullptr) ::munmap(mapped_, size_bytes_);
}

std::string MemoryFile::path() const {
  return "/proc/self/fd/" + std::to_string(fd_.get());
}

}  // namespace skerry::runtime
