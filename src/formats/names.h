// Which names the fleet and its devices accept. Names become topic levels, file names and URL
// segments, so each check is the last line of defence against a path or topic of somebody else's
// choosing.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "base/named_type.h"

namespace skerry::formats {

// 1 to 128 of a-z A-Z 0-9 - _ . and not only dots ("..", which would leave the component's folder).
Result<ComponentName> parse_component_name(std::string_view text);

// 1 to 128 of a-z A-Z 0-9 - _ : as AWS IoT has it.
Result<ThingName> parse_thing_name(std::string_view text);
Result<ThingGroupName> parse_thing_group_name(std::string_view text);

// 1 to 64 of a-z A-Z 0-9 - _
Result<JobId> parse_job_id(std::string_view text);

}  // namespace skerry::formats
