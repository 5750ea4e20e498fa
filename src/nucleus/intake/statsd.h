// StatsD's lines: "name:value|type[|@rate][|#tags]", several values with colons between them as
// DogStatsD 1.1 has it. https://github.com/statsd/statsd/blob/master/docs/metric_types.md
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace skerry::nucleus {

struct StatsdSample {
  enum class Kind { kCounter, kGauge, kTiming, kDistribution };
  std::string name;  // 1 to 32 bytes without control characters
  Kind kind = Kind::kCounter;
  std::vector<double> values;  // finite, as written: of kTiming milliseconds
  bool is_change = false;      // of a gauge: "+3", "-3"
  double rate = 1;             // of sampling: above 0, at most 1
  bool operator==(const StatsdSample&) const = default;
};

// One line, without its end; untrusted. Tags are left out. kUnsupported: sets, and types that
// nobody knows.
Result<StatsdSample> parse_statsd(std::string_view line);

}  // namespace skerry::nucleus
