// skerry-cascade: models in tiers behind one name, for any client of the Open Inference Protocol.
#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>

#include "base/log.h"
#include "hybrid/cascade.h"
#include "log_options.h"
#include "net/http_server.h"
#include "net/stream.h"

namespace skerry::hybrid {
namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;
constexpr uint64_t kMaxConfigBytes = 1 << 20;

constexpr const char* kFooter = R"(
Examples:
  skerry-cascade garments.yaml
  skerry-cascade garments.yaml --port 8100 --ca-file /etc/ssl/certs/ca-certificates.crt

garments.yaml names the tiers, from the smallest to the biggest (docs/hybrid.md); thresholds come from
`skerry cascade tune`. What it has done: GET /v2/models/NAME/cascade.
Exit codes: 0 stopped on request, 1 failed (the reason is the last line of the log), 2 wrong command line.)";

struct Options {
  std::string config;
  std::string host = "127.0.0.1";
  uint16_t port = 8100;
  std::string socket;
  std::string port_file;
  std::string ca_file;
  LogOptions log;
};

Result<void> run(const Options& options) {
  io::RealFiles files;
  SKERRY_ASSIGN(const std::string text, io::read_file(files, options.config, kMaxConfigBytes));
  auto config = parse_cascade(text);
  if (!config) return fail(config.error().with_context(options.config));
  net::raise_open_file_limit();
  io::RealLoop loop;
  io::RealClock clock;
  io::RealProcesses processes(loop);
  io::RealRandom random;
  io::InlinePool pool;  // nothing here waits for a disk
  io::Env env{loop, clock, files, processes, random, pool, pool};
  std::shared_ptr<net::TlsContext> tls;
  if (!options.ca_file.empty()) {
    SKERRY_ASSIGN(tls, net::TlsContext::client({options.ca_file, "", ""}));
  }
  const auto http = net::make_http_client(loop, tls);
  const std::string name = config->name;
  SKERRY_ASSIGN(const auto cascade, Cascade::make(env, *http, std::move(*config)));
  net::HttpServer server(
      loop, [&](net::HttpRequest request) { return cascade->handle(std::move(request)); });
  SKERRY_ASSIGN(const uint16_t port, server.listen_tcp(options.host, options.port, nullptr));
  if (!options.socket.empty()) SKERRY_TRY(server.listen_unix(options.socket, 0660));
  if (!options.port_file.empty()) {
    SKERRY_TRY(io::write_file_atomic(files, options.port_file, std::to_string(port) + "\n", 0644));
  }
  log::info("cascade", "serving", {{"model", name}, {"port", std::to_string(port)}});
  loop.on_signals({SIGTERM, SIGINT}, [&](int) { loop.stop(); });
  loop.run();
  return {};
}

int main_program(int argc, char** argv) {
  CLI::App app("A model in tiers: the smallest answers, and a bigger one where it is not sure.",
               "skerry-cascade");
  app.footer(kFooter);
  Options options;
  app.add_option("CONFIG", options.config, "The cascade's file")->required();
  app.add_option("--host", options.host, "Address to listen on")->capture_default_str();
  app.add_option("--port", options.port, "0: any free one")->capture_default_str();
  app.add_option("--socket", options.socket, "A Unix socket to listen on as well");
  app.add_option("--port-file", options.port_file, "Written once clients may connect");
  app.add_option("--ca-file", options.ca_file, "Trusted for tiers over HTTPS");
  options.log.add_to(app);
  app.set_version_flag("--version", "skerry-cascade " SKERRY_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kExitUsage;
  }
  options.log.apply();
  std::signal(SIGPIPE, SIG_IGN);
  if (auto done = run(options); !done) {
    log::error("cascade", done.error().message());
    return kExitFailed;
  }
  return 0;
}

}  // namespace
}  // namespace skerry::hybrid

int main(int argc, char** argv) {
  return skerry::hybrid::main_program(argc, argv);
}
