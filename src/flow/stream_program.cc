// The document, the stream, its reports.
#include "flow/stream_program.h"

#include <fmt/format.h>

#include <csignal>
#include <cstdio>
#include <fstream>
#include <optional>
#include <sstream>

#include "flow/flow.h"
#include "flow/topic_service.h"

namespace skerry::flow {
namespace {

constexpr int64_t kNucleusRetryMs = 500;

Result<std::string> read_text(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  if (file && text) return text.str();
  return fail(Code::kNotFound, fmt::format("{}: cannot be read", path));
}

// Of the component that this is, as soon as the nucleus gives it.
io::Task<Result<std::string>> ask_nucleus(io::Loop& loop, rpc::NucleusAddress nucleus) {
  if (nucleus.empty()) {
    co_return fail(Code::kInvalidArgument, "--config FILE is missing, and no nucleus runs this");
  }
  for (;;) {
    auto client = co_await rpc::NucleusClient::connect(loop, nucleus);
    auto text = client ? co_await (*client)->configuration("stream")
                       : Result<std::string>(fail(std::move(client.error())));
    if (text || !text.error().retryable()) co_return text;
    co_await io::sleep(loop, kNucleusRetryMs);
  }
}

// A stream, or requests over topics.
class Job {
 public:
  virtual ~Job() = default;
  virtual io::Task<Result<void>> run() = 0;
  virtual std::string report() const = 0;
};

template <class Worker>
class JobOf : public Job {
 public:
  template <class... Arguments>
  explicit JobOf(Arguments&&... arguments) : worker_(std::forward<Arguments>(arguments)...) {}
  io::Task<Result<void>> run() override { return worker_.run(); }
  std::string report() const override { return worker_.report().to_json(); }

 private:
  Worker worker_;
};

void print(const Job& job) {
  fmt::print("{}\n", job.report());
  std::fflush(stdout);
}

io::Task<void> report(io::Loop* loop, const Job* job, int64_t interval_ms) {
  for (;;) {
    co_await io::sleep(*loop, interval_ms);
    print(*job);
  }
}

Result<std::unique_ptr<Job>> make_job(io::Loop& loop, const std::string& text,
                                      const std::string& service, net::BearerToken token,
                                      const rpc::NucleusAddress& nucleus) {
  if (is_topic_service(text)) {
    SKERRY_ASSIGN(auto config, parse_topic_service(text));
    return std::make_unique<JobOf<TopicService>>(loop, std::move(config), service, std::move(token),
                                                 nucleus);
  }
  SKERRY_ASSIGN(auto config, parse_flow_config(text));
  return std::make_unique<JobOf<Flow>>(loop, std::move(config), service, std::move(token), nucleus);
}

io::Task<Result<void>> play(io::RealLoop& loop, const StreamOptions& options,
                            std::unique_ptr<Job>& job) {
  const auto nucleus = rpc::NucleusAddress::of_environment();
  SKERRY_CO_ASSIGN(const std::string text, options.config_file.empty()
                                               ? co_await ask_nucleus(loop, nucleus)
                                               : read_text(options.config_file));
  const std::string service =
      options.socket.empty() ? options.server : fmt::format("unix:{}:", options.socket);
  SKERRY_CO_ASSIGN(auto token, net::BearerToken::open(options.token_file));
  auto made = make_job(loop, text, service, std::move(token), nucleus);
  if (!made) co_return fail(made.error().with_context("stream"));
  job = std::move(*made);
  io::TaskScope reports;
  if (options.report_ms > 0) reports.spawn(report(&loop, job.get(), options.report_ms));
  co_return co_await job->run();
}

io::Task<void> run(io::RealLoop* loop, const StreamOptions* options, std::unique_ptr<Job>* job,
                   Result<void>* result) {
  *result = co_await play(*loop, *options, *job);
  loop->stop();
}

}  // namespace

Result<void> run_stream(io::RealLoop& loop, const StreamOptions& options) {
  // Given up with the process: a thread may wait for a pipe for ever.
  auto* job = std::make_unique<std::unique_ptr<Job>>().release();
  Result<void> result;
  io::TaskScope scope;
  scope.spawn(run(&loop, &options, job, &result));
  loop.on_signals({SIGTERM, SIGINT}, [&loop](int) { loop.stop(); });
  loop.run();
  if (*job) print(**job);
  return result;
}

}  // namespace skerry::flow
