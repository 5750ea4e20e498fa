// Errors and restarts of devices' components, from the histories in their fleet status: what a
// rollout compares, and the last failure with its log. The functions work in the session they are
// given: one unit of work of the StorePool.
#pragma once

#include <cstdint>
#include <optional>

#include "base/error.h"
#include "fleet/store.h"
#include "formats/component_history.h"

namespace skerry::fleet {

// Each error and restart counts once, however often and late the device tells of it: at the moment
// when the fleet first hears of it. What a device counted before it was first heard of is not known
// to be new, and does not count.
Result<void> take_history(Store& store, const ThingName& thing,
                          const formats::ComponentHistory& history, int64_t now_ms);

struct ComponentTrouble {
  int64_t since_ms = 0;  // counted since then; 0: the device says nothing of it, as stock nuclei
  int64_t errors = 0;    // in the last day
  int64_t restarts = 0;
  std::optional<formats::ComponentFailure> last_failure;
};
Result<ComponentTrouble> trouble_of(Store& store, const ThingName& thing, int64_t now_ms);

// The newest so many of a device are kept.
inline constexpr int64_t kEventsOfThing = 500;
// Forgets events older than that, at most `limit`; how many went.
Result<int64_t> prune_events(Store& store, int64_t oldest_ms, int64_t limit);

}  // namespace skerry::fleet
