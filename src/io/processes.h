// Child processes as one interface: the real one (fork, exec, pidfd) and the simulator's.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "io/loop.h"

namespace skerry::io {

struct User {
  uid_t uid = 0;
  gid_t gid = 0;
};

struct ProcessSpec {
  std::vector<std::string> argv;  // argv[0] is looked up in PATH of `environment`
  std::vector<std::pair<std::string, std::string>> environment;  // the whole environment
  std::string working_directory;
  std::optional<User> user;  // unset: as the caller
};

struct ExitStatus {
  int code = 0;    // exit code; meaningless when `signal` is set
  int signal = 0;  // the signal that ended it, or 0
  bool ok() const { return code == 0 && signal == 0; }
  std::string text() const;  // "exit code 3", "killed by signal 9"
};

// A child in a session of its own. Destroying it kills the whole session.
class Process {
 public:
  virtual ~Process() = default;
  virtual pid_t pid() const = 0;
  // To the child's whole process group.
  virtual void signal(int number) = 0;
};

struct ProcessEvents {
  // A line (without its end) of standard output or error; long lines come in pieces of 8 KiB.
  std::function<void(std::string_view line, bool is_stderr)> on_line;
  // Once, after the last line.
  std::function<void(ExitStatus)> on_exit;
};

class Processes {
 public:
  virtual ~Processes() = default;
  // Events come from the loop, never inside start().
  virtual Result<std::unique_ptr<Process>> start(const ProcessSpec& spec, ProcessEvents events) = 0;
};

// Children die with this process where the kernel allows it (PR_SET_PDEATHSIG).
class RealProcesses : public Processes {
 public:
  explicit RealProcesses(Loop& loop) : loop_(loop) {}
  Result<std::unique_ptr<Process>> start(const ProcessSpec& spec, ProcessEvents events) override;

 private:
  Loop& loop_;
};

}  // namespace skerry::io
