// How a child becomes its program: everything prepared before the fork, and what it does until
// exec. For RealProcesses.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <csignal>
#include <optional>
#include <string>
#include <vector>

#include "io/fd.h"
#include "io/processes.h"

namespace skerry::io {

// Everything the child needs: between fork and exec it may neither allocate nor take a lock.
struct Launch {
  std::vector<std::string> candidates;  // paths to try
  std::vector<std::string> environment_text;
  std::vector<char*> argv, environment;
  const char* directory = nullptr;
  bool enters_as_caller = false;
  std::optional<User> user;
  std::vector<gid_t> groups;
  std::vector<int> doors;  // of its control groups
  std::vector<std::pair<int, rlimit>> limits;
  std::string oom_score;
  bool no_new_privileges = false;
  std::optional<SandboxDoors> sandbox;
  pid_t parent = 0;
  int in = -1, out = -1, err = -1, status = -1;
  sigset_t signals{};
};

// `spec` must outlive what is returned; descriptors are left to the caller.
Result<Launch> prepare_launch(const ProcessSpec& spec, const std::string& mark);
// A child that has become its program; nobody has waited for it.
struct Launched {
  pid_t pid = -1;
  Fd pidfd;
  Fd out, err;  // what it writes, the reading ends
};
// Starts `launch`, with nothing to read on standard input. What could not become its program is
// gone when the error is returned.
Result<Launched> launch_child(const ProcessSpec& spec, Launch& launch);

}  // namespace skerry::io
