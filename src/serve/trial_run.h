// The run before a model serves: it must take what its contract promises to take.
#pragma once

#include <stop_token>

#include "formats/model_package.h"
#include "serve/served_model.h"

namespace skerry::serve {

// Runs the model on the values and shapes of model.json's "warmup". Dimensions that neither it nor
// the contract says are tried from 1 upwards, values as 0 and then as 1. kInvalidArgument where the
// outputs break the contract; otherwise the error of the first attempt with the field that would
// help. With "trial_run": "optional" a model that takes none of this is accepted with a warning.
Result<void> try_out(ServedModel& served, const formats::ModelPackage& package,
                     const std::stop_token& stop);

}  // namespace skerry::serve
