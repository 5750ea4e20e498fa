// What every summary of a device begins with, by which the fleet counts each once:
// {"format": 1, "run", "sequence", "startMs", "endMs", …}.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"
#include "formats/node.h"

namespace skerry::formats {

struct SummaryHead {
  std::string run;        // 8 to 32 of a-z 0-9
  uint64_t sequence = 0;  // from 1 in a run
  int64_t start_ms = 0;   // since 1970, by the device's clock, which may be wrong
  int64_t end_ms = 0;
};

inline constexpr int64_t kSummaryFormat = 1;

// Of an untrusted document.
Result<SummaryHead> parse_summary_head(const Node& root);

}  // namespace skerry::formats
