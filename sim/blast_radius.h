// How many devices a bad release reaches: the real state machine and the real gates over a fleet of
// any size whose devices are only counted, by seed.
#pragma once

#include <cstdint>

#include "fleet/rollout/plan.h"

namespace skerry::sim {

struct BlastFleet {
  int64_t devices = 1'000'000;
  double control_rate = 0.02;  // of failures, of the revision before
  double release_rate = 0.04;  // of failures, of the release
  double answering = 0.5;      // the share of asked devices that ends between two looks
};

struct Blast {
  bool stopped = false;
  int64_t asked = 0;  // devices, when it was stopped or complete
  int64_t looks = 0;
};

// 1 %, 10 %, 50 %, 100 % with the gate that a plan has without saying so.
fleet::rollout::Plan default_plan();
Blast roll_out(const fleet::rollout::Plan& plan, const BlastFleet& fleet, uint64_t seed);

}  // namespace skerry::sim
