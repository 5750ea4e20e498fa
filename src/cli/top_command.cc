// skerry top: what the models of an inference service do, as it happens.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <map>
#include <nlohmann/json.hpp>

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

struct TopOptions {
  std::string server = "http://127.0.0.1:8000";
  std::string socket;
  std::string token_file;
  double interval_s = 1;
  bool once = false;
};

// Of a version of a model, since it was loaded.
struct Counts {
  double requests = 0;
  double failed = 0;
  double executions = 0;
  double busy_ns = 0;  // in the runtime
  double queued_ns = 0;
  double memory_bytes = 0;
};

using Sample = std::map<std::pair<std::string, std::string>, Counts>;

// Throws nlohmann's exceptions.
Sample parse_sample(const std::string& body) {
  Sample sample;
  const json document = json::parse(body);
  for (const json& model : document.at("model_stats")) {
    const json& stats = model.at("inference_stats");
    Counts& counts = sample[{model.at("name"), model.at("version")}];
    counts.requests = stats.at("success").at("count");
    counts.failed = stats.at("fail").at("count");
    counts.executions = model.at("execution_count");
    counts.busy_ns = stats.at("compute_infer").at("ns");
    counts.queued_ns = stats.at("queue").at("ns");
    for (const json& memory : model.value("memory_usage", json::array())) {
      counts.memory_bytes += memory.value("byte_size", 0.0);
    }
  }
  return sample;
}

// What happened between two samples; a version that was loaded again starts at nothing.
json difference(const Sample& before, const Sample& now, double seconds) {
  json rows = json::array();
  for (const auto& [model, counts] : now) {
    const auto found = before.find(model);
    const bool goes_on = found != before.end() && found->second.requests <= counts.requests;
    const Counts since = goes_on ? found->second : Counts{};
    const double requests = counts.requests - since.requests;
    const double executions = counts.executions - since.executions;
    const auto each = [&](double ns) { return requests > 0 ? ns / requests / 1000 : 0; };
    rows.push_back({{"model", model.first},
                    {"version", model.second},
                    {"requests_per_s", requests / seconds},
                    {"failures_per_s", (counts.failed - since.failed) / seconds},
                    {"compute_us", each(counts.busy_ns - since.busy_ns)},
                    {"queue_us", each(counts.queued_ns - since.queued_ns)},
                    {"requests_per_run", executions > 0 ? requests / executions : 0},
                    {"busy_percent", (counts.busy_ns - since.busy_ns) / seconds / 1e7},
                    {"memory_bytes", counts.memory_bytes},
                    {"requests", counts.requests},
                    {"failures", counts.failed}});
  }
  return rows;
}

Table table_of(const json& rows) {
  Table table;
  table.heading = {"MODEL", "VERSION", "REQ/S", "FAIL/S", "COMPUTE",
                   "QUEUE", "PER RUN", "BUSY",  "MEMORY", "REQUESTS"};
  for (const json& row : rows) {
    const auto number = [&](const char* key) { return row.at(key).get<double>(); };
    table.rows.push_back({row.at("model"), row.at("version"),
                          fmt::format("{:.1f}", number("requests_per_s")),
                          fmt::format("{:.1f}", number("failures_per_s")),
                          fmt::format("{:.0f} us", number("compute_us")),
                          fmt::format("{:.0f} us", number("queue_us")),
                          fmt::format("{:.1f}", number("requests_per_run")),
                          fmt::format("{:.0f} %", number("busy_percent")),
                          fmt::format("{:.1f} MiB", number("memory_bytes") / (1 << 20)),
                          fmt::format("{:.0f}", number("requests"))});
  }
  return table;
}

class Top {
 public:
  Top(io::RealLoop& loop, const TopOptions& options, const Output& output)
      : loop_(loop), options_(options), output_(output) {}

  io::Task<void> run() {
    result_ = co_await watch();
    loop_.stop();
  }
  const Result<void>& result() const { return result_; }

 private:
  io::Task<Result<void>> watch() {
    SKERRY_CO_ASSIGN(auto token, net::BearerToken::open(options_.token_file));
    const auto http = net::with_token(net::make_http_client(loop_, nullptr), std::move(token));
    SKERRY_CO_ASSIGN(Sample before, co_await look(*http));
    double before_ms = static_cast<double>(clock_.monotonic_ms());
    for (;;) {
      co_await io::sleep(loop_, static_cast<int64_t>(options_.interval_s * 1000));
      auto looked = co_await look(*http);
      // Where rules limit how often it may look, the next look covers this interval as well.
      const bool is_limited = !looked && looked.error().code() == Code::kResourceExhausted;
      if (is_limited && !options_.once) continue;
      SKERRY_CO_ASSIGN(Sample now, std::move(looked));
      const double now_ms = static_cast<double>(clock_.monotonic_ms());
      show(difference(before, now, std::max(now_ms - before_ms, 1.0) / 1000));
      if (options_.once) co_return Result<void>();
      before = std::move(now);
      before_ms = now_ms;
    }
  }

  io::Task<Result<Sample>> look(net::HttpClient& http) const {
    const std::string target = "/v2/models/stats";
    const std::string base =
        options_.socket.empty() ? options_.server : fmt::format("unix:{}:", options_.socket);
    SKERRY_CO_ASSIGN(const auto response, co_await http.fetch(base + target, {.target = target}));
    if (response.status != 200) {
      co_return fail(formats::inference_refusal(response.status, response.body));
    }
    try {
      co_return parse_sample(response.body);
    } catch (const json::exception& e) {
      co_return fail(Code::kUnavailable,
                     fmt::format("{} is no inference service: {}", base, e.what()));
    }
  }

  void show(const json& rows) const {
    if (output_.json) return output_.print_json({{"models", rows}});
    if (!options_.once && ::isatty(STDOUT_FILENO) == 1) {
      fmt::print("\033[H\033[2J");
    }
    if (rows.empty()) return output_.print_line("no model is loaded");
    output_.print_table(table_of(rows));
  }

  io::RealLoop& loop_;
  const TopOptions& options_;
  const Output& output_;
  io::RealClock clock_;
  Result<void> result_;
};

Result<void> top(const Session& session, const TopOptions& options) {
  io::RealLoop loop;
  Top top(loop, options, session.output);
  io::TaskScope scope;
  scope.spawn(top.run());
  loop.run();
  return top.result();
}

}  // namespace

void add_top_command(CLI::App& app, Session& session) {
  auto options = std::make_shared<TopOptions>();
  CLI::App* command = app.add_subcommand("top", "Show what the models of a device do, live");
  auto* server = command->add_option("--server", options->server, "skerry-infer's address");
  server->capture_default_str();
  command->add_option("--socket", options->socket, "Its Unix socket instead")->excludes(server);
  command->add_option("--token-file", options->token_file, net::kTokenFileHelp);
  command->add_option("--interval", options->interval_s, "Seconds between looks")
      ->capture_default_str()
      ->check(CLI::Range(0.1, 3600.0));
  command->add_flag("--once", options->once, "One look, over one interval");
  command->footer(R"(
COMPUTE and QUEUE are means of the requests of the last interval, PER RUN how many of them ran together, BUSY the part of
one core's time. With --json a line for each look.
Examples:
  skerry top
  skerry --json top --once --socket /run/infer.sock
  skerry top --server http://line-3:8000 --token-file token)");
  command->callback([&session, options] {
    session.action = [&session, options] { return top(session, *options); };
  });
}

}  // namespace skerry::cli
