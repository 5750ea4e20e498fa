// Reconciles the running components with the wanted ones.
#include "nucleus/supervisor.h"

#include <algorithm>

#include "base/log.h"

namespace skerry::nucleus {

Supervisor::Supervisor(io::Env& env, Hooks hooks) : env_(env), hooks_(std::move(hooks)) {
  history_.run = env_.random.token(16);
  tasks_.spawn(reconcile_loop());
}

Supervisor::~Supervisor() {
  tasks_.cancel_all();
  leaving_.reset();
  components_.clear();
}

io::Task<void> Supervisor::apply(std::vector<ComponentSpec> wanted) {
  wanted_.clear();
  for (ComponentSpec& spec : wanted) wanted_.emplace(spec.name, std::move(spec));
  io::Completion<bool> applied(env_.loop);
  appliers_.push_back(applied);
  wake();
  co_await applied;
}

void Supervisor::wake() {
  woken_ = true;
  if (wake_) wake_->complete(true);
}

// The only task that stops and starts components: a deployment and a restart of dependents cannot
// get in each other's way, and a deployment that is dropped halfway leaves nothing half stopped.
io::Task<void> Supervisor::reconcile_loop() {
  for (;;) {
    while (!woken_) {
      wake_.emplace(env_.loop);
      co_await *wake_;
    }
    woken_ = false;
    reconciling_ = true;
    co_await reconcile();
  }
}

io::Task<void> Supervisor::reconcile() {
  auto appliers = std::exchange(appliers_, {});
  // As asked for; and a HARD dependent starts again after what it depends on went down.
  std::set<ComponentName> obsolete = std::exchange(to_restart_, {});
  if (!obsolete.empty()) {
    log::info("supervisor", "restarting", {{"count", std::to_string(obsolete.size())}});
  }
  for (const auto& [name, component] : components_) {
    auto spec = wanted_.find(name);
    // A broken component gets a new chance from any deployment that still wants it.
    const bool another_chance = !appliers.empty() && component->state() == ComponentState::kBroken;
    if (spec == wanted_.end() || !(spec->second == component->spec()) || another_chance)
      obsolete.insert(name);
  }
  co_await stop_set(with_dependents(std::move(obsolete)));
  for (const ComponentName& name : std::exchange(to_stop_, {})) {
    auto component = components_.find(name);
    if (component != components_.end()) co_await component->second->finish_now();
  }
  for (const auto& [name, spec] : wanted_) {
    if (!components_.contains(name)) start_one(spec);
  }
  reconciling_ = false;
  after_change();
  for (auto& applier : appliers) applier.complete(true);
}

// Dependents first, so that none runs without what it stands on.
io::Task<void> Supervisor::stop_set(std::set<ComponentName> names) {
  std::erase_if(names, [this](const ComponentName& name) { return !components_.contains(name); });
  while (!names.empty()) {
    auto next = std::find_if(names.begin(), names.end(), [&](const ComponentName& candidate) {
      return std::none_of(names.begin(), names.end(), [&](const ComponentName& other) {
        const auto& needs = components_.at(other)->spec().hard_dependencies;
        return other != candidate &&
               std::find(needs.begin(), needs.end(), candidate) != needs.end();
      });
    });
    if (next == names.end())
      next = names.begin();  // a cycle: resolution refuses it, stopping must not hang
    ComponentName name = *next;
    names.erase(next);
    co_await components_.at(name)->stop();
    components_.erase(name);
    to_restart_.erase(name);
  }
}

void Supervisor::start_one(const ComponentSpec& spec) {
  Component::Hooks hooks;
  hooks.on_state = [this](Component& component) { on_component_state(component); };
  hooks.on_installed = [this](const Component& component) {
    hooks_.mark_installed(component.spec().name, component.spec().package);
  };
  hooks.is_bootstrapped = [this](const Component& component) {
    return hooks_.is_bootstrapped(component.spec().name, component.spec().package);
  };
  hooks.awaits_reboot = [this](const Component& component) {
    return hooks_.awaits_reboot &&
           hooks_.awaits_reboot(component.spec().name, component.spec().package);
  };
  hooks.on_restart = [this](const Component& component, bool of_device) {
    hooks_.restart(component.spec().name, component.spec().package, of_device);
  };
  auto component =
      std::make_unique<Component>(env_, spec, hooks_.is_installed(spec.name, spec.package),
                                  env_.random.token(16), std::move(hooks));
  components_.emplace(spec.name, std::move(component)).first->second->start();
}

// Called from inside a component: takes a note; the work is done from the loop.
void Supervisor::on_component_state(Component& component) {
  ++changes_;
  note_state(component);
  ComponentState state = component.state();
  if (state == ComponentState::kErrored || state == ComponentState::kBroken) {
    auto affected = with_dependents({component.spec().name});
    affected.erase(component.spec().name);
    for (const ComponentName& name : affected) {
      ComponentState dependent = components_.at(name)->state();
      const bool goes_down = dependent == ComponentState::kStarting || is_healthy(dependent);
      if (goes_down && to_restart_.insert(name).second) ++tally_of(name).restarts;
    }
  }
  hooks_.on_state({component.spec().name, component.spec().version, state, component.reason(),
                   component.status_code()});
  if (change_pending_) return;
  change_pending_ = true;
  // A task, so that a destroyed supervisor is not called back.
  struct Deferred {
    static io::Task<void> run(Supervisor* self) {
      co_await io::sleep(self->env_.loop, 0);
      self->change_pending_ = false;
      self->after_change();
    }
  };
  tasks_.spawn(Deferred::run(this));
}

// It is NEW again when it has failed and tries once more.
void Supervisor::note_state(const Component& component) {
  const ComponentName& name = component.spec().name;
  switch (component.state()) {
    case ComponentState::kNew:
      ++tally_of(name).restarts;
      break;
    case ComponentState::kErrored:
    case ComponentState::kBroken:
      ++tally_of(name).errors;
      history_.last_failure = {name,
                               component.spec().version,
                               component.status_code(),
                               component.reason(),
                               env_.clock.wall_ms(),
                               component.last_lines()};
      break;
    default:
      break;
  }
}

formats::ComponentTally& Supervisor::tally_of(const ComponentName& name) {
  auto known = std::ranges::find(history_.tallies, name, &formats::ComponentTally::name);
  if (known != history_.tallies.end()) return *known;
  if (history_.tallies.size() == formats::kMaxTallies)
    history_.tallies.erase(history_.tallies.begin());
  return history_.tallies.emplace_back(name);
}

void Supervisor::after_change() {
  refresh_dependencies();
  if (!to_restart_.empty()) wake();
  for (auto& waiter : std::exchange(waiters_, {})) waiter.complete(true);
}

void Supervisor::refresh_dependencies() {
  for (auto& [name, component] : components_) {
    const auto& needs = component->spec().hard_dependencies;
    bool ready = std::all_of(needs.begin(), needs.end(), [this](const ComponentName& need) {
      auto found = components_.find(need);
      return found != components_.end() && is_healthy(found->second->state());
    });
    component->set_dependencies_ready(ready);
  }
}

io::Task<Result<void>> Supervisor::wait_healthy(int64_t window_ms, int64_t timeout_ms) {
  const int64_t deadline = env_.clock.monotonic_ms() + timeout_ms;
  for (;;) {
    if (const Component* component = broken()) {
      co_return fail(Code::kFailedPrecondition, "component " + component->spec().name.str() + " " +
                                                    component->spec().version +
                                                    " is broken: " + component->reason());
    }
    int64_t left_ms = deadline - env_.clock.monotonic_ms();
    if (left_ms <= 0) {
      std::string waiting;
      for (const ComponentStatus& status : statuses()) {
        if (!is_healthy(status.state)) {
          waiting += " " + status.name.str() + "=" + std::string(name_of(status.state));
          if (!status.reason.empty()) waiting += " (" + status.reason + ")";
        }
      }
      co_return fail(Code::kTimeout,
                     "components not healthy within " + duration_text(timeout_ms) + ":" + waiting);
    }
    const bool healthy = settled();
    const uint64_t seen = changes_;
    io::Completion<bool> changed(env_.loop);
    waiters_.push_back(changed);
    io::Timer timer = env_.loop.after(healthy ? window_ms : left_ms,
                                      [changed]() mutable { changed.complete(false); });
    bool was_change = co_await changed;
    if (healthy && !was_change && changes_ == seen) co_return Result<void>();
  }
}

io::Task<void> Supervisor::uninstall(std::vector<ComponentSpec> leaving) {
  struct Gone {
    std::unique_ptr<Component>& component;
    ~Gone() { component.reset(); }
  } gone{leaving_};
  for (ComponentSpec& spec : leaving) {
    if (!spec.uninstall) continue;
    log::info("supervisor", "uninstalling", {{"component", spec.name.str()}});
    Component::Hooks nothing{.on_state = [](Component&) {},
                             .on_installed = [](const Component&) {},
                             .is_bootstrapped = {},
                             .awaits_reboot = {},
                             .on_restart = {}};
    leaving_ = std::make_unique<Component>(env_, std::move(spec), true, env_.random.token(16),
                                           std::move(nothing));
    co_await leaving_->uninstall();
  }
}

bool Supervisor::is_installing() const {
  return std::ranges::any_of(components_, [](const auto& entry) {
    const Component& component = *entry.second;
    return component.state() == ComponentState::kNew && !component.awaits_restart();
  });
}

void Supervisor::restart_failed(const Error& error) {
  for (const auto& [name, component] : components_) component->restart_failed(error);
}

std::vector<ComponentStatus> Supervisor::statuses() const {
  std::vector<ComponentStatus> all;
  all.reserve(components_.size());
  for (const auto& [name, component] : components_) {
    all.push_back({name, component->spec().version, component->state(), component->reason(),
                   component->status_code()});
  }
  return all;
}

std::optional<ComponentName> Supervisor::component_of_token(std::string_view token) const {
  for (const auto& [name, component] : components_) {
    if (component->token() == token) return name;
  }
  if (leaving_ && leaving_->token() == token) return leaving_->spec().name;
  return std::nullopt;
}

Result<Component*> Supervisor::find(const ComponentName& name) const {
  auto component = components_.find(name);
  if (component != components_.end()) return component->second.get();
  return fail(Code::kNotFound, "component " + name.str() + " does not run here");
}

Result<void> Supervisor::report(const ComponentName& name, ComponentState reported) {
  SKERRY_ASSIGN(Component * component, find(name));
  component->report(reported);
  return {};
}

Result<void> Supervisor::restart(const ComponentName& name) {
  SKERRY_TRY(find(name));
  to_stop_.erase(name);
  to_restart_.insert(name);
  wake();
  return {};
}

Result<void> Supervisor::stop(const ComponentName& name) {
  SKERRY_TRY(find(name));
  to_restart_.erase(name);
  to_stop_.insert(name);
  wake();
  return {};
}

Result<void> Supervisor::pause(const ComponentName& name) {
  SKERRY_ASSIGN(Component * component, find(name));
  return component->pause();
}

Result<void> Supervisor::resume(const ComponentName& name) {
  SKERRY_ASSIGN(Component * component, find(name));
  return component->resume();
}

std::set<ComponentName> Supervisor::with_dependents(std::set<ComponentName> names) const {
  for (bool grown = true; grown;) {
    grown = false;
    for (const auto& [name, component] : components_) {
      if (names.contains(name)) continue;
      const auto& needs = component->spec().hard_dependencies;
      if (std::any_of(needs.begin(), needs.end(),
                      [&](const ComponentName& need) { return names.contains(need); })) {
        names.insert(name);
        grown = true;
      }
    }
  }
  return names;
}

bool Supervisor::settled() const {
  return !woken_ && !reconciling_ && to_restart_.empty() &&
         std::all_of(components_.begin(), components_.end(),
                     [](const auto& entry) { return is_healthy(entry.second->state()); });
}

const Component* Supervisor::broken() const {
  for (const auto& [name, component] : components_) {
    if (component->state() == ComponentState::kBroken) return component.get();
  }
  return nullptr;
}

}  // namespace skerry::nucleus
