// For tests: the nucleus as IPC sees it, with known tokens, and its MQTT router on a broker in
// memory.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "io/clock.h"
#include "io/env.h"
#include "io/fault_files.h"
#include "io/pool.h"
#include "io/processes.h"
#include "io/random.h"
#include "net/test_mqtt.h"
#include "nucleus/ipc/server.h"
#include "nucleus/metrics.h"
#include "nucleus/mqtt_router.h"
#include "nucleus/secrets.h"
#include "nucleus/spool.h"
#include "nucleus/test_config.h"
#include "nucleus/update_consent.h"

namespace skerry::nucleus {

class FakeHost : public IpcHost {
 public:
  explicit FakeHost(io::Loop& loop)
      : broker(loop),
        client(broker.client(options())),
        router(loop, *client),
        updates(loop, clock),
        processes(loop),
        environment{loop, clock, files, processes, random, pool, pool} {
    broker.start();
    router.start({});
    kept.start();
  }

  const ThingName& thing() const override { return thing_name; }
  std::optional<ComponentName> component_of_token(std::string_view svcuid) const override {
    const auto found = tokens.find(std::string(svcuid));
    if (found == tokens.end()) return std::nullopt;
    return found->second;
  }
  Result<void> report_state(const ComponentName& component, ComponentState reported) override {
    if (component.str() == "gone") return fail(Code::kNotFound, "component gone is not deployed");
    reports.emplace_back(component.str() + " " + std::string(name_of(reported)));
    return {};
  }
  std::vector<ComponentStatus> components() const override { return statuses; }
  Result<void> control(const ComponentName& component, ComponentControl what) override {
    constexpr const char* kWords[] = {"restart", "stop", "pause", "resume"};
    if (component.str() == "gone") return fail(Code::kNotFound, "component gone is not deployed");
    if (component.str() == "idle") return fail(Code::kFailedPrecondition, "idle is not RUNNING");
    reports.emplace_back(std::string(kWords[static_cast<int>(what)]) + " " + component.str());
    return {};
  }
  ShadowFiles& shadows() override { return shadow_files; }
  Metrics& metrics() override { return device_metrics; }
  SecretStore& secrets() override { return secret_store; }
  std::string client_devices_directory() const override { return "/client-devices"; }
  io::Env& env() override { return environment; }
  MqttRouter* mqtt() override { return has_mqtt ? &router : nullptr; }
  Spool& spool() override { return kept; }
  UpdateConsent& consent() override { return updates; }
  LocalDeployments* local_deployments() override { return nullptr; }

  static net::MqttOptions options() {
    net::MqttOptions options;
    options.client_id = "device";
    options.reconnect_min_ms = 10;
    return options;
  }

  const ThingName thing_name{"press"};
  std::map<std::string, ComponentName> tokens;
  std::vector<std::string> reports;
  std::vector<ComponentStatus> statuses;
  bool has_mqtt = true;
  net::FakeBroker broker;
  std::unique_ptr<net::MqttClient> client;
  MqttRouter router;
  io::RealClock clock;
  UpdateConsent updates;
  io::FaultFiles files;
  io::RealProcesses processes;
  io::SeededRandom random{1};
  io::InlinePool pool;
  io::Env environment;
  ShadowFiles shadow_files{files, "/state/shadows"};
  Spool kept{environment, router, "/state/spool", {}};
  Metrics device_metrics{environment, router, thing_name, "/state/metrics"};
  SecretStore secret_store{
      files, random, {"/state/secrets", "", "arn:aws:secretsmanager:eu-west-1:1:secret:"}};
};

}  // namespace skerry::nucleus
