// A rollout's life as a pure function: (plan, state, event) to (state, effects). No clock, no
// store, no devices: what time has passed and how many devices are where comes in with the event.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/error.h"
#include "fleet/rollout/gate.h"
#include "fleet/rollout/plan.h"

namespace skerry::fleet::rollout {

enum class Phase {
  kAsking,       // devices of the stage are asked, and have not all ended
  kBaking,       // they have; the stage is watched for its bake time
  kApproval,     // somebody has to approve
  kPaused,       // by an operator, by a gate that pauses, or for want of evidence
  kRollingBack,  // every device that was asked gets the previous revision
  // The end:
  kCompleted,
  kCanceled,    // no further device is asked; who has the release keeps it
  kRolledBack,  // every device that answers is back; those that are away get it when they return
  kSuperseded,  // by a later deployment to the target
  kTargetGone,  // the group was deleted
};
std::string_view name_of(Phase phase);  // "asking"
bool parse(std::string_view text, Phase& phase);
bool is_over(Phase phase);

struct State {
  Phase phase = Phase::kAsking;
  Phase paused_in = Phase::kAsking;
  size_t stage = 0;
  bool stage_is_open = false;  // its devices are chosen
  // Members whose cohort is at most this are in a started stage (-1: none but the canary group).
  // Set by the engine when a stage opens, and never lowered.
  int64_t boundary = -1;
  // Watched time: what passed while the engine ran. It knows neither jumps of the clock nor the
  // hours in which the server was down and no device could have answered.
  int64_t watched_ms = 0;
  int64_t quiet_ms = 0;  // since the last jump or start
  int64_t baked_ms = 0;
  int64_t held_ms = 0;       // baked, but without the evidence that a gate wants
  int64_t minute_ms = 0;     // when the present minute of the rate began
  int64_t minute_asked = 0;  // how many had been asked then
  bool held_for_evidence = false;
  bool is_proven = false;  // every stage was fine once
  std::string reason;      // of the phase, for people

  bool operator==(const State&) const = default;
};
nlohmann::json to_json(const State& state);
Result<State> parse_state(const nlohmann::json& json);

// How many executions of a job are in each state.
struct Census {
  int64_t queued = 0;  // asked, not begun, not silent
  int64_t silent = 0;  // asked, not begun, for longer than the plan's silence
  int64_t in_progress = 0;
  int64_t retrying = 0;  // failed, will be asked again
  int64_t succeeded = 0;
  int64_t failed = 0;
  int64_t rejected = 0;
  int64_t timed_out = 0;
  int64_t canceled = 0;  // and removed

  int64_t open() const { return queued + in_progress + retrying; }
  int64_t failures() const { return failed + rejected + timed_out; }
  int64_t ended() const { return succeeded + failures(); }
  int64_t asked() const { return open() + silent + ended() + canceled; }
  bool operator==(const Census&) const = default;
};

// What is so at this instant.
struct Facts {
  int64_t elapsed_ms = 0;     // since the last tick
  bool is_continuous = true;  // false: the server was away, or the clock has jumped
  bool window_is_open = true;
  int64_t waiting = 0;  // devices of started stages that were not asked yet; capped at kBatch
  int64_t overdue = 0;  // IN_PROGRESS for longer than the timeout
  int64_t retries_due = 0;
  Census release;
  bool has_rollback = false;  // its deployment could be made
  Census rollback;
  int64_t rollback_waiting = 0;  // asked for the release, not yet for the rollback
  std::vector<Finding> findings;
};

struct Tick {
  Facts facts;
};
struct Pause {};
struct Resume {};
struct Approve {
  size_t stage = 0;  // that was looked at; another one is over
};
struct Abort {};     // no further device is asked
struct Rollback {};  // and those that were go back
struct Superseded {};
struct TargetGone {};
using Event = std::variant<Tick, Pause, Resume, Approve, Abort, Rollback, Superseded, TargetGone>;

struct Effect {
  enum class Kind {
    kOpenStage,      // choose the devices of state.stage
    kAsk,            // at most `amount` more devices of started stages
    kTimeOut,        // what is overdue
    kRetry,          // what is due again
    kCancel,         // what no device has begun: it is CANCELED (endings.h)
    kBeginRollback,  // kCancel, and the previous revision becomes the target's latest deployment
    kAskBack,        // at most `amount` devices more
    kNote,           // `text` into the history
  };
  Kind kind = Kind::kNote;
  int64_t amount = 0;
  std::string text = {};

  bool operator==(const Effect&) const = default;
};
// Devices asked in one unit of work, so that others have their turn.
inline constexpr int64_t kBatch = 20'000;

struct Step {
  State state;
  std::vector<Effect> effects;
};
// kFailedPrecondition for a command that makes no sense in this phase; it says which would.
Result<Step> step(const Plan& plan, const State& state, const Event& event);

// Ages after which an execution counts as hung or silent; nothing where none does now: never, or
// not before the fleet has been watched for so long without a break.
struct Deadlines {
  std::optional<int64_t> in_progress_ms;
  std::optional<int64_t> silence_ms;
};
Deadlines deadlines(const Plan& plan, const State& state);

// Devices per minute at this point; nothing where there is no limit.
std::optional<int64_t> rate_now(const Rate& rate, const Census& release);

}  // namespace skerry::fleet::rollout
