// Holding the pre-roll, and deciding at its end.
#include "hybrid/filter.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "formats/json_ptr.h"
#include "formats/node.h"

namespace skerry::hybrid {
namespace {

using formats::Node;

constexpr double kHoursOfDay = 24;

Result<void> read_quantity(const Node& root, const char* key, double least, double most,
                           double& out) {
  SKERRY_ASSIGN(const auto node, root.find(key));
  if (!node) return {};
  SKERRY_ASSIGN(out, node->as_number());
  if (!(out >= least && out <= most)) {
    return node->wrong("must be " + std::to_string(least) + " to " + std::to_string(most));
  }
  return {};
}

}  // namespace

std::string_view name_of(Fate fate) {
  constexpr std::string_view kNames[] = {"upload", "summarise", "drop"};
  return kNames[static_cast<size_t>(fate)];
}

std::string_view name_of(Why why) {
  constexpr std::string_view kNames[] = {"event",  "pre-roll",    "post-roll",
                                         "sample", "over-budget", "nothing"};
  return kNames[static_cast<size_t>(why)];
}

Result<FilterConfig> parse_filter(std::string_view text) {
  SKERRY_ASSIGN(const nlohmann::json document, formats::parse_yaml(text));
  const Node root(document, "");
  if (!root.is_object()) return fail(Code::kInvalidArgument, "a filter must be an object");
  FilterConfig config;
  double pre_ms = 0, post_ms = 0;
  SKERRY_TRY(root.require("threshold"));
  SKERRY_TRY(read_quantity(root, "threshold", -1e300, 1e300, config.threshold));
  SKERRY_TRY(read_quantity(root, "preMs", 0, 3'600'000, pre_ms));
  SKERRY_TRY(read_quantity(root, "postMs", 0, 3'600'000, post_ms));
  SKERRY_TRY(read_quantity(root, "sample", 0, 1, config.sample));
  SKERRY_TRY(read_quantity(root, "itemsPerHour", 0, 1e12, config.items_per_hour));
  SKERRY_TRY(read_quantity(root, "bytesPerDay", 0, 1e15, config.bytes_per_day));
  config.pre_ms = static_cast<int64_t>(pre_ms);
  config.post_ms = static_cast<int64_t>(post_ms);
  return config;
}

EdgeFilter::EdgeFilter(FilterConfig config)
    : config_(config),
      items_(config.items_per_hour, config.items_per_hour),
      bytes_(config.bytes_per_day / kHoursOfDay, config.bytes_per_day),
      random_(config.seed) {}

// SplitMix64: small, and good enough to draw a sample.
bool EdgeFilter::is_sampled() {
  uint64_t bits = (random_ += 0x9e3779b97f4a7c15);
  bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9;
  bits = (bits ^ (bits >> 27)) * 0x94d049bb133111eb;
  bits ^= bits >> 31;
  return static_cast<double>(bits >> 11) * 0x1.0p-53 < config_.sample;
}

std::vector<FilterDecision> EdgeFilter::push(int64_t time_ms, uint64_t bytes, double score) {
  Held held{counts_.items++, time_ms, bytes, Why::kNothing};
  counts_.bytes += bytes;
  if (std::isnan(score) || score >= config_.threshold) {
    held.why = Why::kEvent;
    ++counts_.events;
    event_until_ms_ = time_ms + config_.post_ms;
    for (Held& before : held_) {
      if (before.why == Why::kNothing && before.time_ms >= time_ms - config_.pre_ms) {
        before.why = Why::kPreRoll;
      }
    }
  } else if (time_ms <= event_until_ms_) {
    held.why = Why::kPostRoll;
  }
  held_.push_back(held);
  std::vector<FilterDecision> ripe;
  while (!held_.empty() && (held_.front().time_ms < time_ms - config_.pre_ms ||
                            config_.pre_ms == 0 || held_.size() > config_.max_held)) {
    ripe.push_back(decide(held_.front()));
    held_.pop_front();
  }
  return ripe;
}

std::vector<FilterDecision> EdgeFilter::finish() {
  std::vector<FilterDecision> ripe;
  for (const Held& held : held_) ripe.push_back(decide(held));
  held_.clear();
  return ripe;
}

FilterDecision EdgeFilter::decide(const Held& held) {
  FilterDecision decision{held.item, Fate::kUpload, held.why};
  if (held.why == Why::kNothing) {
    ++counts_.unflagged;
    if (!is_sampled()) return {held.item, Fate::kDrop, Why::kNothing};
    ++counts_.sampled;
    decision.why = Why::kSample;
  }
  // Bytes first: an item that is too large takes no place of a smaller one.
  if (!bytes_.take(static_cast<double>(held.bytes), held.time_ms) ||
      !items_.take(1, held.time_ms)) {
    ++counts_.over_budget;
    if (decision.why == Why::kSample) --counts_.sampled;
    return {held.item, Fate::kSummarise, Why::kOverBudget};
  }
  ++counts_.uploaded;
  counts_.uploaded_bytes += held.bytes;
  return decision;
}

}  // namespace skerry::hybrid
