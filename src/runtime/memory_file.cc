// memfd_create(2), sealed once the bytes are verified.
#include "runtime/memory_file.h"

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

Result<MemoryFile> MemoryFile::create(uint64_t size_bytes) {
  io::Fd fd(::memfd_create("skerry-model", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return fail(errno_error("memfd_create", "memory", errno));
  return MemoryFile(std::move(fd), size_bytes);
}

Result<MemoryFile> MemoryFile::copy_of(std::string_view bytes) {
  SKERRY_ASSIGN(MemoryFile result, create(bytes.size()));
  SKERRY_TRY(result.write(std::as_bytes(std::span(bytes))));
  SKERRY_TRY(result.seal());
  return result;
}

Result<MemoryFile> MemoryFile::copy(ModelFile file) {
  SKERRY_ASSIGN(MemoryFile result, create(file.size_bytes()));
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
    SKERRY_TRY(write(part));
    left -= part.size();
  }
  return {};
}

Result<void> MemoryFile::write(std::span<const std::byte> bytes) const {
  for (size_t written = 0; written < bytes.size();) {
    const ssize_t count = ::write(fd_.get(), bytes.data() + written, bytes.size() - written);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail(errno_error("write to memory", path(), errno));
    written += static_cast<size_t>(count);
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
