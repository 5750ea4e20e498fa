// Summaries of metrics as a device may send them, and lines of its ring as a disk may give them
// back.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "formats/metric_ring.h"
#include "formats/metric_summary.h"

namespace {

namespace formats = skerry::formats;

void check(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  formats::parse_metric_summary_topic(text);
  formats::metric_file_first(text);
  std::string_view rest = text;
  while (formats::take_metric_line(rest)) {
  }
  const auto summary = formats::parse_metric_summary(text);
  if (!summary) return 0;
  const std::string printed = to_text(*summary);
  const auto again = formats::parse_metric_summary(printed);
  check(again && *again == *summary);
  const std::string line = formats::metric_line(printed);
  std::string_view left = line;
  check(formats::take_metric_line(left) == printed && left.empty());
  for (const auto& [id, distribution] : summary->series) {
    const double low = distribution.quantile(0), high = distribution.quantile(1);
    check(low <= distribution.quantile(0.5) && distribution.quantile(0.5) <= high);
  }
  return 0;
}
