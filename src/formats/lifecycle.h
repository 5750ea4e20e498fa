// The Lifecycle sections of a recipe: choosing the part for one manifest, and reading its steps.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>

#include "base/error.h"
#include "formats/node.h"
#include "formats/recipe.h"

namespace skerry::formats {

// What the recipe's global Lifecycle holds for a manifest with these `selections`. At any level a
// map may have selectors as its keys (those that some manifest selects, or "all"); it then stands
// for the value of the first selection that it has, else of "all", else for nothing.
nlohmann::json select_lifecycle(const nlohmann::json& lifecycle,
                                std::span<const std::string> selectors,
                                std::span<const std::string> selections);

// Steps with their default timeouts. Unknown steps are ignored.
Result<Lifecycle> parse_lifecycle(const Node& node);

}  // namespace skerry::formats
