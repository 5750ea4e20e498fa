// Reconciles the running components with the wanted ones.
#include "nucleus/supervisor.h"

#include "base/log.h"

namespace skerry::nucleus {

Supervisor::Supervisor(io::Env& env, Hooks hooks) : env_(env), hooks_(std::move(hooks)) {
  tasks_.spawn(restart_loop());
}

Supervisor::~Supervisor() {
  tasks_.cancel_all();
  slots_.clear();
}

io::Task<void> Supervisor::apply(std::vector<ComponentSpec> wanted) {
  applying_ = true;
  std::map<ComponentName, const ComponentSpec*> by_name;
  for (const ComponentSpec& spec : wanted) by_name[spec.name] = &spec;

  std::set<ComponentName> obsolete = std::exchange(to_restart_, {});
  for (const auto& [name, slot] : slots_) {
    auto found = by_name.find(name);
    // A broken component gets a new chance from any deployment that still wants it.
    if (found == by_name.end() || !(*found->second == slot.component->spec()) ||
        slot.component->state() == ComponentState::kBroken) {
      obsolete.insert(name);
    }
  }
  co_await stop_set(with_dependents(std::move(obsolete)));
  for (const ComponentSpec& spec : wanted) {
    if (!slots_.contains(spec.name)) start_one(spec);
  }
  refresh_dependencies();
  applying_ = false;
  after_change();
}

// Dependents first, so that none runs without what it stands on.
io::Task<void> Supervisor::stop_set(std::set<ComponentName> names) {
  std::erase_if(names, [this](const ComponentName& name) { return !slots_.contains(name); });
  while (!names.empty()) {
    auto next = std::find_if(names.begin(), names.end(), [&](const ComponentName& candidate) {
      return std::none_of(names.begin(), names.end(), [&](const ComponentName& other) {
        const auto& needs = slots_.at(other).component->spec().hard_dependencies;
        return other != candidate &&
               std::find(needs.begin(), needs.end(), candidate) != needs.end();
      });
    });
    if (next == names.end())
      next = names.begin();  // a cycle: resolution refuses it, stopping must not hang
    ComponentName name = *next;
    names.erase(next);
    co_await slots_.at(name).component->stop();
    slots_.erase(name);
  }
}

void Supervisor::start_one(const ComponentSpec& spec) {
  Component::Hooks hooks;
  hooks.on_state = [this](Component& component) { on_component_state(component); };
  hooks.on_installed = [this](const Component& component) {
    hooks_.mark_installed(component.spec().name, component.spec().version);
  };
  Slot slot;
  slot.component =
      std::make_unique<Component>(env_, spec, hooks_.is_installed(spec.name, spec.version),
                                  env_.random.token(16), std::move(hooks));
  Component* component = slot.component.get();
  slots_[spec.name] = std::move(slot);
  component->start();
}

// Called from inside a component: takes a note; the work is done from the loop.
void Supervisor::on_component_state(Component& component) {
  ++changes_;
  ComponentState state = component.state();
  if (!applying_ && (state == ComponentState::kErrored || state == ComponentState::kBroken)) {
    auto affected = with_dependents({component.spec().name});
    affected.erase(component.spec().name);
    for (const ComponentName& name : affected) {
      auto slot = slots_.find(name);
      if (slot == slots_.end()) continue;
      ComponentState dependent = slot->second.component->state();
      if (dependent == ComponentState::kStarting || is_healthy(dependent)) to_restart_.insert(name);
    }
  }
  hooks_.on_state({component.spec().name, component.spec().version, state, component.reason()});
  if (change_pending_) return;
  change_pending_ = true;
  // A task of posted_, so that a destroyed supervisor is not called back.
  struct Deferred {
    static io::Task<void> run(Supervisor* self) {
      co_await io::sleep(self->env_.loop, 0);
      self->change_pending_ = false;
      self->after_change();
    }
  };
  posted_.spawn(Deferred::run(this));
}

void Supervisor::after_change() {
  refresh_dependencies();
  if (!to_restart_.empty() && !applying_ && restart_wake_) restart_wake_->complete(true);
  for (auto& waiter : std::exchange(waiters_, {})) waiter.complete(true);
}

void Supervisor::refresh_dependencies() {
  for (auto& [name, slot] : slots_) {
    const auto& needs = slot.component->spec().hard_dependencies;
    bool ready = std::all_of(needs.begin(), needs.end(), [this](const ComponentName& need) {
      auto found = slots_.find(need);
      return found != slots_.end() && is_healthy(found->second.component->state());
    });
    slot.component->set_dependencies_ready(ready);
  }
}

// A HARD dependent starts again after what it depends on went down.
io::Task<void> Supervisor::restart_loop() {
  for (;;) {
    restart_wake_.emplace(env_.loop);
    co_await *restart_wake_;
    if (applying_) continue;  // apply() takes to_restart_ along
    std::set<ComponentName> names = std::exchange(to_restart_, {});
    std::vector<ComponentSpec> specs;
    for (const ComponentName& name : names) {
      if (auto slot = slots_.find(name); slot != slots_.end())
        specs.push_back(slot->second.component->spec());
    }
    log::info("supervisor", "restarting dependents", {{"count", std::to_string(specs.size())}});
    applying_ = true;
    co_await stop_set(std::move(names));
    for (const ComponentSpec& spec : specs) start_one(spec);
    applying_ = false;
    after_change();
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
      co_return fail(Code::kTimeout, "components not healthy within " +
                                         std::to_string(timeout_ms / 1000) + " s:" + waiting);
    }
    const bool healthy = all_healthy() && to_restart_.empty();
    const uint64_t seen = changes_;
    io::Completion<bool> changed(env_.loop);
    waiters_.push_back(changed);
    io::Timer timer = env_.loop.after(healthy ? std::min(window_ms, left_ms) : left_ms,
                                      [changed]() mutable { changed.complete(false); });
    bool was_change = co_await changed;
    if (healthy && !was_change && changes_ == seen) co_return Result<void>();
  }
}

std::vector<ComponentStatus> Supervisor::statuses() const {
  std::vector<ComponentStatus> all;
  for (const auto& [name, slot] : slots_) {
    const Component& component = *slot.component;
    all.push_back({name, component.spec().version, component.state(), component.reason()});
  }
  return all;
}

std::optional<ComponentName> Supervisor::component_of_token(std::string_view token) const {
  for (const auto& [name, slot] : slots_) {
    if (slot.component->token() == token) return name;
  }
  return std::nullopt;
}

Result<void> Supervisor::report(const ComponentName& name, ComponentState reported) {
  auto slot = slots_.find(name);
  if (slot == slots_.end())
    return fail(Code::kNotFound, "component " + name.str() + " does not run here");
  slot->second.component->report(reported);
  return {};
}

std::set<ComponentName> Supervisor::with_dependents(std::set<ComponentName> names) const {
  for (bool grown = true; grown;) {
    grown = false;
    for (const auto& [name, slot] : slots_) {
      if (names.contains(name)) continue;
      const auto& needs = slot.component->spec().hard_dependencies;
      if (std::any_of(needs.begin(), needs.end(),
                      [&](const ComponentName& need) { return names.contains(need); })) {
        names.insert(name);
        grown = true;
      }
    }
  }
  return names;
}

bool Supervisor::all_healthy() const {
  return std::all_of(slots_.begin(), slots_.end(),
                     [](const auto& entry) { return is_healthy(entry.second.component->state()); });
}

const Component* Supervisor::broken() const {
  for (const auto& [name, slot] : slots_) {
    if (slot.component->state() == ComponentState::kBroken) return slot.component.get();
  }
  return nullptr;
}

}  // namespace skerry::nucleus
