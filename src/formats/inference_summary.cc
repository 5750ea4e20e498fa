// Inference summaries.
#include "formats/inference_summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>
#include <utility>

#include "formats/json_ptr.h"
#include "formats/names.h"
#include "formats/node.h"
#include "formats/summary_head.h"
#include "formats/thing_topic.h"

namespace skerry::formats {
namespace {

using nlohmann::json;

constexpr std::string_view kInferenceTopic = "/skerry/inference";
constexpr size_t kMaxVersionLength = 64;

struct Total {
  const char* name;
  uint64_t ModelTotals::* member;
};
constexpr Total kTotals[] = {
    {"requests", &ModelTotals::requests},
    {"errors", &ModelTotals::errors},
    {"refused", &ModelTotals::refused},
    {"latencySumUs", &ModelTotals::latency_sum_us},
    {"predictions", &ModelTotals::predictions},
    {"confidenceSum", &ModelTotals::confidence_sum},
    {"confidenceSquares", &ModelTotals::confidence_squares},
    {"hangs", &ModelTotals::hangs},
    {"notFinite", &ModelTotals::not_finite},
    {"slow", &ModelTotals::slow},
};
// Sums of up to kMaxSummaryCount values.
constexpr uint64_t kMaxSum = uint64_t{1} << 62;

bool is_sum(const Total& total) {
  return total.member == &ModelTotals::latency_sum_us ||
         total.member == &ModelTotals::confidence_sum ||
         total.member == &ModelTotals::confidence_squares;
}

// [bin, count, bin, count, …] of the bins that are not 0.
template <size_t N>
json bins_of(const std::array<uint64_t, N>& bins) {
  json pairs = json::array();
  for (size_t i = 0; i < N; ++i) {
    if (bins[i] == 0) continue;
    pairs.push_back(i);
    pairs.push_back(bins[i]);
  }
  return pairs;
}

json to_json(const ModelSummary& summary) {
  json result = {{"name", summary.model.name}, {"version", summary.model.version}};
  for (const Total& total : kTotals) {
    if (summary.counts.*total.member != 0) result[total.name] = summary.counts.*total.member;
  }
  if (json pairs = bins_of(summary.counts.latency); !pairs.empty()) {
    result["latency"] = std::move(pairs);
  }
  if (json pairs = bins_of(summary.counts.classes); !pairs.empty()) {
    result["classes"] = std::move(pairs);
  }
  return result;
}

Result<uint64_t> count_in(const Node& node, uint64_t largest) {
  SKERRY_ASSIGN(const int64_t value, node.as_integer());
  if (value < 0 || static_cast<uint64_t>(value) > largest) {
    return node.wrong(fmt::format("must be 0 to {}", largest));
  }
  return static_cast<uint64_t>(value);
}

// The bins' sum has to be `expected`.
template <size_t N>
Result<> read_bins(const Node& summary, std::string_view key, uint64_t expected,
                   std::array<uint64_t, N>& bins) {
  SKERRY_ASSIGN(auto node, summary.find(key));
  if (node) {
    SKERRY_ASSIGN(auto numbers, node->elements());
    if (numbers.size() % 2 != 0 || numbers.size() > 2 * N) {
      return node->wrong("must be pairs of a bin and its count");
    }
    for (size_t i = 0; i < numbers.size(); i += 2) {
      SKERRY_ASSIGN(const uint64_t bin, count_in(numbers[i], N - 1));
      if (bins[bin] != 0) return numbers[i].wrong("stands here twice");
      SKERRY_ASSIGN(bins[bin], count_in(numbers[i + 1], kMaxSummaryCount));
    }
  }
  if (std::accumulate(bins.begin(), bins.end(), uint64_t{0}) != expected) {
    return summary.wrong(fmt::format("the counts in '{}' do not add up to {}", key, expected));
  }
  return {};
}

Result<ModelId> parse_model(const Node& node) {
  ModelId model;
  SKERRY_ASSIGN(auto name_node, node.require("name"));
  SKERRY_ASSIGN(model.name, name_node.as_string());
  if (auto name = parse_component_name(model.name); !name) {
    return name_node.wrong(name.error().message());
  }
  SKERRY_ASSIGN(auto version_node, node.require("version"));
  SKERRY_ASSIGN(model.version, version_node.as_string());
  const auto is_plain = [](char c) { return c > ' ' && c < 0x7f; };
  if (model.version.empty() || model.version.size() > kMaxVersionLength ||
      !std::ranges::all_of(model.version, is_plain)) {
    return version_node.wrong(
        fmt::format("must be 1 to {} printable characters without spaces", kMaxVersionLength));
  }
  return model;
}

Result<ModelSummary> parse_model_summary(const Node& node) {
  ModelSummary summary;
  SKERRY_ASSIGN(summary.model, parse_model(node));
  ModelCounts& counts = summary.counts;
  for (const Total& total : kTotals) {
    SKERRY_ASSIGN(auto member, node.find(total.name));
    if (!member) continue;
    SKERRY_ASSIGN(counts.*total.member,
                  count_in(*member, is_sum(total) ? kMaxSum : kMaxSummaryCount));
  }
  SKERRY_TRY(read_bins(node, "latency", counts.requests, counts.latency));
  SKERRY_TRY(read_bins(node, "classes", counts.predictions, counts.classes));
  if (counts.confidence_sum > counts.predictions * ModelTotals::kConfidenceUnit) {
    return node.wrong("confidenceSum says more than 1 a prediction");
  }
  if (counts.confidence_squares > counts.confidence_sum) {
    return node.wrong("confidenceSquares is larger than confidenceSum");
  }
  return summary;
}

}  // namespace

std::string inference_summary_topic(const ThingName& thing) {
  return thing_topic(thing, kInferenceTopic);
}

std::optional<ThingName> parse_inference_summary_topic(std::string_view topic) {
  return thing_of_topic(topic, kInferenceTopic);
}

std::string to_text(const InferenceSummary& summary) {
  json models = json::array();
  for (const ModelSummary& model : summary.models) models.push_back(to_json(model));
  return json_text({{"format", kSummaryFormat},
                    {"run", summary.run},
                    {"sequence", summary.sequence},
                    {"startMs", summary.start_ms},
                    {"endMs", summary.end_ms},
                    {"models", std::move(models)}});
}

Result<InferenceSummary> parse_inference_summary(std::string_view text) {
  auto document = parse_json(text, {.size_bytes = kMaxSummaryBytes, .depth = 8});
  if (!document) return fail(document.error().with_context("inference summary"));
  const Node root(*document, "");
  if (!root.is_object()) {
    return fail(Code::kInvalidArgument, "inference summary: must be an object");
  }
  SKERRY_ASSIGN(SummaryHead head, parse_summary_head(root));
  InferenceSummary summary{std::move(head.run), head.sequence, head.start_ms, head.end_ms, {}};
  SKERRY_ASSIGN(auto models_node, root.require("models"));
  SKERRY_ASSIGN(auto models, models_node.elements());
  if (models.size() > kMaxSummaryModels) {
    return models_node.wrong(fmt::format("has more than {} models", kMaxSummaryModels));
  }
  std::set<ModelId> seen;
  for (const Node& node : models) {
    SKERRY_ASSIGN(ModelSummary model, parse_model_summary(node));
    if (!seen.insert(model.model).second) return node.wrong("this version stands here twice");
    summary.models.push_back(std::move(model));
  }
  return summary;
}

bool SequenceWindow::take(uint64_t sequence) {
  constexpr uint64_t kBits = 64;
  if (sequence > highest) {
    const uint64_t distance = sequence - highest;
    below = distance < kBits ? below << distance : 0;
    if (highest > 0 && distance <= kBits) below |= uint64_t{1} << (distance - 1);
    highest = sequence;
    return true;
  }
  const uint64_t back = highest - sequence;
  if (back == 0 || back > kBits) return false;
  const uint64_t bit = uint64_t{1} << (back - 1);
  return (std::exchange(below, below | bit) & bit) == 0;
}

}  // namespace skerry::formats
