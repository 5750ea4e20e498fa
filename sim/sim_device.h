// One simulated device: a whole Nucleus on a file system that can lose power, with scripted
// processes and a lossy network; and the generations of components that the simulations deploy to
// it.
#pragma once

#include <memory>
#include <string>

#include "io/fault_files.h"
#include "nucleus/nucleus.h"
#include "sim/sim_clock.h"
#include "sim/sim_fleet.h"
#include "sim/sim_loop.h"
#include "sim/sim_network.h"
#include "sim/sim_processes.h"

namespace skerry::sim {

// How a component behaves.
enum class Kind { kGood, kBroken, kDiesLate, kStartupFails };

// Generation N: app N.0.0 → model N.0.0 → runtime N.0.0, each with one artifact. Deploy it with
// {"app": "N.0.0"}.
inline constexpr const char* kStack[] = {"app", "model", "runtime"};
// A component that depends on nothing and nothing depends on.
inline constexpr const char* kTool = "tool";
// With content drawn from `random`.
void publish_component(SimFleet& fleet, io::Random& random, const std::string& name,
                       const std::string& version, Kind kind);
// A whole generation; `kind` is that of one of its components, chosen by `random`.
void publish_generation(SimFleet& fleet, io::Random& random, int number, Kind kind);

// Power is off until boot().
struct Device {
  Device(SimLoop& loop, SimFleet& fleet, ThingName thing, uint64_t seed);

  // Empty, or why it could not start.
  std::string boot();
  void power_off();

  SimLoop& loop_;
  SimFleet& fleet_;
  ThingName thing_;
  SimHttp http_;
  io::SeededRandom random_;
  SimClock clock_;
  io::FaultFiles files_;
  SimProcesses processes_;
  io::InlinePool pool_;
  io::Env env_;
  nucleus::NucleusInfo info_;
  std::unique_ptr<nucleus::Cloud> cloud_;
  std::unique_ptr<net::MqttClient> mqtt_;
  std::unique_ptr<nucleus::Nucleus> nucleus_;
  bool wants_restart_ = false;
  int64_t boot_at_ms_ = 0;  // while it is off
};

// The version of the current generation, or "" where nothing is deployed.
std::string running_version(Device& device);
// Empty where the current generation is a whole one and its files are all there, intact; else what
// is wrong. The device must be on.
std::string check_generation(Device& device);

}  // namespace skerry::sim
