// skerry-fleet: the control plane in the foreground. Options in, FleetServer, signals.
#include <signal.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <string>

#include "base/log.h"
#include "fleet/server.h"
#include "io/env.h"
#include "log_options.h"
#include "net/stream.h"

namespace {

using skerry::fleet::FleetOptions;
using skerry::fleet::FleetServer;

constexpr const char* kFooter = R"(Examples:
  skerry-fleet --dir ./fleet                      loopback only, ports 8080, 8443, 8883
  skerry-fleet --dir ./fleet --api-port 0 --data-plane-port 0 --broker-port 0
                                                  free ports; fleet.json in the directory names them
  skerry-fleet --dir /var/lib/skerry --bind 0.0.0.0 --api-tls --host fleet.example.com
                                                  for devices on other machines

The directory keeps everything: the database, the CA, the access key (access-key.json) and artifacts.
SIGTERM or SIGINT stops the control plane and its broker.

Exit codes: 0 stopped on request, 1 could not start, 2 wrong usage.)";

struct Program {
  skerry::io::RealLoop loop;
  skerry::io::RealClock clock;
  skerry::io::RealFiles files;
  skerry::io::RealProcesses processes{loop};
  skerry::io::RealRandom random;
  skerry::io::ThreadPool pool{"files", 1};
  skerry::io::Env env{loop, clock, files, processes, random, pool, pool};
  std::unique_ptr<FleetServer> server;
  int exit_code = 0;
  bool stopping = false;
  skerry::io::TaskScope tasks;
};

skerry::io::Task<void> run(Program& program, FleetOptions options) {
  auto server = co_await FleetServer::start(program.env, options);
  if (!server) {
    std::fprintf(stderr, "skerry-fleet: %s\n", server.error().message().c_str());
    program.exit_code = 1;
    program.loop.stop();
    co_return;
  }
  program.server = std::move(*server);
  skerry::log::info("fleet", "ready", {{"directory", options.directory}});
}

skerry::io::Task<void> stop(Program& program) {
  if (program.server) co_await program.server->stop();
  program.loop.stop();
}

void add_artifact_options(CLI::App& app, FleetOptions& options, uint64_t& artifact_quota_gb) {
  app.add_option("--artifact-quota-gb", artifact_quota_gb,
                 "Most gigabytes of artifacts to keep; 0 for what the disk has")
      ->capture_default_str();
  app.add_option(
         "--artifact-retention-days", options.artifact_retention_days,
         "Remove uploads that no component version refers to after so many days; 0 for never")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
}

}  // namespace

int main(int argc, char** argv) {
  skerry::net::raise_open_file_limit();
  CLI::App app{"skerry-fleet: the control plane of a fleet of Skerry and Greengrass devices"};
  FleetOptions options;
  skerry::LogOptions log_options;
  app.option_defaults()->take_last();
  app.add_option("--dir", options.directory, "Where the fleet's state is kept")->required();
  app.add_option("--bind", options.bind_address, "Address to listen on")->capture_default_str();
  app.add_option("--host", options.host, "Name or address that devices reach this machine by");
  app.add_option("--api-port", options.api_port, "Port of the API")->capture_default_str();
  app.add_option("--data-plane-port", options.data_plane_port, "Port that devices use for HTTPS")
      ->capture_default_str();
  app.add_option("--broker-port", options.broker_port, "Port that devices use for MQTT")
      ->capture_default_str();
  app.add_option(
         "--artifact-port", options.artifact_port,
         "With --api-tls: port of plain HTTP for pre-signed artifacts, which devices check by "
         "their digest and stock nuclei cannot fetch from our CA")
      ->capture_default_str();
  uint64_t artifact_quota_gb = 0;
  add_artifact_options(app, options, artifact_quota_gb);
  app.add_option(
         "--stream-quota-mb", options.stream_quota_mb,
         "Most megabytes of streams to keep of each thing; what is more waits on the device")
      ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 30))
      ->capture_default_str();
  app.add_option("--s3", options.s3_file,
                 "JSON file that names an S3 service for artifacts that are not uploaded here: "
                 "endpoint, region, accessKeyId, secretAccessKey, caFile")
      ->check(CLI::ExistingFile);
  app.add_option("--alerts", options.alerts_file,
                 "YAML file of alert rules (docs/alerts.md; `skerry alert check` reads it). It is "
                 "read again when it changes")
      ->check(CLI::ExistingFile);
  app.add_option("--unreachable-after", options.unreachable_after_s,
                 "Seconds after which a device that is away is UNREACHABLE")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--device-certificate-life", options.device_certificate_life_s,
                 "Seconds for which devices' certificates are good; skerryd renews its own, stock "
                 "nuclei do not")
      ->check(CLI::Range(int64_t{5}, skerry::fleet::CertificateAuthority::kDeviceLifeS))
      ->capture_default_str();
  app.add_option("--region", options.region, "AWS region to answer for")->capture_default_str();
  app.add_flag("--api-tls", options.api_tls, "Speak HTTPS on the API port");
  log_options.add_to(app);
  app.footer(kFooter);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  log_options.apply();
  if (artifact_quota_gb > 0) options.artifact_quota_bytes = artifact_quota_gb << 30;
  // fleet.json names files by their whole path.
  options.directory = std::filesystem::absolute(options.directory).lexically_normal().string();
  ::signal(SIGPIPE, SIG_IGN);

  Program program;
  program.loop.on_signals({SIGTERM, SIGINT}, [&program](int) {
    if (!std::exchange(program.stopping, true)) program.tasks.spawn(stop(program));
  });
  program.tasks.spawn(run(program, options));
  program.loop.run();
  program.tasks.cancel_all();
  return program.exit_code;
}
