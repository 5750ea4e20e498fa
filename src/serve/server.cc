// Wiring, and the orderly stop.
#include "serve/server.h"

#include <fmt/format.h>
#include <malloc.h>

#include <csignal>

#include "base/log.h"
#include "io/random.h"
#include "net/http_server.h"
#include "pipeline/pipeline.h"
#include "serve/http_api.h"

namespace skerry::serve {
namespace {

constexpr int64_t kDrainPollMs = 10;

constexpr size_t kCodecThreads = 2;
constexpr int kLargeBlockBytes = 1 << 20;
constexpr uint64_t kMaxAccessBytes = 1 << 20;

// A state file that cannot be written would be noticed after the first load, when it is too late.
Result<void> check_state_file(io::Files& files, const std::string& path) {
  if (path.empty()) return {};
  const auto there = files.stat(path);
  if (there && there->is_directory) {
    return fail(Code::kInvalidArgument,
                fmt::format("--state {} is a folder; name a file in it", path));
  }
  const auto parent = files.stat(io::parent_of(path));
  if (parent && parent->is_directory) return {};
  return fail(Code::kInvalidArgument,
              fmt::format("--state {}: there is no folder {}", path, io::parent_of(path)));
}

Result<AccessRules> read_access(io::Files& files, const std::string& path) {
  const auto text = io::read_file(files, path, kMaxAccessBytes);
  if (!text) return fail(text.error().with_context("--access"));
  auto rules = parse_access_rules(*text);
  if (rules) return rules;
  return fail(rules.error().with_context(fmt::format("--access {}", path)));
}

// A file that is wrong changes nothing: whoever wrote it sees the log.
void read_access_again(io::Files& files, const std::string& path, HttpApi& api) {
  auto rules = read_access(files, path);
  if (!rules) {
    return log::error("access", "the rules from before still hold",
                      {{"reason", rules.error().message()}});
  }
  api.set_access(std::move(*rules));
  log::info("access", "the rules were read again");
}

std::string beside_state(const std::string& state_file, std::string_view ending) {
  return state_file.empty() ? "" : state_file + std::string(ending);
}

// In the order of construction: what stands further down uses what stands above and goes first.
struct Parts {
  io::ThreadPool codec{"codec", kCodecThreads};
  RuntimeRegistry runtimes;
  ModelRepository repository;
  InferenceService inference;
  Scheduler scheduler;
  std::optional<Summaries> summaries;  // where there is a nucleus to take them
  HttpApi api;
  net::HttpServer http;
  std::optional<SummaryPublisher> publisher;
  io::TaskScope tasks;

  Parts(io::Loop& loop, io::Files& files, io::Clock& clock,
        const std::shared_ptr<ModelTrials>& trials, const ServerOptions& options)
      : runtimes(loop, files, options.runtimes,
                 {.state_file = beside_state(options.state_file, ".runtimes")}),
        repository(loop, files, options.runtimes,
                   {.load = {.load = {.threads = options.threads_per_inference,
                                      .max_file_bytes = options.max_model_bytes},
                             .trial = try_in_child,
                             .trial_memory_bytes = options.trial_memory_bytes},
                    .trials = trials,
                    .state_file = options.state_file,
                    .load_timeout_ms = options.load_timeout_ms,
                    .memory_bytes = options.memory_bytes,
                    .evict = options.evict}),
        inference(loop, {.threads = options.threads,
                         .max_queued = options.max_queued,
                         .run_timeout_ms = options.inference_timeout_ms}),
        scheduler(loop, codec, inference,
                  {.threads = options.threads, .max_queued = options.max_queued}),
        summaries(summaries_of(clock, options)),
        api(loop, clock, codec, repository, scheduler,
            {.server_version = options.version,
             .repository_over_tcp = options.repository_over_tcp,
             .max_shared_bytes = options.max_body_bytes,
             .summaries = summaries ? &*summaries : nullptr,
             .runtimes = &runtimes}),
        http(loop, [this](net::HttpRequest request) { return api.handle(std::move(request)); },
             {.body_bytes = options.max_body_bytes, .decode_bodies = true}) {
    http.set_error_format(HttpApi::refusal);
    if (!summaries) return;
    publisher.emplace(loop, clock, *summaries, options.nucleus, options.summary_interval_ms);
    const auto interval = static_cast<uint64_t>(options.summary_interval_ms);
    tasks.spawn(publisher->run(static_cast<int64_t>(1 + io::RealRandom().below(interval))));
  }

  static std::optional<Summaries> summaries_of(io::Clock& clock, const ServerOptions& options) {
    if (options.nucleus.socket_path.empty() || options.summary_interval_ms == 0) {
      return std::nullopt;
    }
    return Summaries(fmt::format("{:016x}", io::RealRandom().next()), clock.wall_ms());
  }
};

io::Task<void> restore(Parts* parts, std::function<void()> then) {
  co_await parts->repository.restore();
  parts->api.set_ready();
  then();
}

io::Task<void> drain(io::RealLoop* loop, Parts* parts, int64_t timeout_ms) {
  parts->http.stop_accepting();
  parts->api.rings().stop();
  const auto open = [parts] { return parts->http.connections() + parts->api.rings().size(); };
  for (int64_t waited = 0; open() > 0 && waited < timeout_ms; waited += kDrainPollMs) {
    co_await io::sleep(*loop, kDrainPollMs);
  }
  if (open() > 0) {
    log::warn("serve", "stopping with requests unanswered",
              {{"connections", std::to_string(open())}});
  }
  if (parts->publisher) co_await parts->publisher->flush();
  loop->stop();
}

}  // namespace

Result<void> run_server(io::RealLoop& loop, io::Files& files, io::Clock& clock,
                        const ServerOptions& options,
                        std::function<void(std::optional<uint16_t> http_port)> on_ready) {
  // What a model or a large request needed goes back to the system when it is freed. By default
  // malloc raises this threshold to 32 MiB, and a swap of models leaves holes of its own size.
  ::mallopt(M_MMAP_THRESHOLD, kLargeBlockBytes);

  // Step 1: what earlier runs have learnt, then the service around it. Nobody can reach it yet.
  SKERRY_TRY(check_state_file(files, options.state_file));
  SKERRY_ASSIGN(auto trials, ModelTrials::open(files, beside_state(options.state_file, ".trials")));
  Parts parts(loop, files, clock, trials, options);
  parts.runtimes.restore();
  options.runtimes->add(pipeline::make_pipeline_runtime(*options.runtimes));
  if (!options.access_file.empty()) {
    SKERRY_ASSIGN(AccessRules rules, read_access(files, options.access_file));
    parts.api.set_access(std::move(rules));
  }

  // Step 2: from here on requests are taken. Loads queue behind the models of the last run.
  std::optional<uint16_t> port;
  if (options.http_port) {
    SKERRY_ASSIGN(port, parts.http.listen_tcp(options.http_address, *options.http_port, nullptr));
  }
  if (!options.socket_path.empty()) {
    SKERRY_TRY(parts.http.listen_unix(options.socket_path, options.socket_mode));
  }
  parts.tasks.spawn(restore(&parts, [&on_ready, port] { on_ready(port); }));

  // Step 3: until a signal. The first one drains, the second one does not wait.
  bool stopping = false;
  loop.on_signals({SIGTERM, SIGINT, SIGHUP}, [&](int signal) {
    if (signal == SIGHUP) {
      if (!options.access_file.empty()) read_access_again(files, options.access_file, parts.api);
      return;
    }
    if (std::exchange(stopping, true)) return loop.stop();
    log::info("serve", "finishing the requests in flight");
    parts.tasks.spawn(drain(&loop, &parts, options.drain_timeout_ms));
  });
  loop.run();
  trials->end();
  return {};
}

}  // namespace skerry::serve
