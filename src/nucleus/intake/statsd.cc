// Taking a line of StatsD apart.
#include "nucleus/intake/statsd.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "formats/metric_summary.h"

namespace skerry::nucleus {
namespace {

constexpr size_t kMaxStatsdValues = 64;

std::optional<double> statsd_number(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  double number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || rest != end || !std::isfinite(number)) return std::nullopt;
  return number;
}

std::string_view take_until(std::string_view& text, char separator) {
  const size_t end = std::min(text.find(separator), text.size());
  const std::string_view part = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return part;
}

}  // namespace

Result<StatsdSample> parse_statsd(std::string_view line) {
  const auto wrong = [](const char* what) {
    return fail(Code::kInvalidArgument, std::string("StatsD: ") + what);
  };
  StatsdSample sample;
  sample.name = take_until(line, ':');
  const bool is_name =
      !sample.name.empty() && sample.name.size() <= formats::kMaxMetricName &&
      std::ranges::none_of(sample.name, [](unsigned char c) { return c < 0x20 || c == 0x7f; });
  if (!is_name) return wrong("a name has 1 to 32 bytes without control characters");
  std::string_view values = take_until(line, '|');
  const std::string_view type = take_until(line, '|');
  if (type == "c" || type == "m") {
    sample.kind = StatsdSample::Kind::kCounter;
  } else if (type == "g") {
    sample.kind = StatsdSample::Kind::kGauge;
    sample.is_change = values.starts_with('+') || values.starts_with('-');
  } else if (type == "ms") {
    sample.kind = StatsdSample::Kind::kTiming;
  } else if (type == "h" || type == "d") {
    sample.kind = StatsdSample::Kind::kDistribution;
  } else {
    return fail(Code::kUnsupported, "StatsD: types are c, g, ms, h and d");
  }
  while (!values.empty() && sample.values.size() < kMaxStatsdValues) {
    const auto number = statsd_number(take_until(values, ':'));
    if (!number) return wrong("a value is a finite number");
    sample.values.push_back(*number);
  }
  if (sample.values.empty() || !values.empty()) return wrong("a line has 1 to 64 values");
  while (!line.empty()) {
    const std::string_view part = take_until(line, '|');
    if (!part.starts_with('@')) continue;  // tags, and what others have added
    const auto rate = statsd_number(part.substr(1));
    if (!rate || *rate <= 0 || *rate > 1) return wrong("a rate is above 0 and at most 1");
    sample.rate = *rate;
  }
  return sample;
}

}  // namespace skerry::nucleus
