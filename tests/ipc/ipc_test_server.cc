// The real IPC server with a configuration and an MQTT broker in memory, for the
// clients of tests/ipc and bench/ipc:
//
//   ipc_test_server SOCKET
//
// prints "ready" when it listens, then "state COMPONENT STATE" for every UpdateState; ends with its
// standard input. Tokens: TOKEN-APP, TOKEN-OTHER (may do everything), TOKEN-BARE (may do nothing).
#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "nucleus/ipc_test_host.h"

namespace {

using namespace skerry;
using namespace skerry::nucleus;

constexpr const char* kConfiguration = R"({
  "mqtt": {"port": 8883, "hosts": ["a", "b"]},
  "greeting": "hello",
  "accessControl": {
    "aws.greengrass.ipc.pubsub": {"all": {"operations": ["*"], "resources": ["*"]}},
    "aws.greengrass.ipc.mqttproxy": {"all": {"operations": ["*"], "resources": ["#"]}}}})";

class PrintingHost : public FakeHost {
 public:
  using FakeHost::FakeHost;
  Result<void> report_state(const ComponentName& component, ComponentState state) override {
    std::printf("state %s %s\n", component.str().c_str(), std::string(name_of(state)).c_str());
    std::fflush(stdout);
    return {};
  }
};

// Ends the loop when whoever started this program has gone.
void watch_stdin(io::RealLoop& loop, io::FdWatch& input) {
  input.when_readable([&loop, &input] {
    char ignored[64];
    if (::read(STDIN_FILENO, ignored, sizeof ignored) <= 0) return loop.stop();
    watch_stdin(loop, input);
  });
}

int run(const char* socket_path) {
  io::RealLoop loop;
  ConfigStore config([](const std::string&) -> Result<void> { return {}; });
  PrintingHost host(loop);
  for (const char* name : {"app", "other"}) {
    if (!config.update(ComponentName(name), {}, nlohmann::json::parse(kConfiguration), 1)) return 1;
  }
  host.tokens = {{"TOKEN-APP", ComponentName("app")},
                 {"TOKEN-OTHER", ComponentName("other")},
                 {"TOKEN-BARE", ComponentName("bare")}};
  IpcServer server(loop, host, config);
  if (auto listening = server.listen(socket_path, 0600); !listening) {
    std::fprintf(stderr, "%s\n", listening.error().message().c_str());
    return 1;
  }
  const auto input = loop.watch(STDIN_FILENO);
  watch_stdin(loop, *input);
  std::printf("ready\n");
  std::fflush(stdout);
  loop.run();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: ipc_test_server SOCKET\n");
    return 2;
  }
  return run(argv[1]);
}
