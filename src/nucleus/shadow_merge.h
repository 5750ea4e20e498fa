// What brings two copies of a shadow together, the device's and the fleet's, which have changed
// independently since they agreed. Pure; the rules are those of the reference's shadow manager:
//
// - What only one side has changed counts; where both have changed the same key, the device's
//   reported and the fleet's desired value.
// - A shadow that one side has deleted since goes on the other, too.
// - With a direction other than kBoth one side is copied to the other and never changes itself.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "formats/shadow.h"

namespace skerry::nucleus {

enum class ShadowDirection { kBoth, kDeviceToCloud, kCloudToDevice };

struct ShadowPlan {
  enum class Act { kNothing, kUpdate, kDelete };
  struct Change {
    Act act = Act::kNothing;
    formats::JsonPtr state;  // of the update
  };
  Change device, cloud;
  // What both say once that is done; one that does not exist where there is none any more, or where
  // nothing is agreed.
  formats::Shadow agreed;
};

// `agreed` is of the last plan that was carried out. A plan that was carried out in part leads,
// made again, to the same end.
ShadowPlan plan_shadow(ShadowDirection direction, const formats::Shadow& agreed,
                       const formats::Shadow& device, const formats::Shadow& cloud);

// The shadow that a document of get/accepted describes, without its metadata.
Result<formats::Shadow> parse_shadow_document(const nlohmann::json& document);

}  // namespace skerry::nucleus
