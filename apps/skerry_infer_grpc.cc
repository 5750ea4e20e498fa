// skerry-infer-grpc: gRPC before an inference service.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>

#include "gateway/gateway.h"

namespace {

constexpr const char* kFooter = R"(
Every method of inference.GRPCInferenceService, and grpc.health.v1. A caller may do what the service allows: one who sends
`authorization: Bearer TOKEN` what its --access gives that token, others what it gives to strangers, as if they came to its
TCP port. Over the service's Unix socket its limits count each caller's address; over TCP they count them together.
Examples:
  skerry-infer-grpc --service http://127.0.0.1:8000 --port 8001
  skerry-infer-grpc --socket /run/infer.sock --address 0.0.0.0

Exit codes: 0 done, 1 failed (the reason is on stderr), 2 wrong command line.)";

}  // namespace

int main(int argc, char** argv) {
  skerry::gateway::GatewayOptions options;
  std::string socket;
  bool as_json = false;
  CLI::App app("The Open Inference Protocol over gRPC, before skerry-infer.", "skerry-infer-grpc");
  app.footer(kFooter);
  app.set_version_flag("--version", "skerry-infer-grpc " SKERRY_VERSION);
  auto* service = app.add_option("--service", options.service, "skerry-infer's HTTP address");
  service->capture_default_str();
  app.add_option("--socket", socket, "Its Unix socket instead")->excludes(service);
  app.add_option("--address", options.address, "Address to listen on")->capture_default_str();
  app.add_option("--port", options.port, "TCP port to listen on; 0 takes a free one")
      ->capture_default_str();
  app.add_option("--threads", options.threads, "Requests at once; more are refused")
      ->capture_default_str()
      ->check(CLI::Range(4, 4096));
  app.add_option("--max-message-mb", options.max_message_mb, "Largest request in MiB")
      ->capture_default_str()
      ->check(CLI::Range(1, 2047));
  app.add_flag("--json", as_json, "Print the ready line as JSON");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (!socket.empty()) options.service = fmt::format("unix:{}:", socket);
  std::signal(SIGPIPE, SIG_IGN);
  const auto served = skerry::gateway::run_gateway(options, [&](uint16_t port) {
    fmt::print("{}\n", as_json ? fmt::format(R"({{"ready":true,"grpc_port":{}}})", port)
                               : fmt::format("ready: grpc://{}:{}", options.address, port));
    std::fflush(stdout);
  });
  if (served) return 0;
  fmt::print(stderr, "skerry-infer-grpc: {}\n", served.error().message());
  return 1;
}
