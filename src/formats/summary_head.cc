// Reads the head, each field with its limits.
#include "formats/summary_head.h"

#include <algorithm>

namespace skerry::formats {
namespace {

constexpr int64_t kMaxTimeMs = int64_t{1} << 53;
constexpr int64_t kMaxSequence = int64_t{1} << 40;

Result<int64_t> time_in(const Node& root, const char* key) {
  SKERRY_ASSIGN(const Node node, root.require(key));
  SKERRY_ASSIGN(const int64_t time, node.as_integer());
  if (time < 0 || time > kMaxTimeMs) return node.wrong("is no time");
  return time;
}

}  // namespace

Result<SummaryHead> parse_summary_head(const Node& root) {
  SKERRY_ASSIGN(const Node format, root.require("format"));
  SKERRY_ASSIGN(const int64_t number, format.as_integer());
  if (number != kSummaryFormat) {
    return format.wrong(std::to_string(number) + " is not supported, only " +
                        std::to_string(kSummaryFormat));
  }
  SummaryHead head;
  SKERRY_ASSIGN(const Node run, root.require("run"));
  SKERRY_ASSIGN(head.run, run.as_string());
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  if (head.run.size() < 8 || head.run.size() > 32 || !std::ranges::all_of(head.run, is_letter)) {
    return run.wrong("must be 8 to 32 of a-z and 0-9");
  }
  SKERRY_ASSIGN(const Node sequence, root.require("sequence"));
  SKERRY_ASSIGN(const int64_t place, sequence.as_integer());
  if (place < 1) return sequence.wrong("begins with 1");
  if (place > kMaxSequence) return sequence.wrong("must be at most 2^40");
  head.sequence = static_cast<uint64_t>(place);
  SKERRY_ASSIGN(head.start_ms, time_in(root, "startMs"));
  SKERRY_ASSIGN(head.end_ms, time_in(root, "endMs"));
  return head;
}

}  // namespace skerry::formats
