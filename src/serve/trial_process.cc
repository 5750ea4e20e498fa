// `skerry-infer trial`: one line of JSON from the child to the service.
#include "serve/trial_process.h"

#include <fmt/format.h>
#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/log.h"
#include "base/sanitizers.h"
#include "io/blocking_process.h"
#include "serve/served_model.h"
#include "serve/trial_sandbox.h"

// NOLINTNEXTLINE(readability-redundant-declaration): no header of POSIX has it.
extern char** environ;

namespace skerry::serve {
namespace {

using nlohmann::json;

constexpr size_t kMaxAnswerBytes = 64 << 10;
constexpr uint64_t kLeastLimitBytes = uint64_t{1} << 30;
constexpr uint64_t kLimitPerPackageByte = 8;
constexpr uint64_t kLeastEverBytes = uint64_t{128} << 20;
constexpr uint64_t kMaxCpuSeconds = 86'400;  // the longest --load-timeout

// The number in a line such as "MemAvailable:  123 kB", in bytes; 0 where there is none.
uint64_t kilobytes_in(const char* path, std::string_view field) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(field))
      return std::strtoull(line.c_str() + field.size(), nullptr, 10) << 10;
  }
  return 0;
}

io::ProcessSpec process_spec(const TrialRequest& request) {
  io::ProcessSpec spec;
  spec.argv = {"/proc/self/exe",
               "trial",
               "--runtime",
               request.library.empty() ? request.runtime : request.runtime + "=" + request.library,
               "--threads-per-inference",
               std::to_string(request.load.threads),
               "--max-file-bytes",
               std::to_string(request.load.max_file_bytes),
               "--",
               request.model,
               request.directory};
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text = *variable;
    const size_t equals = text.find('=');
    // The service's credentials are none of the model's business.
    const bool is_secret = text.starts_with("AWS_") || text.starts_with("SVCUID=");
    if (equals == std::string_view::npos || is_secret) continue;
    spec.environment.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  spec.no_new_privileges = true;
  spec.oom_score = 1000;
  spec.resource_limits = {{RLIMIT_CORE, 0, 0}, {RLIMIT_CPU, kMaxCpuSeconds, kMaxCpuSeconds}};
  if (request.memory_limit_bytes != 0 && !kIsSanitized) {
    // Not RLIMIT_AS: libraries and stacks reserve far more address space than they use.
    spec.resource_limits.push_back(
        {RLIMIT_DATA, request.memory_limit_bytes, request.memory_limit_bytes});
  }
  return spec;
}

std::string_view last_line(std::string_view text) {
  text = text.substr(0, text.find_last_not_of('\n') + 1);
  return text.substr(text.find_last_of('\n') + 1);
}

Error death(const TrialRequest& request, const io::FinishedProcess& finished) {
  std::string how = finished.status.text();
  if (finished.status.signal != 0) {
    how += fmt::format(" ({})", ::strsignal(finished.status.signal));
    if (finished.status.signal == SIGKILL) how += ", as when memory runs out";
  }
  const std::string_view last = last_line(finished.err);
  return Error(
      Code::kCorrupt,
      fmt::format("{}: the model, or the library of runtime '{}', took down the process "
                  "that tried it: {}{}{}",
                  request.directory, request.runtime, how, last.empty() ? "" : "; last: ", last));
}

Code parse_code(std::string_view name) {
  for (int i = 0; i <= static_cast<int>(Code::kInternal); ++i) {
    if (code_name(static_cast<Code>(i)) == name) return static_cast<Code>(i);
  }
  return Code::kInternal;
}

Result<TrialReport> read_answer(const TrialRequest& request, const io::FinishedProcess& finished) {
  const json answer = json::parse(finished.out, nullptr, false);
  if (!finished.status.ok() || !answer.is_object()) return fail(death(request, finished));
  try {
    if (answer.contains("error")) {
      return fail(parse_code(answer.at("code").get<std::string>()), answer.at("error"));
    }
    if (answer.at("key") != request.key) {
      return fail(
          Code::kFailedPrecondition,
          fmt::format("{} was changed while it was tried; load it again", request.directory));
    }
    return TrialReport{answer.at("peak_memory_bytes"), answer.at("model_memory_bytes")};
  } catch (const json::exception& e) {
    return fail(Code::kInternal,
                fmt::format("{}: the trial's answer: {}", request.directory, e.what()));
  }
}

// What no file backs, after malloc has given back what it does not need.
uint64_t own_memory_bytes() {
  ::malloc_trim(0);
  return kilobytes_in("/proc/self/status", "RssAnon:") +
         kilobytes_in("/proc/self/status", "RssShmem:");
}

json try_package(const TrialRequest& request) {
  runtime::Runtimes runtimes;
  uint64_t model_bytes = 0;
  const auto attempt = [&]() -> Result<std::string> {
    SKERRY_TRY(runtimes.add(request.runtime, request.library));
    SKERRY_ASSIGN(const auto package, inspect_package(runtimes, request.model, request.directory));
    // The library's own memory is there with the first model already.
    if (auto opened = runtimes.get(request.runtime); !opened) {
      return fail(opened.error().with_context(request.directory));
    }
    const uint64_t before = own_memory_bytes();
    SKERRY_ASSIGN(const auto model, stage_model(runtimes, package, request.load, {}));
    const uint64_t with_model = own_memory_bytes();
    model_bytes = with_model > before ? with_model - before : 0;
    return package.id.key;
  };
  const auto key = attempt();
  if (!key) {
    return {{"error", key.error().message()}, {"code", code_name(key.error().code())}};
  }
  return {{"key", *key},
          {"peak_memory_bytes", kilobytes_in("/proc/self/status", "VmHWM:")},
          {"model_memory_bytes", model_bytes}};
}

}  // namespace

uint64_t trial_memory_limit(uint64_t package_bytes) {
  const uint64_t wanted = std::max(kLeastLimitBytes, kLimitPerPackageByte * package_bytes);
  const uint64_t available = kilobytes_in("/proc/meminfo", "MemAvailable:");
  return available == 0 ? wanted : std::max(kLeastEverBytes, std::min(wanted, available));
}

Result<TrialReport> try_in_child(const TrialRequest& request, const std::stop_token& stop) {
  SKERRY_ASSIGN(const auto finished, io::run_process(process_spec(request), kMaxAnswerBytes, stop));
  return read_answer(request, finished);
}

int run_trial(const TrialRequest& request) {
  // Libraries print what they like; the answer has a descriptor of its own.
  const int answers = ::dup(STDOUT_FILENO);
  ::dup2(STDERR_FILENO, STDOUT_FILENO);
  if (auto entered = enter_trial_sandbox(); !entered) {
    log::warn("trial", "this kernel gives no sandbox", {{"error", entered.error().message()}});
  }
  const std::string answer =
      try_package(request).dump(-1, ' ', false, json::error_handler_t::replace);
  const bool is_written =
      ::write(answers, answer.data(), answer.size()) == static_cast<ssize_t>(answer.size());
  return is_written ? 0 : 1;
}

}  // namespace skerry::serve
