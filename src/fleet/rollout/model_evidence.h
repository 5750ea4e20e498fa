// What models do with a release and without it: from the summaries of devices (model_metrics.h) to
// the evidence of gates. Compared are the versions of the models of which the release brings
// another one than ran before.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "fleet/rollout/gate.h"
#include "fleet/rollout/rollout_store.h"

namespace skerry::fleet::rollout {

// What the target's devices run before the release, by the models' names: the versions that the
// revision before names, and where it names none of a model, what most of some devices say.
Result<ModelVersions> models_before(Store& store, const Record& record);

// Release: devices on which it succeeded, and what they said of the new version. Control: what the
// target's devices that were not asked said of the version before; and where fewer than
// kLeastObservations of those have spoken, also what the others said while they had it.
struct ModelEvidence {
  std::vector<std::vector<Comparison>> by_gate;  // in the order of `gates`
  std::string why;                               // there is nothing to compare
};
// One sweep over what is known of each version, whatever the number of gates, and 32 bytes of
// memory for a device. `devices` have the release.
Result<ModelEvidence> model_evidence(Store& store, const Record& record,
                                     const std::vector<Gate>& gates, int64_t devices);

}  // namespace skerry::fleet::rollout
