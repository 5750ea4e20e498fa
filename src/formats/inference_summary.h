// What the inference service says about its models, once a minute: docs/data/inference-summary.md.
// Counts of one stretch of time, not running totals: whoever adds up every summary once has all. A
// summary may come late, twice or not at all; `run` and `sequence` say which one it is.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/named_type.h"
#include "formats/model_counts.h"

namespace skerry::formats {

inline constexpr size_t kMaxSummaryBytes = 128 << 10;
inline constexpr size_t kMaxSummaryModels = 16;
inline constexpr uint64_t kMaxSummaryCount = uint64_t{1} << 40;  // of anything in one summary

// One version of one model, as model.json names them.
struct ModelId {
  std::string name;
  std::string version;
  auto operator<=>(const ModelId&) const = default;
};

struct ModelSummary {
  ModelId model;
  ModelCounts counts;
  bool operator==(const ModelSummary&) const = default;
};

struct InferenceSummary {
  std::string run;        // another one each time the service starts: 8 to 32 of a-z 0-9
  uint64_t sequence = 0;  // from 1 in a run
  int64_t start_ms = 0;   // since 1970, by the device's clock, which may be wrong
  int64_t end_ms = 0;
  std::vector<ModelSummary> models;
  bool operator==(const InferenceSummary&) const = default;
};

std::string inference_summary_topic(const ThingName& thing);
// Nothing where the topic is another one.
std::optional<ThingName> parse_inference_summary_topic(std::string_view topic);

std::string to_text(const InferenceSummary& summary);
// Untrusted. What it accepts adds up: latencies to requests, classes to predictions, and no
// confidence above 1.
Result<InferenceSummary> parse_inference_summary(std::string_view text);

// Which sequence numbers of one run were taken: the highest, and which of the 64 below it. Older
// ones count as taken.
struct SequenceWindow {
  uint64_t highest = 0;
  uint64_t below = 0;  // bit i: highest - 1 - i was taken
  // False where it was taken before.
  bool take(uint64_t sequence);
};

}  // namespace skerry::formats
