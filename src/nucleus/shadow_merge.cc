// A merge of three values, and the difference of two as an update.
#include "nucleus/shadow_merge.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <set>

namespace skerry::nucleus {
namespace {

using formats::Shadow;
using formats::ShadowPart;
using nlohmann::json;
using Act = ShadowPlan::Act;
using Value = std::optional<json>;

enum class Winner { kDevice, kCloud };

Value at(const json& object, const std::string& key) {
  if (!object.is_object()) return std::nullopt;
  const auto found = object.find(key);
  return found == object.end() ? std::nullopt : Value(*found);
}

// An object of what is left; keys that are gone are not in it.
json merged(const json& device, const json& cloud, const json& agreed, Winner winner) {
  std::set<std::string> keys;
  for (const json* side : {&device, &cloud}) {
    for (const auto& [key, value] : side->items()) keys.insert(key);
  }
  json result = json::object();
  for (const std::string& key : keys) {
    const Value of_device = at(device, key), of_cloud = at(cloud, key), before = at(agreed, key);
    if (of_device && of_cloud && of_device->is_object() && of_cloud->is_object()) {
      result[key] = merged(*of_device, *of_cloud, before.value_or(json()), winner);
      continue;
    }
    const bool takes_device =
        of_cloud == before || (of_device != before && winner == Winner::kDevice);
    if (const Value& taken = takes_device ? of_device : of_cloud) result[key] = *taken;
  }
  return result;
}

json state_of(const ShadowPart& part) {
  return part.state ? *part.state : json::object();
}

// The update that makes `to` of `from`.
json difference(const json& from, const json& to) {
  json update = json::object();
  for (const auto& [key, value] : from.items()) {
    if (!to.contains(key)) update[key] = nullptr;
  }
  for (const auto& [key, value] : to.items()) {
    const Value before = at(from, key);
    if (before == value) continue;
    update[key] =
        before && before->is_object() && value.is_object() ? difference(*before, value) : value;
  }
  return update;
}

ShadowPlan::Change change(const Shadow& from, const json& desired, const json& reported) {
  json state = json::object();
  if (json update = difference(state_of(from.desired), desired); !update.empty()) {
    state["desired"] = std::move(update);
  }
  if (json update = difference(state_of(from.reported), reported); !update.empty()) {
    state["reported"] = std::move(update);
  }
  if (state.empty() && from.exists()) return {};
  // An update that changes nothing makes a shadow in which nothing is.
  if (state.empty()) state["reported"] = json::object();
  return {Act::kUpdate, formats::share(std::move(state))};
}

ShadowPlan plan_for(const Shadow& device, const Shadow& cloud, const json& desired,
                    const json& reported) {
  ShadowPlan plan{change(device, desired, reported), change(cloud, desired, reported), {}};
  plan.agreed.version = 1;
  if (!desired.empty()) plan.agreed.desired.state = formats::share(desired);
  if (!reported.empty()) plan.agreed.reported.state = formats::share(reported);
  return plan;
}

ShadowPlan copy_of(const Shadow& source, const Shadow& device, const Shadow& cloud) {
  return plan_for(device, cloud, state_of(source.desired), state_of(source.reported));
}

ShadowPlan deletion(Act device, Act cloud) {
  return {{device, nullptr}, {cloud, nullptr}, {}};
}

}  // namespace

ShadowPlan plan_shadow(ShadowDirection direction, const Shadow& agreed, const Shadow& device,
                       const Shadow& cloud) {
  if (!device.exists() && !cloud.exists()) return {};
  if (direction == ShadowDirection::kDeviceToCloud) {
    if (device.exists()) return copy_of(device, device, cloud);
    return agreed.exists() ? deletion(Act::kNothing, Act::kDelete) : ShadowPlan();
  }
  if (direction == ShadowDirection::kCloudToDevice) {
    if (cloud.exists()) return copy_of(cloud, device, cloud);
    return agreed.exists() ? deletion(Act::kDelete, Act::kNothing) : ShadowPlan();
  }
  if (!cloud.exists()) {
    return agreed.exists() ? deletion(Act::kDelete, Act::kNothing) : copy_of(device, device, cloud);
  }
  if (!device.exists()) {
    return agreed.exists() ? deletion(Act::kNothing, Act::kDelete) : copy_of(cloud, device, cloud);
  }
  return plan_for(device, cloud,
                  merged(state_of(device.desired), state_of(cloud.desired),
                         state_of(agreed.desired), Winner::kCloud),
                  merged(state_of(device.reported), state_of(cloud.reported),
                         state_of(agreed.reported), Winner::kDevice));
}

Result<Shadow> parse_shadow_document(const json& document) {
  const auto wrong = [] {
    return fail(Code::kInvalidArgument, "this is no document of a shadow: version and state");
  };
  if (!document.is_object()) return wrong();
  const auto version = document.find("version"), state = document.find("state");
  if (version == document.end() || !version->is_number_integer() || *version < 1) return wrong();
  if (state == document.end() || !state->is_object()) return wrong();
  Shadow shadow;
  shadow.version = version->get<int64_t>();
  for (auto [name, part] :
       {std::pair("desired", &shadow.desired), std::pair("reported", &shadow.reported)}) {
    const Value value = at(*state, name);
    if (!value || value->is_null()) continue;
    if (!value->is_object()) return wrong();
    part->state = formats::share(*value);
  }
  return shadow;
}

}  // namespace skerry::nucleus
