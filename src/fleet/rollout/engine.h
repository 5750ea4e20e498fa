// Drives rollouts: looks at what is so, asks the state machine what follows, and does it, all in
// one unit of work of the store. What was decided and what was done are one commit, so the engine
// can be killed at any instruction: the next start finds both or neither. Devices are told after
// the commit, from the executions in the store, which are the outbox: a message that is lost is
// sent again from there (jobs.h).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "base/error.h"
#include "fleet/deployments.h"
#include "fleet/rollout/rollout_store.h"
#include "fleet/store_pool.h"
#include "io/env.h"
#include "io/task.h"

namespace skerry::fleet::rollout {

// A moment as the engine knows it.
struct Moment {
  int64_t wall_ms = 0;
  int64_t elapsed_ms = 0;  // since the tick before
  bool is_continuous = true;
  bool has_room = true;  // false: the disk is full, and nobody else is asked
};

// The parts that are plain code within a unit of work.
class Rollouts {
 public:
  // Tests have smaller batches.
  explicit Rollouts(const Deployments& deployments, int64_t batch = kBatch)
      : deployments_(deployments), batch_(batch) {}

  struct Outcome {
    bool more = false;    // there is more to do at once
    bool stored = false;  // and with it the time that has passed
  };
  // One look at one rollout. Nothing is stored where nothing but time has passed, unless
  // `keep_time`.
  Result<Outcome> tick(Store& store, const DeploymentId& id, const Moment& moment,
                       bool keep_time) const;
  // More of what a tick began that found more to do than one unit of work may: without a look, for
  // that takes longer than asking so many. True while there is more. A look has to be taken every
  // kLookMs.
  Result<bool> go_on(Store& store, const DeploymentId& id, int64_t now_ms) const;
  static constexpr int64_t kLookMs = 1'000;
  // A command of an operator; what the rollout is then.
  Result<Record> command(Store& store, const DeploymentId& id, const Event& event,
                         int64_t now_ms) const;
  Result<Facts> look(Store& store, const Record& record, const Moment& moment) const;

 private:
  // Whether anything was done that something can follow from at once.
  Result<bool> apply(Store& store, Record& record, const Step& made, int64_t now_ms) const;
  Result<bool> apply(Store& store, Record& record, const Effect& effect, int64_t now_ms) const;
  Result<void> open_stage(Store& store, Record& record) const;
  // How many were asked, at most `amount`.
  Result<int64_t> ask(Store& store, Record& record, int64_t amount, int64_t now_ms) const;
  Result<int64_t> ask_members(Store& store, Record& record, int64_t amount, int64_t now_ms) const;
  Result<int64_t> ask_within_caps(Store& store, Record& record, int64_t amount,
                                  int64_t now_ms) const;
  Result<void> time_out(Store& store, const Record& record, const JobId& job, int64_t now_ms) const;
  Result<void> retry(Store& store, const Record& record, const JobId& job, int64_t now_ms) const;
  // How many executions ended now.
  Result<int64_t> cancel(Store& store, const Record& record, int64_t now_ms) const;
  Result<void> begin_rollback(Store& store, Record& record, int64_t now_ms) const;
  // Whether there may be more.
  Result<bool> ask_everyone_back(Store& store, Record& record, int64_t now_ms) const;
  Result<std::vector<Finding>> findings(Store& store, const Record& record, const Census& release,
                                        int64_t now_ms) const;
  Result<Evidence> evidence(Store& store, const Record& record, Metric metric,
                            const Census& release, int64_t now_ms) const;

  const Deployments& deployments_;
  const int64_t batch_;
};

class RolloutEngine {
 public:
  // All of it must outlive the engine. `hears_devices`: whether devices could be heard at this
  // moment. While they could not no time passes for a rollout: nobody is late, nothing bakes.
  RolloutEngine(io::Env& env, StorePool& stores, const Rollouts& rollouts,
                std::function<bool()> hears_devices);

 private:
  // When a rollout was last looked at, and when its time was last stored.
  struct Watch {
    int64_t monotonic_ms = 0;
    int64_t wall_ms = 0;
    bool heard = true;
  };
  io::Task<void> run();
  io::Task<bool> tick_all();
  io::Task<bool> tick_one(DeploymentId id);
  io::Task<bool> end_more();
  io::Task<Result<Rollouts::Outcome>> tick(DeploymentId id, Moment moment, bool keep_time);

  io::Env& env_;
  StorePool& stores_;
  const Rollouts& rollouts_;
  const std::function<bool()> hears_devices_;
  std::map<DeploymentId, Watch> watches_;
  io::TaskScope tasks_;
};

}  // namespace skerry::fleet::rollout
