// Child processes as one interface: the real one (fork, exec, pidfd) and the simulator's.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/error.h"
#include "io/cgroup.h"
#include "io/loop.h"
#include "io/sandbox.h"

namespace skerry::io {

class Containment;

struct User {
  uid_t uid = 0;
  gid_t gid = 0;
};

// setrlimit(2); cut to the caller's own hard limit.
struct ResourceLimit {
  int which = 0;
  uint64_t soft = 0, hard = 0;
};

struct ProcessSpec {
  std::vector<std::string> argv;  // argv[0] is looked up in PATH of `environment`
  std::vector<std::pair<std::string, std::string>> environment;  // the whole environment
  std::string working_directory;
  std::optional<User> user;  // unset: as the caller
  // The caller's right to go to the directory counts, not the user's: its parents may be closed to
  // the program, which then knows it as "." only.
  bool enters_as_caller = false;

  // Processes of one unit (a component) are limited together, the last start's limits counting.
  std::string unit;
  GroupLimits limits;
  bool no_new_privileges = false;  // set-user-ID programs such as sudo change nothing
  std::optional<int> oom_score;    // oom_score_adj, 1000: killed first
  std::vector<ResourceLimit> resource_limits;
  std::optional<Sandbox> sandbox;  // with no_new_privileges, which it implies
};

struct ExitStatus {
  int code = 0;                // exit code; meaningless when `signal` is set
  int signal = 0;              // the signal that ended it, or 0
  bool out_of_memory = false;  // the kernel killed processes of its unit meanwhile
  bool ok() const { return code == 0 && signal == 0; }
  std::string text() const;  // "exit code 3", "killed by signal 9"
};

// A child in a session of its own. Destroying it kills (SIGKILL) the child and whatever it started,
// sessions and daemons of their own included.
class Process {
 public:
  virtual ~Process() = default;
  virtual pid_t pid() const = 0;
  // To the child and to whatever it started, sessions and daemons of their own included.
  virtual void signal(int number) = 0;
  // None of them runs until it is told to go on; SIGKILL gets through. The kernel's freezer where
  // there is one, else SIGSTOP and SIGCONT.
  virtual Result<void> pause(bool paused) = 0;
  // Whether the child, or anything it started, still runs.
  virtual bool running() = 0;
};

struct ProcessEvents {
  // A line (without its end) of standard output or error; long lines come in pieces of 8 KiB.
  std::function<void(std::string_view line, bool is_stderr)> on_line;
  // Once, after the child's last line. What the child left running in the background may write more
  // lines after that, until the Process is destroyed.
  std::function<void(ExitStatus)> on_exit;
};

class Processes {
 public:
  virtual ~Processes() = default;
  // Events come from the loop, never inside start(), and none after the Process is destroyed (which
  // an event may do). An error names the program and the step that failed.
  virtual Result<std::unique_ptr<Process>> start(const ProcessSpec& spec, ProcessEvents events) = 0;
};

// Children die with the thread that started them (PR_SET_PDEATHSIG): start them from the main one.
// Their descendants are found by their control group (io/containment.h) or, where none can be made,
// by a mark in the environment (io/process_guard.h). Destroy after every Process and before
// the loop.
class RealProcesses : public Processes {
 public:
  // `mark`: ProcessGuard::mark(); empty for one that is used by this object only.
  // `containment` outlives this object; null where there is none.
  explicit RealProcesses(Loop& loop, std::string mark = {}, Containment* containment = nullptr);
  ~RealProcesses() override;
  Result<std::unique_ptr<Process>> start(const ProcessSpec& spec, ProcessEvents events) override;
  // Reaps ended processes that were not started here: orphans adopted by a child subreaper. For the
  // SIGCHLD handler of a program with a ProcessGuard; it must have no other users of wait().
  void reap_adopted();

 private:
  class Child;
  class Handle;
  Loop& loop_;
  std::string mark_;
  Containment* containment_;
  uint64_t started_ = 0;
  std::unordered_map<pid_t, std::shared_ptr<Child>> unreaped_;
  bool adopted_behind_ =
      false;  // reap_adopted() stopped at an ended child that is still in unreaped_
};

}  // namespace skerry::io
