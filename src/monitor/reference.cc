// Choosing bins, and the reference's file.
#include "monitor/reference.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "formats/json_ptr.h"
#include "formats/node.h"

namespace skerry::monitor {
namespace {

using formats::Node;
using nlohmann::json;

constexpr int64_t kFormat = 1;
constexpr size_t kMaxReferenceBytes = 4 << 20;
constexpr size_t kMaxNameBytes = 128;

// Ends of bins: of few different values each, else of equal numbers of values.
std::vector<double> edges_of(const std::vector<double>& sorted, size_t bins) {
  std::vector<double> different;
  std::ranges::unique_copy(sorted, std::back_inserter(different));
  std::vector<double> edges;
  if (different.size() <= bins) {
    edges.assign(different.begin(), different.end() - 1);
    return edges;
  }
  for (size_t i = 1; i < bins; ++i) {
    const double edge = sorted[i * sorted.size() / bins];
    if ((edges.empty() || edge > edges.back()) && edge < sorted.back()) edges.push_back(edge);
  }
  return edges;
}

Result<std::vector<double>> numbers_in(const Node& parent, const char* key, size_t most) {
  SKERRY_ASSIGN(const Node list, parent.require(key));
  SKERRY_ASSIGN(const auto nodes, list.elements());
  if (nodes.size() > most) return list.wrong(fmt::format("has more than {} numbers", most));
  std::vector<double> numbers;
  for (const Node& node : nodes) {
    SKERRY_ASSIGN(const double number, node.as_number());
    if (!std::isfinite(number)) return node.wrong("must be finite");
    if (!numbers.empty() && number < numbers.back()) return node.wrong("must ascend");
    numbers.push_back(number);
  }
  return numbers;
}

Result<uint64_t> count_in(const Node& node) {
  SKERRY_ASSIGN(const int64_t count, node.as_integer());
  if (count < 0 || count > int64_t{1} << 40) return node.wrong("must be 0 to 2^40");
  return static_cast<uint64_t>(count);
}

Result<double> number_in(const Node& parent, const char* key) {
  SKERRY_ASSIGN(const Node node, parent.require(key));
  SKERRY_ASSIGN(const double number, node.as_number());
  if (!std::isfinite(number)) return node.wrong("must be finite");
  return number;
}

Result<Feature> parse_feature(const Node& node) {
  Feature feature;
  SKERRY_ASSIGN(const Node name, node.require("name"));
  SKERRY_ASSIGN(feature.name, name.as_string());
  if (feature.name.empty() || feature.name.size() > kMaxNameBytes) {
    return name.wrong("must be 1 to 128 bytes");
  }
  SKERRY_ASSIGN(feature.edges, numbers_in(node, "edges", kMaxBins - 1));
  SKERRY_ASSIGN(feature.positions, numbers_in(node, "positions", kMaxBins));
  SKERRY_ASSIGN(feature.min, number_in(node, "min"));
  SKERRY_ASSIGN(feature.max, number_in(node, "max"));
  SKERRY_ASSIGN(feature.deviation, number_in(node, "deviation"));
  SKERRY_ASSIGN(const Node missing, node.require("missing"));
  SKERRY_ASSIGN(feature.counts.missing, count_in(missing));
  SKERRY_ASSIGN(const Node counts, node.require("counts"));
  SKERRY_ASSIGN(const auto bins, counts.elements());
  for (const Node& bin : bins) {
    SKERRY_ASSIGN(const uint64_t count, count_in(bin));
    feature.counts.bins.push_back(count);
  }
  if (feature.counts.bins.size() != feature.edges.size() + 1 ||
      feature.positions.size() != feature.counts.bins.size()) {
    return node.wrong("needs a count and a position for each bin, and an edge less");
  }
  if (feature.counts.values() == 0) return node.wrong("has no values");
  if (feature.min > feature.max || feature.deviation < 0) return node.wrong("min is above max");
  return feature;
}

}  // namespace

uint64_t FeatureCounts::values() const {
  return std::accumulate(bins.begin(), bins.end(), uint64_t{0});
}

void FeatureCounts::merge(const FeatureCounts& other) {
  bins.resize(std::max(bins.size(), other.bins.size()));
  for (size_t i = 0; i < other.bins.size(); ++i) bins[i] += other.bins[i];
  missing += other.missing;
  outside += other.outside;
}

void Feature::count(double value, FeatureCounts& into) const {
  if (std::isnan(value)) {
    ++into.missing;
    return;
  }
  const auto bin = std::ranges::lower_bound(edges, value) - edges.begin();
  ++into.bins[static_cast<size_t>(bin)];
  if (value < min || value > max) ++into.outside;
}

Result<Feature> make_feature(std::string name, std::vector<double> values, size_t bins) {
  Feature feature;
  feature.name = std::move(name);
  const size_t all = values.size();
  std::erase_if(values, [](double value) { return std::isnan(value); });
  if (values.empty()) return fail(Code::kInvalidArgument, feature.name + " has no values");
  std::ranges::sort(values);
  feature.min = values.front();
  feature.max = values.back();
  if (!std::isfinite(feature.min) || !std::isfinite(feature.max)) {
    return fail(Code::kInvalidArgument, feature.name + " has infinite values");
  }
  feature.edges = edges_of(values, std::clamp(bins, size_t{2}, kMaxBins));
  feature.counts = feature.none();
  feature.positions.assign(feature.counts.bins.size(), 0);
  const double mean =
      std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  double squares = 0;
  for (const double value : values) {
    feature.count(value, feature.counts);
    const auto bin = std::ranges::lower_bound(feature.edges, value) - feature.edges.begin();
    feature.positions[static_cast<size_t>(bin)] += value;
    squares += (value - mean) * (value - mean);
  }
  for (size_t bin = 0; bin < feature.positions.size(); ++bin) {
    feature.positions[bin] /= static_cast<double>(feature.counts.bins[bin]);  // none is empty
  }
  feature.deviation = std::sqrt(squares / static_cast<double>(values.size()));
  feature.counts.missing = all - values.size();
  return feature;
}

std::string to_text(const Reference& reference) {
  std::string text = fmt::format("{{\"format\": {}, \"features\": [", kFormat);
  for (const Feature& feature : reference.features) {
    const json line = {{"name", feature.name},
                       {"edges", feature.edges},
                       {"positions", feature.positions},
                       {"min", feature.min},
                       {"max", feature.max},
                       {"deviation", feature.deviation},
                       {"missing", feature.counts.missing},
                       {"counts", feature.counts.bins}};
    text += (&feature == &reference.features.front() ? "\n  " : ",\n  ") + formats::json_text(line);
  }
  return text + "\n]}\n";
}

Result<Reference> parse_reference(std::string_view text) {
  auto document = formats::parse_json(text, {.size_bytes = kMaxReferenceBytes, .depth = 8});
  if (!document) return fail(document.error().with_context("reference.json"));
  const Node root(*document, "");
  if (!root.is_object()) return fail(Code::kInvalidArgument, "reference.json: must be an object");
  SKERRY_ASSIGN(const Node format, root.require("format"));
  SKERRY_ASSIGN(const int64_t number, format.as_integer());
  if (number != kFormat) return format.wrong("only 1 is supported");
  SKERRY_ASSIGN(const Node list, root.require("features"));
  SKERRY_ASSIGN(const auto nodes, list.elements());
  if (nodes.empty() || nodes.size() > kMaxFeatures)
    return list.wrong("must have 1 to 256 features");
  Reference reference;
  std::set<std::string> names;
  for (const Node& node : nodes) {
    SKERRY_ASSIGN(Feature feature, parse_feature(node));
    if (!names.insert(feature.name).second) return node.wrong("this feature stands here twice");
    reference.features.push_back(std::move(feature));
  }
  return reference;
}

}  // namespace skerry::monitor
