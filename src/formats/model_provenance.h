// Where a version of a model comes from, and the names that say so: docs/data/model-provenance.md.
#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "base/error.h"

namespace skerry::formats {

// NAME-YYYYMMDD-DATASET-METRIC, for example "vad-20261127-librispeech_v3-auc_0.9731": a name that
// says what a file is wherever it turns up. The last three parts have no '-', NAME may.
struct ReleaseName {
  std::string name;
  std::string trained_on;  // "2026-11-27"
  std::string dataset;     // letters, digits, '_' and '.'
  std::string metric;      // letters, digits and '_'
  std::string value;       // "0.9731"
  bool operator==(const ReleaseName&) const = default;
};
std::string to_text(const ReleaseName& release);
// kInvalidArgument says which part is wrong, and how the whole looks.
Result<ReleaseName> parse_release_name(std::string_view text);
// 4 places behind the point at most: what stands in a name.
std::string metric_text(double value);

// "" and empty where it is not known.
struct ModelProvenance {
  std::string model;            // the name it is served under
  std::string artifact;         // the model file's name
  std::string artifact_sha256;  // lower-case hex
  std::string trained_on;       // "2026-11-27"
  std::string dataset;
  std::string dataset_version;
  std::string source_sha256;  // of what it was made from: code, or the model before optimisation
  std::string training_run;   // an id or address of the run
  std::string licence;        // SPDX: "MIT"
  std::string metric;         // the one of `metrics` that names it
  std::map<std::string, double> metrics;
  std::map<std::string, std::string> optimiser;  // its settings
  bool operator==(const ModelProvenance&) const = default;
};

// Untrusted. Training date, data set and metric come together or not at all; together, the
// artifact's name without its ending is the ReleaseName that they make.
Result<ModelProvenance> parse_model_provenance(const nlohmann::json& document);
nlohmann::json to_json(const ModelProvenance& provenance);
// The name that they make; "" where training date, data set or metric is not known.
std::string release_name_of(const ModelProvenance& provenance);
// Where the last part of a component's name is a ReleaseName, it has to be that of the provenance.
Result<void> check_component_name(std::string_view component, const ModelProvenance& provenance);

}  // namespace skerry::formats
