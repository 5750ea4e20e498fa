// Inference summaries as a device may send them, and the packed counts of the store.
#include "formats/inference_summary.h"

#include <cstdint>
#include <cstdlib>
#include <string_view>

namespace {

namespace formats = skerry::formats;

void check(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  formats::parse_inference_summary_topic(text);
  formats::ModelCounts sum;
  formats::ModelTotals totals;
  if (formats::add_packed(text, sum, totals)) {
    formats::ModelCounts again;
    check(formats::add_packed(formats::pack(sum), again, totals) && again == sum);
  }
  const auto summary = formats::parse_inference_summary(text);
  if (!summary) return 0;
  const auto again = formats::parse_inference_summary(to_text(*summary));
  check(again && *again == *summary);
  for (const formats::ModelSummary& model : summary->models) {
    check(model.counts.error_rate() <= 1 && model.counts.mean_confidence() <= 1);
    formats::ModelCounts unpacked;
    check(formats::add_packed(formats::pack(model.counts), unpacked, totals) &&
          unpacked == model.counts);
  }
  return 0;
}
