// What a rollout document may say, and what is said about a wrong one.
#include "fleet/rollout/plan.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>

#include "test_paths.h"

namespace skerry::fleet::rollout {
namespace {

using nlohmann::json;

// `list` is the inside of the array of stages.
std::string refusal_of(const json& document) {
  auto plan = parse_plan(document);
  return plan ? "" : plan.error().message();
}
std::string refusal(const std::string& text) {
  return refusal_of(json::parse(text));
}
std::string stages(const std::string& list) {
  return R"({"stages": [)" + list + "]}";
}
std::string aws_refusal(const json& document) {
  auto plan = parse_job_configuration(document);
  return plan ? "" : plan.error().message();
}
bool names(const std::string& message, std::string_view part) {
  EXPECT_NE(message.find(part), std::string::npos) << "'" << message << "' lacks " << part;
  return message.contains(part);
}

TEST(Plan, EveryFieldIsReadAndPrinted) {
  const json document = json::parse(R"({
    "canaryGroup": "brave",
    "stages": [{"canary": true, "bakeMinutes": 10},
               {"percent": 1, "bakeSeconds": 60, "approval": true,
                "gates": [{"metric": "deploymentFailures", "tolerance": 0.01},
                          {"metric": "meanConfidence", "tolerance": 0.05, "minDevices": 40}]},
               {"devices": 500}, {"percent": 50.5}, {"percent": 100}],
    "windows": [{"days": ["mon", "fri"], "start": "22:00", "end": "04:00", "timeZone": "Europe/Berlin"}],
    "site": {"attribute": "plant", "maxConcurrent": 3, "maxBytesPerSecond": 1000000},
    "retry": {"attempts": 2, "delaySeconds": 30},
    "rate": {"exponentialRate": {"baseRatePerMinute": 10, "incrementFactor": 1.5,
                                 "rateIncreaseCriteria": {"numberOfSucceededThings": 20}}},
    "abort": {"criteriaList": [{"failureType": "ALL", "action": "CANCEL", "thresholdPercentage": 12.25,
                                "minNumberOfExecutedThings": 8}]},
    "inProgressTimeoutSeconds": 600, "silenceTimeoutSeconds": 0, "evidenceTimeoutSeconds": 7200,
    "falseAlarm": 0.005, "onFailure": "pause"})");
  auto plan = parse_plan(document);
  ASSERT_TRUE(plan) << plan.error().message();
  EXPECT_EQ(plan->stages.size(), 5u);
  EXPECT_EQ(plan->stages[0].bake_s, 600);
  EXPECT_EQ(plan->stages[1].gates[1].metric, Metric::kMeanConfidence);
  EXPECT_EQ(plan->rate.factor, 1.5);
  EXPECT_EQ(plan->on_failure, OnFailure::kPause);
  auto again = parse_plan(to_json(*plan));
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(*again, *plan);
}

TEST(Plan, WithoutMoreItGatesOnFailuresAndRollsBack) {
  auto plan = parse_plan(json::parse(stages(R"({"percent": 1}, {"percent": 100})")));
  ASSERT_TRUE(plan) << plan.error().message();
  EXPECT_EQ(plan->on_failure, OnFailure::kRollback);
  ASSERT_EQ(plan->stages[0].gates.size(), 1u);
  EXPECT_EQ(plan->stages[0].gates[0].metric, Metric::kDeploymentFailures);
  EXPECT_GT(plan->silence_timeout_s, 0);
}

TEST(Plan, ANamedCanaryGroupIsTheFirstStage) {
  auto plan = parse_plan(
      json::parse(R"({"canaryGroup": "brave", "stages": [{"percent": 100, "bakeSeconds": 5}]})"));
  ASSERT_TRUE(plan) << plan.error().message();
  ASSERT_EQ(plan->stages.size(), 2u);
  EXPECT_EQ(plan->stages[0].size, Stage::Size::kCanaryGroup);
  EXPECT_EQ(plan->stages[0].bake_s, 5);
}

TEST(Plan, WrongDocumentsNameTheFieldAndTheRemedy) {
  const std::string all = R"({"percent": 100})";
  const std::pair<std::string, const char*> kWrong[] = {
      {stages(R"({"percent": 50}, {"percent": 10}, )" + all), "stages[1]"},
      {stages(R"({"percent": 10}, {"percent": 10}, )" + all), "must rise"},
      {stages(R"({"devices": 10}, {"devices": 5}, )" + all), "must rise"},
      {stages(R"({"percent": 50})"), "last stage"},
      {stages(R"({"percent": 0}, )" + all), "empty stage"},
      {stages(R"({"percent": 101})"), "stages[0].percent"},
      {stages(R"({"percent": -1}, )" + all), "stages[0].percent"},
      {stages(R"({"percent": "some"}, )" + all), "stages[0].percent"},
      {stages(R"({"percent": 5, "devices": 5}, )" + all), "exactly one"},
      {stages("{}, " + all), "exactly one"},
      {stages(R"({"canary": true}, )" + all), "canaryGroup"},
      {stages(R"({"canary": false}, )" + all), "canary"},
      {stages(""), "stages"},
      {"{}", "rollout.stages"},
      {"[]", "rollout"},
      {"7", "rollout"},
      {stages(R"({"percent": 100, "bakeSeconds": -1})"), "bakeSeconds"},
      {stages(R"({"percent": 100, "bake": 1})"), "bakeSeconds"},
      {stages(R"({"percent": 100, "gates": [{"metric": "vibes"}]})"), "deploymentFailures"},
      {stages(
           R"({"percent": 100, "gates": [{"metric": "meanConfidence"}, {"metric": "meanConfidence"}]})"),
       "second gate"},
      {R"({"stages": [{"percent": 100}], "stagez": 1})", "stagez"},
      {R"({"stages": [{"percent": 100}], "site": {"attribute": "plant"}})", "caps nothing"},
      {R"({"stages": [{"percent": 100}], "windows": []})", "windows"},
      {R"({"stages": [{"percent": 100}], "windows": [{"start": "1", "end": "2"}]})",
       "windows[0].start"},
      {R"({"stages": [{"percent": 100}], "rate": {"maximumPerMinut": 5}})", "maximumPerMinut"},
      {R"({"stages": [{"percent": 100}], "rate": {}})", "limits nothing"},
      {R"({"stages": [{"percent": 100}], "rate": {"exponentialRate": {"baseRatePerMinute": 1,
          "incrementFactor": 2, "rateIncreaseCriteria": {"numberOfNotifiedThings": 1, "x": 1}}}})",
       "rateIncreaseCriteria.x"},
      {R"({"stages": [{"percent": 100}], "abort": {"criteriaList": [{"failureType": "ALL",
          "action": "CANCEL", "thresholdPercentage": 5, "minNumberOfExecutedThings": 1,
          "minutes": 5}]}})",
       "minutes"},
      {R"({"stages": [{"percent": 100}], "abort": {"criteriaList": [], "criteria": []}})",
       "abort.criteria"},
      {R"({"stages": [{"percent": 100}], "onFailure": "shrug"})", "rollback"},
      {R"({"stages": [{"percent": 100}], "falseAlarm": 0})", "falseAlarm"},
      {R"({"stages": [{"percent": 100}], "retry": {"attempts": 11}})", "retry.attempts"},
  };
  for (const auto& [document, part] : kWrong) {
    EXPECT_TRUE(names(refusal(document), part)) << document;
  }
}

TEST(Plan, JobConfigurationIsOneStageThatCancels) {
  auto plan = parse_job_configuration(json::parse(R"({
    "jobExecutionsRolloutConfig": {"exponentialRate": {"baseRatePerMinute": 5, "incrementFactor": 2.5,
      "rateIncreaseCriteria": {"numberOfNotifiedThings": 10}}},
    "abortConfig": {"criteriaList": [{"failureType": "TIMED_OUT", "action": "CANCEL",
      "thresholdPercentage": 50, "minNumberOfExecutedThings": 4}]},
    "timeoutConfig": {"inProgressTimeoutInMinutes": 5}})"));
  ASSERT_TRUE(plan && *plan);
  EXPECT_EQ((*plan)->stages.size(), 1u);
  EXPECT_TRUE((*plan)->stages[0].gates.empty());
  EXPECT_EQ((*plan)->on_failure, OnFailure::kCancel);
  EXPECT_EQ((*plan)->in_progress_timeout_s, 300);
  EXPECT_EQ((*plan)->silence_timeout_s, 0);
  EXPECT_EQ((*plan)->rate.notified, 10);
}

TEST(Plan, AJobConfigurationThatLimitsNothingIsNone) {
  EXPECT_FALSE(parse_job_configuration(json::object()).value());
  EXPECT_FALSE(parse_job_configuration({{"jobExecutionsRolloutConfig", json::object()}}).value());
  EXPECT_FALSE(parse_job_configuration({{"timeoutConfig", json::object()}}).value());
}

TEST(Plan, RangesOfTheJobConfigurationAreThoseOfTheApi) {
  const auto rate = [](const json& value) {
    return aws_refusal({{"jobExecutionsRolloutConfig", value}});
  };
  for (int wrong : {0, -1, 1001}) {
    EXPECT_TRUE(names(rate({{"maximumPerMinute", wrong}}), "maximumPerMinute"));
    EXPECT_TRUE(names(rate({{"exponentialRate",
                             {{"baseRatePerMinute", wrong},
                              {"incrementFactor", 2},
                              {"rateIncreaseCriteria", {{"numberOfNotifiedThings", 1}}}}}}),
                      "baseRatePerMinute"));
  }
  for (double wrong : {0.9, 5.1, 1.25}) {
    EXPECT_TRUE(names(rate({{"exponentialRate",
                             {{"baseRatePerMinute", 1},
                              {"incrementFactor", wrong},
                              {"rateIncreaseCriteria", {{"numberOfNotifiedThings", 1}}}}}}),
                      "incrementFactor"));
  }
  EXPECT_TRUE(names(rate({{"exponentialRate",
                           {{"baseRatePerMinute", 1},
                            {"incrementFactor", 2},
                            {"rateIncreaseCriteria", json::object()}}}}),
                    "rateIncreaseCriteria"));
  const auto abort = [](const json& criterion) {
    json list = json::array();
    list.push_back(criterion);
    return aws_refusal({{"abortConfig", {{"criteriaList", list}}}});
  };
  const json fine = {{"failureType", "FAILED"},
                     {"action", "CANCEL"},
                     {"thresholdPercentage", 1},
                     {"minNumberOfExecutedThings", 1}};
  ASSERT_EQ(abort(fine), "");
  for (const auto& [field, wrong] :
       std::vector<std::pair<std::string, json>>{{"failureType", "SULKED"},
                                                 {"action", "PAUSE"},
                                                 {"thresholdPercentage", 100.5},
                                                 {"thresholdPercentage", 1.125},
                                                 {"minNumberOfExecutedThings", 0}}) {
    json changed = fine;
    changed[field] = wrong;
    EXPECT_TRUE(names(abort(changed), field));
    changed.erase(field);
    EXPECT_TRUE(names(abort(changed), field));
  }
  EXPECT_TRUE(
      names(aws_refusal({{"abortConfig", {{"criteriaList", json::array()}}}}), "criteriaList"));
  for (int wrong : {0, 10'081}) {
    EXPECT_TRUE(names(aws_refusal({{"timeoutConfig", {{"inProgressTimeoutInMinutes", wrong}}}}),
                      "inProgressTimeoutInMinutes"));
  }
}

TEST(Plan, AQuotaIsAtLeastOneDeviceAndNeverTooMany) {
  Stage stage;
  stage.percent = 1;
  EXPECT_EQ(quota(stage, 0), 0);
  EXPECT_EQ(quota(stage, 1), 1);
  EXPECT_EQ(quota(stage, 100), 1);
  EXPECT_EQ(quota(stage, 101), 2);
  EXPECT_EQ(quota(stage, 1'000'000), 10'000);
  stage.percent = 100;
  EXPECT_EQ(quota(stage, 7), 7);
  stage.size = Stage::Size::kDevices;
  stage.devices = 50;
  EXPECT_EQ(quota(stage, 7), 7);
  EXPECT_EQ(quota(stage, 70), 50);
}

TEST(Plan, JobConfigurationsAtEveryBoundOfTheServiceModel) {
  const auto rate = [](const json& base, const json& factor, const char* name, const json& things) {
    return json{{"jobExecutionsRolloutConfig",
                 {{"exponentialRate",
                   {{"baseRatePerMinute", base},
                    {"incrementFactor", factor},
                    {"rateIncreaseCriteria", {{name, things}}}}}}}};
  };
  const auto most = [](const json& value) {
    return json{{"jobExecutionsRolloutConfig", {{"maximumPerMinute", value}}}};
  };
  const auto abort = [](const char* type, const json& percentage, const json& least) {
    return json{{"abortConfig",
                 {{"criteriaList",
                   {{{"failureType", type},
                     {"action", "CANCEL"},
                     {"thresholdPercentage", percentage},
                     {"minNumberOfExecutedThings", least}}}}}}};
  };
  const auto timeout = [](const json& minutes) {
    return json{{"timeoutConfig", {{"inProgressTimeoutInMinutes", minutes}}}};
  };
  const char* notified = "numberOfNotifiedThings";
  const char* succeeded = "numberOfSucceededThings";
  for (const json& fine :
       {most(1), most(1000), rate(1, 1, notified, 1), rate(1000, 5, succeeded, INT32_MAX),
        rate(1, 1.1, notified, INT32_MAX), rate(1, 4.9, succeeded, 1), abort("ALL", 0, 1),
        abort("FAILED", 100, INT32_MAX), abort("REJECTED", 0.01, 1), abort("TIMED_OUT", 99.99, 1),
        timeout(1), timeout(10'080), json::object()}) {
    EXPECT_EQ(aws_refusal(fine), "") << fine;
  }
  const std::pair<json, const char*> kWrong[] = {
      {most(0), "maximumPerMinute"},
      {most(1001), "maximumPerMinute"},
      {rate(0, 1, notified, 1), "baseRatePerMinute"},
      {rate(1001, 1, notified, 1), "baseRatePerMinute"},
      {rate(1, 0.9, notified, 1), "incrementFactor"},
      {rate(1, 5.1, notified, 1), "incrementFactor"},
      {rate(1, 1.25, notified, 1), "incrementFactor"},
      {rate(1, 2, notified, 0), notified},
      {rate(1, 2, succeeded, int64_t{INT32_MAX} + 1), succeeded},
      {abort("ALL", -0.01, 1), "thresholdPercentage"},
      {abort("ALL", 100.01, 1), "thresholdPercentage"},
      {abort("ALL", 1.005, 1), "thresholdPercentage"},
      {abort("ALL", 1, 0), "minNumberOfExecutedThings"},
      {abort("ALL", 1, int64_t{INT32_MAX} + 1), "minNumberOfExecutedThings"},
      {abort("SOME", 1, 1), "failureType"},
      {timeout(0), "inProgressTimeoutInMinutes"},
      {timeout(10'081), "inProgressTimeoutInMinutes"}};
  for (const auto& [document, part] : kWrong) {
    EXPECT_TRUE(names(aws_refusal(document), part)) << document;
  }
}

// --- The table of fields in docs/data/rollout.md ---

struct FieldRow {
  std::string path;  // "stages[].bakeSeconds"
  std::string range, otherwise;
};

std::vector<FieldRow> documented() {
  std::ifstream page(SKERRY_SOURCE_DIR "/docs/data/rollout.md");
  const std::regex row(R"(\| `([^`]+)`[^|]* \| [^|]* \| ([^|]*) \| ([^|]*) \|)");
  std::vector<FieldRow> rows;
  std::smatch match;
  for (std::string line; std::getline(page, line);) {
    if (std::regex_match(line, match, row)) rows.push_back({match[1], match[2], match[3]});
  }
  return rows;
}

// A document that is right, with `value` at the field; null: without it.
json document_with(const std::string& path, const json& value) {
  json document = {{"stages", {{{"percent", 100}}}}};
  const size_t dot = path.rfind('.');
  const std::string parent = dot == std::string::npos ? "" : path.substr(0, dot);
  const std::string member = dot == std::string::npos ? path : path.substr(dot + 1);
  json* at = &document;
  if (parent == "gates[]") {
    document["stages"][0]["gates"] = {{{"metric", "deploymentFailures"}}};
    at = &document["stages"][0]["gates"][0];
  } else if (parent == "stages[]") {
    if (member == "devices") {
      document["stages"] = {json::object(), {{"percent", 100}}};
    }
    at = &document["stages"][0];
  } else if (parent == "site") {
    document["site"] = {{"attribute", "plant"}, {"maxConcurrent", 1}};
    at = &document["site"];
  } else if (!parent.empty()) {
    at = &document[parent];
  }
  if (!value.is_null()) (*at)[member] = value;
  return document;
}

json number(const std::string& text) {
  return json::parse(text);
}

TEST(Plan, TheDocumentedRangesAreThoseOfTheCode) {
  const std::regex range(R"(([0-9.]+) to ([0-9.]+))");
  int tried = 0;
  for (const FieldRow& row : documented()) {
    std::smatch match;
    if (!std::regex_match(row.range, match, range)) continue;
    ++tried;
    const json low = number(match[1]), high = number(match[2]);
    const bool is_whole = low.is_number_integer() && high.is_number_integer() &&
                          row.path != "gates[].tolerance" && row.path != "gates[].baseline";
    const json below = is_whole ? json(low.get<int64_t>() - 1) : json(low.get<double>() - 1e-7);
    const json above = is_whole ? json(high.get<int64_t>() + 1) : json(high.get<double>() + 1e-7);
    const std::string member = row.path.substr(row.path.rfind('.') + 1);
    for (const json& inside : {low, high}) {
      EXPECT_EQ(refusal_of(document_with(row.path, inside)), "") << row.path << " = " << inside;
    }
    for (const json& outside : {below, above}) {
      EXPECT_TRUE(names(refusal_of(document_with(row.path, outside)), member))
          << row.path << " = " << outside;
    }
  }
  EXPECT_GE(tried, 14);
}

TEST(Plan, TheDocumentedDefaultsAreThoseOfTheCode) {
  int tried = 0;
  for (const FieldRow& row : documented()) {
    std::string text = row.otherwise;
    std::erase(text, '`');
    if (text == "rollback") text = "\"rollback\"";
    const json otherwise = json::parse(text, nullptr, false);
    if (otherwise.is_discarded() || row.path == "stages[].bakeMinutes") continue;
    ++tried;
    auto plain = parse_plan(document_with(row.path, json()));
    auto said = parse_plan(document_with(row.path, otherwise));
    ASSERT_TRUE(plain && said) << row.path;
    EXPECT_EQ(*plain, *said) << row.path;
  }
  EXPECT_GE(tried, 10);
}

TEST(Plan, EveryFieldThatIsReadIsDocumented) {
  std::set<std::string> pages;
  for (const FieldRow& row : documented()) {
    pages.insert(row.path.substr(0, row.path.find_first_of("[.")));
    pages.insert(row.path.substr(row.path.rfind('.') + 1));
  }
  pages.insert("end");  // stands beside start
  for (const char* path : {"x", "stages[].x", "gates[].x", "site.x", "retry.x"}) {
    std::string known = refusal_of(document_with(path, 1));
    const std::string lead = "is no field here; there are: ";
    ASSERT_NE(known.find(lead), std::string::npos) << known;
    known = known.substr(known.find(lead) + lead.size());
    const std::regex word("[A-Za-z]+");
    for (std::sregex_iterator it(known.begin(), known.end(), word), end; it != end; ++it) {
      EXPECT_TRUE(pages.contains(it->str())) << it->str();
    }
  }
}

}  // namespace
}  // namespace skerry::fleet::rollout
