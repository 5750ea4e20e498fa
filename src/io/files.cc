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

#include "io/fd.h"

namespace skerry::io {
namespace {

Result<void> check(int result, std::string_view what, const std::string& path) {
  if (result < 0) return fail(errno_error(what, path, errno));
  return {};
}

class RealFile : public File {
 public:
  RealFile(Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  Result<void> write(std::string_view bytes) override {
    while (!bytes.empty()) {
      ssize_t written = ::write(fd_.get(), bytes.data(), bytes.size());
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
      ssize_t got = ::pread(fd_.get(), bytes.data() + filled, size - filled,
                            static_cast<off_t>(offset + filled));
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
    SKERRY_TRY(check(::fstat(fd_.get(), &info), "stat", path_));
    return static_cast<uint64_t>(info.st_size);
  }
  Result<void> truncate(uint64_t size) override {
    return check(::ftruncate(fd_.get(), static_cast<off_t>(size)), "truncate", path_);
  }
  Result<void> sync() override { return check(::fsync(fd_.get()), "fsync", path_); }

 private:
  Fd fd_;
  std::string path_;
};

std::vector<std::string> names_in(DIR* stream) {
  std::vector<std::string> names;
  while (dirent* entry = ::readdir(stream)) {
    std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(std::move(name));
  }
  return names;
}

// Empties directories by descriptors: whatever names are swapped meanwhile, what is removed is in
// a directory that was reached from the root of the tree without a link.
class TreeRemover {
 public:
  // `parent` and `path` as they are; `name` is the tree's in `parent`.
  TreeRemover(int parent, std::string name, std::string path)
      : parent_(parent), name_(std::move(name)), path_(std::move(path)) {}

  Result<void> run() {
    if (::unlinkat(parent_, name_.c_str(), 0) == 0) return {};
    if (errno != EISDIR && errno != EPERM) return fail(errno_error("remove", path_, errno));
    Fd top(::openat(parent_, name_.c_str(), kDirectory));
    if (top.get() < 0) return fail(errno_error("remove", path_, errno));
    struct stat info{};
    if (::fstat(top.get(), &info) != 0) return fail(errno_error("stat", path_, errno));
    device_ = info.st_dev;
    top_ = top.get();
    // What was too deep has been moved up: until nothing is left.
    do {
      moved_up_ = false;
      SKERRY_TRY(empty(top.get(), 0));
    } while (moved_up_);
    if (::unlinkat(parent_, name_.c_str(), AT_REMOVEDIR) == 0) return {};
    return fail(errno_error("remove", path_, errno));
  }

 private:
  static constexpr int kDirectory = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  static constexpr int kMaxDepth = 64;  // descriptors and stack that a hostile tree may cost

  Result<void> empty(int directory, int depth) {
    const int listed = ::fcntl(directory, F_DUPFD_CLOEXEC, 0);
    DIR* stream = listed < 0 ? nullptr : ::fdopendir(listed);
    if (!stream) {
      const int error = errno;
      if (listed >= 0) ::close(listed);
      return fail(errno_error("list", path_, error));
    }
    ::rewinddir(stream);
    const std::vector<std::string> names = names_in(stream);
    ::closedir(stream);
    for (const std::string& name : names) SKERRY_TRY(remove(directory, name, depth));
    return {};
  }

  Result<void> remove(int directory, const std::string& name, int depth) {
    if (::unlinkat(directory, name.c_str(), 0) == 0 || errno == ENOENT) return {};
    if (errno != EISDIR && errno != EPERM) return fail(errno_error("remove", inside(name), errno));
    if (depth == kMaxDepth) return move_up(directory, name);
    Fd below(::openat(directory, name.c_str(), kDirectory));
    if (below.get() < 0) return fail(errno_error("open", inside(name), errno));
    struct stat info{};
    if (::fstat(below.get(), &info) != 0) return fail(errno_error("stat", inside(name), errno));
    if (info.st_dev != device_) {
      return fail(Code::kFailedPrecondition,
                  "another file system is mounted on " + inside(name) + ": unmount it first");
    }
    SKERRY_TRY(empty(below.get(), depth + 1));
    if (::unlinkat(directory, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return {};
    return fail(errno_error("remove", inside(name), errno));
  }

  Result<void> move_up(int directory, const std::string& name) {
    for (;;) {
      const std::string to = ".skerry-removed-" + std::to_string(++moved_);
      if (::renameat(directory, name.c_str(), top_, to.c_str()) == 0) break;
      const bool taken = errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR;
      if (!taken) return fail(errno_error("rename", inside(name), errno));
    }
    moved_up_ = true;
    return {};
  }

  std::string inside(const std::string& name) const { return path_ + "/…/" + name; }

  int parent_;
  std::string name_, path_;
  int top_ = -1;
  dev_t device_ = 0;
  bool moved_up_ = false;
  uint64_t moved_ = 0;
};

// Gives what belongs to `from` to another user, by descriptors: a name that is swapped meanwhile
// leads nowhere.
class TreeGiver {
 public:
  TreeGiver(uint32_t from, uint32_t uid, uint32_t gid) : from_(from), uid_(uid), gid_(gid) {}

  // `parent` is AT_FDCWD or a directory's.
  Result<void> give(int parent, const std::string& name, int depth) {
    Fd entry(::openat(parent, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    struct stat info{};
    if (entry.get() < 0 || ::fstat(entry.get(), &info) != 0) {
      if (errno == ENOENT && depth > 0) return {};
      return fail(errno_error("hand over", name, errno));
    }
    const bool is_directory = S_ISDIR(info.st_mode);
    if (depth == 0) device_ = info.st_dev;
    if (info.st_dev != device_) return {};
    if (info.st_uid == from_ && (is_directory || info.st_nlink == 1) &&
        ::fchownat(entry.get(), "", uid_, gid_, AT_EMPTY_PATH) != 0) {
      return fail(errno_error("hand over", name, errno));
    }
    if (!is_directory || depth == kMaxDepth) return {};
    DIR* stream = ::fdopendir(::openat(entry.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!stream) return fail(errno_error("list", name, errno));
    const std::vector<std::string> names = names_in(stream);
    ::closedir(stream);
    for (const std::string& each : names) SKERRY_TRY(give(entry.get(), each, depth + 1));
    return {};
  }

 private:
  static constexpr int kMaxDepth = 64;
  uint32_t from_, uid_, gid_;
  dev_t device_ = 0;
};

// `path` itself, pinned: what is done through it cannot be diverted by a change of the name.
class Pinned {
 public:
  static Result<Pinned> open(const std::string& path, std::string_view what) {
    Pinned pinned(::open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (pinned.fd_->get() < 0) return fail(errno_error(what, path, errno));
    struct stat info{};
    if (::fstat(pinned.fd_->get(), &info) != 0) return fail(errno_error("stat", path, errno));
    if (S_ISLNK(info.st_mode)) {
      return fail(Code::kPermissionDenied,
                  std::string(what) + " " + path + ": it is a link, which is not followed");
    }
    if (!S_ISDIR(info.st_mode) && info.st_nlink > 1) {
      return fail(Code::kPermissionDenied,
                  std::string(what) + " " + path + ": the file has another name elsewhere");
    }
    return pinned;
  }
  int fd() const { return fd_->get(); }
  // A descriptor of this kind can be used by its name only.
  std::string name() const { return "/proc/self/fd/" + std::to_string(fd_->get()); }

 private:
  explicit Pinned(int fd) : fd_(std::make_unique<Fd>(fd)) {}
  std::unique_ptr<Fd> fd_;
};

}  // namespace

Result<std::unique_ptr<File>> RealFiles::open(const std::string& path, OpenMode open_mode,
                                              uint32_t mode) {
  if (open_mode == OpenMode::kRead) {
    Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return fail(errno_error("open", path, errno));
    return std::make_unique<RealFile>(std::move(fd), path);
  }
  const bool truncates = open_mode == OpenMode::kTruncate;
  const int flags = O_RDWR | O_APPEND | O_CLOEXEC | (truncates ? O_TRUNC : 0);
  bool created = false;
  Fd fd(::open(path.c_str(), flags));
  if (!fd && errno == ENOENT) {
    fd = Fd(::open(path.c_str(), flags | O_CREAT, mode));
    created = true;
  }
  if (!fd) return fail(errno_error("open", path, errno));
  if ((created || truncates) && ::fchmod(fd.get(), mode) != 0) {
    return fail(errno_error("chmod", path, errno));
  }
  return std::make_unique<RealFile>(std::move(fd), path);
}

Result<FileInfo> RealFiles::stat(const std::string& path) {
  struct stat info{};
  SKERRY_TRY(check(::lstat(path.c_str(), &info), "stat", path));
  FileInfo found;
  found.is_directory = S_ISDIR(info.st_mode);
  found.is_regular = S_ISREG(info.st_mode);
  found.size_bytes = static_cast<uint64_t>(info.st_size);
  found.mode = static_cast<uint32_t>(info.st_mode & 07777);
  found.uid = info.st_uid;
  found.gid = info.st_gid;
  found.links = info.st_nlink;
  found.inode = info.st_ino;
  found.modified_ns = int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec;
  return found;
}

Result<std::vector<std::string>> RealFiles::list(const std::string& directory) {
  DIR* stream = ::opendir(directory.c_str());
  if (!stream) return fail(errno_error("list", directory, errno));
  std::vector<std::string> names = names_in(stream);
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
Result<void> RealFiles::remove_tree(const std::string& path) {
  const std::string directory = parent_of(path);
  Fd parent(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (parent.get() < 0) return fail(errno_error("open", directory, errno));
  return TreeRemover(parent.get(), path.substr(path.find_last_of('/') + 1), path).run();
}
Result<void> RealFiles::set_mode(const std::string& path, uint32_t mode) {
  SKERRY_ASSIGN(const Pinned file, Pinned::open(path, "chmod"));
  return check(::chmod(file.name().c_str(), mode), "chmod", path);
}
Result<void> RealFiles::set_owner(const std::string& path, uint32_t uid, uint32_t gid) {
  SKERRY_ASSIGN(const Pinned file, Pinned::open(path, "chown"));
  return check(::fchownat(file.fd(), "", uid, gid, AT_EMPTY_PATH), "chown", path);
}

Result<void> RealFiles::hand_over(const std::string& path, uint32_t from, uint32_t uid,
                                  uint32_t gid) {
  return TreeGiver(from, uid, gid).give(AT_FDCWD, path, 0);
}

Result<void> RealFiles::sync_directory(const std::string& path) {
  const Fd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return fail(errno_error("open", path, errno));
  return check(::fsync(directory.get()), "fsync", path);
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
  auto removed = files.remove_tree(path);
  if (!removed && removed.error().code() == Code::kNotFound) return {};
  return removed;
}

std::string parent_of(const std::string& path) {
  size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace skerry::io
