// Asking a device on this machine over its IPC socket, as its operator. No fleet is needed.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/error.h"

namespace skerry::cli {

// One request to the device at `root` (its root folder, or what `device provision` wrote); the
// answer's body. `operation`: "ListComponents", or with its model, "skerry#PutSecret". kNotFound
// and kFailedPrecondition are the device's own answers.
Result<nlohmann::json> ask_device(const std::string& root, const std::string& operation,
                                  const nlohmann::json& request);

}  // namespace skerry::cli
