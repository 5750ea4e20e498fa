// The history of devices' metrics, from the summaries of their rings (formats/metric_summary.h):
// minutes, hours and days of each device. The functions work in the session they are given: one
// unit of work of the StorePool.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "fleet/device_link.h"
#include "fleet/store_pool.h"
#include "fleet/thing_inbox.h"
#include "formats/metric_summary.h"
#include "io/env.h"

namespace skerry::fleet {

// How long one point is, and how long points are kept.
struct MetricLevel {
  const char* name;
  int64_t length_ms;
  int64_t kept_ms;
};
inline constexpr int64_t kMinuteOfMetricsMs = 60'000;
inline constexpr int64_t kDayOfMetricsMs = 1'440 * kMinuteOfMetricsMs;
inline constexpr MetricLevel kMetricLevels[] = {
    {"minute", kMinuteOfMetricsMs, 2 * kDayOfMetricsMs},
    {"hour", 60 * kMinuteOfMetricsMs, 90 * kDayOfMetricsMs},
    {"day", kDayOfMetricsMs, 730 * kDayOfMetricsMs},
};

// All of it or nothing; false where this one was taken before. It counts where the device's clock
// says, as far as that can be believed: at most 30 days ago and not ahead; else now.
// kFailedPrecondition where the device has more series than kSeriesOfDay in a day.
inline constexpr size_t kSeriesOfDay = 512;
Result<bool> take_metrics(Store& store, const ThingName& thing,
                          const formats::MetricSummary& summary, int64_t now_ms);

// Points of one level that reach into [from, until), merged over the things.
Result<formats::SeriesHistory> metric_history(Store& store, const std::vector<ThingName>& things,
                                              const MetricLevel& level, int64_t from_ms,
                                              int64_t until_ms);

// Some series of every point of one level that reaches into [from, until), in the order of time: of
// all devices, without more than one of them in memory.
using WantedSeries = std::function<bool(const formats::SeriesId& id)>;
using EachMetrics =
    std::function<void(const std::string& thing, int64_t at_ms, const formats::SeriesMap& series)>;
// `names`: of metrics; a point with none of them is not looked at.
Result<void> scan_metrics(Store& store, const MetricLevel& level, int64_t from_ms, int64_t until_ms,
                          const std::set<std::string>& names, const WantedSeries& wanted,
                          const EachMetrics& each);

// Forgets what is older than its level is kept, at most `limit` rows of each; how many went.
Result<int64_t> prune_device_metrics(Store& store, int64_t now_ms, int64_t limit);

class DeviceMetricsService {
 public:
  // Registers its route with `link`, which must not outlive it. What comes while the
  // store takes nothing waits (thing_inbox.h).
  DeviceMetricsService(io::Env& env, StorePool& stores, DeviceLink& link);

 private:
  ThingInbox inbox_;
};

}  // namespace skerry::fleet
