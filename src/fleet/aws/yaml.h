// JSON printed as YAML, for GetComponent.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace skerry::fleet::aws {

// Block style; every string value is quoted, so that no reader takes "1.0" or "yes" for anything
// else.
std::string yaml_text(const nlohmann::json& value);

}  // namespace skerry::fleet::aws
