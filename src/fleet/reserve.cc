// Preallocation, because a sparse file keeps nothing. Like the database it goes past io::Files.
#include "fleet/reserve.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <utility>

#include "base/log.h"
#include "io/fd.h"
#include "io/files.h"

namespace skerry::fleet {
namespace {

constexpr std::string_view kReserveModule = "store";
constexpr uint64_t kLittleBytes = 4 << 20;
// Long enough for the broker to be told, too.
constexpr int64_t kHoldAgainMs = 10'000;

uint64_t free_bytes(const std::string& directory) {
  struct statvfs info{};
  if (::statvfs(directory.c_str(), &info) != 0) return UINT64_MAX;
  return uint64_t{info.f_bavail} * info.f_frsize;
}

}  // namespace

Reserve::Reserve(std::string path) : path_(std::move(path)) {
  held_ = hold();
}

bool Reserve::hold() {
  const io::Fd file(::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!file) return false;
  const bool allocated = ::posix_fallocate(file.get(), 0, static_cast<off_t>(kBytes)) == 0;
  if (!allocated) ::unlink(path_.c_str());  // what it got is worth more to a revocation
  return allocated;
}

void Reserve::relieve(int64_t now_ms) {
  if (!held_ || free_bytes(io::parent_of(path_)) >= kLittleBytes) return;
  log::warn(kReserveModule,
            "the disk is full: using what is kept for revocations, cancels and deletes");
  ::unlink(path_.c_str());
  held_ = false;
  next_try_ms_ = now_ms + kHoldAgainMs;
}

bool Reserve::available(int64_t now_ms) {
  if (held_ || now_ms < next_try_ms_) return held_;
  held_ = hold();
  next_try_ms_ = now_ms + kHoldAgainMs;
  if (held_) log::info(kReserveModule, "room for revocations, cancels and deletes is kept again");
  return held_;
}

}  // namespace skerry::fleet
