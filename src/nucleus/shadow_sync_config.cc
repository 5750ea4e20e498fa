// Reading key by key.
#include "nucleus/shadow_sync_config.h"

#include <nlohmann/json.hpp>

#include "formats/names.h"
#include "formats/shadow_deployment.h"

namespace skerry::nucleus {
namespace {

using nlohmann::json;

constexpr int64_t kDefaultDelayS = 300;
constexpr int64_t kMaxDelayS = 30LL * 24 * 3600;

std::unexpected<Error> wrong(std::string message) {
  return fail(Code::kInvalidArgument, "aws.greengrass.ShadowManager: " + std::move(message));
}

// Null and absent are the same.
const json* setting(const json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

Result<void> add(ShadowSyncConfig& config, const ThingName& thing, const json& shadows,
                 const std::string& place) {
  if (!shadows.is_object()) return wrong(place + " must be an object");
  const json* classic = setting(shadows, "classic");
  if (classic && !classic->is_boolean()) return wrong(place + ".classic must be true or false");
  if (!classic || *classic) config.shadows.insert({thing, ""});
  const json* names = setting(shadows, "namedShadows");
  if (names && !names->is_array()) return wrong(place + ".namedShadows must be a list");
  for (const json& name : names ? *names : json::array()) {
    if (!name.is_string() || name == "" || !formats::check_shadow_name(name.get<std::string>())) {
      return wrong(place + ".namedShadows: a name has 1 to 64 of a-z A-Z 0-9 - _ : $");
    }
    if (name == formats::kDeploymentShadow) {
      return wrong(place + ".namedShadows: " + std::string(formats::kDeploymentShadow) +
                   " is the control plane's, for deployments");
    }
    config.shadows.insert({thing, name.get<std::string>()});
  }
  if (config.shadows.size() <= ShadowSyncConfig::kMaxShadows) return {};
  return wrong("at most " + std::to_string(ShadowSyncConfig::kMaxShadows) +
               " shadows are synchronised");
}

Result<void> add_thing(ShadowSyncConfig& config, const json* name, const json& shadows,
                       const std::string& place) {
  auto thing = name && name->is_string() ? formats::parse_thing_name(name->get<std::string>())
                                         : Result<ThingName>(wrong("thingName"));
  if (!thing) return wrong(place + " names no thing");
  return add(config, *thing, shadows, place + " " + thing->str());
}

Result<void> read_synchronize(ShadowSyncConfig& config, const json& synchronize,
                              const ThingName& core) {
  if (!synchronize.is_object()) return wrong("synchronize must be an object");
  if (const json* shadows = setting(synchronize, "coreThing")) {
    SKERRY_TRY(add(config, core, *shadows, "coreThing"));
  }
  if (const json* documents = setting(synchronize, "shadowDocuments")) {
    if (!documents->is_array()) return wrong("shadowDocuments must be a list");
    for (const json& one : *documents) {
      const json* name = one.is_object() ? setting(one, "thingName") : nullptr;
      SKERRY_TRY(add_thing(config, name, one, "shadowDocuments"));
    }
  }
  if (const json* things = setting(synchronize, "shadowDocumentsMap")) {
    if (!things->is_object()) return wrong("shadowDocumentsMap must be an object");
    for (const auto& [thing, one] : things->items()) {
      const json name = thing;
      SKERRY_TRY(add_thing(config, &name, one, "shadowDocumentsMap"));
    }
  }
  const json* direction = setting(synchronize, "direction");
  if (!direction || *direction == "betweenDeviceAndCloud") return {};
  if (*direction == "deviceToCloud") {
    config.direction = ShadowDirection::kDeviceToCloud;
  } else if (*direction == "cloudToDevice") {
    config.direction = ShadowDirection::kCloudToDevice;
  } else {
    return wrong("direction is betweenDeviceAndCloud, deviceToCloud or cloudToDevice");
  }
  return {};
}

Result<void> read_strategy(ShadowSyncConfig& config, const json& strategy) {
  if (!strategy.is_object()) return wrong("strategy must be an object");
  const json* type = setting(strategy, "type");
  if (!type || *type == "realTime") return {};
  if (*type != "periodic") return wrong("strategy.type is realTime or periodic");
  const json* delay = setting(strategy, "delay");
  if (delay && (!delay->is_number_integer() || *delay < 1 || *delay > kMaxDelayS)) {
    return wrong("strategy.delay is a number of seconds");
  }
  config.period_ms = (delay ? delay->get<int64_t>() : kDefaultDelayS) * 1000;
  return {};
}

}  // namespace

Result<ShadowSyncConfig> parse_shadow_sync_config(const json& config, const ThingName& core) {
  ShadowSyncConfig parsed;
  if (!config.is_object()) return parsed;
  if (const json* synchronize = setting(config, "synchronize")) {
    SKERRY_TRY(read_synchronize(parsed, *synchronize, core));
  }
  if (const json* strategy = setting(config, "strategy")) {
    SKERRY_TRY(read_strategy(parsed, *strategy));
  }
  return parsed;
}

}  // namespace skerry::nucleus
