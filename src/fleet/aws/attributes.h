// AttributePayload of things and groups.
#pragma once

#include <nlohmann/json.hpp>

namespace skerry::fleet::aws {

// `present` as the payload (null where there is none) changes it: with "merge" the given attributes
// are added and those with an empty value go; without, they replace what was there.
nlohmann::json changed_attributes(nlohmann::json present, const nlohmann::json& payload);

}  // namespace skerry::fleet::aws
