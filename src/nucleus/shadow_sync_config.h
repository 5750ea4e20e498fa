// Which shadows are synchronised with the fleet, and how: the configuration of
// aws.greengrass.ShadowManager as the reference has it.
//
//   strategy:    {type: realTime | periodic, delay: SECONDS}     delay (300) is of periodic
//   synchronize:
//     coreThing: {classic: BOOL (true), namedShadows: [NAME, …]}
//     shadowDocuments: [{thingName: T, classic: BOOL, namedShadows: […]}]    also as a map by T:
//     shadowDocumentsMap: {T: {classic: …, namedShadows: […]}}
//     direction: betweenDeviceAndCloud | deviceToCloud | cloudToDevice
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <set>

#include "base/error.h"
#include "nucleus/shadow_files.h"
#include "nucleus/shadow_merge.h"

namespace skerry::nucleus {

struct ShadowSyncConfig {
  static constexpr size_t kMaxShadows = 200;
  std::set<ShadowKey> shadows;
  ShadowDirection direction = ShadowDirection::kBoth;
  int64_t period_ms = 0;  // 0: at once
};

// kInvalidArgument names the key that is wrong. Keys that are not above are left to others.
Result<ShadowSyncConfig> parse_shadow_sync_config(const nlohmann::json& config,
                                                  const ThingName& core);

}  // namespace skerry::nucleus
