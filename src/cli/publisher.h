// From a recipe with local artifacts to a component version of the fleet.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "base/error.h"
#include "cli/fleet_client.h"
#include "cli/output.h"
#include "cli/upload_content.h"

namespace skerry::cli {

// The content of the artifact that a recipe names `file:PATH`.
using ArtifactSource = std::function<Result<UploadContent>(const std::string& path)>;

// Uploads every artifact whose URI is `file:PATH` to
// s3://skerry-artifacts/COMPONENT/VERSION/PATH/FILE (PATH in 16 hex digits), then creates the
// component version. Recipe and files are checked before anything is sent. The answer of
// CreateComponentVersion. `force`: also where the version was deleted with other content.
Result<nlohmann::json> publish(FleetClient& fleet, const Output& output, std::string_view recipe,
                               const ArtifactSource& source, bool force = false);

}  // namespace skerry::cli
