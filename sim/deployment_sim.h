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
  int rounds = 8;      // deployments per device
  bool trace = false;  // prints what happens to stdout
};

struct DeploymentSimReport {
  std::optional<std::string> violation;  // what was broken, or nothing
  uint64_t digest = 0;                   // of everything that happened: equal for equal seeds
  int succeeded = 0, failed = 0, cancelled = 0, crashes = 0;
};

// What must hold:
// 1. A device's current generation is always one that was deployed to it, whole.
// 2. All files of the current generation are on the disk, with the right content.
// 3. After the faults end, every job is closed, and the device runs what its last successful
//    deployment said: a failed one has taken itself back.
DeploymentSimReport run_deployment_sim(const DeploymentSimOptions& options);

}  // namespace skerry::sim
