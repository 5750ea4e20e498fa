// A fleet of counts: what the engine does with a store is done here with a few numbers.
#include "sim/blast_radius.h"

#include <algorithm>
#include <random>

#include "fleet/rollout/machine.h"

namespace skerry::sim {
namespace {

using namespace fleet::rollout;

constexpr int64_t kLookMs = 1'000;

class CountedFleet {
 public:
  CountedFleet(const Plan& plan, const BlastFleet& fleet, uint64_t seed)
      : plan_(plan), fleet_(fleet), random_(seed) {
    history_failures_ = draw(fleet.devices, fleet.control_rate);
  }

  Blast run() {
    Blast blast;
    while (!is_over(state_.phase) && state_.phase != Phase::kRollingBack) {
      ++blast.looks;
      answer();
      auto made = step(plan_, state_, Tick{facts()});
      state_ = made->state;
      for (const Effect& effect : made->effects) apply(effect);
    }
    blast.stopped = state_.phase == Phase::kRollingBack;
    blast.asked = census_.asked();
    return blast;
  }

 private:
  int64_t draw(int64_t trials, double probability) {
    return std::binomial_distribution<int64_t>(trials, probability)(random_);
  }

  void answer() {
    const int64_t few = census_.in_progress < 20 ? census_.in_progress
                                                 : draw(census_.in_progress, fleet_.answering);
    const int64_t failed = draw(few, fleet_.release_rate);
    census_.in_progress -= few;
    census_.failed += failed;
    census_.succeeded += few - failed;
  }

  Facts facts() {
    Facts facts;
    facts.elapsed_ms = kLookMs;
    facts.release = census_;
    facts.waiting = std::min(boundary_ - census_.asked(), kBatch);
    for (const Gate& gate : gates_of(plan_, state_.stage)) {
      Evidence evidence;
      evidence.release.devices = census_.ended();
      evidence.release.events = census_.failures();
      evidence.control.devices = fleet_.devices;
      evidence.control.events = history_failures_;
      facts.findings.push_back(judge(gate, evidence, alpha_of(plan_)));
    }
    return facts;
  }

  void apply(const Effect& effect) {
    if (effect.kind == Effect::Kind::kOpenStage) {
      boundary_ = quota(plan_.stages.at(state_.stage), fleet_.devices);
    } else if (effect.kind == Effect::Kind::kAsk) {
      census_.in_progress += effect.amount;
    }
  }

  const Plan& plan_;
  const BlastFleet& fleet_;
  std::mt19937_64 random_;
  State state_;
  Census census_;
  int64_t boundary_ = 0;
  int64_t history_failures_ = 0;
};

}  // namespace

Plan default_plan() {
  Plan plan;
  for (double percent : {1.0, 10.0, 50.0, 100.0}) {
    Stage stage;
    stage.percent = percent;
    stage.gates = {Gate{}};
    plan.stages.push_back(stage);
  }
  return plan;
}

Blast roll_out(const Plan& plan, const BlastFleet& fleet, uint64_t seed) {
  return CountedFleet(plan, fleet, seed).run();
}

}  // namespace skerry::sim
