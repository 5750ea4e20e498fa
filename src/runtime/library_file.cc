// stat(2) of the file and of every folder above it.
#include "runtime/library_file.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

namespace skerry::runtime {
namespace {

constexpr size_t kMaxPathBytes = 4096;

Result<void> check_owner(const std::string& path, const struct stat& found) {
  if (found.st_uid == 0 || found.st_uid == ::geteuid()) return {};
  return fail(Code::kPermissionDenied,
              fmt::format("{} belongs to user {}, who could put other code there; a runtime's "
                          "library and the folders above it belong to root or to user {}",
                          path, found.st_uid, ::geteuid()));
}

Result<void> check_writers(const std::string& path, const struct stat& found, mode_t writers) {
  if ((found.st_mode & writers) == 0) return {};
  return fail(Code::kPermissionDenied,
              fmt::format("{} can be written by others; chmod go-w it", path));
}

Result<void> check_folder(const std::string& path) {
  struct stat found = {};
  if (::stat(path.c_str(), &found) != 0) return fail(errno_error("stat", path, errno));
  SKERRY_TRY(check_owner(path, found));
  // With the sticky bit nobody replaces another user's file.
  if ((found.st_mode & S_ISVTX) != 0) return {};
  return check_writers(path, found, S_IWOTH);
}

}  // namespace

Result<std::string> check_library_file(const std::string& path) {
  if (!path.starts_with('/') || path.size() > kMaxPathBytes ||
      path.find('\0') != std::string::npos) {
    return fail(Code::kInvalidArgument, "the library's path must be absolute");
  }
  std::error_code error;
  const std::filesystem::path real = std::filesystem::canonical(path, error);
  if (error) return fail(errno_error("find", path, error.value()));
  struct stat found = {};
  if (::stat(real.c_str(), &found) != 0) return fail(errno_error("stat", path, errno));
  if (!S_ISREG(found.st_mode)) {
    return fail(Code::kInvalidArgument, fmt::format("{} is not a regular file", path));
  }
  SKERRY_TRY(check_owner(real, found));
  SKERRY_TRY(check_writers(real, found, S_IWGRP | S_IWOTH));
  for (auto folder = real.parent_path();; folder = folder.parent_path()) {
    SKERRY_TRY(check_folder(folder));
    if (folder == folder.root_path()) return real.string();
  }
}

}  // namespace skerry::runtime
