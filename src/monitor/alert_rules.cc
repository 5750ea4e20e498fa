// Reading alert rules: a table of fields for each kind of thing, and a line for each complaint.
#include "monitor/alert_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "formats/json_ptr.h"
#include "formats/metric_summary.h"
#include "formats/node.h"

namespace skerry::monitor {
namespace {

using formats::EnumNames;
using formats::Node;
using Condition = AlertRule::Condition;

constexpr int64_t kAlertSecondMs = 1'000;
constexpr int64_t kMostWindowMs = int64_t{90} * 86'400'000;
constexpr int64_t kMostDurationMs = int64_t{3'650} * 86'400'000;
constexpr size_t kMaxAlertName = 64;
constexpr size_t kMaxAlertText = 512;
constexpr size_t kMaxRecipients = 50;
constexpr size_t kMaxAlertHeaders = 20;

constexpr EnumNames<AlertValue, 11> kAlertValues = {{{AlertValue::kMean, "mean"},
                                                     {AlertValue::kSum, "sum"},
                                                     {AlertValue::kCount, "count"},
                                                     {AlertValue::kMin, "min"},
                                                     {AlertValue::kMax, "max"},
                                                     {AlertValue::kLast, "last"},
                                                     {AlertValue::kP50, "p50"},
                                                     {AlertValue::kP90, "p90"},
                                                     {AlertValue::kP99, "p99"},
                                                     {AlertValue::kRate, "rate"},
                                                     {AlertValue::kChange, "change"}}};
constexpr EnumNames<AlertRules::GroupBy, 3> kAlertGroups = {
    {{AlertRules::GroupBy::kRule, "rule"},
     {AlertRules::GroupBy::kSeverity, "severity"},
     {AlertRules::GroupBy::kDevice, "device"}}};
constexpr EnumNames<Condition, 2> kHealthStates = {
    {{Condition::kUnreachable, "unreachable"}, {Condition::kUnhealthy, "unhealthy"}}};
constexpr EnumNames<bool, 2> kAlertSubjects = {{{false, "device"}, {true, "group"}}};

constexpr struct {
  char unit;
  int64_t length_ms;
} kDurations[] = {{'d', 86'400'000}, {'h', 3'600'000}, {'m', 60'000}, {'s', kAlertSecondMs}};

Result<void> check_alert_fields(const Node& node, std::span<const std::string_view> known) {
  SKERRY_ASSIGN(const auto members, node.members());
  for (const auto& [key, member] : members) {
    const bool is_known = std::ranges::any_of(
        known, [&](std::string_view each) { return formats::equal_ignoring_case(each, key); });
    if (!is_known) {
      return member.wrong(fmt::format("is unknown here: known are {}", fmt::join(known, ", ")));
    }
  }
  return {};
}

// Lines of text for people and protocols: no control characters.
Result<std::string> line_of_text(const Node& node, size_t most = kMaxAlertText) {
  SKERRY_ASSIGN(std::string text, node.as_string());
  const bool fits = !text.empty() && text.size() <= most &&
                    std::ranges::none_of(text, [](unsigned char c) { return c < ' ' || c == 127; });
  if (fits) return text;
  return node.wrong(fmt::format("must be one line of 1 to {} bytes", most));
}

Result<void> read_alert_line(const Node& node, std::string_view key, std::string& out) {
  SKERRY_ASSIGN(const auto found, node.find(key));
  if (!found) return {};
  SKERRY_ASSIGN(out, line_of_text(*found));
  return {};
}

Result<void> read_duration(const Node& node, std::string_view key, int64_t& out,
                           int64_t most_ms = kMostDurationMs) {
  SKERRY_ASSIGN(const auto found, node.find(key));
  if (!found) return {};
  SKERRY_ASSIGN(const std::string text, found->as_text());
  const auto duration = parse_alert_duration(text);
  if (!duration || *duration > most_ms) {
    return found->wrong(
        fmt::format("must be a number and s, m, h or d, such as 90s or 15m, at most {}",
                    alert_duration_text(most_ms)));
  }
  out = *duration;
  return {};
}

Result<std::optional<double>> read_limit(const Node& node, std::string_view key) {
  SKERRY_ASSIGN(const auto found, node.find(key));
  if (!found) return std::nullopt;
  SKERRY_ASSIGN(const double number, found->as_number());
  if (!std::isfinite(number)) return found->wrong("must be a finite number");
  return number;
}

Result<std::vector<std::string>> read_names(const Node& node, std::string_view key) {
  SKERRY_ASSIGN(const auto found, node.find(key));
  if (!found) return std::vector<std::string>();
  if (found->is_string()) {
    SKERRY_ASSIGN(std::string one, line_of_text(*found));
    return std::vector{std::move(one)};
  }
  std::vector<std::string> names;
  SKERRY_ASSIGN(const auto elements, found->elements());
  for (const Node& element : elements) {
    SKERRY_ASSIGN(std::string name, line_of_text(element));
    names.push_back(std::move(name));
  }
  return names;
}

// What can stand between < and > of SMTP without being able to end it.
Result<void> check_address(const Node& node, const std::string& address) {
  const bool fits = std::ranges::count(address, '@') == 1 && address.front() != '@' &&
                    address.back() != '@' && address.size() <= 254 &&
                    std::ranges::all_of(address, [](unsigned char c) {
                      return c > ' ' && c < 127 && c != '<' && c != '>' && c != ',' && c != '"';
                    });
  if (fits) return {};
  return node.wrong("'" + address + "' is no e-mail address");
}

Result<void> read_webhook(const Node& node, AlertSink& sink) {
  static constexpr std::string_view kKnown[] = {"webhook", "headers", "caFile"};
  SKERRY_TRY(check_alert_fields(node, kKnown));
  SKERRY_ASSIGN(const Node url, node.require("webhook"));
  SKERRY_ASSIGN(sink.url, line_of_text(url, 2'048));
  if (!sink.url.starts_with("http://") && !sink.url.starts_with("https://")) {
    return url.wrong("must be an http:// or https:// URL");
  }
  SKERRY_ASSIGN(const auto headers, node.find("headers"));
  if (!headers) return {};
  SKERRY_ASSIGN(const auto members, headers->members());
  if (members.size() > kMaxAlertHeaders) return headers->wrong("are too many");
  for (const auto& [name, member] : members) {
    const bool is_token = !name.empty() && std::ranges::all_of(name, [](unsigned char c) {
      return std::isalnum(c) != 0 || c == '-' || c == '_';
    });
    if (!is_token) return member.wrong("is no name of a header");
    SKERRY_ASSIGN(std::string value, line_of_text(member, 4'096));
    sink.headers.emplace_back(name, std::move(value));
  }
  return {};
}

Result<void> read_email(const Node& node, AlertSink& sink) {
  static constexpr std::string_view kKnown[] = {"email", "server",       "from",
                                                "user",  "passwordFile", "caFile"};
  SKERRY_TRY(check_alert_fields(node, kKnown));
  SKERRY_ASSIGN(const Node to, node.require("email"));
  SKERRY_ASSIGN(sink.to, read_names(node, "email"));
  if (sink.to.empty() || sink.to.size() > kMaxRecipients) {
    return to.wrong(fmt::format("must be 1 to {} addresses", kMaxRecipients));
  }
  for (const std::string& address : sink.to) SKERRY_TRY(check_address(to, address));
  SKERRY_ASSIGN(const Node from, node.require("from"));
  SKERRY_ASSIGN(sink.from, line_of_text(from));
  SKERRY_TRY(check_address(from, sink.from));
  SKERRY_ASSIGN(const Node server, node.require("server"));
  SKERRY_ASSIGN(sink.url, line_of_text(server));
  if (!sink.url.starts_with("smtp://") && !sink.url.starts_with("smtps://")) {
    return server.wrong("must be smtp://HOST:PORT or smtps://HOST:PORT");
  }
  SKERRY_TRY(read_alert_line(node, "user", sink.user));
  SKERRY_TRY(read_alert_line(node, "passwordFile", sink.password_file));
  if (sink.user.empty() != sink.password_file.empty()) {
    return node.wrong("has one of user and passwordFile: it takes both or none");
  }
  return {};
}

Result<void> read_mqtt(const Node& node, AlertSink& sink) {
  static constexpr std::string_view kKnown[] = {"mqtt"};
  SKERRY_TRY(check_alert_fields(node, kKnown));
  SKERRY_ASSIGN(const Node topic, node.require("mqtt"));
  SKERRY_ASSIGN(sink.topic, line_of_text(topic, 256));
  if (sink.topic.find_first_of("+#") != std::string::npos || sink.topic.starts_with('$')) {
    return topic.wrong("must be a topic without +, # and a $ at its beginning");
  }
  return {};
}

Result<AlertSink> read_sink(const std::string& name, const Node& node) {
  AlertSink sink;
  sink.name = name;
  SKERRY_ASSIGN(const auto webhook, node.find("webhook"));
  SKERRY_ASSIGN(const auto email, node.find("email"));
  SKERRY_ASSIGN(const auto mqtt, node.find("mqtt"));
  if ((webhook ? 1 : 0) + (email ? 1 : 0) + (mqtt ? 1 : 0) != 1) {
    return node.wrong("must have one of webhook, email and mqtt");
  }
  if (name.empty() || name.size() > kMaxAlertName) return node.wrong("has a name that is too long");
  SKERRY_TRY(read_alert_line(node, "caFile", sink.ca_file));
  if (webhook) {
    sink.kind = AlertSink::Kind::kWebhook;
    SKERRY_TRY(read_webhook(node, sink));
  } else if (email) {
    sink.kind = AlertSink::Kind::kEmail;
    SKERRY_TRY(read_email(node, sink));
  } else {
    sink.kind = AlertSink::Kind::kMqtt;
    SKERRY_TRY(read_mqtt(node, sink));
  }
  return sink;
}

Result<void> read_metric(const Node& node, AlertRule& rule) {
  SKERRY_ASSIGN(const Node metric, node.require("metric"));
  SKERRY_ASSIGN(const std::string text, line_of_text(metric));
  const size_t slash = text.find('/');
  if (slash == std::string::npos || slash == 0 || slash + 1 == text.size() ||
      text.size() - slash - 1 > formats::kMaxMetricName) {
    return metric.wrong("must be COMPONENT/NAME, such as SystemMetrics/CpuUsage");
  }
  rule.component = text.substr(0, slash);
  rule.metric = text.substr(slash + 1);
  SKERRY_TRY(node.read("value", kAlertValues, rule.value));
  SKERRY_TRY(read_duration(node, "window", rule.window_ms, kMostWindowMs));
  return {};
}

// Exactly one of above, below, absent and anomaly.
Result<void> read_condition(const Node& node, AlertRule& rule) {
  SKERRY_ASSIGN(const auto above, read_limit(node, "above"));
  SKERRY_ASSIGN(const auto below, read_limit(node, "below"));
  SKERRY_ASSIGN(const auto anomaly, read_limit(node, "anomaly"));
  SKERRY_ASSIGN(const auto absent, node.find("absent"));
  const int conditions = (above ? 1 : 0) + (below ? 1 : 0) + (anomaly ? 1 : 0) + (absent ? 1 : 0);
  if (conditions != 1) return node.wrong("must have one of above, below, absent and anomaly");
  SKERRY_ASSIGN(rule.clear, read_limit(node, "clear"));
  const auto must_be = [&](const char* what) -> Result<void> {
    SKERRY_ASSIGN(const Node clear, node.require("clear"));
    return clear.wrong(what);
  };
  if (above) {
    rule.condition = Condition::kAbove;
    rule.limit = *above;
    if (rule.clear && *rule.clear > rule.limit) return must_be("must not be more than above");
  } else if (below) {
    rule.condition = Condition::kBelow;
    rule.limit = *below;
    if (rule.clear && *rule.clear < rule.limit) return must_be("must not be less than below");
  } else if (anomaly) {
    rule.condition = Condition::kAnomaly;
    rule.limit = *anomaly;
    if (rule.limit <= 0) {
      SKERRY_ASSIGN(const Node wrong, node.require("anomaly"));
      return wrong.wrong("must be a number of deviations above 0");
    }
    if (rule.clear && (*rule.clear > rule.limit || *rule.clear < 0)) {
      return must_be("must be 0 to anomaly");
    }
    SKERRY_TRY(read_duration(node, "history", rule.history_ms, kMostWindowMs));
    SKERRY_TRY(node.read("sameHour", rule.same_hour));
  } else {
    rule.condition = Condition::kAbsent;
    SKERRY_TRY(read_duration(node, "absent", rule.window_ms, kMostWindowMs));
    if (rule.clear) return must_be("has no meaning beside absent");
  }
  return {};
}

Result<AlertRule> read_rule(const Node& node, const AlertRules& all,
                            const std::vector<std::string>& default_sinks) {
  static constexpr std::string_view kKnown[] = {
      "alert",    "metric",  "health", "group",   "subject",  "value", "window",
      "above",    "below",   "clear",  "anomaly", "sameHour", "for",   "keepFiring",
      "severity", "summary", "sinks",  "absent",  "history"};
  SKERRY_TRY(check_alert_fields(node, kKnown));
  AlertRule rule;
  SKERRY_ASSIGN(const Node name, node.require("alert"));
  SKERRY_ASSIGN(rule.name, line_of_text(name, kMaxAlertName));
  if (all.find_rule(rule.name)) return name.wrong("'" + rule.name + "' stands here twice");
  SKERRY_ASSIGN(const auto health, node.find("health"));
  if (health) {
    SKERRY_ASSIGN(rule.condition, health->as_enum(kHealthStates));
    for (const char* key :
         {"metric", "above", "below", "absent", "anomaly", "clear", "value", "window"}) {
      SKERRY_ASSIGN(const auto other, node.find(key));
      if (other) return other->wrong("has no meaning beside health");
    }
  } else {
    SKERRY_TRY(read_metric(node, rule));
    SKERRY_TRY(read_condition(node, rule));
  }
  SKERRY_TRY(read_alert_line(node, "group", rule.group));
  SKERRY_TRY(node.read("subject", kAlertSubjects, rule.merges_group));
  if (rule.merges_group && (rule.group.empty() || health)) {
    SKERRY_ASSIGN(const Node subject, node.require("subject"));
    return subject.wrong("group is for rules with a metric and a group");
  }
  SKERRY_TRY(read_duration(node, "for", rule.for_ms));
  SKERRY_TRY(read_duration(node, "keepFiring", rule.keep_firing_ms));
  SKERRY_TRY(read_alert_line(node, "severity", rule.severity));
  SKERRY_TRY(read_alert_line(node, "summary", rule.summary));
  SKERRY_ASSIGN(rule.sinks, read_names(node, "sinks"));
  SKERRY_ASSIGN(const auto sinks, node.find("sinks"));
  if (!sinks) rule.sinks = default_sinks;
  for (const std::string& each : rule.sinks) {
    if (!all.find_sink(each)) {
      return (sinks ? *sinks : node).wrong("there is no sink '" + each + "'");
    }
  }
  return rule;
}

Result<void> read_notify(const Node& document, AlertRules& rules,
                         std::vector<std::string>& default_sinks) {
  SKERRY_TRY(read_duration(document, "every", rules.every_ms));
  SKERRY_ASSIGN(const auto notify, document.find("notify"));
  if (!notify) return {};
  static constexpr std::string_view kKnown[] = {"groupBy", "groupWait", "repeat", "sinks"};
  SKERRY_TRY(check_alert_fields(*notify, kKnown));
  SKERRY_TRY(notify->read("groupBy", kAlertGroups, rules.group_by));
  SKERRY_TRY(read_duration(*notify, "groupWait", rules.group_wait_ms));
  SKERRY_TRY(read_duration(*notify, "repeat", rules.repeat_ms));
  SKERRY_ASSIGN(default_sinks, read_names(*notify, "sinks"));
  for (const std::string& each : default_sinks) {
    if (!rules.find_sink(each)) {
      SKERRY_ASSIGN(const Node sinks, notify->require("sinks"));
      return sinks.wrong("there is no sink '" + each + "'");
    }
  }
  return {};
}

// Everything that can be read; `complain` is told of each error.
template <class Complain>
Result<void> read_alert_document(const Node& document, AlertRules& rules, Complain complain) {
  static constexpr std::string_view kKnown[] = {"every", "notify", "sinks", "rules"};
  SKERRY_TRY(check_alert_fields(document, kKnown));
  SKERRY_ASSIGN(const auto sinks, document.find("sinks"));
  if (sinks) {
    SKERRY_ASSIGN(const auto members, sinks->members());
    if (members.size() > kMaxAlertSinks) {
      return sinks->wrong(fmt::format("are more than {}", kMaxAlertSinks));
    }
    for (const auto& [name, member] : members) {
      auto sink = read_sink(name, member);
      if (!sink) complain(sink.error());
      // One that is wrong is known all the same: rules that name it are no second error.
      rules.sinks.push_back(sink ? std::move(*sink) : AlertSink{.name = name});
    }
  }
  std::vector<std::string> default_sinks;
  if (auto read = read_notify(document, rules, default_sinks); !read) complain(read.error());
  SKERRY_ASSIGN(const Node list, document.require("rules"));
  SKERRY_ASSIGN(const auto elements, list.elements());
  if (elements.size() > kMaxAlertRules) {
    return list.wrong(fmt::format("are more than {}", kMaxAlertRules));
  }
  for (const Node& element : elements) {
    auto rule = read_rule(element, rules, default_sinks);
    if (rule) {
      rules.rules.push_back(std::move(*rule));
    } else {
      complain(rule.error());
    }
  }
  return {};
}

double median(std::vector<double>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  if (values.size() % 2 != 0) return *middle;
  return (*std::max_element(values.begin(), middle) + *middle) / 2;
}

}  // namespace

const AlertSink* AlertRules::find_sink(std::string_view name) const {
  const auto found = std::ranges::find(sinks, name, &AlertSink::name);
  return found == sinks.end() ? nullptr : &*found;
}

const AlertRule* AlertRules::find_rule(std::string_view name) const {
  const auto found = std::ranges::find(rules, name, &AlertRule::name);
  return found == rules.end() ? nullptr : &*found;
}

std::string_view name_of(AlertValue value) {
  return formats::enum_name(kAlertValues, value);
}

std::string AlertRule::text() const {
  if (!is_of_metric()) {
    return fmt::format("device is {}", formats::enum_name(kHealthStates, condition));
  }
  const std::string of = component + "/" + metric;
  const std::string window = alert_duration_text(window_ms);
  if (condition == Condition::kAbsent) return fmt::format("no {} in {}", of, window);
  const std::string what = fmt::format("{} of {} in {}", name_of(value), of, window);
  if (condition == Condition::kAnomaly) {
    return fmt::format("{} is {} or more deviations away from {} of history", what, limit,
                       alert_duration_text(history_ms));
  }
  return fmt::format("{} {} {}", what, condition == Condition::kAbove ? "above" : "below", limit);
}

AlertReading read_alert_rules(std::string_view text) {
  AlertReading reading;
  auto document = formats::parse_yaml(text, {.size_bytes = kMaxAlertFileBytes, .depth = 8});
  if (!document) {
    const std::string& message = document.error().message();
    size_t line = 1;
    constexpr std::string_view kBefore = "not YAML: line ";
    if (message.starts_with(kBefore)) {
      std::from_chars(message.data() + kBefore.size(), message.data() + message.size(), line);
    }
    reading.complaints.push_back({line, message});
    return reading;
  }
  const auto complain = [&](const Error& error) {
    const std::string& message = error.message();
    const size_t end = message.find(": ");
    const std::string path = end == std::string::npos ? "" : message.substr(0, end);
    reading.complaints.push_back({formats::line_in_yaml(text, path), message});
  };
  if (auto read = read_alert_document(Node(*document, ""), reading.rules, complain); !read) {
    complain(read.error());
  }
  std::ranges::sort(reading.complaints);
  return reading;
}

Result<AlertRules> parse_alert_rules(std::string_view text) {
  AlertReading reading = read_alert_rules(text);
  if (reading.complaints.empty()) return std::move(reading.rules);
  const AlertComplaint& first = reading.complaints.front();
  return fail(Code::kInvalidArgument, fmt::format("line {}: {}", first.line, first.message));
}

std::optional<int64_t> parse_alert_duration(std::string_view text) {
  int64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || rest + 1 != end || number <= 0) return std::nullopt;
  for (const auto& [unit, length_ms] : kDurations) {
    if (unit == *rest && number <= kMostDurationMs / length_ms) return number * length_ms;
  }
  return std::nullopt;
}

std::string alert_duration_text(int64_t duration_ms) {
  for (const auto& [unit, length_ms] : kDurations) {
    if (duration_ms % length_ms == 0) return std::to_string(duration_ms / length_ms) + unit;
  }
  return std::to_string(duration_ms) + "ms";
}

double alert_value(const formats::Distribution& distribution, AlertValue value, int64_t window_ms) {
  using formats::Distribution;
  switch (value) {
    case AlertValue::kMean:
    case AlertValue::kChange:
      return distribution.mean();
    case AlertValue::kSum:
      return distribution.total();
    case AlertValue::kCount:
      return static_cast<double>(distribution.count);
    case AlertValue::kMin:
      return static_cast<double>(distribution.min) / Distribution::kUnit;
    case AlertValue::kMax:
      return static_cast<double>(distribution.max) / Distribution::kUnit;
    case AlertValue::kLast:
      return static_cast<double>(distribution.last) / Distribution::kUnit;
    case AlertValue::kP50:
      return distribution.quantile(0.5);
    case AlertValue::kP90:
      return distribution.quantile(0.9);
    case AlertValue::kP99:
      return distribution.quantile(0.99);
    case AlertValue::kRate:
      return distribution.total() * 1'000 / static_cast<double>(std::max<int64_t>(1, window_ms));
  }
  return 0;
}

std::optional<double> deviations(std::vector<double> history, double value, size_t least) {
  if (history.empty() || history.size() < least) return std::nullopt;
  constexpr double kOfNormal = 1.4826, kLeastOfMedian = 0.01;
  const double middle = median(history);
  for (double& each : history) each = std::abs(each - middle);
  const double deviation =
      std::max({kOfNormal * median(history), kLeastOfMedian * std::abs(middle), 1e-6});
  return std::abs(value - middle) / deviation;
}

}  // namespace skerry::monitor
