// One component's life: install, wait for dependencies, start, watch, retry, stop. Its scripts run
// in processes of their own session; none outlives the object.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/named_type.h"
#include "formats/recipe.h"
#include "io/env.h"
#include "io/task.h"
#include "nucleus/component_state.h"

namespace skerry::nucleus {

// One life-cycle script, ready to run: its placeholders are filled in.
struct Step {
  std::string script;  // for /bin/sh -c
  std::optional<formats::SkipIf> skip_if;
  bool requires_privilege = false;
  int64_t timeout_ms = 0;  // 0: none
  std::vector<std::pair<std::string, std::string>> environment;

  bool operator==(const Step&) const = default;
};

// Everything needed to run a component version. Two equal specs need no restart.
struct ComponentSpec {
  ComponentName name;
  std::string version;
  std::string package;  // another one of the same version is another content: Install runs again
  std::vector<ComponentName> hard_dependencies;
  std::optional<Step> bootstrap, install, startup, run, shutdown, recover, uninstall;
  std::vector<std::pair<std::string, std::string>> environment;
  std::string work_directory;
  std::string log_path;
  std::optional<std::pair<uint32_t, uint32_t>> user;  // uid, gid; unset: as the nucleus
  io::GroupLimits limits;                             // of all its processes together
  std::optional<io::Sandbox> sandbox;                 // of its steps without privilege

  bool operator==(const ComponentSpec&) const = default;
};

// The longest that it can take until it is up or broken, by its steps' timeouts; nothing where a
// step has none.
std::optional<int64_t> longest_start_ms(const ComponentSpec& spec);

class ComponentLog;

// "1500 ms", "120 s": for messages.
std::string duration_text(int64_t duration_ms);

class Component {
 public:
  struct Hooks {
    // After each change of state; from inside the component: only take note, never stop it here.
    std::function<void(Component&)> on_state;
    // The install script of this package has succeeded (it runs once in a package's life).
    std::function<void(const Component&)> on_installed;
    // Whether its Bootstrap has ended, asking for a restart that took place.
    std::function<bool(const Component&)> is_bootstrapped;
    // Whether the restart of the device that it asked for has not taken place; may be empty.
    std::function<bool(const Component&)> awaits_reboot;
    // Bootstrap asks for a restart, of the device or of the program: to be remembered, and done.
    // The component waits until the program ends, or until restart_failed().
    std::function<void(Component&, bool of_device)> on_restart;
  };

  // `token`: the SVCUID by which its processes prove who they are on the IPC socket.
  Component(io::Env& env, ComponentSpec spec, bool installed, std::string token, Hooks hooks);
  ~Component();

  void start();
  // Ends whatever runs: Shutdown script, SIGTERM, then SIGKILL. Afterwards nothing of it is left.
  io::Task<void> stop();
  // Runs the Uninstall script of one that is leaving the device, and was never started here or is
  // stopped. A failure is logged and holds up nothing.
  io::Task<void> uninstall();
  // Told by the supervisor whenever the answer may have changed.
  void set_dependencies_ready(bool ready);
  // UpdateState over IPC: the component says it runs, or that it has failed.
  void report(ComponentState reported);
  bool awaits_restart() const { return restart_.has_value(); }
  void restart_failed(const Error& error);
  // As stop(), and it is FINISHED then: what depends on it runs on.
  io::Task<void> finish_now();
  // Halts every process of one that is RUNNING, and lets them go on; whatever ends that state does
  // so, too. kFailedPrecondition where it is in no state for that.
  Result<void> pause();
  Result<void> resume();

  const ComponentSpec& spec() const { return spec_; }
  const std::string& token() const { return token_; }
  ComponentState state() const { return state_; }
  // Why it is ERRORED or BROKEN, with the script's last lines of output; for one that is up, what
  // people should know about it.
  const std::string& reason() const { return reason_; }
  // For machines, of one that is ERRORED or BROKEN: "INSTALL_ERROR", "RUN_TIMEOUT", …; else empty.
  const std::string& status_code() const { return status_code_; }
  // What the script that began last has written last: a few KiB in formats::kMaxLogLines at most.
  std::vector<std::string> last_lines() const;

 private:
  // A script in its process, from launch() until it is dropped, which kills what it left.
  struct Script {
    std::unique_ptr<io::Process> process;
    std::optional<io::Completion<Result<io::ExitStatus>>> exit;
  };
  io::Task<void> live();
  io::Task<Result<void>> attempt();
  io::Task<Result<void>> take_over_work_folder();
  io::Task<Result<void>> install();
  io::Task<Result<void>> run();
  io::Task<void> finish();
  io::Task<Result<void>> wait_for_restart(bool of_device);
  io::Task<void> clean_up_after_failure();
  io::Task<void> shut_down();
  io::Task<Result<void>> run_to_end(std::string name, Step step, Script* script);
  io::Task<void> try_to_end(std::string name, Step step);
  Result<void> launch(const Step& step, Script* script);
  io::Task<void> end(Script* script);
  void limit_time(const std::string& name, const Step& step, const Script& script);
  bool skipped(const Step& step) const;
  void set_state(ComponentState state);
  void note(std::string text);
  Result<void> set_paused(bool paused);
  void note_failure(const Error& error);
  std::vector<std::pair<std::string, std::string>> environment_of(const Step& step) const;

  io::Env& env_;
  ComponentSpec spec_;
  bool installed_;
  std::string token_;
  Hooks hooks_;
  ComponentState state_ = ComponentState::kNew;
  std::string reason_;
  std::string status_code_;
  std::string step_;  // of the attempt, that has begun last
  bool dependencies_ready_ = false;
  std::optional<io::Completion<bool>> waiting_for_dependencies_;
  Script main_;                                           // Bootstrap, Install, Startup, Run
  Script aside_;                                          // Recover, Shutdown, Uninstall
  io::Timer deadline_;                                    // of the step that runs
  std::optional<io::Completion<Result<void>>> restart_;   // while Bootstrap waits for one
  std::optional<io::Completion<bool>> reported_failure_;  // while it is up after Startup
  std::deque<std::string> last_lines_;
  int failures_ = 0;             // in a row
  int64_t last_failure_ms_ = 0;  // monotonic
  bool up_ = false;              // Startup or Run has begun, and Shutdown has not ended since
  bool paused_ = false;
  std::string notes_;  // for people, while it is up
  std::unique_ptr<ComponentLog> log_;
  io::TaskScope life_;
};

}  // namespace skerry::nucleus
