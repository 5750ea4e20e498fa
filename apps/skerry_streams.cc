// skerry-streams: the stream manager of a device. Keeps streams in a folder and serves them to the
// stock Stream Manager SDKs until it is told to stop.
#include <CLI/CLI.hpp>
#include <csignal>

#include "base/log.h"
#include "io/instance_lock.h"
#include "io/pool.h"
#include "net/stream.h"
#include "streams/server.h"

namespace skerry::streams {
namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;
constexpr int64_t kMiB = 1 << 20;

constexpr const char* kFooter = R"(
Examples:
  skerry-streams --dir /var/lib/skerry-streams
  skerry-streams --dir ./streams --port 0 --max-mb 512

Loopback only. The port is written to DIR/port once clients may connect.
Exit codes: 0 stopped on request, 1 failed (the reason is the last line of the log), 2 wrong command line.)";

struct Options {
  std::string directory;
  ServerOptions server;
  StoreLimits limits;
  int64_t max_mb = 0, reserve_mb = 16, memory_mb = 64, frame_mb = 64;
  std::string level = "info";
  bool json = false;
};

Result<void> run(Options& options) {
  options.limits.max_bytes = options.max_mb * kMiB;
  options.limits.reserve_bytes = options.reserve_mb * kMiB;
  options.limits.max_memory_bytes = options.memory_mb * kMiB;
  options.server.max_frame_bytes = static_cast<size_t>(options.frame_mb * kMiB);
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
  const io::Env env{loop, clock, files, processes, random, pool, pool};
  StreamService service(env, *store);
  Server server(loop, service, options.server);
  SKERRY_TRY(server.listen());
  SKERRY_TRY(io::write_file_atomic(files, options.directory + "/port",
                                   std::to_string(server.port()) + "\n", 0644));
  log::info(
      "streams", "serving streams",
      {{"port", std::to_string(server.port())}, {"streams", std::to_string(store->list().size())}});
  io::TaskScope tasks;
  tasks.spawn(service.keep_house());
  loop.on_signals({SIGTERM, SIGINT}, [&](int) { loop.stop(); });
  loop.run();
  tasks.cancel_all();
  pool.stop();
  (void)store->commit();
  return store->sync();
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
  app.add_option("--log-level", options.level, "debug, info, warn or error")
      ->check(CLI::IsMember({"debug", "info", "warn", "error"}))
      ->capture_default_str();
  app.add_flag("--log-json", options.json, "One JSON object a log line");
  app.set_version_flag("--version", "skerry-streams " SKERRY_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kExitUsage;
  }
  log::configure(log::parse_level(options.level),
                 options.json ? log::Format::kJson : log::Format::kText);
  signal(SIGPIPE, SIG_IGN);
  const auto done = run(options);
  if (done) return 0;
  log::error("streams", done.error().message());
  return kExitFailed;
}

}  // namespace
}  // namespace skerry::streams

int main(int argc, char** argv) {
  return skerry::streams::main_program(argc, argv);
}
