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
#include "pipeline/pipeline.h"
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
               std::to_string(request.load.max_file_bytes)};
  for (const std::string& more : request.more_runtimes) {
    spec.argv.insert(spec.argv.end(), {"--runtime", more});
  }
  if (!request.model.empty()) {
    spec.argv.insert(spec.argv.end(), {"--", request.model, request.directory});
  }
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
  const std::string who = request.model.empty()
                              ? fmt::format("{}: the library", request.library)
                              : fmt::format("{}: the model, or the library of runtime '{}',",
                                            request.directory, request.runtime);
  return Error(Code::kCorrupt, fmt::format("{} took down the process that tried it: {}{}{}", who,
                                           how, last.empty() ? "" : "; last: ", last));
}

Code parse_code(std::string_view name) {
  for (int i = 0; i <= static_cast<int>(Code::kInternal); ++i) {
    if (code_name(static_cast<Code>(i)) == name) return static_cast<Code>(i);
  }
  return Code::kInternal;
}

// Throws json::exception where the child is not of this version.
Result<json> parse_answer(const TrialRequest& request, const io::FinishedProcess& finished) {
  json answer = json::parse(finished.out, nullptr, false);
  if (!finished.status.ok() || !answer.is_object()) return fail(death(request, finished));
  if (!answer.contains("error")) return answer;
  return fail(parse_code(answer.at("code").get<std::string>()), answer.at("error"));
}

Result<TrialReport> read_answer(const TrialRequest& request, const io::FinishedProcess& finished) {
  try {
    SKERRY_ASSIGN(const json answer, parse_answer(request, finished));
    if (answer.at("key") != request.key) {
      return fail(
          Code::kFailedPrecondition,
          fmt::format("{} was changed while it was tried; load it again", request.directory));
    }
    return TrialReport{answer.at("peak_memory_bytes"), answer.at("model_memory_bytes"),
                       answer.at("runtime_memory_bytes")};
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

// What the process grows by from one step() to the next.
class Growth {
 public:
  uint64_t step() {
    const uint64_t before = std::exchange(last_, own_memory_bytes());
    return last_ > before ? last_ - before : 0;
  }

 private:
  uint64_t last_ = own_memory_bytes();
};

Result<json> try_package(const TrialRequest& request) {
  Growth growth;
  runtime::Runtimes runtimes;
  for (const std::string& more : request.more_runtimes) {
    const size_t equals = std::min(more.find('='), more.size());
    SKERRY_TRY(
        runtimes.add(more.substr(0, equals), more.substr(std::min(equals + 1, more.size()))));
  }
  if (request.runtime == pipeline::kRuntimeName) {
    runtimes.add(pipeline::make_pipeline_runtime(runtimes));
  } else {
    SKERRY_TRY(runtimes.add(request.runtime, request.library));
  }
  SKERRY_ASSIGN(const auto package, inspect_package(runtimes, request.model, request.directory));
  // The library's own memory is there before the first model.
  if (auto opened = package.runtime->open(); !opened) {
    return fail(opened.error().with_context(request.directory));
  }
  const uint64_t runtime_bytes = growth.step();
  SKERRY_ASSIGN(const auto model, stage_model(package, request.load, {}));
  const uint64_t model_bytes = growth.step();
  return json{{"key", package.id.key},
              {"peak_memory_bytes", kilobytes_in("/proc/self/status", "VmHWM:")},
              {"model_memory_bytes", model_bytes},
              {"runtime_memory_bytes", runtime_bytes}};
}

Result<json> try_runtime(const TrialRequest& request) {
  Growth growth;
  SKERRY_ASSIGN(const auto opened, runtime::open_runtime(request.runtime, request.library));
  return json{{"version", opened->version()}, {"memory_bytes", growth.step()}};
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

Result<RuntimeProbe> probe_in_child(const std::string& runtime, const std::string& library,
                                    const std::stop_token& stop) {
  const TrialRequest request{
      .runtime = runtime, .library = library, .memory_limit_bytes = trial_memory_limit(0)};
  SKERRY_ASSIGN(const auto finished, io::run_process(process_spec(request), kMaxAnswerBytes, stop));
  try {
    SKERRY_ASSIGN(const json answer, parse_answer(request, finished));
    return RuntimeProbe{answer.at("version"), answer.at("memory_bytes")};
  } catch (const json::exception& e) {
    return fail(Code::kInternal, fmt::format("{}: the trial's answer: {}", library, e.what()));
  }
}

int run_trial(const TrialRequest& request) {
  // Libraries print what they like; the answer has a descriptor of its own.
  const int answers = ::dup(STDOUT_FILENO);
  ::dup2(STDERR_FILENO, STDOUT_FILENO);
  if (auto entered = enter_trial_sandbox(); !entered) {
    log::warn("trial", "this kernel gives no sandbox", {{"error", entered.error().message()}});
  }
  const auto tried = request.model.empty() ? try_runtime(request) : try_package(request);
  const json document =
      tried ? *tried
            : json{{"error", tried.error().message()}, {"code", code_name(tried.error().code())}};
  const std::string answer = document.dump(-1, ' ', false, json::error_handler_t::replace);
  const bool is_written =
      ::write(answers, answer.data(), answer.size()) == static_cast<ssize_t>(answer.size());
  return is_written ? 0 : 1;
}

}  // namespace skerry::serve
