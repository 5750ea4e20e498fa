// The life of a component as one coroutine, live(): each pass is one attempt.
#include "nucleus/component.h"

#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <nlohmann/json.hpp>
#include <ranges>

#include "base/log.h"
#include "formats/component_history.h"
#include "formats/json_ptr.h"
#include "io/pool.h"
#include "nucleus/component_log.h"
#include "nucleus/skip_if.h"
#include "nucleus/work_folder.h"

namespace skerry::nucleus {
namespace {

constexpr int kMaxFailures = 3;
constexpr int64_t kFailuresForgottenAfterMs = 3'600'000;
constexpr int64_t kFirstRetryDelayMs = 200;
constexpr int64_t kTermGraceMs = 5'000;
constexpr int64_t kKillGraceMs = 5'000;  // the kernel may take its time with many
constexpr int64_t kSettleMs = 200;       // for what a script that has ended did not wait for
constexpr int64_t kLongestLookMs = 100;
constexpr ptrdiff_t kToldLines = 5;  // with a reason
constexpr size_t kLastLineBytes = 300;
constexpr size_t kLastBytes = 8192;  // of them all
// Where the machine runs out of memory, a component ends before the nucleus does.
constexpr int kOomScore = 200;
constexpr uint64_t kOpenFiles = 1024;  // what select() can do; programs raise it up to the next
constexpr uint64_t kMaxOpenFiles = 65536;
// Exit codes of Bootstrap beside 0.
constexpr int kRestartNucleus = 100;
constexpr int kRebootDevice = 101;

// A component may print any bytes, and a cut may fall into a character; what is reported is UTF-8.
std::string readable(std::string_view line) {
  return nlohmann::json::parse(formats::json_text(line.substr(0, kLastLineBytes)));
}

// Under the reference's names. A step that could not even begin has none.
std::string status_code_of(std::string step, Code code) {
  if (step.empty()) return "";
  for (char& c : step) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return step + (code == Code::kTimeout ? "_TIMEOUT" : "_ERROR");
}

}  // namespace

std::optional<int64_t> longest_start_ms(const ComponentSpec& spec) {
  int64_t once_ms = 0;
  for (const auto* step :
       {&spec.bootstrap, &spec.install, &spec.startup, &spec.recover, &spec.shutdown}) {
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
    note_failure(result.error());
    co_await clean_up_after_failure();
    if (state_ == ComponentState::kErrored) {
      co_await io::sleep(env_.loop, kFirstRetryDelayMs << (failures_ - 1));
    }
  }
}

// As the stock nucleus: Recover, then Shutdown of what had been started, then the rest is ended.
io::Task<void> Component::clean_up_after_failure() {
  if (state_ == ComponentState::kErrored && spec_.recover) {
    co_await try_to_end("Recover", *spec_.recover);
  }
  co_await shut_down();
  co_await end(&main_);
}

// From NEW to the end of what it runs. Success: it has finished, or is up and needs no process.
io::Task<Result<void>> Component::attempt() {
  set_state(ComponentState::kNew);
  step_.clear();
  SKERRY_CO_TRY(co_await take_over_work_folder());
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
  up_ = true;
  if (spec_.startup) {
    SKERRY_CO_TRY(co_await run_to_end("Startup", *spec_.startup, &main_));
    set_state(ComponentState::kRunning);
    // main_ stays: it is how what Startup left in the background is ended. There is no exit to
    // watch; only the component itself can say that it has failed.
    reported_failure_.emplace(env_.loop);
    co_await *reported_failure_;
    reported_failure_.reset();
    co_return fail(Code::kInternal, "the component reported that it has failed");
  }
  if (spec_.run && !skipped(*spec_.run)) SKERRY_CO_TRY(co_await run());
  set_state(ComponentState::kFinished);
  co_return Result<void>();
}

// Where it ran as another user before, its files change hands first.
io::Task<Result<void>> Component::take_over_work_folder() {
  if (!spec_.user) co_return Result<void>();
  const auto [uid, gid] = *spec_.user;
  auto folder = env_.files.stat(spec_.work_directory);
  if (!folder || !folder->is_directory || folder->uid == uid) co_return Result<void>();
  co_return co_await io::run_on(
      env_.pool, env_.loop,
      [&files = env_.files, path = spec_.work_directory, from = folder->uid, uid, gid] {
        return files.hand_over(path, from, uid, gid);
      });
}

io::Task<Result<void>> Component::install() {
  if (spec_.bootstrap && hooks_.awaits_reboot && hooks_.awaits_reboot(*this)) {
    step_ = "Bootstrap";
    SKERRY_CO_TRY(co_await wait_for_restart(true));
  }
  for (const auto& [name, step] :
       {std::pair("Bootstrap", &spec_.bootstrap), std::pair("Install", &spec_.install)}) {
    const bool is_done = step == &spec_.bootstrap && hooks_.is_bootstrapped(*this);
    if (*step && !is_done) SKERRY_CO_TRY(co_await run_to_end(name, **step, &main_));
    main_ = {};
  }
  co_return Result<void>();
}

io::Task<Result<void>> Component::run() {
  step_ = "Run";
  SKERRY_CO_TRY(launch(*spec_.run, &main_));
  set_state(ComponentState::kRunning);
  limit_time("Run", *spec_.run, main_);
  auto status = co_await *main_.exit;
  deadline_.cancel();
  if (!status) co_return fail(status.error());
  if (!status->ok()) co_return fail(Code::kInternal, "Run failed: " + status->text());
  co_await finish();
  co_return Result<void>();
}

// Run has ended with 0: Shutdown follows, as in the stock nucleus. What Run left in the background
// runs on, as there, but ends with the component; and people are told, because nobody watches it.
io::Task<void> Component::finish() {
  if (spec_.shutdown) set_state(ComponentState::kStopping);
  co_await shut_down();
  const int64_t deadline = env_.clock.monotonic_ms() + kSettleMs;
  while (main_.process->running() && env_.clock.monotonic_ms() < deadline) {
    co_await io::sleep(env_.loop, kSettleMs / 20);
  }
  if (main_.process->running()) {
    note(
        "Run has ended and left processes in the background, which nobody watches: start them "
        "in Startup");
  } else {
    main_ = {};
  }
}

io::Task<void> Component::shut_down() {
  if (up_ && spec_.shutdown) co_await try_to_end("Shutdown", *spec_.shutdown);
  up_ = false;
}

// A step beside the main one, whose failure changes nothing. What it leaves running is killed.
io::Task<void> Component::try_to_end(std::string name, Step step) {
  auto ended = co_await run_to_end(name, std::move(step), &aside_);
  aside_ = {};
  if (ended) co_return;
  log::warn("component", name + " failed",
            {{"component", spec_.name.str()}, {"reason", ended.error().message()}});
}

// What the step left running lives on as long as `script`.
io::Task<Result<void>> Component::run_to_end(std::string name, Step step, Script* script) {
  if (script == &main_) step_ = name;
  if (skipped(step)) co_return Result<void>();
  if (auto launched = launch(step, script); !launched) {
    co_return fail(launched.error().with_context(name));
  }
  limit_time(name, step, *script);
  auto status = co_await *script->exit;
  deadline_.cancel();
  if (!status) co_return fail(status.error());
  if (name == "Bootstrap" && status->signal == 0 &&
      (status->code == kRestartNucleus || status->code == kRebootDevice)) {
    co_return co_await wait_for_restart(status->code == kRebootDevice);
  }
  if (!status->ok()) co_return fail(Code::kInternal, name + " failed: " + status->text());
  co_return Result<void>();
}

// Goes on only where there is none.
io::Task<Result<void>> Component::wait_for_restart(bool of_device) {
  restart_.emplace(env_.loop);
  hooks_.on_restart(*this, of_device);
  const Result<void> failed = co_await *restart_;
  restart_.reset();
  // It does not get better by itself.
  failures_ = kMaxFailures - 1;
  last_failure_ms_ = env_.clock.monotonic_ms();
  co_return failed;
}

void Component::restart_failed(const Error& error) {
  if (restart_) restart_->complete(fail(error.with_context("Bootstrap")));
}

void Component::limit_time(const std::string& name, const Step& step, const Script& script) {
  if (step.timeout_ms <= 0) return;
  auto out_of_time = [exit = *script.exit, name, ms = step.timeout_ms]() mutable {
    exit.complete(fail(Code::kTimeout, name + " did not end within " + duration_text(ms)));
  };
  deadline_ = env_.loop.after(step.timeout_ms, std::move(out_of_time));
}

Result<void> Component::launch(const Step& step, Script* script) {
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
  if (!step.requires_privilege) process.sandbox = spec_.sandbox;
  process.resource_limits = {{RLIMIT_CORE, 0, 0}, {RLIMIT_NOFILE, kOpenFiles, kMaxOpenFiles}};
  // Each time: a component may do to its folder whatever it likes, also remove it.
  SKERRY_TRY(prepare_work_folder(env_.files, spec_.work_directory, spec_.user));
  if (process.sandbox && !process.sandbox->temporary_folder.empty())
    SKERRY_TRY(prepare_work_folder(env_.files, process.sandbox->temporary_folder, spec_.user));
  last_lines_.clear();
  *script = {};
  script->exit.emplace(env_.loop);
  io::ProcessEvents events;
  events.on_line = [this](std::string_view line, bool is_stderr) {
    log_->write(line, is_stderr);
    last_lines_.push_back(readable(line));
    if (last_lines_.size() > formats::kMaxLogLines) last_lines_.pop_front();
  };
  events.on_exit = [exit = *script->exit](io::ExitStatus status) mutable { exit.complete(status); };
  SKERRY_ASSIGN(script->process, env_.processes.start(process, std::move(events)));
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
  return step.skip_if &&
         holds(env_.files, *step.skip_if, environment_of(step), spec_.work_directory);
}

io::Task<void> Component::stop() {
  life_.cancel_all();
  deadline_.cancel();
  waiting_for_dependencies_.reset();
  reported_failure_.reset();
  aside_ = {};
  set_state(ComponentState::kStopping);
  co_await shut_down();  // while the main process still runs
  co_await end(&main_);
}

io::Task<void> Component::finish_now() {
  co_await stop();
  set_state(ComponentState::kFinished);
}

Result<void> Component::pause() {
  if (state_ != ComponentState::kRunning || !main_.process) {
    return fail(Code::kFailedPrecondition,
                "Component " + spec_.name.str() + " is not in the RUNNING state");
  }
  return set_paused(true);
}

Result<void> Component::resume() {
  if (!paused_ || !main_.process) {
    return fail(Code::kFailedPrecondition, "Component " + spec_.name.str() + " is not paused");
  }
  return set_paused(false);
}

Result<void> Component::set_paused(bool paused) {
  SKERRY_TRY(main_.process->pause(paused));
  if (paused_ == paused) return {};
  paused_ = paused;
  reason_ = paused ? "paused" : notes_;
  hooks_.on_state(*this);
  return {};
}

io::Task<void> Component::uninstall() {
  if (spec_.uninstall) co_await try_to_end("Uninstall", *spec_.uninstall);
}

// SIGTERM to every process, some time to end, SIGKILL.
io::Task<void> Component::end(Script* script) {
  for (const auto& [signal, grace_ms] :
       {std::pair(SIGTERM, kTermGraceMs), std::pair(SIGKILL, kKillGraceMs)}) {
    if (!script->process || !script->process->running()) break;
    script->process->signal(signal);
    const int64_t deadline = env_.clock.monotonic_ms() + grace_ms;
    for (int64_t look_ms = 1; script->process->running() && env_.clock.monotonic_ms() < deadline;) {
      co_await io::sleep(env_.loop, look_ms);
      look_ms = std::min(2 * look_ms, kLongestLookMs);
    }
  }
  *script = {};
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
    } else if (main_.exit && main_.process) {
      main_.exit->complete(fail(Code::kInternal, "the component reported that it has failed"));
    }
  }
}

void Component::set_state(ComponentState state) {
  if (state == state_) return;
  state_ = state;
  // What ends it may have to talk to what runs.
  if (std::exchange(paused_, false) && main_.process) (void)main_.process->pause(false);
  if (is_healthy(state)) {
    reason_ = notes_;
    status_code_.clear();
  }
  hooks_.on_state(*this);
}

void Component::note(std::string text) {
  log::warn("component", text, {{"component", spec_.name.str()}, {"version", spec_.version}});
  if (notes_.contains(text)) return;
  if (!notes_.empty()) notes_ += "; ";
  notes_ += text;
}

std::vector<std::string> Component::last_lines() const {
  size_t bytes = 0;
  auto first = last_lines_.end();
  while (first != last_lines_.begin() && (bytes += std::prev(first)->size()) <= kLastBytes) --first;
  return {first, last_lines_.end()};
}

void Component::note_failure(const Error& error) {
  int64_t now = env_.clock.monotonic_ms();
  if (failures_ > 0 && now - last_failure_ms_ > kFailuresForgottenAfterMs) failures_ = 0;
  last_failure_ms_ = now;
  ++failures_;
  reason_ = error.message();
  status_code_ = status_code_of(step_, error.code());
  if (!last_lines_.empty()) {
    reason_ += "; last output:";
    const auto told = std::ranges::subrange(
        last_lines_.end() - std::min(kToldLines, std::ssize(last_lines_)), last_lines_.end());
    for (const std::string& line : told) reason_ += " | " + line;
  }
  log::warn("component", "failed",
            {{"component", spec_.name.str()},
             {"version", spec_.version},
             {"attempt", std::to_string(failures_)},
             {"reason", reason_}});
  set_state(failures_ >= kMaxFailures ? ComponentState::kBroken : ComponentState::kErrored);
}

}  // namespace skerry::nucleus
