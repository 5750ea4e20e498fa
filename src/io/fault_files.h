// FaultFiles: a file system in memory that can fail or lose power at any operation, for tests.
//
// What a power cut keeps (stricter than any one file system, as POSIX allows):
// - The content of a file is durable once File::sync succeeded. Later writes may be kept, lost or
// torn.
// - A name (create, rename, remove) is durable once sync_directory() of its directory succeeded,
//   whatever happened to the file. Until then each operation may be kept or lost by itself; a
//   rename is never half done.
// - What a failed sync was to write is lost, even when a later sync succeeds (as on Linux).
// - Modes, owners and times are durable at once: nothing here depends on them.
// No links, no permissions checks. One thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/files.h"
#include "io/random.h"

namespace skerry::io {

enum class CrashPolicy {
  kDropUnsynced,  // exactly what is durable
  kKeepAll,       // as if all had been written, except what a failed sync lost
  kSeeded,        // anything between, torn blocks included
};

class FaultFiles : public Files {
 public:
  struct Operation {
    std::string name;  // "create", "write", "sync", "rename", …
    std::string path;
    std::string text() const { return name + " " + path; }
  };

  FaultFiles();

  // Operations that change something are numbered from 0, in the order of operations().
  const std::vector<Operation>& operations() const { return operations_; }

  // Power goes at operation `number`: it and every later call, reads included, fail with kInternal
  // "crashed", and files opened before are dead for good. Whether that operation itself took place
  // is up to the policy of reboot().
  void crash_at(size_t number) { crash_at_ = number; }
  void crash_now() { crashed_ = true; }
  bool crashed() const { return crashed_; }
  // Power returns: the state that the policy leaves is the state from now on, all of it durable.
  void reboot(CrashPolicy policy, uint64_t seed = 0);

  // Operation `number` (every one from `number` on) fails with `errno_value`. A failing write
  // leaves half of its bytes behind.
  void fail_at(size_t number, int errno_value) { fault_ = {number, errno_value, false}; }
  void fail_from(size_t number, int errno_value) { fault_ = {number, errno_value, true}; }
  void stop_failing() { fault_.reset(); }
  // Writes that would take the contents of all files above this fail with ENOSPC.
  void set_capacity(uint64_t bytes) { capacity_ = bytes; }

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

 private:
  struct Node;
  class OpenFile;
  using NodePtr = std::shared_ptr<Node>;  // shared by names, durable names and open files
  using Entries = std::map<std::string, NodePtr>;
  struct Place {  // a path's directory and last name
    NodePtr directory;
    std::string name;
  };
  // A change of names that is not durable yet: `name` comes to mean `node`, or stops to mean it. A
  // rename also ends the old name.
  struct NameChange {
    NodePtr directory;
    std::string name;
    NodePtr node;
    bool removes = false;
    NodePtr old_directory = nullptr;
    std::string old_name = {};
    void apply(Entries Node::* entries) const;
  };
  struct Fault {
    size_t number;
    int errno_value;
    bool persists;
  };

  // Counts an operation; its injected error, if any.
  std::optional<Error> begin(std::string name, const std::string& path);
  // "crashed" once the power went; asked before each operation, and after it for the fatal one.
  Result<void> alive() const;
  Result<NodePtr> find(const std::string& path, std::string_view what) const;
  Result<Place> place_of(const std::string& path, std::string_view what) const;
  void change_name(NameChange change);
  std::vector<NameChange> take_changes(const std::function<bool(const NameChange&)>& chosen);
  uint64_t used_bytes() const;

  NodePtr root_;
  std::vector<NameChange> unsynced_;
  std::vector<Operation> operations_;
  std::optional<size_t> crash_at_;
  std::optional<Fault> fault_;
  uint64_t capacity_ = UINT64_MAX;
  uint64_t boots_ = 0;  // files opened in an earlier one are dead
  uint64_t next_inode_ = 1;
  int64_t next_change_ns_ = 1;  // a clock that advances with every change of content
  bool crashed_ = false;
};

}  // namespace skerry::io
