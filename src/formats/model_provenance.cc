// Release names, and provenance as JSON.
#include "formats/model_provenance.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "formats/names.h"
#include "formats/node.h"

namespace skerry::formats {
namespace {

using nlohmann::json;

constexpr size_t kMaxText = 256;
constexpr size_t kMaxMetrics = 64;
constexpr size_t kMaxOptimiserBytes = 16 << 10;

bool is_decimal_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_word_letter(char c) {
  return is_decimal_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

bool is_words(std::string_view text, std::string_view others = {}) {
  return !text.empty() && text.size() <= 64 && std::ranges::all_of(text, [&](char c) {
    return is_word_letter(c) || others.find(c) != std::string_view::npos;
  });
}

bool is_decimal(std::string_view text) {
  const size_t point = std::min(text.find('.'), text.size());
  const std::string_view whole = text.substr(0, point);
  const std::string_view rest = point < text.size() ? text.substr(point + 1) : "0";
  return !whole.empty() && whole.size() <= 12 && !rest.empty() && rest.size() <= 12 &&
         std::ranges::all_of(whole, is_decimal_digit) &&
         std::ranges::all_of(rest, is_decimal_digit);
}

int number_in(std::string_view text) {
  int number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

// "2026-11-27"
bool is_date(std::string_view text) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return false;
  const auto part = [&](size_t from, size_t size) { return text.substr(from, size); };
  for (const std::string_view digits : {part(0, 4), part(5, 2), part(8, 2)}) {
    if (!std::ranges::all_of(digits, is_decimal_digit)) return false;
  }
  const std::chrono::year_month_day date{
      std::chrono::year(number_in(part(0, 4))),
      std::chrono::month(static_cast<unsigned>(number_in(part(5, 2)))),
      std::chrono::day(static_cast<unsigned>(number_in(part(8, 2))))};
  return date.ok();
}

// Takes what stands behind the last '-' off `text`.
std::string_view take_last(std::string_view& text) {
  const size_t dash = text.rfind('-');
  if (dash == std::string_view::npos) return std::exchange(text, {});
  const std::string_view last = text.substr(dash + 1);
  text = text.substr(0, dash);
  return last;
}

bool is_digest(std::string_view text) {
  const auto is_hex = [](char c) { return is_decimal_digit(c) || (c >= 'a' && c <= 'f'); };
  return text.size() == 64 && std::ranges::all_of(text, is_hex);
}

struct TextField {
  const char* name;
  std::string ModelProvenance::* member;
  bool (*fits)(std::string_view text);
  const char* form;
};

bool is_line(std::string_view text) {
  return text.size() <= kMaxText && std::ranges::all_of(text, [](char c) {
           return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f;
         });
}
bool is_file_name(std::string_view text) {
  return is_line(text) && parse_component_name(text).has_value();
}
bool is_data_set(std::string_view text) {
  return is_words(text, ".");
}
bool is_metric(std::string_view text) {
  return is_words(text);
}

constexpr TextField kTextFields[] = {
    {"model", &ModelProvenance::model, is_file_name, "letters, digits and -_. only"},
    {"artifact", &ModelProvenance::artifact, is_file_name, "letters, digits and -_. only"},
    {"artifactSha256", &ModelProvenance::artifact_sha256, is_digest, "64 lower-case hex digits"},
    {"trainedOn", &ModelProvenance::trained_on, is_date, "a date such as 2026-11-27"},
    {"dataset", &ModelProvenance::dataset, is_data_set, "letters, digits, _ and . only"},
    {"datasetVersion", &ModelProvenance::dataset_version, is_line, "a line of 256 bytes at most"},
    {"sourceSha256", &ModelProvenance::source_sha256, is_digest, "64 lower-case hex digits"},
    {"trainingRun", &ModelProvenance::training_run, is_line, "a line of 256 bytes at most"},
    {"licence", &ModelProvenance::licence, is_line, "a line of 256 bytes at most"},
    {"metric", &ModelProvenance::metric, is_metric, "letters, digits and _ only"},
};

Result<void> read_metrics(const Node& root, ModelProvenance& provenance) {
  SKERRY_ASSIGN(auto node, root.find("metrics"));
  if (node) {
    SKERRY_ASSIGN(auto members, node->members());
    if (members.size() > kMaxMetrics) {
      return node->wrong(fmt::format("has more than {} metrics", kMaxMetrics));
    }
    for (const auto& [name, value] : members) {
      if (!is_metric(name)) return value.wrong("a metric's name has letters, digits and _ only");
      SKERRY_ASSIGN(provenance.metrics[name], value.as_number());
    }
  }
  if (!provenance.metric.empty() && !provenance.metrics.contains(provenance.metric)) {
    return root.wrong("metrics: has no '" + provenance.metric + "', which `metric` names");
  }
  return {};
}

Result<void> check_release(const ModelProvenance& provenance) {
  const bool some =
      !provenance.trained_on.empty() || !provenance.dataset.empty() || !provenance.metric.empty();
  const std::string release = release_name_of(provenance);
  if (release.empty()) {
    if (!some) return {};
    return fail(Code::kInvalidArgument,
                "trainedOn, dataset and metric come together: they make the artifact's name");
  }
  SKERRY_TRY(parse_release_name(release));
  if (provenance.artifact.substr(0, provenance.artifact.rfind('.')) == release) return {};
  return fail(Code::kInvalidArgument, fmt::format("artifact: '{}' should be '{}' and an ending",
                                                  provenance.artifact, release));
}

}  // namespace

std::string metric_text(double value) {
  std::string text = fmt::format("{:.4f}", value);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.ends_with('.')) text.pop_back();
  return text;
}

std::string to_text(const ReleaseName& release) {
  std::string date = release.trained_on;
  std::erase(date, '-');
  return fmt::format("{}-{}-{}-{}_{}", release.name, date, release.dataset, release.metric,
                     release.value);
}

Result<ReleaseName> parse_release_name(std::string_view text) {
  const auto wrong = [text](std::string_view what) {
    return fail(
        Code::kInvalidArgument,
        fmt::format("'{}': {}; a release is named NAME-YYYYMMDD-DATASET-METRIC, for example "
                    "vad-20261127-librispeech-auc_0.9731",
                    text, what));
  };
  std::string_view rest = text;
  const std::string_view metric = take_last(rest);
  const std::string_view dataset = take_last(rest);
  const std::string_view date = take_last(rest);
  const size_t under = metric.rfind('_');
  ReleaseName release;
  release.name = rest;
  if (rest.empty() || !parse_component_name(rest)) return wrong("NAME is missing or no name");
  if (date.size() == 8) {
    release.trained_on =
        fmt::format("{}-{}-{}", date.substr(0, 4), date.substr(4, 2), date.substr(6));
  }
  if (!is_date(release.trained_on)) return wrong(fmt::format("'{}' is no date", date));
  release.dataset = dataset;
  if (!is_data_set(dataset)) return wrong("DATASET has letters, digits, _ and . only");
  if (under == std::string_view::npos || !is_metric(metric.substr(0, under)) ||
      !is_decimal(metric.substr(under + 1))) {
    return wrong("METRIC is a name, _ and a number of 0 or more");
  }
  release.metric = metric.substr(0, under);
  release.value = metric.substr(under + 1);
  return release;
}

std::string release_name_of(const ModelProvenance& provenance) {
  const auto metric = provenance.metrics.find(provenance.metric);
  if (provenance.trained_on.empty() || provenance.dataset.empty() ||
      metric == provenance.metrics.end()) {
    return "";
  }
  return to_text(ReleaseName{provenance.model, provenance.trained_on, provenance.dataset,
                             provenance.metric, metric_text(metric->second)});
}

Result<void> check_component_name(std::string_view component, const ModelProvenance& provenance) {
  // Data sets and numbers have points: the release begins behind the last one before its date.
  const std::string release = release_name_of(provenance);
  if (!release.empty() && component.ends_with(release)) return {};
  for (size_t begin = 0; begin != std::string_view::npos;) {
    if (parse_release_name(component.substr(begin))) {
      return fail(Code::kInvalidArgument,
                  fmt::format("component {} names a release that is not this one, '{}'", component,
                              release));
    }
    begin = component.find('.', begin);
    if (begin != std::string_view::npos) ++begin;
  }
  return {};
}

Result<ModelProvenance> parse_model_provenance(const json& document) {
  const Node root(document, "");
  if (!root.is_object()) return fail(Code::kInvalidArgument, "provenance: must be an object");
  ModelProvenance provenance;
  for (const TextField& field : kTextFields) {
    SKERRY_ASSIGN(auto member, root.find(field.name));
    if (!member) continue;
    SKERRY_ASSIGN(provenance.*field.member, member->as_string());
    if ((provenance.*field.member).empty() || field.fits(provenance.*field.member)) continue;
    return member->wrong(fmt::format("must be {}", field.form));
  }
  if (provenance.model.empty()) return root.wrong("model: is missing");
  SKERRY_TRY(read_metrics(root, provenance));
  SKERRY_ASSIGN(auto optimiser, root.find("optimiser"));
  if (optimiser) {
    SKERRY_ASSIGN(provenance.optimiser, optimiser->as_text_map());
    size_t bytes = 0;
    for (const auto& [name, value] : provenance.optimiser) bytes += name.size() + value.size();
    if (bytes > kMaxOptimiserBytes) return optimiser->wrong("is longer than 16 KiB");
  }
  SKERRY_TRY(check_release(provenance));
  return provenance;
}

json to_json(const ModelProvenance& provenance) {
  json document = json::object();
  for (const TextField& field : kTextFields) {
    if (!(provenance.*field.member).empty()) document[field.name] = provenance.*field.member;
  }
  if (!provenance.metrics.empty()) document["metrics"] = provenance.metrics;
  if (!provenance.optimiser.empty()) document["optimiser"] = provenance.optimiser;
  return document;
}

}  // namespace skerry::formats
