// Reading the file, field by field.
#include "hybrid/cascade_config.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "formats/json_ptr.h"
#include "formats/names.h"
#include "formats/node.h"

namespace skerry::hybrid {
namespace {

using formats::Node;

constexpr size_t kMaxTiers = 8;
constexpr size_t kMaxClasses = 10'000;

Result<void> read_number(const Node& node, const char* key, double least, double most,
                         double& out) {
  SKERRY_ASSIGN(const auto found, node.find(key));
  if (!found) return {};
  SKERRY_ASSIGN(out, found->as_number());
  if (!(out >= least && out <= most)) return found->wrong("is out of range");
  return {};
}

Result<void> read_milliseconds(const Node& node, const char* key, int64_t& out) {
  SKERRY_TRY(node.read(key, out));
  if (out < 1 || out > 3'600'000) return node.wrong(std::string(key) + " must be 1 to 3600000");
  return {};
}

Result<TierConfig> parse_tier(const Node& node, bool is_last) {
  TierConfig tier;
  SKERRY_TRY(node.require("name"));
  SKERRY_TRY(node.read("name", tier.name));
  SKERRY_ASSIGN(const Node url, node.require("url"));
  SKERRY_ASSIGN(tier.url, url.as_string());
  const bool is_known = tier.url.starts_with("http://") || tier.url.starts_with("https://") ||
                        tier.url.starts_with("unix:/");
  if (!is_known || tier.url.find("/v2/models/") == std::string::npos) {
    return url.wrong(
        "must be a model of an Open Inference Protocol server: "
        "http://HOST:PORT/v2/models/NAME, or unix:/SOCKET:/v2/models/NAME");
  }
  SKERRY_TRY(node.read("tokenFile", tier.token_file));
  SKERRY_ASSIGN(const auto classes, node.find("classThresholds"));
  if (classes) {
    SKERRY_ASSIGN(const auto list, classes->elements());
    if (list.size() > kMaxClasses) return classes->wrong("has too many classes");
    for (const Node& one : list) {
      SKERRY_ASSIGN(const double threshold, one.as_number());
      tier.class_thresholds.push_back(threshold);
    }
  }
  if (!is_last && !classes) SKERRY_TRY(node.require("threshold"));
  SKERRY_TRY(read_number(node, "threshold", -1e300, 1e300, tier.threshold));
  SKERRY_TRY(read_milliseconds(node, "deadlineMs", tier.deadline_ms));
  SKERRY_ASSIGN(const auto budget, node.find("budget"));
  if (budget) {
    SKERRY_TRY(budget->require("perHour"));
    SKERRY_TRY(read_number(*budget, "perHour", 0, 1e12, tier.per_hour));
    tier.burst = std::max(1.0, tier.per_hour / 60);
    SKERRY_TRY(read_number(*budget, "burst", 0, 1e12, tier.burst));
  }
  SKERRY_ASSIGN(const auto breaker, node.find("breaker"));
  if (breaker) {
    SKERRY_TRY(breaker->read("failures", tier.breaker_failures));
    if (tier.breaker_failures < 1) return breaker->wrong("failures must be 1 or more");
    SKERRY_TRY(read_milliseconds(*breaker, "openMs", tier.breaker_open_ms));
  }
  return tier;
}

Result<void> read_scores(const Node& root, CascadeConfig& config) {
  SKERRY_ASSIGN(const Node scores, root.require("scores"));
  SKERRY_TRY(scores.require("output"));
  SKERRY_TRY(scores.read("output", config.output));
  std::string activation = "softmax", by = "max";
  SKERRY_TRY(scores.read("activation", activation));
  if (activation != "softmax" && activation != "none") {
    return scores.wrong("activation must be softmax (the scores are logits) or none");
  }
  config.are_logits = activation == "softmax";
  SKERRY_ASSIGN(const auto confidence, root.find("confidence"));
  if (!confidence) return {};
  SKERRY_TRY(confidence->read("by", by));
  const auto measure = find_measure(by);
  if (!measure) return confidence->wrong("by must be max, margin, entropy or energy");
  config.measure = *measure;
  if (config.measure == Measure::kEnergy && !config.are_logits) {
    return confidence->wrong("energy needs logits: scores with activation softmax");
  }
  return read_number(*confidence, "temperature", 0.01, 1'000, config.temperature);
}

}  // namespace

Result<CascadeConfig> parse_cascade(std::string_view text) {
  SKERRY_ASSIGN(const nlohmann::json document, formats::parse_yaml(text));
  const Node root(document, "");
  if (!root.is_object()) return fail(Code::kInvalidArgument, "a cascade must be an object");
  CascadeConfig config;
  SKERRY_ASSIGN(const Node name, root.require("name"));
  SKERRY_ASSIGN(config.name, name.as_string());
  if (auto checked = formats::parse_component_name(config.name); !checked) {
    return name.wrong(checked.error().message());
  }
  SKERRY_TRY(read_scores(root, config));
  SKERRY_ASSIGN(const Node tiers, root.require("tiers"));
  SKERRY_ASSIGN(const auto nodes, tiers.elements());
  if (nodes.size() < 2 || nodes.size() > kMaxTiers) return tiers.wrong("must have 2 to 8 tiers");
  for (size_t i = 0; i < nodes.size(); ++i) {
    SKERRY_ASSIGN(TierConfig tier, parse_tier(nodes[i], i + 1 == nodes.size()));
    config.tiers.push_back(std::move(tier));
  }
  std::string offline = "answer";
  SKERRY_TRY(root.read("offline", offline));
  if (offline != "answer" && offline != "reject") {
    return root.wrong("offline must be answer or reject");
  }
  config.offline = offline == "answer" ? Offline::kAnswer : Offline::kReject;
  SKERRY_TRY(read_number(root, "shadow", 0, 1, config.shadow));
  return config;
}

}  // namespace skerry::hybrid
