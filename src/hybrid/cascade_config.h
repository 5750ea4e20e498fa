// The file that declares a cascade: one model for its callers, several tiers behind it
// (docs/hybrid.md).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "hybrid/confidence.h"

namespace skerry::hybrid {

struct TierConfig {
  std::string name;
  std::string
      url;  // "http://127.0.0.1:8000/v2/models/small", "unix:/run/infer.sock:/v2/models/small"
  std::string token_file;  // of the token that its server knows this cascade by; "": none
  double threshold = 0;    // of its confidence: below, the next tier is asked; not of the last tier
  std::vector<double> class_thresholds;  // by the winning class, where they differ
  int64_t deadline_ms = 1'000;
  double per_hour = 1e12, burst = 1e12;  // calls
  int64_t breaker_failures = 3, breaker_open_ms = 5'000;
};

enum class Offline { kAnswer, kReject };

struct CascadeConfig {
  std::string name;
  std::string output;  // that holds the scores
  bool are_logits = true;
  Measure measure = Measure::kMaxProbability;
  double temperature = 1;
  std::vector<TierConfig> tiers;  // 2 or more, from the smallest to the biggest
  Offline offline = Offline::kAnswer;
  double shadow = 0;  // share of sure answers that the next tier is asked about as well
};

// JSON or YAML. Untrusted.
Result<CascadeConfig> parse_cascade(std::string_view text);

}  // namespace skerry::hybrid
