// Control groups: the kernel's own record of which processes belong together, whatever they do to
// their session, their parent or their environment. A group is a directory; its processes are found
// and killed by it without a look through /proc. Version 2 of the interface, version 1 (one
// hierarchy for each controller), and both at once. See cgroups(7).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace skerry::io {

enum class Controller { kPids, kMemory, kCpu };
inline constexpr Controller kControllers[] = {Controller::kPids, Controller::kMemory,
                                              Controller::kCpu};
std::string_view name_of(Controller controller);  // "pids", the kernel's name

// Of all processes of a group together; nothing: no limit of its own.
struct GroupLimits {
  std::optional<uint64_t> processes;  // threads count as well
  std::optional<uint64_t> memory_bytes;
  std::optional<double> cpus;

  bool operator==(const GroupLimits&) const = default;
};

// A mounted hierarchy of groups.
struct Hierarchy {
  std::string own_directory;             // of the group that this program is in
  bool unified = false;                  // version 2
  std::vector<std::string> controllers;  // of version 1; version 2 has cgroup.controllers
};

// From the texts of /proc/self/mountinfo and /proc/self/cgroup. Unified ones come first.
std::vector<Hierarchy> parse_hierarchies(std::string_view mountinfo, std::string_view own_groups);

// One group and those below it.
class Cgroup {
 public:
  explicit Cgroup(std::string directory) : directory_(std::move(directory)) {}
  const std::string& directory() const { return directory_; }

  // Sorted. Zombies are not among them.
  std::vector<pid_t> processes() const;
  bool populated() const;
  // To each process once, also to those born meanwhile; never to the caller.
  void signal(int number) const;
  // SIGKILL to all, also to those born meanwhile. False when some are still there in the end: they
  // wait in the kernel and die when they return from there.
  bool kill(int64_t timeout_ms) const;
  // One round of that for kernels without cgroup.kill: each that is there now. Where the kernel can
  // freeze groups none runs, and none is born, meanwhile.
  void kill_each() const;
  // None of the processes runs until it is thawed; a SIGKILL gets through. kNotFound where the
  // kernel cannot (version 1, version 2 before 5.2).
  Result<void> freeze(bool frozen) const;
  // The directories. They stay where a process is left.
  void remove() const;

 private:
  std::string directory_;
};

// Files of a group: one line, in and out.
Result<void> write_group_file(const std::string& directory, std::string_view name,
                              std::string_view text);
std::string read_group_file(const std::string& directory, std::string_view name);  // "" on errors
// The number behind `key` in "KEY NUMBER" lines; 0 where there is none.
uint64_t counter_in(std::string_view text, std::string_view key);

}  // namespace skerry::io
