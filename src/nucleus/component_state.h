// The life-cycle states of a component, under Greengrass's names.
#pragma once

#include <string_view>

namespace skerry::nucleus {

enum class ComponentState {
  kNew,        // not installed yet
  kInstalled,  // installed, waiting for its dependencies
  kStarting,
  kRunning,
  kStopping,
  kFinished,  // its Run script ended with 0, or it has none
  kErrored,   // failed; will be tried again
  kBroken,    // failed three times in a row; only a new deployment or a restart helps
};

std::string_view name_of(ComponentState state);  // "RUNNING"

inline bool is_healthy(ComponentState state) {
  return state == ComponentState::kRunning || state == ComponentState::kFinished;
}

}  // namespace skerry::nucleus
