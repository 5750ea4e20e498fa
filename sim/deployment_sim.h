// Many devices taking deployments through crashes, lost messages, full disks and clock jumps, in
// virtual time. Everything follows from the seed: the same seed is the same run.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace skerry::sim {

struct DeploymentSimOptions {
  uint64_t seed = 1;
  int devices = 6;
  int rounds = 8;         // deployments per device
  bool liveness = false;  // see below
  bool trace = false;     // prints what happens to stdout
};

struct DeploymentSimReport {
  std::optional<std::string> violation;  // what was broken, or nothing
  uint64_t digest = 0;                   // of everything that happened: equal for equal seeds
  int succeeded = 0, failed = 0, cancelled = 0, crashes = 0, losses = 0;
  int published = 0;       // messages that components were told are published
  int64_t settled_ms = 0;  // virtual time from the end of the faults until all was done
};

// The control plane is the real one (sim_fleet.h); devices are in groups and have deployments of
// their own that overlap those; components set configuration all the while; disks damage journals.
//
// What must hold:
// 1. A device's current generation is always one that was deployed to it, whole, and its files are
//    on the disk with the right content (unless both copies of its records were damaged, until it
//    is repaired).
// 2. What a component has set, and was told is set, stays set: through crashes, activations and
//    roll-backs, as long as its version stays.
// 3. A message that a component was told is published reaches the broker, in its order, whatever
//    happens to connections, disks and power.
// 4. After the faults end, every job is closed within kSettleMs; a device runs what the last
//    successful deployment of each of its targets said, and the fleet knows it.
//
// With `liveness` the faults end in the midst of everything, at a moment drawn by the seed, and
// everybody must be done within kSettleMs of that; without it they last as long as deployments are
// made.
inline constexpr int64_t kSettleMs = 30 * 60'000;

DeploymentSimReport run_deployment_sim(const DeploymentSimOptions& options);

}  // namespace skerry::sim
