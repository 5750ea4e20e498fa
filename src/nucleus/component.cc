// The life of a component as one coroutine, live(): each pass is one attempt.
#include "nucleus/component.h"

#include <csignal>

#include "base/log.h"
#include "nucleus/component_log.h"

namespace skerry::nucleus {
namespace {

constexpr int kMaxFailures = 3;
constexpr int64_t kFailuresForgottenAfterMs = 3'600'000;
constexpr int64_t kFirstRetryDelayMs = 200;
constexpr int64_t kTermGraceMs = 5'000;
constexpr int64_t kKillGraceMs = 5'000;
constexpr size_t kLastLines = 5;
constexpr size_t kLastLineBytes = 300;

}  // namespace

std::string_view name_of(ComponentState state) {
  switch (state) {
    case ComponentState::kNew:
      return "NEW";
    case ComponentState::kInstalled:
      return "INSTALLED";
    case ComponentState::kStarting:
      return "STARTING";
    case ComponentState::kRunning:
      return "RUNNING";
    case ComponentState::kStopping:
      return "STOPPING";
    case ComponentState::kFinished:
      return "FINISHED";
    case ComponentState::kErrored:
      return "ERRORED";
    case ComponentState::kBroken:
      return "BROKEN";
  }
  return "NEW";
}

Component::Component(io::Env& env, ComponentSpec spec, bool installed, std::string token,
                     Hooks hooks)
    : env_(env),
      spec_(std::move(spec)),
      installed_(installed || !spec_.install),
      token_(std::move(token)),
      hooks_(std::move(hooks)),
      log_(std::make_unique<ComponentLog>(env, spec_.log_path)) {}

Component::~Component() = default;

void Component::start() {
  life_.spawn(live());
}

io::Task<void> Component::live() {
  while (state_ != ComponentState::kBroken) {
    auto result = co_await attempt();
    if (result) co_return;  // FINISHED, or RUNNING without a process
    process_.reset();
    note_failure(result.error());
    if (state_ == ComponentState::kErrored) {
      co_await io::sleep(env_.loop, kFirstRetryDelayMs << (failures_ - 1));
    }
  }
}

// From NEW to the end of what it runs. Success: it has finished, or is up and needs no process.
io::Task<Result<void>> Component::attempt() {
  set_state(ComponentState::kNew);
  if (!installed_) {
    SKERRY_CO_TRY(co_await run_to_end("Install", *spec_.install));
    installed_ = true;
    hooks_.on_installed(*this);
  }
  set_state(ComponentState::kInstalled);
  if (!dependencies_ready_) {
    waiting_for_dependencies_.emplace(env_.loop);
    co_await *waiting_for_dependencies_;
    waiting_for_dependencies_.reset();
  }
  set_state(ComponentState::kStarting);
  started_once_ = true;
  if (spec_.startup) {
    SKERRY_CO_TRY(co_await run_to_end("Startup", *spec_.startup));
    set_state(ComponentState::kRunning);
    co_return Result<void>();
  }
  if (!spec_.run || skipped(*spec_.run)) {
    set_state(ComponentState::kFinished);
    co_return Result<void>();
  }
  SKERRY_CO_TRY(launch(*spec_.run));
  set_state(ComponentState::kRunning);
  SKERRY_CO_ASSIGN(io::ExitStatus status, co_await *exit_);
  if (!status.ok()) co_return fail(Code::kInternal, "Run failed: " + status.text());
  process_.reset();
  set_state(ComponentState::kFinished);
  co_return Result<void>();
}

io::Task<Result<void>> Component::run_to_end(std::string name, Step step) {
  if (skipped(step)) co_return Result<void>();
  if (auto launched = launch(step); !launched) co_return fail(launched.error().with_context(name));
  io::Timer timer;
  if (step.timeout_ms > 0) {
    timer = env_.loop.after(step.timeout_ms, [exit = *exit_, name, ms = step.timeout_ms]() mutable {
      exit.complete(
          fail(Code::kTimeout, name + " did not end within " + std::to_string(ms / 1000) + " s"));
    });
  }
  auto status = co_await *exit_;
  process_.reset();
  if (!status) co_return fail(status.error());
  if (!status->ok()) co_return fail(Code::kInternal, name + " failed: " + status->text());
  co_return Result<void>();
}

Result<void> Component::launch(const Step& step) {
  io::ProcessSpec process;
  process.argv = {"/bin/sh", "-c", step.script};
  process.environment = environment_of(step);
  process.working_directory = spec_.work_directory;
  if (spec_.user && !step.requires_privilege)
    process.user = io::User{spec_.user->first, spec_.user->second};
  last_lines_.clear();
  exit_.emplace(env_.loop);
  io::ProcessEvents events;
  events.on_line = [this](std::string_view line, bool is_stderr) {
    log_->write(line, is_stderr);
    last_lines_.emplace_back(line.substr(0, kLastLineBytes));
    if (last_lines_.size() > kLastLines) last_lines_.pop_front();
  };
  events.on_exit = [exit = *exit_](io::ExitStatus status) mutable { exit.complete(status); };
  SKERRY_ASSIGN(process_, env_.processes.start(process, std::move(events)));
  return {};
}

std::vector<std::pair<std::string, std::string>> Component::environment_of(const Step& step) const {
  auto environment = spec_.environment;
  environment.emplace_back("SVCUID", token_);
  environment.emplace_back("AWS_CONTAINER_AUTHORIZATION_TOKEN", token_);
  for (const auto& [key, value] : step.environment) {
    std::erase_if(environment, [&](const auto& entry) { return entry.first == key; });
    environment.emplace_back(key, value);
  }
  return environment;
}

bool Component::skipped(const Step& step) const {
  std::string_view condition = step.skip_if;
  if (condition.empty()) return false;
  bool negated = condition.front() == '!';
  if (negated) condition.remove_prefix(1);
  size_t space = condition.find(' ');
  std::string_view kind = condition.substr(0, space);
  std::string argument(space == std::string_view::npos ? "" : condition.substr(space + 1));
  bool holds = false;
  if (kind == "exists") {
    holds = io::exists(env_.files, argument);
  } else if (kind == "onpath") {
    for (const char* directory :
         {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}) {
      holds = holds || io::exists(env_.files, std::string(directory) + "/" + argument);
    }
  }
  return holds != negated;
}

io::Task<void> Component::stop() {
  life_.cancel_all();
  waiting_for_dependencies_.reset();
  set_state(ComponentState::kStopping);
  if (spec_.shutdown && started_once_) {
    // The main process keeps running while its Shutdown script does its work.
    auto main_process = std::move(process_);
    auto main_exit = exit_;
    auto ended = co_await run_to_end("Shutdown", *spec_.shutdown);
    if (!ended) {
      log::warn("component", "Shutdown failed",
                {{"component", spec_.name.str()}, {"reason", ended.error().message()}});
    }
    process_ = std::move(main_process);
    exit_ = main_exit;
  }
  co_await end_process(kTermGraceMs);
  started_once_ = false;
}

io::Task<void> Component::end_process(int64_t grace_ms) {
  if (!process_) co_return;
  if (!exit_->done()) {
    process_->signal(SIGTERM);
    io::Completion<Result<io::ExitStatus>> exit = *exit_;
    auto ended = co_await io::with_timeout(env_.loop, grace_ms, exit, "SIGTERM");
    if (!ended && ended.error().code() == Code::kTimeout) {
      // `exit` is spent by the timeout: the kill is final, the destructor takes the whole session.
      process_->signal(SIGKILL);
      co_await io::sleep(env_.loop, std::min<int64_t>(kKillGraceMs, 50));
    }
  }
  process_.reset();
}

void Component::set_dependencies_ready(bool ready) {
  dependencies_ready_ = ready;
  if (ready && waiting_for_dependencies_) waiting_for_dependencies_->complete(true);
}

void Component::report(ComponentState reported) {
  if (reported == ComponentState::kRunning && state_ == ComponentState::kStarting) {
    set_state(ComponentState::kRunning);
  } else if (reported == ComponentState::kErrored && exit_ && process_) {
    exit_->complete(fail(Code::kInternal, "the component reported that it has failed"));
  }
}

void Component::set_state(ComponentState state) {
  if (state == state_) return;
  state_ = state;
  if (is_healthy(state)) reason_.clear();
  hooks_.on_state(*this);
}

void Component::note_failure(const Error& error) {
  int64_t now = env_.clock.monotonic_ms();
  if (failures_ > 0 && now - last_failure_ms_ > kFailuresForgottenAfterMs) failures_ = 0;
  last_failure_ms_ = now;
  ++failures_;
  reason_ = error.message();
  if (!last_lines_.empty()) {
    reason_ += "; last output:";
    for (const std::string& line : last_lines_) reason_ += " | " + line;
  }
  log::warn("component", "failed",
            {{"component", spec_.name.str()},
             {"version", spec_.version},
             {"attempt", std::to_string(failures_)},
             {"reason", reason_}});
  set_state(failures_ >= kMaxFailures ? ComponentState::kBroken : ComponentState::kErrored);
}

}  // namespace skerry::nucleus
