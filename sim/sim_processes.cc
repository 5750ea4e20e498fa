// Scripted child processes.
#include "sim/sim_processes.h"

#include <csignal>

namespace skerry::sim {

class SimProcesses::SimProcess : public io::Process {
 public:
  SimProcess(SimProcesses& owner, ScriptedProcess script, io::ProcessEvents events)
      : owner_(owner), events_(std::move(events)), pid_(owner.next_pid_++) {
    ++owner_.running_;
    if (script.exit) end_after(script.ends_after_ms, *script.exit);
  }
  ~SimProcess() override { --owner_.running_; }

  pid_t pid() const override { return pid_; }
  bool running() override { return !ended_; }
  void signal(int number) override {
    if (ended_ || (number != SIGTERM && number != SIGKILL)) return;
    end_after(1, io::ExitStatus{0, number});
  }
  Result<void> pause(bool) override { return {}; }

 private:
  void end_after(int64_t delay_ms, io::ExitStatus status) {
    timer_ = owner_.loop_.after(delay_ms, [this, status] {
      ended_ = true;
      auto on_exit = events_.on_exit;  // the event may destroy this process
      if (on_exit) on_exit(status);
    });
  }
  SimProcesses& owner_;
  io::ProcessEvents events_;
  pid_t pid_;
  io::Timer timer_;
  bool ended_ = false;
};

Result<std::unique_ptr<io::Process>> SimProcesses::start(const io::ProcessSpec& spec,
                                                         io::ProcessEvents events) {
  return std::make_unique<SimProcess>(*this, script_(spec), std::move(events));
}

}  // namespace skerry::sim
