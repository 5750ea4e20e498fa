// Deployments from the fleet's side: what an operator asked for becomes a document for devices and
// one job execution per thing; later ones supersede earlier ones.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "base/error.h"
#include "fleet/rollout/plan.h"
#include "fleet/rollout/rollout_store.h"
#include "fleet/store.h"
#include "formats/arn.h"
#include "io/env.h"

namespace skerry::fleet {

// Plain code that runs inside units of work: `store` is the session of the unit, and the things
// that have to be told are among its effects. Clock and randomness are the real ones (which any
// thread may use), or everything runs on one thread.
class Deployments {
 public:
  Deployments(io::Env& env, formats::ArnScope scope) : env_(env), scope_(std::move(scope)) {}

  // `request` is the body of CreateDeployment. A document that devices would refuse is
  // kInvalidArgument; a target or component that does not exist is kNotFound. What no device has
  // begun of the target's former deployment is cancelled.
  // With a plan, or with an iotJobConfiguration that limits something, the engine of rollouts asks
  // the devices (rollout/engine.h); without, all are asked at once, and the engine asks where there
  // are more than one unit of work may concern.
  Result<Deployment> create(Store& store, const nlohmann::json& request,
                            std::optional<rollout::Plan> plan = std::nullopt) const;
  // The revision before the rollout's becomes the target's latest deployment. Nobody is asked yet.
  Result<Deployment> create_rollback(Store& store, const rollout::Record& rollout) const;

  // What becomes of executions that a device has begun.
  enum class Begun { kFinishes, kEnds };
  // kFailedPrecondition where it is not active; with kEnds, where nothing of it goes on either.
  Result<void> cancel(Store& store, const DeploymentId& id, Begun begun = Begun::kFinishes) const;
  // With all its executions; the devices that have any to do hear that they have not.
  Result<void> remove(Store& store, const Deployment& deployment) const;

  // With what is queued for them, and the deployments to them.
  Result<void> delete_thing(Store& store, const ThingName& thing) const;
  Result<void> delete_group(Store& store, const ThingGroupName& group) const;

  // Membership, together with what follows from it: a thing that joins gets the group's active
  // deployment, one that leaves loses what it has not begun.
  Result<void> add_to_group(Store& store, const ThingName& thing,
                            const ThingGroupName& group) const;
  Result<void> remove_from_group(Store& store, const ThingName& thing,
                                 const ThingGroupName& group) const;

  // For a thing that lost its records: of each target that it still belongs to, what last worked
  // there is queued again, behind what is pending (where that succeeds, the thing refuses what is
  // older). Returns how many are on their way then: 0 where there is nothing to deploy again.
  Result<int64_t> redeploy(Store& store, const ThingName& thing) const;

  // What a device says about its execution. A deployment to a single thing ends with it.
  Result<JobExecution> update_execution(Store& store, const JobId& job_id, const ThingName& thing,
                                        const Store::ExecutionChange& change) const;

 private:
  Result<void> retire(Store& store, const std::string& target_arn) const;
  // What is queued of the target's latest deployment ends with `status`.
  Result<void> supersede(Store& store, const std::string& target_arn, ExecutionStatus status) const;
  // Stores what `request` asks for as the target's latest deployment.
  Result<Deployment> add(Store& store, const nlohmann::json& request,
                         const formats::Target& target) const;
  Result<void> queue(Store& store, const formats::Target& target, const JobId& job) const;

  io::Env& env_;
  const formats::ArnScope scope_;
};

}  // namespace skerry::fleet
