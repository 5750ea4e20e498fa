// Shadows: lines that are an update, a record on the disk, or a document of the fleet. What is kept
// survives its record, and two copies of a shadow come to the same.
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "formats/shadow_deployment.h"
#include "nucleus/shadow_merge.h"

namespace {

using namespace skerry;
using formats::Shadow;
using nucleus::ShadowPlan;

void check(bool holds) {
  if (!holds) std::abort();
}

// "" where the shadow does not exist.
std::string state_of(const Shadow& shadow) {
  if (!shadow.exists()) return "";
  Shadow copy = shadow;
  copy.version = 1;
  copy.desired.metadata = copy.reported.metadata = nullptr;
  for (auto* part : {&copy.desired, &copy.reported}) {
    if (part->state && part->state->empty()) *part = {};
  }
  return formats::shadow_record(copy);
}

// Nothing where the limits forbid it.
std::optional<Shadow> carried_out(const Shadow& before, const ShadowPlan::Change& change) {
  if (change.act == ShadowPlan::Act::kNothing) return before;
  if (change.act == ShadowPlan::Act::kDelete) return Shadow{.version = 1, .deleted = true};
  const nlohmann::json update = {{"state", *change.state}};
  const auto parsed = formats::parse_shadow_update(update.dump());
  if (!parsed) return std::nullopt;
  auto after = formats::apply_shadow_update(before, *parsed, 1);
  return after ? std::optional(*std::move(after)) : std::nullopt;
}

// What is wanted has a name, and what is reported of it is an update that a shadow takes.
void check_word(const std::string& line) {
  const auto word = formats::parse_shadow_word(line);
  if (!word || !word->wanted) return;
  check(!word->wanted->configuration_arn.empty() && word->has_desired);
  const std::string update = formats::to_text({.configuration_arn = word->wanted->configuration_arn,
                                               .status = "FAILED",
                                               .failure_cause = line},
                                              word->version, "t");
  check(formats::parse_shadow_update(update, {.state_bytes = 1 << 20}).has_value());
}

void take(Shadow& shadow, const std::string& line) {
  if (const auto update = formats::parse_shadow_update(line)) {
    if (auto after = formats::apply_shadow_update(shadow, *update, 7)) {
      static_cast<void>(formats::shadow_accepted(*after, *update, 7));
      static_cast<void>(formats::shadow_delta(*after, 7, update->client_token));
      static_cast<void>(formats::shadow_change(shadow, *after, 7, update->client_token));
      shadow = *std::move(after);
    }
  }
  static_cast<void>(formats::parse_shadow_record(line));
  static_cast<void>(formats::parse_shadow_topic(line));
  check_word(line);
  const auto document = nlohmann::json::parse(line, nullptr, false);
  if (!document.is_discarded()) static_cast<void>(nucleus::parse_shadow_document(document));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::istringstream lines(std::string(reinterpret_cast<const char*>(data), size));
  Shadow shadows[3];  // agreed, of the device, of the fleet
  size_t at = 0;
  for (std::string line; std::getline(lines, line); ++at) take(shadows[at % 3], line);
  for (const Shadow& shadow : shadows) {
    if (!shadow.exists()) continue;
    const auto again = formats::parse_shadow_record(formats::shadow_record(shadow));
    check(again && formats::shadow_record(*again) == formats::shadow_record(shadow));
  }
  const auto plan =
      nucleus::plan_shadow(nucleus::ShadowDirection::kBoth, shadows[0], shadows[1], shadows[2]);
  const auto device = carried_out(shadows[1], plan.device);
  const auto cloud = carried_out(shadows[2], plan.cloud);
  if (device && cloud) check(state_of(*device) == state_of(*cloud));
  return 0;
}
