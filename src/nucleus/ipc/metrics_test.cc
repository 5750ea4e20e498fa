// PutComponentMetric: who may, and what is a metric.
#include "nucleus/metrics.h"
#include "nucleus/ipc/test_operations.h"

namespace skerry::nucleus {
namespace {

constexpr const char* kMetricsAllowed = R"({"accessControl":{
  "aws.greengrass.ipc.componentmetric": {"p": {"operations": ["aws.greengrass#PutComponentMetric"], "resources": ["*"]}}}})";

json metric(const json& name, const json& unit, const json& value) {
  return {{"name", name}, {"unit", unit}, {"value", value}};
}

TEST_F(IpcOperationsTest, ComponentsPutMetricsWhereTheyMay) {
  const json request = {
      {"metrics", {metric("Frames", "COUNT", 3), metric("Wait", "seconds", 0.5)}}};
  expect_error(ask("TOKEN-APP", "PutComponentMetric", request), "UnauthorizedError", "app");
  configure("app", kMetricsAllowed, 2);
  for (int i = 0; i < 2; ++i) {
    const Got got = ask("TOKEN-APP", "PutComponentMetric", request);
    EXPECT_EQ(got.shape, "aws.greengrass#PutComponentMetricResponse") << got.body;
  }
  const auto& current = host_.device_metrics.current();
  EXPECT_EQ(current.at({"app", "Frames", "COUNT"}).total(), 6);
  EXPECT_EQ(current.at({"app", "Wait", "SECONDS"}).mean(), 0.5);
  EXPECT_EQ(current.size(), 2u);
}

TEST_F(IpcOperationsTest, WhatIsNoMetricIsRefusedAsAWhole) {
  configure("app", kMetricsAllowed, 2);
  const json good = metric("Frames", "COUNT", 1);
  const std::pair<json, const char*> wrong[] = {
      {json(), "metrics"},
      {json::array(), "metrics"},
      {"Frames", "metrics"},
      {json::array({good, 7}), "name"},
      {json::array({good, metric("", "COUNT", 1)}), "name"},
      {json::array({good, metric(std::string(33, 'x'), "COUNT", 1)}), "name"},
      {json::array({good, metric("a\nb", "COUNT", 1)}), "name"},
      {json::array({good, metric(std::string("a\0b", 3), "COUNT", 1)}), "name"},
      {json::array({good, metric("A", "PARSECS", 1)}), "unit"},
      {json::array({good, metric("A", json(), 1)}), "unit"},
      {json::array({good, metric("A", "COUNT", -1)}), "value"},
      {json::array({good, metric("A", "COUNT", "1")}), "value"},
      {json::array({good, metric("A", "COUNT", json())}), "value"},
      {json(257, good), "256"},
  };
  for (const auto& [metrics, says] : wrong) {
    expect_error(ask("TOKEN-APP", "PutComponentMetric", {{"metrics", metrics}}),
                 "InvalidArgumentsError", says);
  }
  EXPECT_TRUE(host_.device_metrics.current().empty());
  for (int i = 0; i < 64; ++i) {
    ask("TOKEN-APP", "PutComponentMetric",
        {{"metrics", {metric("N" + std::to_string(i), "COUNT", 1)}}});
  }
  expect_error(ask("TOKEN-APP", "PutComponentMetric", {{"metrics", {metric("More", "COUNT", 1)}}}),
               "ServiceError", "Too many metrics");
}

}  // namespace
}  // namespace skerry::nucleus
