// Child processes of a simulated device: each follows a script given by a callback.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "io/processes.h"
#include "io/task.h"
#include "sim/sim_loop.h"

namespace skerry::sim {

struct ScriptedProcess {
  int64_t ends_after_ms = 0;
  std::optional<io::ExitStatus> exit;  // nothing: runs until it is killed
};

class SimProcesses : public io::Processes {
 public:
  using Script = std::function<ScriptedProcess(const io::ProcessSpec&)>;
  SimProcesses(SimLoop& loop, Script script) : loop_(loop), script_(std::move(script)) {}
  Result<std::unique_ptr<io::Process>> start(const io::ProcessSpec& spec,
                                             io::ProcessEvents events) override;
  size_t running() const { return running_; }

 private:
  class SimProcess;
  SimLoop& loop_;
  Script script_;
  size_t running_ = 0;
  pid_t next_pid_ = 1000;
};

}  // namespace skerry::sim
