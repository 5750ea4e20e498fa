// skerry-streams: the stream manager of a device. Keeps streams in a folder and serves them to the
// stock Stream Manager SDKs until it is told to stop.
#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "io/instance_lock.h"
#include "io/pool.h"
#include "log_options.h"
#include "net/stream.h"
#include "rpc/nucleus_client.h"
#include "streams/authenticator.h"
#include "streams/export/exporters.h"
#include "streams/repair.h"
#include "streams/server.h"

namespace skerry::streams {
namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;
constexpr int64_t kMiB = 1 << 20;

constexpr const char* kFooter = R"(
Examples:
  skerry-streams --dir /var/lib/skerry-streams
  skerry-streams --dir ./streams --port 0 --max-mb 512 --authenticate false
  skerry-streams --dir ./streams --export-kbit 256 --export-daily-mb 50 --export-window 22:00-06:00
  skerry-streams --dir ./streams --repair

Loopback only, for components of the nucleus that runs it as aws.greengrass.StreamManager. The port is written to DIR/port once clients may connect.
Exports to AWS or what speaks like it: AWS_REGION, AWS_ENDPOINT_URL[_S3, …] and AWS_ACCESS_KEY_ID …
Exit codes: 0 stopped on request, 1 failed (the reason is the last line of the log), 2 wrong command line.)";

struct Options {
  std::string directory;
  ServerOptions server;
  StoreLimits limits;
  int64_t max_mb = 0, reserve_mb = 16, memory_mb = 64, frame_mb = 64;
  LogOptions log;
  bool authenticate = true;
  UplinkLimits uplink;
  int64_t export_kbit = 0, export_daily_mb = 0;
  std::vector<std::string> export_windows;
  bool repairs = false, json_output = false;
  std::string renewed_stream;
  std::string ca_file = "/etc/ssl/certs/ca-certificates.crt";
};

// On a device every component has a token; where there is no nucleus, nobody has.
Result<rpc::NucleusAddress> nucleus_of(const Options& options) {
  auto nucleus = rpc::NucleusAddress::of_environment();
  if (!options.authenticate || !nucleus.empty()) return nucleus;
  return fail(Code::kFailedPrecondition,
              "no nucleus runs this program as a component, so that tokens of clients cannot be "
              "checked: deploy it, or give --authenticate false to serve every process of this "
              "machine");
}

// Made when it is used: a CA file of the whole web takes more memory than the rest of the program.
class LateHttpClient : public net::HttpClient {
 public:
  LateHttpClient(io::Loop& loop, std::string ca_file)
      : loop_(loop), ca_file_(std::move(ca_file)), plain_(net::make_http_client(loop, nullptr)) {}
  io::Task<Result<net::HttpResponse>> fetch(std::string url, net::HttpRequest request,
                                            net::FetchOptions options) override {
    if (!url.starts_with("https:"))
      return plain_->fetch(url, std::move(request), std::move(options));
    return fetch_secure(std::move(url), std::move(request), std::move(options));
  }

 private:
  io::Task<Result<net::HttpResponse>> fetch_secure(std::string url, net::HttpRequest request,
                                                   net::FetchOptions options) {
    if (!secure_) {
      SKERRY_CO_ASSIGN(auto tls, net::TlsContext::client({ca_file_, "", ""}));
      secure_ = net::make_http_client(loop_, std::move(tls));
    }
    co_return co_await secure_->fetch(std::move(url), std::move(request), std::move(options));
  }

  io::Loop& loop_;
  const std::string ca_file_;
  std::unique_ptr<net::HttpClient> plain_, secure_;
};

// Everything that brings messages away.
struct Exports {
  Exports(const io::Env& env, StreamService& streams, const Options& options,
          rpc::NucleusAddress nucleus)
      : http(env.loop, options.ca_file),
        aws(env.clock, http, AwsOptions::of_environment()),
        uplink(env, options.uplink, options.directory + "/uplink"),
        world{env, streams, http, aws, std::move(nucleus)},
        service(env, streams, uplink, exporters_of(world)) {}

  LateHttpClient http;
  AwsSession aws;
  Uplink uplink;
  ExportWorld world;
  ExportService service;
};

Result<void> run(Options& options) {
  options.limits.max_bytes = options.max_mb * kMiB;
  options.limits.reserve_bytes = options.reserve_mb * kMiB;
  options.limits.max_memory_bytes = options.memory_mb * kMiB;
  options.server.max_frame_bytes = static_cast<size_t>(options.frame_mb * kMiB);
  SKERRY_ASSIGN(const rpc::NucleusAddress nucleus, nucleus_of(options));
  options.uplink.bytes_per_s = options.export_kbit * 1'000 / 8;
  options.uplink.bytes_per_day = options.export_daily_mb * kMiB;
  for (const std::string& window : options.export_windows) {
    SKERRY_ASSIGN(options.uplink.windows.emplace_back(), TimeWindow::parse(window));
  }
  io::RealFiles files;
  SKERRY_TRY(io::make_directories(files, options.directory, 0700));
  SKERRY_ASSIGN(const auto lock,
                io::InstanceLock::acquire(options.directory + "/lock",
                                          {"skerry-streams", "choose another --dir"}));
  net::raise_open_file_limit();
  SKERRY_ASSIGN(auto store, StreamStore::open(files, options.directory, options.limits));
  for (const StreamStore::Recovery& found : store->recoveries()) {
    log::warn("streams", found.what, {{"stream", found.stream}});
  }
  io::RealLoop loop;
  io::RealClock clock;
  io::RealProcesses processes(loop);
  io::RealRandom random;
  io::ThreadPool pool("streams", 1);
  io::ThreadPool export_pool("export", 2);  // reads files that may be slow
  const io::Env env{loop, clock, files, processes, random, export_pool, pool};
  StreamService service(env, *store);
  Exports exports(env, service, options, nucleus);
  SKERRY_TRY(exports.uplink.load());
  Authenticator authenticator(loop, nucleus);
  if (options.authenticate) {
    options.server.authenticate = [&](std::string token) {
      return authenticator.check(std::move(token));
    };
  }
  Server server(loop, service, options.server);
  SKERRY_TRY(server.listen());
  SKERRY_TRY(server.listen_unix(options.directory + "/streams.sock"));
  SKERRY_TRY(io::write_file_atomic(files, options.directory + "/port",
                                   std::to_string(server.port()) + "\n", 0644));
  log::info(
      "streams", "serving streams",
      {{"port", std::to_string(server.port())}, {"streams", std::to_string(store->list().size())}});
  io::TaskScope tasks;
  tasks.spawn(service.keep_house());
  tasks.spawn(exports.service.start());
  loop.on_signals({SIGTERM, SIGINT}, [&](int) { loop.stop(); });
  loop.run();
  tasks.cancel_all();
  export_pool.stop();
  pool.stop();
  (void)store->commit();
  return store->sync();
}

void add_export_options(CLI::App& app, Options& options) {
  app.add_option("--export-kbit", options.export_kbit, "Of all exports, a second; 0 for no limit")
      ->envname("STREAM_MANAGER_EXPORTER_MAX_BANDWIDTH")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--export-daily-mb", options.export_daily_mb,
                 "Of all exports, a day (UTC); 0 for no limit")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--export-window", options.export_windows,
                 "When exports go, in local time, such as 22:00-06:00; may be given often");
  app.add_option("--export-transfers", options.uplink.transfers, "Of exports, at once")
      ->envname("STREAM_MANAGER_EXPORTER_THREAD_POOL_SIZE")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  app.add_option("--ca-file", options.ca_file, "Trusted by exports over HTTPS")
      ->envname("AWS_CA_BUNDLE")
      ->capture_default_str();
}

// Looks at everything while nobody uses it, prints what it finds, and ends.
Result<void> repair(const Options& options) {
  io::RealFiles files;
  SKERRY_ASSIGN(const auto lock, io::InstanceLock::acquire(options.directory + "/lock",
                                                           {"skerry-streams", "stop it first"}));
  if (!options.renewed_stream.empty()) {
    SKERRY_TRY(renew_definition(files, options.directory, options.renewed_stream,
                                io::RealRandom().token(16)));
  }
  SKERRY_ASSIGN(auto store, StreamStore::open(files, options.directory, options.limits));
  SKERRY_ASSIGN(const auto streams, check_streams(*store));
  nlohmann::json report = {{"streams", nlohmann::json::array()},
                           {"found", nlohmann::json::array()}};
  for (const StreamStore::Recovery& found : store->recoveries()) {
    report["found"].push_back({{"stream", found.stream}, {"what", found.what}});
    if (!options.json_output) std::printf("%s: %s\n", found.stream.c_str(), found.what.c_str());
  }
  for (const StreamHealth& each : streams) {
    report["streams"].push_back(
        {{"name", each.stream}, {"messages", each.messages}, {"missing", each.missing}});
    if (options.json_output) continue;
    std::printf("%s: %lld messages are whole, %lld are lost\n", each.stream.c_str(),
                static_cast<long long>(each.messages), static_cast<long long>(each.missing));
  }
  if (options.json_output) std::printf("%s\n", report.dump().c_str());
  return {};
}

int main_program(int argc, char** argv) {
  CLI::App app("Skerry's stream manager: durable streams for the Stream Manager SDKs.",
               "skerry-streams");
  app.footer(kFooter);
  Options options;
  options.server.version = SKERRY_VERSION;
  app.add_option("--dir", options.directory, "Where the streams are kept")->required();
  app.add_option("--port", options.server.port, "0 takes a free one")
      ->envname("STREAM_MANAGER_SERVER_PORT")
      ->capture_default_str();
  app.add_option("--authenticate", options.authenticate,
                 "Serve those only whose token the nucleus knows")
      ->envname("STREAM_MANAGER_AUTHENTICATE_CLIENT")
      ->capture_default_str();
  app.add_option("--max-mb", options.max_mb, "Of all streams in files; 0 for what the disk has")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--reserve-mb", options.reserve_mb, "Of the disk, left to others")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--memory-mb", options.memory_mb, "Of all streams in memory")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--max-request-mb", options.frame_mb, "Of a message, with what is around it")
      ->check(CLI::Range(1, 1023))
      ->capture_default_str();
  add_export_options(app, options);
  app.add_flag("--repair", options.repairs,
               "Look at every byte of the streams, mend what can be, and end");
  app.add_option("--stream", options.renewed_stream,
                 "With --repair: make the damaged definition of this one anew, with defaults");
  app.add_flag("--json", options.json_output, "With --repair: print JSON");
  options.log.add_to(app);
  app.set_version_flag("--version", "skerry-streams " SKERRY_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kExitUsage;
  }
  options.log.apply();
  signal(SIGPIPE, SIG_IGN);
  const auto done = options.repairs ? repair(options) : run(options);
  if (done) return 0;
  log::error("streams", done.error().message());
  return kExitFailed;
}

}  // namespace
}  // namespace skerry::streams

int main(int argc, char** argv) {
  return skerry::streams::main_program(argc, argv);
}
