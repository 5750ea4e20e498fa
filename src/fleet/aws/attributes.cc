// What an update makes of attributes.
#include "fleet/aws/attributes.h"

namespace skerry::fleet::aws {

nlohmann::json changed_attributes(nlohmann::json present, const nlohmann::json& payload) {
  if (!payload.is_object() || !payload.contains("attributes")) return present;
  if (!payload.value("merge", false)) present = nlohmann::json::object();
  for (const auto& [name, value] : payload["attributes"].items()) {
    if (value == "") {
      present.erase(name);
    } else {
      present[name] = value;
    }
  }
  return present;
}

}  // namespace skerry::fleet::aws
