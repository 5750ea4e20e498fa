// The real IPC server with a configuration and an MQTT broker in memory, for the
// clients of tests/ipc and bench/ipc:
//
//   ipc_test_server SOCKET [CLIENT_DEVICES]
//
// (the second: a file with the configuration of aws.greengrass.clientdevices.Auth)
// prints "ready" when it listens, then "state COMPONENT STATE" for every UpdateState; ends with its
// standard input. A line "update ID" there asks all components about the deployment ID, "validate
// ID" about a new configuration of "app"; what comes of it is printed. Tokens: TOKEN-APP,
// TOKEN-OTHER (may do everything), TOKEN-BARE (may do nothing), TOKEN-OPERATOR, TOKEN-STREAMS (the
// stream manager's).
#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "io/files.h"
#include "nucleus/ipc/test_host.h"

namespace {

using namespace skerry;
using namespace skerry::nucleus;

constexpr const char* kConfiguration = R"({
  "mqtt": {"port": 8883, "hosts": ["a", "b"]},
  "greeting": "hello",
  "accessControl": {
    "aws.greengrass.ipc.componentmetric": {"all": {"operations": ["*"], "resources": ["*"]}},
    "aws.greengrass.clientdevices.Auth": {"all": {"operations": ["*"], "resources": ["*"]}},
    "aws.greengrass.ShadowManager": {"all": {"operations": ["*"], "resources": ["*"]}},
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

void say(const std::string& line) {
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

io::Task<void> update(UpdateConsent* consent, std::string deployment) {
  co_await consent->ask(deployment, 20'000);
  say("update goes on");
  consent->tell_done(deployment);
}

io::Task<void> validate(UpdateConsent* consent, std::string deployment) {
  auto valid = co_await consent->validate(
      std::move(deployment), {{ComponentName("app"), R"({"greeting":"new","n":[1]})"}}, 20'000);
  say(valid ? "configuration is valid" : valid.error().message());
}

// Follows orders, and ends the loop when whoever started this program has gone.
void watch_stdin(io::RealLoop& loop, io::FdWatch& input, UpdateConsent& consent,
                 io::TaskScope& tasks) {
  input.when_readable([&] {
    char bytes[256];
    const ssize_t got = ::read(STDIN_FILENO, bytes, sizeof bytes);
    if (got <= 0) return loop.stop();
    std::istringstream words(std::string(bytes, static_cast<size_t>(got)));
    for (std::string order, deployment; words >> order >> deployment;)
      tasks.spawn(order == "update" ? update(&consent, deployment)
                                    : validate(&consent, deployment));
    watch_stdin(loop, input, consent, tasks);
  });
}

int run(const char* socket_path, const char* client_devices) {
  io::RealLoop loop;
  ConfigStore config(persist_at_once());
  PrintingHost host(loop);
  for (const char* name : {"app", "other"}) {
    if (!update_now(config, ComponentName(name), {}, nlohmann::json::parse(kConfiguration), 1))
      return 1;
  }
  if (client_devices) {
    io::RealFiles files;
    const auto text = io::read_file(files, client_devices);
    if (!text || !update_now(config, ComponentName("aws.greengrass.clientdevices.Auth"), {},
                             nlohmann::json::parse(*text), 1)) {
      return 1;
    }
  }
  host.tokens = {{"TOKEN-APP", ComponentName("app")},
                 {"TOKEN-OTHER", ComponentName("other")},
                 {"TOKEN-BARE", ComponentName("bare")},
                 {"TOKEN-OPERATOR", ComponentName(std::string(kOperator))},
                 {"TOKEN-STREAMS", ComponentName("aws.greengrass.StreamManager")}};
  host.statuses = {{ComponentName("app"), "1.2.0", ComponentState::kRunning, "", ""},
                   {ComponentName("other"), "1.0.0", ComponentState::kBroken, "no disk", ""}};
  IpcServer server(loop, host, config);
  if (auto listening = server.listen(socket_path, 0600); !listening) {
    std::fprintf(stderr, "%s\n", listening.error().message().c_str());
    return 1;
  }
  const auto input = loop.watch(STDIN_FILENO);
  io::TaskScope tasks;
  watch_stdin(loop, *input, host.consent(), tasks);
  std::printf("ready\n");
  std::fflush(stdout);
  loop.run();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 && argc != 3) {
    std::fprintf(stderr, "usage: ipc_test_server SOCKET [CLIENT_DEVICES]\n");
    return 2;
  }
  return run(argv[1], argc == 3 ? argv[2] : nullptr);
}
