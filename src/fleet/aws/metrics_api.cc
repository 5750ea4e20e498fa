// skerry, our own service: the history of devices' metrics.
#include <nlohmann/json.hpp>

#include "fleet/aws/fields.h"
#include "fleet/device_metrics.h"

namespace skerry::fleet::aws {
namespace {

using nlohmann::json;

constexpr int64_t kMetricHourMs = 3'600'000;
constexpr Shape kMetricHours{.type = Type::kInteger, .min = 1, .max = 24 * 730};
constexpr int64_t kMostPoints = 3'000;  // of an answer and a device
constexpr size_t kMostThings = 1'000;

struct GetDeviceMetrics {
  std::string thing, group, per;
  std::optional<int64_t> hours;
  static std::span<const Field> fields() {
    using F = Fields<GetDeviceMetrics>;
    static constexpr Field kFields[] = {F::query<&GetDeviceMetrics::thing>("thing", kText),
                                        F::query<&GetDeviceMetrics::group>("group", kText),
                                        F::query<&GetDeviceMetrics::per>("per", kText),
                                        F::query<&GetDeviceMetrics::hours>("hours", kMetricHours)};
    return kFields;
  }
};

Result<std::vector<ThingName>> things_of(ApiContext& context, const GetDeviceMetrics& request) {
  if (request.thing.empty() == request.group.empty()) {
    return fail(Code::kInvalidArgument, "name a thing, or a group");
  }
  if (!request.thing.empty()) {
    SKERRY_TRY(context.store.find_thing(ThingName(request.thing)));
    return std::vector{ThingName(request.thing)};
  }
  const ThingGroupName group(request.group);
  SKERRY_TRY(context.store.find_group(group));
  SKERRY_ASSIGN(auto things, context.store.things_in_group(group));
  if (things.size() > kMostThings) {
    return fail(Code::kResourceExhausted, "metrics of at most 1000 devices are merged at a time");
  }
  return things;
}

Result<json> device_metrics(ApiContext& context, const GetDeviceMetrics& request) {
  const std::string per = request.per.empty() ? "hour" : request.per;
  const auto* level = std::ranges::find_if(
      kMetricLevels, [&](const MetricLevel& each) { return each.name == per; });
  if (level == std::end(kMetricLevels)) {
    return fail(Code::kInvalidArgument, "per must be minute, hour or day");
  }
  SKERRY_ASSIGN(const auto things, things_of(context, request));
  const int64_t length_ms = request.hours.value_or(24) * kMetricHourMs;
  if (length_ms / level->length_ms * static_cast<int64_t>(things.size()) >
      kMostPoints * static_cast<int64_t>(things.size() > 1 ? 10 : 1)) {
    return fail(Code::kInvalidArgument,
                "these are too many points: ask for fewer hours, or for "
                "longer points with per=hour or per=day");
  }
  const int64_t now_ms = context.env.clock.wall_ms();
  SKERRY_ASSIGN(const auto history, metric_history(context.store, things, *level,
                                                   now_ms - length_ms, now_ms + kMetricHourMs));
  return json{{"series", formats::describe(history)}};
}

constexpr Route kMetricRoutes[] = {
    operation<device_metrics>("skerry", "GetDeviceMetrics", "GET", "/skerry/v1/deviceMetrics"),
};

}  // namespace

std::span<const Route> metric_routes() {
  return kMetricRoutes;
}

}  // namespace skerry::fleet::aws
