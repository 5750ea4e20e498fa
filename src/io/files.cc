// RealFiles: POSIX calls, each failure with the call's name, the path and the reason.
#include "io/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

namespace skerry::io {
namespace {

Result<void> check(int result, std::string_view what, const std::string& path) {
  if (result < 0) return fail(errno_error(what, path, errno));
  return {};
}

class RealFile : public File {
 public:
  RealFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  ~RealFile() override { ::close(fd_); }

  Result<void> write(std::string_view bytes) override {
    while (!bytes.empty()) {
      ssize_t written = ::write(fd_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return fail(errno_error("write", path_, errno));
      bytes.remove_prefix(static_cast<size_t>(written));
    }
    return {};
  }

  Result<std::string> read_at(uint64_t offset, size_t size) override {
    std::string bytes(size, '\0');
    size_t filled = 0;
    while (filled < size) {
      ssize_t got =
          ::pread(fd_, bytes.data() + filled, size - filled, static_cast<off_t>(offset + filled));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return fail(errno_error("read", path_, errno));
      if (got == 0) break;
      filled += static_cast<size_t>(got);
    }
    bytes.resize(filled);
    return bytes;
  }

  Result<uint64_t> size() override {
    struct stat info{};
    SKERRY_TRY(check(::fstat(fd_, &info), "stat", path_));
    return static_cast<uint64_t>(info.st_size);
  }
  Result<void> truncate(uint64_t size) override {
    return check(::ftruncate(fd_, static_cast<off_t>(size)), "truncate", path_);
  }
  Result<void> sync() override { return check(::fsync(fd_), "fsync", path_); }

 private:
  int fd_;
  std::string path_;
};

}  // namespace

Result<std::unique_ptr<File>> RealFiles::open(const std::string& path, OpenMode open_mode,
                                              uint32_t mode) {
  if (open_mode == OpenMode::kRead) {
    int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fail(errno_error("open", path, errno));
    return std::make_unique<RealFile>(fd, path);
  }
  const bool truncates = open_mode == OpenMode::kTruncate;
  const int flags = O_RDWR | O_APPEND | O_CLOEXEC | (truncates ? O_TRUNC : 0);
  bool created = false;
  int fd = ::open(path.c_str(), flags);
  if (fd < 0 && errno == ENOENT) {
    fd = ::open(path.c_str(), flags | O_CREAT, mode);
    created = true;
  }
  if (fd < 0) return fail(errno_error("open", path, errno));
  if ((created || truncates) && ::fchmod(fd, mode) != 0) {
    const int error = errno;
    ::close(fd);
    return fail(errno_error("chmod", path, error));
  }
  return std::make_unique<RealFile>(fd, path);
}

Result<FileInfo> RealFiles::stat(const std::string& path) {
  struct stat info{};
  SKERRY_TRY(check(::lstat(path.c_str(), &info), "stat", path));
  return FileInfo{S_ISDIR(info.st_mode), static_cast<uint64_t>(info.st_size),
                  static_cast<uint32_t>(info.st_mode & 07777)};
}

Result<std::vector<std::string>> RealFiles::list(const std::string& directory) {
  DIR* stream = ::opendir(directory.c_str());
  if (!stream) return fail(errno_error("list", directory, errno));
  std::vector<std::string> names;
  while (dirent* entry = ::readdir(stream)) {
    std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(std::move(name));
  }
  ::closedir(stream);
  std::sort(names.begin(), names.end());
  return names;
}

Result<void> RealFiles::make_directory(const std::string& path, uint32_t mode) {
  if (::mkdir(path.c_str(), mode) == 0) return check(::chmod(path.c_str(), mode), "chmod", path);
  int error = errno;
  struct stat info{};
  if (error == EEXIST && ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) return {};
  return fail(errno_error("mkdir", path, error));
}

Result<void> RealFiles::rename(const std::string& from, const std::string& to) {
  return check(::rename(from.c_str(), to.c_str()), "rename", from + " to " + to);
}
Result<void> RealFiles::remove(const std::string& path) {
  return check(std::remove(path.c_str()), "remove", path);
}
Result<void> RealFiles::set_mode(const std::string& path, uint32_t mode) {
  return check(::chmod(path.c_str(), mode), "chmod", path);
}
Result<void> RealFiles::set_owner(const std::string& path, uint32_t uid, uint32_t gid) {
  return check(::lchown(path.c_str(), uid, gid), "chown", path);
}

Result<void> RealFiles::sync_directory(const std::string& path) {
  int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return fail(errno_error("open", path, errno));
  auto result = check(::fsync(fd), "fsync", path);
  ::close(fd);
  return result;
}

Result<uint64_t> RealFiles::free_bytes(const std::string& path) {
  struct statvfs info{};
  SKERRY_TRY(check(::statvfs(path.c_str(), &info), "statvfs", path));
  return uint64_t{info.f_bavail} * info.f_frsize;
}

bool exists(Files& files, const std::string& path) {
  return files.stat(path).has_value();
}

Result<std::string> read_file(Files& files, const std::string& path, uint64_t max_bytes) {
  SKERRY_ASSIGN(auto file, files.open(path, OpenMode::kRead));
  SKERRY_ASSIGN(uint64_t size, file->size());
  if (size > max_bytes) {
    return fail(Code::kResourceExhausted, path + " has " + std::to_string(size) +
                                              " bytes, more than the limit of " +
                                              std::to_string(max_bytes));
  }
  return file->read_at(0, size);
}

Result<void> write_file_atomic(Files& files, const std::string& path, std::string_view bytes,
                               uint32_t mode) {
  const std::string temporary = path + ".tmp";
  {
    SKERRY_ASSIGN(auto file, files.open(temporary, OpenMode::kTruncate, mode));
    SKERRY_TRY(file->write(bytes));
    SKERRY_TRY(file->sync());
  }
  SKERRY_TRY(files.rename(temporary, path));
  return files.sync_directory(parent_of(path));
}

Result<void> make_directories(Files& files, const std::string& path, uint32_t mode) {
  if (path.empty() || path == "/" || path == ".") return {};
  if (auto info = files.stat(path); info && info->is_directory) return {};
  SKERRY_TRY(make_directories(files, parent_of(path), mode));
  SKERRY_TRY(files.make_directory(path, mode));
  auto synced = files.sync_directory(parent_of(path));
  // The next attempt would find it and trust that it lasts.
  if (!synced) (void)files.remove(path);
  return synced;
}

Result<void> remove_all(Files& files, const std::string& path) {
  auto info = files.stat(path);
  if (!info) {
    if (info.error().code() == Code::kNotFound) return {};
    return fail(info.error());
  }
  if (info->is_directory) {
    SKERRY_ASSIGN(auto names, files.list(path));
    for (const std::string& name : names) SKERRY_TRY(remove_all(files, path + "/" + name));
  }
  return files.remove(path);
}

std::string parent_of(const std::string& path) {
  size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace skerry::io
