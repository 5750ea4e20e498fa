// Which component versions each deployment brings, so that a version's deployments are found
// without reading them all.
#pragma once

#include <string>

#include "base/error.h"

namespace skerry::fleet {

class Database;

// `request_json` is what CreateDeployment was given. They go with their deployment.
Result<void> add_deployed_components(Database& database, const std::string& deployment_id,
                                     const std::string& request_json);

}  // namespace skerry::fleet
