// The rollout document: fields, their ranges, and what an operator is told where they are wrong.
#include "fleet/rollout/plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "formats/node.h"

namespace skerry::fleet::rollout {
namespace {

using formats::Node;
using nlohmann::json;

constexpr formats::EnumNames<Metric, 10> kMetrics = {
    {{Metric::kDeploymentFailures, "deploymentFailures"},
     {Metric::kUnhealthyDevices, "unhealthyDevices"},
     {Metric::kComponentErrors, "componentErrors"},
     {Metric::kFiringAlerts, "firingAlerts"},
     {Metric::kComponentRestarts, "componentRestarts"},
     {Metric::kInferenceErrors, "inferenceErrors"},
     {Metric::kInferenceLatency, "inferenceLatency"},
     {Metric::kMeanConfidence, "meanConfidence"},
     {Metric::kClassDistribution, "classDistribution"},
     {Metric::kWatchdogAlarms, "watchdogAlarms"}}};
constexpr formats::EnumNames<OnFailure, 3> kOnFailure = {{{OnFailure::kRollback, "rollback"},
                                                          {OnFailure::kPause, "pause"},
                                                          {OnFailure::kCancel, "cancel"}}};
constexpr formats::EnumNames<AbortCriterion::Failure, 4> kFailures = {
    {{AbortCriterion::Failure::kFailed, "FAILED"},
     {AbortCriterion::Failure::kRejected, "REJECTED"},
     {AbortCriterion::Failure::kTimedOut, "TIMED_OUT"},
     {AbortCriterion::Failure::kAll, "ALL"}}};

constexpr size_t kMaxStages = 100, kMaxWindows = 32;
constexpr int64_t kMostSeconds = 366 * 86'400, kMostDevices = 100'000'000;
constexpr int64_t kMostOfAws = INT32_MAX;  // its integers

// A member that this version does not know would be a condition that nobody enforces.
Result<void> only(const Node& node, std::initializer_list<std::string_view> known) {
  SKERRY_ASSIGN(auto members, node.members());
  for (const auto& [key, member] : members) {
    const bool fine = std::ranges::any_of(
        known, [&](std::string_view each) { return formats::equal_ignoring_case(each, key); });
    if (!fine)
      return member.wrong(fmt::format("is no field here; there are: {}", fmt::join(known, ", ")));
  }
  return {};
}

Result<void> read_integer(const Node& node, std::string_view key, int64_t least, int64_t most,
                          int64_t& out) {
  SKERRY_ASSIGN(auto member, node.find(key));
  if (!member) return {};
  SKERRY_ASSIGN(out, member->as_integer());
  if (out >= least && out <= most) return {};
  return member->wrong(fmt::format("{} is outside {} to {}", out, least, most));
}

Result<void> read_number(const Node& node, std::string_view key, double least, double most,
                         double& out) {
  SKERRY_ASSIGN(auto member, node.find(key));
  if (!member) return {};
  SKERRY_ASSIGN(out, member->as_number());
  if (out >= least && out <= most) return {};
  return member->wrong(fmt::format("{} is outside {} to {}", out, least, most));
}

Result<Gate> parse_gate(const Node& node) {
  SKERRY_TRY(only(node, {"metric", "tolerance", "minDevices", "baseline"}));
  Gate gate;
  SKERRY_ASSIGN(auto metric, node.require("metric"));
  SKERRY_ASSIGN(gate.metric, metric.as_enum(kMetrics));
  SKERRY_TRY(read_number(node, "tolerance", 0, 10, gate.tolerance));
  SKERRY_TRY(read_integer(node, "minDevices", 1, kMostDevices, gate.min_devices));
  SKERRY_TRY(read_number(node, "baseline", 0, 1, gate.baseline));
  return gate;
}

Result<void> parse_gates(const Node& node, std::vector<Gate>& gates) {
  SKERRY_ASSIGN(auto member, node.find("gates"));
  if (!member) {
    gates = {Gate{}};
    return {};
  }
  SKERRY_ASSIGN(auto elements, member->elements());
  std::set<Metric> seen;
  for (const Node& each : elements) {
    SKERRY_ASSIGN(Gate gate, parse_gate(each));
    if (!seen.insert(gate.metric).second) {
      return each.wrong("a second gate on this metric: keep the stricter one");
    }
    gates.push_back(gate);
  }
  return {};
}

Result<void> parse_size(const Node& node, Stage& stage) {
  SKERRY_ASSIGN(auto percent, node.find("percent"));
  SKERRY_ASSIGN(auto devices, node.find("devices"));
  SKERRY_ASSIGN(auto canary, node.find("canary"));
  const int given = int{percent.has_value()} + int{devices.has_value()} + int{canary.has_value()};
  if (given != 1) {
    return node.wrong("must have exactly one of percent, devices and canary");
  }
  if (percent) {
    stage.size = Stage::Size::kPercent;
    SKERRY_TRY(read_number(node, "percent", 0, 100, stage.percent));
    if (stage.percent == 0) return percent->wrong("0 is an empty stage: give more than 0");
  } else if (devices) {
    stage.size = Stage::Size::kDevices;
    SKERRY_TRY(read_integer(node, "devices", 1, kMostDevices, stage.devices));
  } else {
    stage.size = Stage::Size::kCanaryGroup;
    SKERRY_ASSIGN(bool is_canary, canary->as_bool());
    if (!is_canary) return canary->wrong("must be true where it is given");
  }
  return {};
}

Result<Stage> parse_stage(const Node& node) {
  SKERRY_TRY(only(
      node, {"percent", "devices", "canary", "bakeSeconds", "bakeMinutes", "approval", "gates"}));
  Stage stage;
  SKERRY_TRY(parse_size(node, stage));
  int64_t minutes = 0;
  SKERRY_TRY(read_integer(node, "bakeSeconds", 0, kMostSeconds, stage.bake_s));
  SKERRY_TRY(read_integer(node, "bakeMinutes", 0, kMostSeconds / 60, minutes));
  if (minutes > 0 && stage.bake_s > 0) {
    return node.wrong("has both bakeSeconds and bakeMinutes: give one");
  }
  stage.bake_s += minutes * 60;
  SKERRY_TRY(node.read("approval", stage.needs_approval));
  SKERRY_TRY(parse_gates(node, stage.gates));
  return stage;
}

// Each stage holds more than the one before it, as far as that can be said without the fleet.
Result<void> check_order(const Node& stages, const Plan& plan) {
  double percent = 0;
  int64_t devices = 0;
  for (size_t i = 0; i < plan.stages.size(); ++i) {
    const Stage& stage = plan.stages[i];
    const std::string where = fmt::format("[{}]", i);
    const Node at(stages.value(), stages.path() + where);
    if (stage.size == Stage::Size::kCanaryGroup) {
      if (plan.canary_group.empty()) {
        return at.wrong("is the canary stage, but canaryGroup names no group: name one");
      }
      if (i != 0) return at.wrong("the canary stage must be the first one");
    } else if (stage.size == Stage::Size::kPercent) {
      if (stage.percent <= percent) {
        return at.wrong(
            fmt::format("{} % is not more than the {} % before it: percentages count "
                        "the whole target and must rise",
                        stage.percent, percent));
      }
      percent = stage.percent;
    } else {
      if (stage.devices <= devices) {
        return at.wrong(
            fmt::format("{} devices are not more than the {} before: numbers count all "
                        "devices so far and must rise",
                        stage.devices, devices));
      }
      devices = stage.devices;
    }
  }
  const Stage& last = plan.stages.back();
  if (last.size == Stage::Size::kPercent && last.percent == 100) return {};
  return stages.wrong("the last stage must be {\"percent\": 100}, so that the rollout can end");
}

Result<void> parse_stages(const Node& node, Plan& plan) {
  SKERRY_ASSIGN(auto stages, node.require("stages"));
  SKERRY_ASSIGN(auto elements, stages.elements());
  if (elements.empty()) return stages.wrong("is empty: give at least {\"percent\": 100}");
  if (elements.size() > kMaxStages) {
    return stages.wrong(fmt::format("has {} stages, at most {}", elements.size(), kMaxStages));
  }
  for (const Node& each : elements) {
    SKERRY_ASSIGN(Stage stage, parse_stage(each));
    plan.stages.push_back(std::move(stage));
  }
  SKERRY_TRY(check_order(stages, plan));
  if (!plan.canary_group.empty() && plan.stages.front().size != Stage::Size::kCanaryGroup) {
    Stage canary = plan.stages.front();
    canary.size = Stage::Size::kCanaryGroup;
    plan.stages.insert(plan.stages.begin(), canary);
  }
  return {};
}

Result<void> parse_windows(const Node& node, Plan& plan) {
  SKERRY_ASSIGN(auto windows, node.find("windows"));
  if (!windows) return {};
  SKERRY_ASSIGN(auto elements, windows->elements());
  if (elements.empty()) return windows->wrong("is empty, so no window opens: leave it out");
  if (elements.size() > kMaxWindows) return windows->wrong("has more than 32 windows");
  for (const Node& each : elements) {
    SKERRY_TRY(only(each, {"days", "start", "end", "timeZone"}));
    SKERRY_ASSIGN(Window window, parse_window(each));
    plan.windows.push_back(std::move(window));
  }
  return {};
}

Result<void> parse_site(const Node& node, Plan& plan) {
  SKERRY_ASSIGN(auto site, node.find("site"));
  if (!site) return {};
  SKERRY_TRY(only(*site, {"attribute", "maxConcurrent", "maxBytesPerSecond"}));
  SKERRY_ASSIGN(auto attribute, site->require("attribute"));
  SKERRY_ASSIGN(plan.site.attribute, attribute.as_string());
  if (plan.site.attribute.empty()) return attribute.wrong("is empty: name an attribute of things");
  SKERRY_TRY(read_integer(*site, "maxConcurrent", 1, kMostDevices, plan.site.max_concurrent));
  SKERRY_TRY(read_integer(*site, "maxBytesPerSecond", 1, int64_t{1} << 50,
                          plan.site.max_bytes_per_second));
  if (plan.site.max_concurrent > 0 || plan.site.max_bytes_per_second > 0) return {};
  return site->wrong("caps nothing: give maxConcurrent or maxBytesPerSecond");
}

Result<void> parse_retry(const Node& node, Plan& plan) {
  SKERRY_ASSIGN(auto retry, node.find("retry"));
  if (!retry) return {};
  SKERRY_TRY(only(*retry, {"attempts", "delaySeconds"}));
  SKERRY_TRY(read_integer(*retry, "attempts", 0, 10, plan.retry.attempts));
  return read_integer(*retry, "delaySeconds", 0, kMostSeconds, plan.retry.delay_s);
}

// --- iotJobConfiguration: names and ranges of the AWS API ---

Result<void> positive(const Node& node, std::string_view key, int64_t most, int64_t& out) {
  SKERRY_TRY(node.require(key));
  return read_integer(node, key, 1, most, out);
}

// So many decimals as the API takes.
Result<void> check_decimals(const Node& node, std::string_view key, double value, double scale) {
  SKERRY_ASSIGN(auto member, node.require(key));
  if (std::abs(value * scale - std::round(value * scale)) < 1e-6) return {};
  return member.wrong(
      fmt::format("{} has more decimals than {}", value, scale == 10 ? "one" : "two"));
}

Result<void> parse_rate(const Node& node, Rate& rate) {
  SKERRY_ASSIGN(auto maximum, node.find("maximumPerMinute"));
  SKERRY_ASSIGN(auto exponential, node.find("exponentialRate"));
  SKERRY_TRY(read_integer(node, "maximumPerMinute", 1, Rate::kMost, rate.per_minute));
  if (!exponential) return {};
  if (maximum) return node.wrong("has both maximumPerMinute and exponentialRate: give one");
  SKERRY_TRY(positive(*exponential, "baseRatePerMinute", Rate::kMost, rate.per_minute));
  SKERRY_TRY(exponential->require("incrementFactor"));
  SKERRY_TRY(read_number(*exponential, "incrementFactor", 1, 5, rate.factor));
  SKERRY_TRY(check_decimals(*exponential, "incrementFactor", rate.factor, 10));
  SKERRY_ASSIGN(auto criteria, exponential->require("rateIncreaseCriteria"));
  SKERRY_TRY(read_integer(criteria, "numberOfNotifiedThings", 1, kMostOfAws, rate.notified));
  SKERRY_TRY(read_integer(criteria, "numberOfSucceededThings", 1, kMostOfAws, rate.succeeded));
  if ((rate.notified > 0) != (rate.succeeded > 0)) return {};
  return criteria.wrong(
      "must have exactly one of numberOfNotifiedThings and numberOfSucceededThings");
}

Result<void> parse_abort(const Node& node, std::vector<AbortCriterion>& abort) {
  SKERRY_ASSIGN(auto list, node.require("criteriaList"));
  SKERRY_ASSIGN(auto elements, list.elements());
  if (elements.empty()) return list.wrong("is empty: give a criterion, or leave abortConfig out");
  for (const Node& each : elements) {
    AbortCriterion criterion;
    SKERRY_ASSIGN(auto failure, each.require("failureType"));
    SKERRY_ASSIGN(criterion.failure, failure.as_enum(kFailures));
    SKERRY_ASSIGN(auto action, each.require("action"));
    SKERRY_ASSIGN(std::string wanted, action.as_string());
    if (wanted != "CANCEL") return action.wrong("'" + wanted + "' is not one of CANCEL");
    SKERRY_TRY(each.require("thresholdPercentage"));
    SKERRY_TRY(read_number(each, "thresholdPercentage", 0, 100, criterion.percentage));
    SKERRY_TRY(check_decimals(each, "thresholdPercentage", criterion.percentage, 100));
    SKERRY_TRY(positive(each, "minNumberOfExecutedThings", kMostOfAws, criterion.min_executed));
    abort.push_back(criterion);
  }
  return {};
}

// In our own document AWS's fields are as strict as ours: a limit whose name is wrong limits
// nothing.
Result<void> parse_our_rate(const Node& node, Rate& rate) {
  SKERRY_TRY(only(node, {"maximumPerMinute", "exponentialRate"}));
  SKERRY_ASSIGN(auto exponential, node.find("exponentialRate"));
  if (exponential) {
    SKERRY_TRY(
        only(*exponential, {"baseRatePerMinute", "incrementFactor", "rateIncreaseCriteria"}));
    SKERRY_ASSIGN(auto criteria, exponential->require("rateIncreaseCriteria"));
    SKERRY_TRY(only(criteria, {"numberOfNotifiedThings", "numberOfSucceededThings"}));
  }
  SKERRY_TRY(parse_rate(node, rate));
  if (rate.per_minute > 0) return {};
  return node.wrong("limits nothing: give maximumPerMinute or exponentialRate");
}

Result<void> parse_our_abort(const Node& node, std::vector<AbortCriterion>& abort) {
  SKERRY_TRY(only(node, {"criteriaList"}));
  SKERRY_ASSIGN(auto list, node.require("criteriaList"));
  SKERRY_ASSIGN(auto elements, list.elements());
  for (const Node& each : elements) {
    SKERRY_TRY(
        only(each, {"failureType", "action", "thresholdPercentage", "minNumberOfExecutedThings"}));
  }
  return parse_abort(node, abort);
}

json rate_json(const Rate& rate) {
  if (rate.factor == 1 && rate.notified == 0 && rate.succeeded == 0) {
    return {{"maximumPerMinute", rate.per_minute}};
  }
  json criteria;
  if (rate.notified > 0) criteria["numberOfNotifiedThings"] = rate.notified;
  if (rate.succeeded > 0) criteria["numberOfSucceededThings"] = rate.succeeded;
  return {{"exponentialRate",
           {{"baseRatePerMinute", rate.per_minute},
            {"incrementFactor", rate.factor},
            {"rateIncreaseCriteria", criteria}}}};
}

json stage_json(const Stage& stage) {
  json out = {{"bakeSeconds", stage.bake_s}, {"approval", stage.needs_approval}};
  if (stage.size == Stage::Size::kCanaryGroup) out["canary"] = true;
  if (stage.size == Stage::Size::kPercent) out["percent"] = stage.percent;
  if (stage.size == Stage::Size::kDevices) out["devices"] = stage.devices;
  out["gates"] = json::array();
  for (const Gate& gate : stage.gates) {
    json one = {{"metric", name_of(gate.metric)},
                {"tolerance", gate.tolerance},
                {"baseline", gate.baseline}};
    if (gate.min_devices > 0) one["minDevices"] = gate.min_devices;
    out["gates"].push_back(std::move(one));
  }
  return out;
}

json abort_json(const AbortCriterion& criterion) {
  return {{"failureType", formats::enum_name(kFailures, criterion.failure)},
          {"action", "CANCEL"},
          {"thresholdPercentage", criterion.percentage},
          {"minNumberOfExecutedThings", criterion.min_executed}};
}

}  // namespace

std::string_view name_of(Metric metric) {
  return formats::enum_name(kMetrics, metric);
}
std::string_view name_of(OnFailure on_failure) {
  return formats::enum_name(kOnFailure, on_failure);
}

Result<Plan> parse_plan(const json& document) {
  const Node node(document, "rollout");
  SKERRY_TRY(only(node, {"canaryGroup", "stages", "windows", "site", "retry", "rate", "abort",
                         "inProgressTimeoutSeconds", "silenceTimeoutSeconds",
                         "evidenceTimeoutSeconds", "falseAlarm", "onFailure"}));
  Plan plan;
  plan.in_progress_timeout_s = 3'600;
  plan.silence_timeout_s = 3'600;
  std::string canary;
  SKERRY_TRY(node.read("canaryGroup", canary));
  plan.canary_group = ThingGroupName(canary);
  SKERRY_TRY(parse_stages(node, plan));
  SKERRY_TRY(parse_windows(node, plan));
  SKERRY_TRY(parse_site(node, plan));
  SKERRY_TRY(parse_retry(node, plan));
  SKERRY_ASSIGN(auto rate, node.find("rate"));
  if (rate) SKERRY_TRY(parse_our_rate(*rate, plan.rate));
  SKERRY_ASSIGN(auto abort, node.find("abort"));
  if (abort) SKERRY_TRY(parse_our_abort(*abort, plan.abort));
  SKERRY_TRY(
      read_integer(node, "inProgressTimeoutSeconds", 0, kMostSeconds, plan.in_progress_timeout_s));
  SKERRY_TRY(read_integer(node, "silenceTimeoutSeconds", 0, kMostSeconds, plan.silence_timeout_s));
  SKERRY_TRY(
      read_integer(node, "evidenceTimeoutSeconds", 1, kMostSeconds, plan.evidence_timeout_s));
  SKERRY_TRY(read_number(node, "falseAlarm", 1e-6, 0.2, plan.false_alarm));
  SKERRY_TRY(node.read("onFailure", kOnFailure, plan.on_failure));
  return plan;
}

json to_json(const Plan& plan) {
  json out = {{"stages", json::array()},
              {"inProgressTimeoutSeconds", plan.in_progress_timeout_s},
              {"silenceTimeoutSeconds", plan.silence_timeout_s},
              {"evidenceTimeoutSeconds", plan.evidence_timeout_s},
              {"falseAlarm", plan.false_alarm},
              {"onFailure", name_of(plan.on_failure)},
              {"retry", {{"attempts", plan.retry.attempts}, {"delaySeconds", plan.retry.delay_s}}}};
  if (!plan.canary_group.empty()) out["canaryGroup"] = plan.canary_group.str();
  for (const Stage& stage : plan.stages) out["stages"].push_back(stage_json(stage));
  for (const Window& window : plan.windows) out["windows"].push_back(to_json(window));
  if (!plan.site.attribute.empty()) {
    json& site = out["site"] = {{"attribute", plan.site.attribute}};
    if (plan.site.max_concurrent > 0) site["maxConcurrent"] = plan.site.max_concurrent;
    if (plan.site.max_bytes_per_second > 0) {
      site["maxBytesPerSecond"] = plan.site.max_bytes_per_second;
    }
  }
  if (plan.rate.per_minute > 0) out["rate"] = rate_json(plan.rate);
  for (const AbortCriterion& each : plan.abort) {
    out["abort"]["criteriaList"].push_back(abort_json(each));
  }
  return out;
}

Plan everybody() {
  Plan plan;
  plan.on_failure = OnFailure::kCancel;
  plan.stages = {Stage{}};
  return plan;
}

Result<std::optional<Plan>> parse_job_configuration(const json& configuration) {
  const Node node(configuration, "iotJobConfiguration");
  Plan plan = everybody();
  SKERRY_ASSIGN(auto rate, node.find("jobExecutionsRolloutConfig"));
  if (rate) SKERRY_TRY(parse_rate(*rate, plan.rate));
  SKERRY_ASSIGN(auto abort, node.find("abortConfig"));
  if (abort) SKERRY_TRY(parse_abort(*abort, plan.abort));
  SKERRY_ASSIGN(auto timeout, node.find("timeoutConfig"));
  if (timeout) {
    int64_t minutes = 0;
    SKERRY_TRY(read_integer(*timeout, "inProgressTimeoutInMinutes", 1, 10'080, minutes));
    plan.in_progress_timeout_s = minutes * 60;
  }
  const bool limits =
      plan.rate.per_minute > 0 || !plan.abort.empty() || plan.in_progress_timeout_s > 0;
  if (!limits) return std::optional<Plan>();
  return std::optional<Plan>(std::move(plan));
}

int64_t quota(const Stage& stage, int64_t members) {
  if (members == 0) return 0;
  if (stage.size == Stage::Size::kDevices) return std::min(stage.devices, members);
  const double share = std::ceil(static_cast<double>(members) * stage.percent / 100 - 1e-9);
  return std::clamp<int64_t>(static_cast<int64_t>(share), 1, members);
}

}  // namespace skerry::fleet::rollout
