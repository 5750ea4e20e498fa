// OpenTelemetry's metrics as they come over HTTP (OTLP 1.x, ExportMetricsServiceRequest), protobuf
// or JSON, and what is new in them since the request before.
// https://opentelemetry.io/docs/specs/otlp/ and opentelemetry/proto/metrics/v1/metrics.proto
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "formats/metric_summary.h"

namespace skerry::nucleus {

struct OtlpPoint {
  enum class Kind { kGauge, kSum, kHistogram, kOther };  // kOther: no place for it here
  formats::SeriesId series;  // component: the resource's service.name, or "OTLP"
  Kind kind = Kind::kOther;
  bool is_delta = false;      // of sums and histograms; else since start_ns
  bool is_monotonic = false;  // of sums
  double scale = 1;           // what a value is multiplied with for the series' unit
  std::string key;            // which of the series' attributes
  uint64_t start_ns = 0;
  double value = 0;  // of gauges and sums
  // Of histograms: counts has one more element than bounds, which ascend.
  uint64_t count = 0;
  double sum = 0;
  std::vector<double> bounds;
  std::vector<uint64_t> counts;
};

inline constexpr size_t kMaxOtlpPoints = 2'000;  // of a request

// Untrusted. kResourceExhausted above that many points.
Result<std::vector<OtlpPoint>> parse_otlp(std::string_view protobuf);
Result<std::vector<OtlpPoint>> parse_otlp_json(std::string_view json);

// Turns what counts from a start on into what came since the last request.
class OtlpDeltas {
 public:
  // What began before `since_ns` and was not seen yet may have been counted by an earlier run: it
  // is where counting begins.
  explicit OtlpDeltas(uint64_t since_ns) : since_ns_(since_ns) {}

  // What the point adds to its series; nothing where that is nothing. kUnsupported for kOther,
  // kInvalidArgument for numbers that are none or do not fit together, kResourceExhausted for too
  // many attributes.
  Result<std::optional<formats::Distribution>> take(const OtlpPoint& point, int64_t now_ms);

 private:
  static constexpr size_t kMaxKeys = 2'000;
  struct Seen {
    uint64_t start_ns = 0;
    double value = 0;
    uint64_t count = 0;
    double sum = 0;
    std::vector<uint64_t> counts;
  };
  Result<Seen*> seen(const OtlpPoint& point, bool& is_new);

  const uint64_t since_ns_;
  std::map<std::pair<formats::SeriesId, std::string>, Seen> seen_;
};

}  // namespace skerry::nucleus
