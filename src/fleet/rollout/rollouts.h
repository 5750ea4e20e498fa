// What deployments and rollouts have to do with each other, as parts of the units of work that
// change deployments: a rollout begins with its deployment, and ends when another one, a cancel or
// the end of its group takes its place.
#pragma once

#include <optional>
#include <string>

#include "base/error.h"
#include "fleet/rollout/rollout_store.h"
#include "fleet/store.h"

namespace skerry::fleet::rollout {

// The deployment of `target_arn` that a rollback would return to: the newest that was neither
// cancelled nor is the release of a rollout that did not complete. Nothing where there is none.
Result<std::optional<Deployment>> last_known_good(Store& store, const std::string& target_arn);

// Before a deployment to the target is made. A rollout of the target's latest deployment ends as
// superseded, and what nobody has begun of it and of what was before it ends. A rollback that is
// under way refuses a new rollout (`staged`): kFailedPrecondition.
Result<void> make_way(Store& store, const std::string& target_arn, bool staged, int64_t now_ms);

// The rollout of a deployment that was just made.
Result<void> begin(Store& store, const Deployment& release, const Plan& plan,
                   const std::optional<Deployment>& previous, int64_t now_ms);

// An operator cancelled the deployment itself.
Result<void> on_canceled(Store& store, const DeploymentId& id, int64_t now_ms);
// kFailedPrecondition while its rollout is under way: the rollback needs to know who was asked.
Result<void> check_removable(Store& store, const DeploymentId& id);
// Before the group goes.
Result<void> on_target_gone(Store& store, const std::string& target_arn, int64_t now_ms);

// A thing has joined the group of `latest`. True where a rollout decides what it gets: the release,
// when its stage is there, and the previous revision until then, which is queued now.
Result<bool> on_joined(Store& store, const Deployment& latest, const ThingName& thing,
                       int64_t now_ms);

}  // namespace skerry::fleet::rollout
