// The life of a component as one coroutine, live(): each pass is one attempt.
#include "nucleus/component.h"

#include <sys/resource.h>

#include <csignal>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "nucleus/component_log.h"

namespace skerry::nucleus {
namespace {

constexpr int kMaxFailures = 3;
constexpr int64_t kFailuresForgottenAfterMs = 3'600'000;
constexpr int64_t kFirstRetryDelayMs = 200;
constexpr int64_t kTermGraceMs = 5'000;
constexpr int64_t kLongestLookMs = 100;
constexpr size_t kLastLines = 5;
constexpr size_t kLastLineBytes = 300;
// Where the machine runs out of memory, a component ends before the nucleus does.
constexpr int kOomScore = 200;
constexpr uint64_t kOpenFiles = 1024;  // what select() can do; programs raise it up to the next
constexpr uint64_t kMaxOpenFiles = 65536;
// Exit codes of Bootstrap beside 0.
constexpr int kRestartNucleus = 100;
constexpr int kRebootDevice = 101;

// A component may print any bytes, and a cut may fall into a character; what is reported is UTF-8.
std::string readable(std::string_view line) {
  using nlohmann::json;
  return json::parse(
      json(line.substr(0, kLastLineBytes)).dump(-1, ' ', false, json::error_handler_t::replace));
}

}  // namespace

std::optional<int64_t> longest_start_ms(const ComponentSpec& spec) {
  int64_t once_ms = 0;
  for (const auto* step : {&spec.bootstrap, &spec.install, &spec.startup}) {
    if (!*step) continue;
    if ((*step)->timeout_ms == 0) return std::nullopt;
    once_ms += (*step)->timeout_ms;
  }
  return kMaxFailures * (once_ms + (kFirstRetryDelayMs << kMaxFailures));
}

std::string duration_text(int64_t duration_ms) {
  if (duration_ms % 1000 != 0) return std::to_string(duration_ms) + " ms";
  return std::to_string(duration_ms / 1000) + " s";
}

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
      installed_(installed || !(spec_.bootstrap || spec_.install)),
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
      if (spec_.recover) {
        auto recovered = co_await run_to_end("Recover", *spec_.recover);
        process_.reset();
        if (!recovered) {
          log::warn("component", "Recover failed",
                    {{"component", spec_.name.str()}, {"reason", recovered.error().message()}});
        }
      }
      co_await io::sleep(env_.loop, kFirstRetryDelayMs << (failures_ - 1));
    }
  }
}

// From NEW to the end of what it runs. Success: it has finished, or is up and needs no process.
io::Task<Result<void>> Component::attempt() {
  set_state(ComponentState::kNew);
  if (!installed_) {
    SKERRY_CO_TRY(co_await install());
    installed_ = true;
    hooks_.on_installed(*this);
  }
  set_state(ComponentState::kInstalled);
  while (!dependencies_ready_) {
    waiting_for_dependencies_.emplace(env_.loop);
    co_await *waiting_for_dependencies_;
    waiting_for_dependencies_.reset();
  }
  set_state(ComponentState::kStarting);
  started_once_ = true;
  if (spec_.startup) {
    SKERRY_CO_TRY(co_await run_to_end("Startup", *spec_.startup));
    set_state(ComponentState::kRunning);
    // process_ stays: it is how what Startup left in the background is ended. There is no exit to
    // watch; only the component itself can say that it has failed.
    reported_failure_.emplace(env_.loop);
    co_await *reported_failure_;
    reported_failure_.reset();
    co_return fail(Code::kInternal, "the component reported that it has failed");
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

io::Task<Result<void>> Component::install() {
  if (spec_.bootstrap) SKERRY_CO_TRY(co_await run_to_end("Bootstrap", *spec_.bootstrap));
  process_.reset();
  if (spec_.install) SKERRY_CO_TRY(co_await run_to_end("Install", *spec_.install));
  process_.reset();
  co_return Result<void>();
}

// What the script left running lives on as long as process_.
io::Task<Result<void>> Component::run_to_end(std::string name, Step step) {
  if (skipped(step)) co_return Result<void>();
  if (auto launched = launch(step); !launched) co_return fail(launched.error().with_context(name));
  if (step.timeout_ms > 0) {
    deadline_ =
        env_.loop.after(step.timeout_ms, [exit = *exit_, name, ms = step.timeout_ms]() mutable {
          exit.complete(fail(Code::kTimeout, name + " did not end within " + duration_text(ms)));
        });
  }
  auto status = co_await *exit_;
  deadline_.cancel();
  if (!status) co_return fail(status.error());
  if (name == "Bootstrap" && status->signal == 0 &&
      (status->code == kRestartNucleus || status->code == kRebootDevice)) {
    log::warn("component", "Bootstrap asks for a restart, which is left to the operator",
              {{"component", spec_.name.str()},
               {"restart", status->code == kRebootDevice ? "device" : "skerryd"}});
    co_return Result<void>();
  }
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
  process.unit = spec_.name.str();
  process.limits = spec_.limits;
  process.no_new_privileges = !step.requires_privilege;
  process.oom_score = kOomScore;
  process.resource_limits = {{RLIMIT_CORE, 0, 0}, {RLIMIT_NOFILE, kOpenFiles, kMaxOpenFiles}};
  last_lines_.clear();
  exit_.emplace(env_.loop);
  io::ProcessEvents events;
  events.on_line = [this](std::string_view line, bool is_stderr) {
    log_->write(line, is_stderr);
    last_lines_.push_back(readable(line));
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
  deadline_.cancel();
  waiting_for_dependencies_.reset();
  reported_failure_.reset();
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
  co_await end_process();
  started_once_ = false;
}

// SIGTERM, some time to end, SIGKILL. The shell of a script ends at once; the time is for the
// program that it had started.
io::Task<void> Component::end_process() {
  if (!process_) co_return;
  const int64_t deadline = env_.clock.monotonic_ms() + kTermGraceMs;
  process_->signal(SIGTERM);
  if (!exit_->done()) {
    io::Completion<Result<io::ExitStatus>> exit = *exit_;
    (void)co_await io::with_timeout(env_.loop, kTermGraceMs, exit, "SIGTERM");
  }
  for (int64_t look_ms = 1; process_->running() && env_.clock.monotonic_ms() < deadline;) {
    co_await io::sleep(env_.loop, look_ms);
    look_ms = std::min(2 * look_ms, kLongestLookMs);
  }
  process_.reset();
}

void Component::set_dependencies_ready(bool ready) {
  dependencies_ready_ = ready;
  if (ready && waiting_for_dependencies_) waiting_for_dependencies_->complete(true);
}

void Component::report(ComponentState reported) {
  if (reported == ComponentState::kRunning && state_ == ComponentState::kStarting) {
    // A Startup script may go on for as long as it likes once it has said that all is up.
    deadline_.cancel();
    set_state(ComponentState::kRunning);
  } else if (reported == ComponentState::kErrored && state_ != ComponentState::kStopping) {
    if (reported_failure_) {
      reported_failure_->complete(true);
    } else if (exit_ && process_) {
      exit_->complete(fail(Code::kInternal, "the component reported that it has failed"));
    }
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
