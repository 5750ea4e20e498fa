// How often components are started again on devices, with a release and without it. Compared are
// two stretches of time: of a device with the release since it began it, and of each member of the
// target a day before the rollout and until it was asked.
#pragma once

#include <cstdint>

#include "base/error.h"
#include "fleet/rollout/gate.h"
#include "fleet/rollout/rollout_store.h"

namespace skerry::fleet::rollout {

// Devices that say nothing of restarts do not count, nor does time in which a device was away.
Result<Evidence> restart_evidence(Store& store, const Record& record, int64_t now_ms);

}  // namespace skerry::fleet::rollout
