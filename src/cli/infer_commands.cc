// skerry infer bulk: every item of a file or folder through a model, once.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>

#include "cli/bulk_input.h"
#include "cli/bulk_lines.h"
#include "cli/bulk_output.h"
#include "cli/command.h"
#include "formats/inference_refusal.h"
#include "io/clock.h"
#include "io/loop.h"
#include "io/task.h"
#include "net/bearer_token.h"
#include "net/http_client.h"

namespace skerry::cli {
namespace {

using nlohmann::json;

constexpr int64_t kPauseMs = 200;
constexpr int64_t kSyncMs = 1'000;
constexpr size_t kWindow = 4;  // pieces for each connection that may wait for one before them

struct BulkOptions {
  std::string model;
  std::string in;
  std::string out;
  std::string server = "http://127.0.0.1:8000";
  std::string socket;
  std::string token_file;
  size_t rows = 32;
  size_t connections = 4;
  int64_t wait_s = 60;
  int64_t timeout_s = 300;

  std::string url(const std::string& target) const {
    return socket.empty() ? server + target : fmt::format("unix:{}:{}", socket, target);
  }
};

// What became of the items of one request, in lines.
struct Lines {
  std::string text;
  size_t items = 0;
  size_t failed = 0;
};

std::string text_of(const json& document) {
  return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

Error refusal_of(const net::HttpResponse& response) {
  return formats::inference_refusal(response.status, response.body);
}

// When to ask a server again that has sent `response`, or nothing.
int64_t pause_ms(const Result<net::HttpResponse>& response) {
  constexpr int64_t kLongestPauseMs = 60'000;
  const auto seconds = response ? std::string(response->headers.get("Retry-After")) : std::string();
  const int64_t said_ms = 1000 * std::strtoll(seconds.c_str(), nullptr, 10);
  return std::clamp(said_ms, kPauseMs, kLongestPauseMs);
}

class BulkJob {
 public:
  BulkJob(io::RealLoop& loop, const BulkOptions& options, const Output& screen)
      : loop_(loop), options_(options), screen_(screen) {}

  io::Task<void> run() {
    result_ = co_await prepare();
    if (result_) {
      next_ = output_->done();
      resumed_ = next_;
      started_ms_ = clock_.monotonic_ms();
      for (size_t i = 0; i < options_.connections; ++i) workers_.spawn(work());
      co_await finished_;
      if (result_) result_ = output_->sync();
    }
    loop_.stop();
  }

  Result<void> report() {
    SKERRY_TRY(result_);
    const double seconds = static_cast<double>(clock_.monotonic_ms() - started_ms_) / 1000;
    const size_t ran = output_->done() - resumed_;
    if (screen_.json) {
      screen_.print_json({{"items", input_->size()},
                          {"resumed", resumed_},
                          {"failed", output_->failed()},
                          {"seconds", seconds},
                          {"items_per_s", seconds > 0 ? static_cast<double>(ran) / seconds : 0}});
    } else {
      screen_.print_line(fmt::format("{} items in {}, {} of them from before, {} failed",
                                     input_->size(), options_.out, resumed_, output_->failed()));
    }
    if (output_->failed() == 0) return {};
    return fail(Code::kFailedPrecondition,
                fmt::format("{} of {} items failed; their lines in {} have the reason as \"error\"",
                            output_->failed(), input_->size(), options_.out));
  }

 private:
  // The server's answer, however long it takes to come back from a restart or to let this client
  // ask again. Fails where it never does, or lets it not ask at all.
  io::Task<Result<net::HttpResponse>> ask(net::HttpClient& http, net::HttpRequest request) {
    for (int64_t waited = 0;;) {
      auto response = co_await http.fetch(options_.url(request.target), request,
                                          {.timeout_ms = options_.timeout_s * 1000});
      if (response && (response->status == 401 || response->status == 403)) {
        co_return fail(refusal_of(*response));
      }
      const bool is_away = !response || response->status == 503 || response->status == 429 ||
                           (response->status == 404 && !co_await is_ready(http));
      if (!is_away) co_return response;
      const int64_t pause = pause_ms(response);
      if (waited + pause > options_.wait_s * 1000) {
        if (!response) co_return fail(std::move(response.error()));
        co_return fail(Code::kUnavailable, refusal_of(*response).message());
      }
      co_await io::sleep(loop_, pause);
      waited += pause;
    }
  }

  // Before that a server may still be loading the model.
  io::Task<bool> is_ready(net::HttpClient& http) {
    const std::string target = "/v2/health/ready";
    auto response = co_await http.fetch(options_.url(target), {.target = target});
    co_return response && response->status == 200;
  }

  io::Task<Result<void>> prepare() {
    SKERRY_CO_ASSIGN(token_, net::BearerToken::open(options_.token_file));
    const auto http = net::with_token(net::make_http_client(loop_, nullptr), token_);
    const std::string target = "/v2/models/" + net::percent_encode(options_.model);
    SKERRY_CO_ASSIGN(const net::HttpResponse response, co_await ask(*http, {.target = target}));
    if (response.status != 200)
      co_return fail(Code::kFailedPrecondition, refusal_of(response).message());
    const json document = json::parse(response.body, nullptr, false);
    std::vector<tensor::TensorSpec> inputs;
    try {
      for (const json& input : document.at("inputs")) {
        SKERRY_CO_ASSIGN(const auto type,
                         tensor::parse_data_type(input.at("datatype").get<std::string>()));
        inputs.push_back({input.at("name"), type, input.at("shape")});
      }
    } catch (const json::exception& e) {
      co_return fail(Code::kCorrupt, fmt::format("the server's answer: {}", e.what()));
    }
    SKERRY_CO_ASSIGN(auto input, BulkInput::open(options_.in, std::move(inputs)));
    input_.emplace(std::move(input));
    SKERRY_CO_ASSIGN(auto output, BulkOutput::open(options_.out, options_.model, *input_));
    output_.emplace(std::move(output));
    co_return Result<void>();
  }

  // One connection: takes the next piece of the input until none is left.
  io::Task<void> work() {
    const auto http = net::with_token(net::make_http_client(loop_, nullptr), token_);
    const size_t most = std::min(options_.rows, input_->most_at_once());
    while (result_ && next_ < input_->size()) {
      const size_t first = next_;
      const size_t count = std::min(most, input_->size() - first);
      next_ += count;
      auto lines = co_await infer(*http, first, count);
      if (!lines) {
        if (result_) result_ = fail(std::move(lines.error()));
        break;
      }
      ready_.emplace(first, std::move(*lines));
      if (auto written = write_ready(); !written && result_) result_ = std::move(written);
      // One that takes long must not let the others fill the memory.
      while (result_ && first > output_->done() + kWindow * options_.connections * most) {
        co_await io::sleep(loop_, 1);
      }
    }
    if (++ended_ == options_.connections) finished_.complete(true);
  }

  Result<void> write_ready() {
    while (!ready_.empty() && ready_.begin()->first == output_->done()) {
      const Lines lines = std::move(ready_.begin()->second);
      ready_.erase(ready_.begin());
      SKERRY_TRY(output_->append(lines.text, lines.items, lines.failed));
    }
    const int64_t now_ms = clock_.monotonic_ms();
    if (now_ms - synced_ms_ < kSyncMs) return {};
    synced_ms_ = now_ms;
    const double seconds = static_cast<double>(now_ms - started_ms_) / 1000;
    screen_.progress(
        fmt::format("{} of {} items, {:.0f}/s", output_->done(), input_->size(),
                    static_cast<double>(output_->done() - resumed_) / std::max(seconds, 0.001)));
    return output_->sync();
  }

  // Items [first, first + count) in one request, or each in its own where that is refused. Fails
  // only where the server stays away.
  io::Task<Result<Lines>> infer(net::HttpClient& http, size_t first, size_t count) {
    Lines lines;
    auto content = input_->read(first, count);
    if (!content) {
      add_error(lines, first, content.error().message());
      co_return lines;
    }
    net::HttpRequest request{
        .method = "POST",
        .target = "/v2/models/" + net::percent_encode(options_.model) + "/infer",
        .body = fmt::format("{{\"inputs\":{}}}", content->inputs)};
    request.headers.add("Inference-Header-Content-Length", std::to_string(request.body.size()));
    request.body += content->binary;
    SKERRY_CO_ASSIGN(const net::HttpResponse response, co_await ask(http, std::move(request)));
    if (response.status == 200) {
      if (auto text = bulk_lines(response.body, options_.model, *input_, first, count)) {
        lines.text = *std::move(text);
        lines.items = count;
        co_return lines;
      }
    }
    if (count == 1) {
      add_error(lines, first,
                response.status == 200 ? "the server's answer has no outputs"
                                       : refusal_of(response).message());
      co_return lines;
    }
    for (size_t i = 0; i < count; ++i) {
      SKERRY_CO_ASSIGN(const Lines one, co_await infer(http, first + i, 1));
      lines.text += one.text;
      lines.items += one.items;
      lines.failed += one.failed;
    }
    co_return lines;
  }

  void add_error(Lines& lines, size_t item, const std::string& message) const {
    const json line = {{"item", input_->name(item)}, {"model", options_.model}, {"error", message}};
    lines.text += text_of(line) + "\n";
    ++lines.items;
    ++lines.failed;
  }

  io::RealLoop& loop_;
  const BulkOptions& options_;
  const Output& screen_;
  io::RealClock clock_;
  net::BearerToken token_;
  std::optional<BulkInput> input_;
  std::optional<BulkOutput> output_;
  Result<void> result_;
  size_t next_ = 0;     // item that nobody has taken yet
  size_t resumed_ = 0;  // items that were there
  size_t ended_ = 0;    // workers
  int64_t started_ms_ = 0;
  int64_t synced_ms_ = 0;
  std::map<size_t, Lines> ready_;  // that wait for items before them
  io::Completion<bool> finished_{loop_};
  io::TaskScope workers_;
};

Result<void> bulk(const Session& session, const BulkOptions& options) {
  io::RealLoop loop;
  BulkJob job(loop, options, session.output);
  io::TaskScope scope;
  scope.spawn(job.run());
  loop.run();
  session.output.progress("");
  return job.report();
}

}  // namespace

void add_infer_commands(CLI::App& app, Session& session) {
  CLI::App* infer = app.add_subcommand("infer", "Use a running inference service");
  infer->require_subcommand(1);
  infer->footer("\nExample:\n  skerry infer bulk churn --in customers.csv --out scores.jsonl");
  auto options = std::make_shared<BulkOptions>();
  CLI::App* command = infer->add_subcommand("bulk", "Run every item of a file or folder");
  command->add_option("MODEL", options->model, "Name that it is served under")->required();
  command
      ->add_option("--in", options->in,
                   "FILE.npy (each row an item), FILE.jsonl or FILE.csv (each line), or a "
                   "folder of .npy and .json files")
      ->required();
  command
      ->add_option("--out", options->out,
                   "FILE that gets a line of JSON for each item; a job that was killed goes on "
                   "behind the lines that are there")
      ->required();
  auto* server = command->add_option("--server", options->server, "skerry-infer's address");
  server->capture_default_str();
  command->add_option("--socket", options->socket, "Its Unix socket instead")->excludes(server);
  command->add_option("--token-file", options->token_file, net::kTokenFileHelp);
  command->add_option("--rows", options->rows, "Rows of FILE.npy in one request")
      ->capture_default_str()
      ->check(CLI::Range(1, 65'536));
  command->add_option("--connections", options->connections, "Requests at once")
      ->capture_default_str()
      ->check(CLI::Range(1, 256));
  command
      ->add_option("--wait", options->wait_s,
                   "Seconds to wait for a server that is away, busy or limits this client")
      ->capture_default_str()
      ->check(CLI::Range(0, 86'400));
  command->add_option("--timeout", options->timeout_s, "Seconds that one request may take")
      ->capture_default_str()
      ->check(CLI::Range(1, 86'400));
  command->footer(R"(
The lines are in the order of the items: {"item","model","version","outputs"}, or {"item","model","error"}.
Examples:
  skerry infer bulk vad --in windows.npy --out probabilities.jsonl
  skerry infer bulk churn --in customers.csv --out scores.jsonl --socket /run/infer.sock
  skerry infer bulk churn --in customers.csv --out scores.jsonl --server http://line-3:8000 --token-file token)");
  command->callback([&session, options] {
    session.action = [&session, options] { return bulk(session, *options); };
  });
}

}  // namespace skerry::cli
