// The file system as one interface: the real one, and FaultFiles (io/fault_files.h), which fails or
// "crashes" at any chosen operation and forgets what was not synced.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace skerry::io {

enum class OpenMode {
  kRead,      // must exist
  kAppend,    // created where absent; writes go to the end
  kTruncate,  // created or emptied; writes go to the end
};

struct FileInfo {
  bool is_directory = false;
  bool is_regular = false;  // neither of the two: a link, a device, a pipe, a socket
  uint64_t size_bytes = 0;
  uint32_t mode = 0;  // permission bits
  uint32_t uid = 0, gid = 0;
  uint64_t links = 1;  // names that it has
  // What tells cheaply whether a file is still the one that it was.
  uint64_t inode = 0;
  int64_t modified_ns = 0;
};

class File {
 public:
  virtual ~File() = default;                               // closes
  virtual Result<void> write(std::string_view bytes) = 0;  // all of it, or an error
  // Up to `size` bytes from `offset`; shorter only at the end of the file.
  virtual Result<std::string> read_at(uint64_t offset, size_t size) = 0;
  virtual Result<uint64_t> size() = 0;
  virtual Result<void> truncate(uint64_t size) = 0;
  virtual Result<void> sync() = 0;  // fsync: written bytes survive a power cut
};

// Whoever may write to a directory of `path` can make the path mean something else at any time.
// The nucleus is root and components are not its friends: below a folder that belongs to one, only
// remove_tree() and hand_over() may be used.
class Files {
 public:
  virtual ~Files() = default;
  // `mode` is applied to a file that is created or emptied, whatever the umask.
  virtual Result<std::unique_ptr<File>> open(const std::string& path, OpenMode open_mode,
                                             uint32_t mode = 0600) = 0;
  virtual Result<FileInfo> stat(const std::string& path) = 0;  // kNotFound where absent
  virtual Result<std::vector<std::string>> list(const std::string& directory) = 0;  // names, sorted
  virtual Result<void> make_directory(const std::string& path,
                                      uint32_t mode = 0755) = 0;  // fine if there
  virtual Result<void> rename(const std::string& from, const std::string& to) = 0;
  virtual Result<void> remove(const std::string& path) = 0;  // file, link or empty directory
  // `path` and all below it, on one file system, however its owner changes it meanwhile: no link is
  // followed and nothing outside is touched. kNotFound where absent.
  virtual Result<void> remove_tree(const std::string& path) = 0;
  // These two refuse (kPermissionDenied) links, and files that have another name as well: that
  // name may be a trap.
  virtual Result<void> set_mode(const std::string& path, uint32_t mode) = 0;
  virtual Result<void> set_owner(const std::string& path, uint32_t uid, uint32_t gid) = 0;
  // `path` and what is below it, on one file system and at most 64 levels deep: what belongs to
  // `from` is given to `uid` and `gid`, but no file that has another name as well. Links are not
  // followed, whoever swaps them meanwhile.
  virtual Result<void> hand_over(const std::string& path, uint32_t from, uint32_t uid,
                                 uint32_t gid) = 0;
  virtual Result<void> sync_directory(const std::string& path) = 0;  // entries survive a power cut
  virtual Result<uint64_t> free_bytes(const std::string& path) = 0;
};

class RealFiles : public Files {
 public:
  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode open_mode,
                                     uint32_t mode) override;
  Result<FileInfo> stat(const std::string& path) override;
  Result<std::vector<std::string>> list(const std::string& directory) override;
  Result<void> make_directory(const std::string& path, uint32_t mode) override;
  Result<void> rename(const std::string& from, const std::string& to) override;
  Result<void> remove(const std::string& path) override;
  Result<void> remove_tree(const std::string& path) override;
  Result<void> set_mode(const std::string& path, uint32_t mode) override;
  Result<void> set_owner(const std::string& path, uint32_t uid, uint32_t gid) override;
  Result<void> hand_over(const std::string& path, uint32_t from, uint32_t uid,
                         uint32_t gid) override;
  Result<void> sync_directory(const std::string& path) override;
  Result<uint64_t> free_bytes(const std::string& path) override;
};

// Built from the interface, so that they work on every implementation:

bool exists(Files& files, const std::string& path);
// The whole file; kResourceExhausted above `max_bytes`.
Result<std::string> read_file(Files& files, const std::string& path, uint64_t max_bytes = 64 << 20);
// Replaces `path` so that after a crash it has either the old or the new content:
// write PATH.tmp, fsync, rename, fsync of the directory.
Result<void> write_file_atomic(Files& files, const std::string& path, std::string_view bytes,
                               uint32_t mode = 0600);
// `path` and its parents; those it creates survive a power cut.
Result<void> make_directories(Files& files, const std::string& path, uint32_t mode = 0755);
// Files::remove_tree(), fine where there is nothing.
Result<void> remove_all(Files& files, const std::string& path);
// The directory part: "/a/b" → "/a", "x" → ".".
std::string parent_of(const std::string& path);

}  // namespace skerry::io
