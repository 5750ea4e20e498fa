// The document, the stream, its reports.
#include "flow/stream_program.h"

#include <fmt/format.h>

#include <csignal>
#include <cstdio>
#include <fstream>
#include <optional>
#include <sstream>

#include "flow/flow.h"

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

void print(const Flow& flow) {
  fmt::print("{}\n", flow.report().to_json());
  std::fflush(stdout);
}

io::Task<void> report(io::Loop* loop, const Flow* flow, int64_t interval_ms) {
  for (;;) {
    co_await io::sleep(*loop, interval_ms);
    print(*flow);
  }
}

io::Task<Result<void>> play(io::RealLoop& loop, const StreamOptions& options,
                            std::unique_ptr<Flow>& flow) {
  const auto nucleus = rpc::NucleusAddress::of_environment();
  SKERRY_CO_ASSIGN(const std::string text, options.config_file.empty()
                                               ? co_await ask_nucleus(loop, nucleus)
                                               : read_text(options.config_file));
  auto config = parse_flow_config(text);
  if (!config) co_return fail(config.error().with_context("stream"));
  const std::string service =
      options.socket.empty() ? options.server : fmt::format("unix:{}:", options.socket);
  SKERRY_CO_ASSIGN(auto token, net::BearerToken::open(options.token_file));
  flow = std::make_unique<Flow>(loop, std::move(*config), service, std::move(token), nucleus);
  io::TaskScope reports;
  if (options.report_ms > 0) reports.spawn(report(&loop, flow.get(), options.report_ms));
  co_return co_await flow->run();
}

io::Task<void> run(io::RealLoop* loop, const StreamOptions* options, std::unique_ptr<Flow>* flow,
                   Result<void>* result) {
  *result = co_await play(*loop, *options, *flow);
  loop->stop();
}

}  // namespace

Result<void> run_stream(io::RealLoop& loop, const StreamOptions& options) {
  // Given up with the process: a thread may wait for a pipe for ever.
  auto* flow = std::make_unique<std::unique_ptr<Flow>>().release();
  Result<void> result;
  io::TaskScope scope;
  scope.spawn(run(&loop, &options, flow, &result));
  loop.on_signals({SIGTERM, SIGINT}, [&loop](int) { loop.stop(); });
  loop.run();
  if (*flow) print(**flow);
  return result;
}

}  // namespace skerry::flow
