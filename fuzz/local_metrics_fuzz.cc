// What any program on a device may send to its metrics: StatsD, and OTLP in both encodings. What is
// taken is what the ring and the fleet take.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "formats/metric_summary.h"
#include "nucleus/intake/otlp.h"
#include "nucleus/intake/statsd.h"

namespace {

namespace formats = skerry::formats;
namespace nucleus = skerry::nucleus;

void check(bool holds) {
  if (!holds) std::abort();
}

void take(const skerry::Result<std::vector<nucleus::OtlpPoint>>& points) {
  if (!points) return;
  check(points->size() <= nucleus::kMaxOtlpPoints);
  nucleus::OtlpDeltas deltas(0);
  formats::SeriesMap series;
  for (int round = 0; round < 2; ++round) {
    for (const auto& point : *points) {
      const auto added = deltas.take(point, 1'000);
      if (!added || !*added || (series.size() >= 100 && !series.contains(point.series))) continue;
      check((*added)->count > 0);
      series[point.series].merge(**added);
    }
  }
  if (series.empty()) return;
  const formats::MetricSummary summary{"run00000", 1, 0, 1'000, series};
  const auto again = formats::parse_metric_summary(to_text(summary));
  check(!again || *again == summary);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto sample = nucleus::parse_statsd(bytes)) {
    check(!sample->name.empty() && sample->name.size() <= formats::kMaxMetricName);
    check(!sample->values.empty() && sample->rate > 0 && sample->rate <= 1);
    for (const double value : sample->values) check(std::isfinite(value));
  }
  take(nucleus::parse_otlp(bytes));
  take(nucleus::parse_otlp_json(bytes));
  return 0;
}
