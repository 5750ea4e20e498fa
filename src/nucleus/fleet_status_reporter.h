// Tells the control plane what runs here: everything after a start, changes as they happen.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>

#include "formats/fleet_status.h"
#include "io/env.h"
#include "nucleus/device_state.h"
#include "nucleus/mqtt_router.h"
#include "nucleus/nucleus_info.h"
#include "nucleus/supervisor.h"

namespace skerry::nucleus {

class FleetStatusReporter {
 public:
  FleetStatusReporter(io::Env& env, const NucleusInfo& info, const DeviceState& state,
                      const Supervisor& supervisor, MqttRouter& mqtt);

  void on_connected();
  // Many changes within a moment become one message.
  void on_component_change();
  void on_deployment_finished(const JobResult& result);
  void on_local_deployment_finished() { send("LOCAL_DEPLOYMENT", nullptr); }

 private:
  void send(std::string trigger, const JobResult* deployment);
  std::vector<formats::ComponentStatus> components() const;

  io::Env& env_;
  const NucleusInfo& info_;
  const DeviceState& state_;
  const Supervisor& supervisor_;
  MqttRouter& mqtt_;
  bool launched_ = false;
  int64_t sequence_ = 0;
  std::set<ComponentName> told_;  // to be installed, to name what was uninstalled since
  bool gathering_ = false;        // change_timer_ runs
  io::Timer change_timer_;
  io::Timer cadence_timer_;
};

}  // namespace skerry::nucleus
