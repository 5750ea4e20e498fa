// No orphan, ever. Whatever a component started is found and killed when the component is stopped,
// when this program dies of anything (by a watcher process), and when it starts again.
//
// It is found by its control group (io/containment.h). Where none can be made, a mark stands in:
// every child of RealProcesses carries SKERRY_OWNER=OWNER/RUN/CHILD in its environment and hands it
// on to what it starts, however often that forks or makes itself a session. The mark has a limit
// that groups do not have: a process that clears its environment and has also lost its parent is
// not found.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "io/containment.h"
#include "io/fd.h"

namespace skerry::io {

inline constexpr char kMarkVariable[] = "SKERRY_OWNER";

// Processes whose mark is `mark` or below it ("MARK/…"), and their descendants; sorted;
// never the caller.
std::vector<pid_t> marked_processes(const std::string& mark);

// Sends `signal` to all of them once.
void signal_marked(const std::string& mark, int signal);

// SIGKILLs until none is left: how many there were, or kTimeout with the ones that do not die.
Result<size_t> kill_marked(const std::string& mark, int64_t timeout_ms = 5000);

// Kills this program's children when it ends, even by SIGKILL: a watcher process blocks on a pipe
// that closes with this program. Also makes this program adopt the orphans below it, so that they
// can be reaped (RealProcesses::reap_adopted).
class ProcessGuard {
 public:
  // `owner` names this program's state: the same in each run, unique on the machine. Kills what an
  // earlier run with the same owner left behind. Call from main, when the lock on the state is held
  // and before any thread is started.
  static Result<ProcessGuard> start(const std::string& owner);

  ProcessGuard(ProcessGuard&& other) noexcept;
  ProcessGuard& operator=(ProcessGuard&&) = delete;
  // Kills what is left now.
  ~ProcessGuard();

  const std::string& mark() const { return mark_; }                // for RealProcesses
  Containment* containment() const { return containment_.get(); }  // likewise; may be null
  // Why there is none.
  const Error& uncontained() const { return uncontained_; }
  pid_t watcher() const { return watcher_; }

 private:
  ProcessGuard(std::string mark, std::unique_ptr<Containment> containment, Error uncontained,
               pid_t watcher, Fd pipe);
  std::string mark_;
  std::unique_ptr<Containment> containment_;
  Error uncontained_;
  pid_t watcher_;
  Fd pipe_;  // closing it is the watcher's signal
};

}  // namespace skerry::io
