// Deployments from the fleet's side: what an operator asked for becomes a document for devices and
// one job execution per thing; later ones supersede earlier ones.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/error.h"
#include "fleet/job_notifier.h"
#include "fleet/store.h"
#include "formats/arn.h"
#include "io/env.h"

namespace skerry::fleet {

class Deployments {
 public:
  Deployments(io::Env& env, Store& store, formats::ArnScope scope)
      : env_(env), store_(store), scope_(std::move(scope)) {}

  // From then on it hears of every change. Not owned; null for nobody.
  void set_notifier(JobNotifier* notifier) { notifier_ = notifier; }

  // `request` is the body of CreateDeployment. A document that devices would refuse is
  // kInvalidArgument; a target or component that does not exist is kNotFound. What no device has
  // begun of the target's former deployment is cancelled.
  // `in_same_transaction`, where set, is stored with it or not at all.
  using Also = std::function<Result<void>(const Deployment&)>;
  Result<Deployment> create(const nlohmann::json& request, const Also& in_same_transaction = {});

  // Devices that have begun finish what they do. kFailedPrecondition where it is not active.
  Result<void> cancel(const DeploymentId& id);

  // Membership, together with what follows from it: a thing that joins gets the group's active
  // deployment, one that leaves loses what it has not begun.
  Result<void> add_to_group(const ThingName& thing, const ThingGroupName& group);
  Result<void> remove_from_group(const ThingName& thing, const ThingGroupName& group);

  // What a device says about its execution. A deployment to a single thing ends with it.
  Result<JobExecution> update_execution(const JobId& job_id, const ThingName& thing,
                                        const Store::ExecutionChange& change);

 private:
  Result<void> check_components(const nlohmann::json& request);
  Result<std::vector<ThingName>> things_of(const formats::Target& target);
  // Ends what the target's latest deployment has queued; the things are added to `changed`.
  Result<void> supersede(const std::string& target_arn, std::vector<ThingName>& changed);
  void notify(const std::vector<ThingName>& things);

  io::Env& env_;
  Store& store_;
  const formats::ArnScope scope_;
  JobNotifier* notifier_ = nullptr;
};

}  // namespace skerry::fleet
