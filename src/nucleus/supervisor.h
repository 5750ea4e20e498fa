// Keeps the wanted set of components running: starts in dependency order, stops in the reverse,
// restarts dependents of a component that went down, and says when all are healthy.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "formats/component_history.h"
#include "nucleus/component.h"

namespace skerry::nucleus {

class Supervisor {
 public:
  struct Hooks {
    // A component's state or reason changed.
    std::function<void(const ComponentStatus&)> on_state;
    // Remember that this package's Install has succeeded / ask whether it has.
    std::function<void(const ComponentName&, const std::string& package)> mark_installed;
    std::function<bool(const ComponentName&, const std::string& package)> is_installed;
    // Whether this package's Bootstrap has ended with a wish for a restart / that it has, and
    // whether of the device: to be remembered, and done when is_installing() says no.
    std::function<bool(const ComponentName&, const std::string& package)> is_bootstrapped;
    // Whether the device has not been restarted since; may be empty.
    std::function<bool(const ComponentName&, const std::string& package)> awaits_reboot;
    std::function<void(const ComponentName&, const std::string& package, bool of_device)> restart;
  };
  Supervisor(io::Env& env, Hooks hooks);
  ~Supervisor();  // kills what still runs, without Shutdown scripts

  // Makes `wanted` the set to run. Returns once everything obsolete is stopped and the rest is
  // started (not yet healthy). Components whose spec is unchanged are left alone. The set stays
  // wanted where the task is destroyed; a later call replaces it.
  io::Task<void> apply(std::vector<ComponentSpec> wanted);
  // Until every component has been RUNNING or FINISHED without a break for `window_ms`. Fails with
  // the component's reason as soon as one is BROKEN, and with kTimeout after `timeout_ms`.
  io::Task<Result<void>> wait_healthy(int64_t window_ms, int64_t timeout_ms);

  // What people ask of one component until the next deployment or restart of the program; kNotFound
  // where no such component is here, kFailedPrecondition where its state does not allow it.
  // Restarts it, and its HARD dependents with it, also where it is BROKEN or stopped.
  Result<void> restart(const ComponentName& name);
  // Stops it: it is FINISHED then, and its dependents run on.
  Result<void> stop(const ComponentName& name);
  Result<void> pause(const ComponentName& name);
  Result<void> resume(const ComponentName& name);

  // Runs the Uninstall of components that are leaving the device; they are stopped already. Its
  // processes have a token like those of others.
  io::Task<void> uninstall(std::vector<ComponentSpec> leaving);

  // Whether any is at its Bootstrap or Install, other than to wait for a restart.
  bool is_installing() const;
  // Whoever waits for a restart has failed.
  void restart_failed(const Error& error);

  std::vector<ComponentStatus> statuses() const;
  // Since this supervisor began.
  const formats::ComponentHistory& history() const { return history_; }
  // The component whose processes carry this SVCUID.
  std::optional<ComponentName> component_of_token(std::string_view token) const;
  // kNotFound where no such component runs.
  Result<void> report(const ComponentName& name, ComponentState reported);

 private:
  void on_component_state(Component& component);
  void note_state(const Component& component);
  formats::ComponentTally& tally_of(const ComponentName& name);
  void after_change();
  void refresh_dependencies();
  void wake();
  io::Task<void> reconcile_loop();
  io::Task<void> reconcile();
  io::Task<void> stop_set(std::set<ComponentName> names);
  Result<Component*> find(const ComponentName& name) const;
  void start_one(const ComponentSpec& spec);
  // `names` and, transitively, every component that HARD-depends on one of them.
  std::set<ComponentName> with_dependents(std::set<ComponentName> names) const;
  bool settled() const;
  const Component* broken() const;

  io::Env& env_;
  Hooks hooks_;
  std::map<ComponentName, ComponentSpec> wanted_;
  std::map<ComponentName, std::unique_ptr<Component>> components_;
  std::unique_ptr<Component> leaving_;  // whose Uninstall runs
  std::set<ComponentName> to_restart_;
  std::set<ComponentName> to_stop_;
  formats::ComponentHistory history_;
  std::vector<io::Completion<bool>> appliers_;  // of the next reconcile()
  std::optional<io::Completion<bool>> wake_;
  bool woken_ = false;
  bool reconciling_ = false;
  bool change_pending_ = false;
  uint64_t changes_ = 0;  // counts state changes, so that waiters see breaks between two looks
  std::vector<io::Completion<bool>> waiters_;
  io::TaskScope tasks_;
};

}  // namespace skerry::nucleus
