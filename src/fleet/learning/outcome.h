// What a training has made becomes a version of the model's component, with where it comes from;
// and, where the operator said so, a rollout.
#pragma once

#include <string>

#include "base/error.h"
#include "fleet/artifacts.h"
#include "fleet/components.h"
#include "fleet/deployments.h"
#include "fleet/learning/training_run.h"
#include "fleet/learning/trainings.h"
#include "formats/model_package.h"
#include "formats/model_provenance.h"

namespace skerry::fleet::learning {

// The package of the model that a component version brings. kFailedPrecondition where it brings
// none, or the file is not in this store.
Result<formats::ModelPackage> package_of(Store& store, ArtifactStore& artifacts,
                                         const ComponentName& component,
                                         const std::string& version);

// The files of the new version, in the artifact store. Blocking work.
struct Made {
  formats::ModelPackage package;
  formats::ModelProvenance provenance;
  SealedContent model, manifest;
};
Result<Made> make_files(ArtifactStore& artifacts, const Training& training,
                        const formats::ModelPackage& base, const TrainingRun::Outcome& outcome,
                        int64_t now_ms);

// All of it or nothing, in one unit of work: objects, component version, description, and the end
// of the training, whose changed state is in `training`; and the rollout, where it can be.
Result<void> publish(Store& store, ArtifactStore& artifacts, const Deployments& deployments,
                     const Made& made, int64_t now_ms, Training& training);

}  // namespace skerry::fleet::learning
