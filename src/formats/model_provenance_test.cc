// Names that say what a model is, and provenance documents.
#include "formats/model_provenance.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace skerry::formats {
namespace {

using nlohmann::json;

const json kProvenance = json::parse(R"json({
  "model": "vad", "artifact": "vad-20261127-librispeech_v3-auc_0.9731.onnx",
  "artifactSha256": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
  "trainedOn": "2026-11-27", "dataset": "librispeech_v3", "datasetVersion": "3.1 (cleaned)",
  "sourceSha256": "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
  "trainingRun": "https://runs.example.com/17", "licence": "MIT", "metric": "auc",
  "metrics": {"auc": 0.97312, "loss": 0.2}, "optimiser": {"quantise": "int8", "prune": "0.3"}})json");

std::string refusal(const json& document) {
  const auto parsed = parse_model_provenance(document);
  return parsed ? "accepted" : parsed.error().message();
}

TEST(ReleaseNameTest, BothWays) {
  for (const char* text : {"vad-20261127-librispeech_v3-auc_0.9731",
                           "a-b-c-20240229-d.1-f1_score_1", "x-19991231-D-top_5_acc_99.25"}) {
    const auto release = parse_release_name(text);
    ASSERT_TRUE(release) << release.error().message();
    EXPECT_EQ(to_text(*release), text);
  }
  const auto release = parse_release_name("a-b-20240229-d.1-f1_score_0.5");
  EXPECT_EQ(*release, (ReleaseName{"a-b", "2024-02-29", "d.1", "f1_score", "0.5"}));
}

TEST(ReleaseNameTest, WhatIsNone) {
  for (const char* text :
       {"", "vad", "20261127-d-auc_1", "-20261127-d-auc_1", "vad-20261327-d-auc_1",
        "vad-20230229-d-auc_1", "vad-2026112-d-auc_1", "vad-20261127--auc_1", "vad-20261127-d-auc",
        "vad-20261127-d-auc_", "vad-20261127-d-_1", "vad-20261127-d-auc_-1",
        "vad-20261127-d-auc_1.", "vad-20261127-d-auc_1e5", "..-20261127-d-auc_1",
        "v/d-20261127-d-auc_1"}) {
    const auto release = parse_release_name(text);
    ASSERT_FALSE(release) << text;
    EXPECT_NE(release.error().message().find("NAME-YYYYMMDD-DATASET-METRIC"), std::string::npos);
  }
}

TEST(ModelProvenanceTest, BothWays) {
  const auto provenance = parse_model_provenance(kProvenance);
  ASSERT_TRUE(provenance) << provenance.error().message();
  EXPECT_EQ(to_json(*provenance), kProvenance);
  EXPECT_EQ(release_name_of(*provenance), "vad-20261127-librispeech_v3-auc_0.9731");
  EXPECT_TRUE(parse_model_provenance({{"model", "vad"}}));
}

TEST(ModelProvenanceTest, ErrorsNameTheField) {
  const auto with = [](const char* key, json value) {
    json document = kProvenance;
    document[key] = std::move(value);
    return refusal(document);
  };
  EXPECT_EQ(with("trainedOn", "27.11.2026"), "trainedOn: must be a date such as 2026-11-27");
  EXPECT_EQ(with("sourceSha256", "B"), "sourceSha256: must be 64 lower-case hex digits");
  EXPECT_EQ(with("dataset", "a-b"), "dataset: must be letters, digits, _ and . only");
  EXPECT_EQ(with("licence", "a\nb"), "licence: must be a line of 256 bytes at most");
  EXPECT_NE(with("optimiser", 1), "accepted");
  EXPECT_NE(with("metric", "f1").find("has no 'f1'"), std::string::npos);
  EXPECT_NE(
      with("metrics", json{{"auc", 0.5}}).find("should be 'vad-20261127-librispeech_v3-auc_0.5'"),
      std::string::npos);
  EXPECT_NE(with("dataset", nullptr).find("come together"), std::string::npos);
  EXPECT_NE(with("model", nullptr).find("model: is missing"), std::string::npos);
  EXPECT_EQ(refusal(json::array()), "provenance: must be an object");
}

TEST(ModelProvenanceTest, AComponentThatIsNamedAfterAReleaseIsThatOne) {
  const auto provenance = parse_model_provenance(kProvenance);
  const auto check = [&](const char* component) {
    return check_component_name(component, *provenance).has_value();
  };
  EXPECT_TRUE(check("com.example.Vad"));
  EXPECT_TRUE(check("com.example.vad-20261127-librispeech_v3-auc_0.9731"));
  EXPECT_FALSE(check("com.example.vad-20261128-librispeech_v3-auc_0.9731"));
  EXPECT_FALSE(check("vad-20261127-librispeech_v3-auc_0.8"));
}

}  // namespace
}  // namespace skerry::formats
