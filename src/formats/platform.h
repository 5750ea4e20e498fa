// Labels of a manifest's Platform section, which says on which devices the manifest applies.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace skerry::formats {

// kInvalidArgument says what is wrong with a regular expression. Expressions come from strangers
// and are matched on the device and in the fleet, so they stay short and without {n}, which could
// make them grow; they run in time linear in the value.
Result<> check_platform_label(std::string_view label);

// `label` passed check_platform_label; `value` is absent where the device lacks the attribute.
bool label_fits(std::string_view label, const std::optional<std::string>& value);

}  // namespace skerry::formats
