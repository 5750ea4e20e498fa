// The life-cycle states of components, under Greengrass's names.
#pragma once

#include <string>
#include <string_view>

#include "base/named_type.h"

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

struct ComponentStatus {
  ComponentName name;
  std::string version;
  ComponentState state = ComponentState::kNew;
  std::string reason;  // of ERRORED and BROKEN; otherwise what people should know, mostly nothing
  std::string code;    // of ERRORED and BROKEN, for machines: Component::status_code()
};

inline bool is_healthy(ComponentState state) {
  return state == ComponentState::kRunning || state == ComponentState::kFinished;
}

}  // namespace skerry::nucleus
