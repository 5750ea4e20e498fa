// The file of alert rules (docs/alerts.md): what is watched, when that is an alert, and who is
// told. Read once into plain values, each error with its line.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "formats/distribution.h"

namespace skerry::monitor {

// Who is told.
struct AlertSink {
  enum class Kind { kWebhook, kEmail, kMqtt };
  std::string name;
  Kind kind = Kind::kWebhook;
  // Webhook: POST of JSON. E-mail: "smtp://HOST:PORT", or smtps.
  std::string url;
  std::vector<std::pair<std::string, std::string>> headers;  // of the webhook
  std::string ca_file;                                       // trusted by https and smtps
  std::string user, password_file;                           // of the mail server; "": none
  std::string from;
  std::vector<std::string> to;
  std::string topic;  // MQTT
  bool operator==(const AlertSink&) const = default;
};

// One number of a window of a metric.
enum class AlertValue {
  kMean,
  kSum,
  kCount,
  kMin,
  kMax,
  kLast,
  kP50,
  kP90,
  kP99,
  kRate,    // sum by second
  kChange,  // mean, less the mean of the window before
};

struct AlertRule {
  enum class Condition {
    kAbove,
    kBelow,
    kAbsent,       // nothing of the metric in the window
    kAnomaly,      // so many deviations away from the history
    kUnreachable,  // what the fleet knows of the device itself
    kUnhealthy,
  };
  std::string name;
  std::string severity = "warning";
  std::string summary;  // for people; "": made of the rule
  std::string component, metric;
  std::string group;          // of things; "": every device
  bool merges_group = false;  // the group's devices are one subject
  AlertValue value = AlertValue::kMean;
  Condition condition = Condition::kAbove;
  double limit = 0;             // of kAnomaly: deviations
  std::optional<double> clear;  // the alert ends beyond this limit; none: at `limit`
  int64_t window_ms = 5 * 60'000;
  int64_t history_ms = 7 * 86'400'000;  // of kAnomaly
  bool same_hour = false;               // of kAnomaly: beside the same hour of other days
  int64_t for_ms = 0;                   // it has to be so for so long
  int64_t keep_firing_ms = 0;           // it has not to be so for so long
  std::vector<std::string> sinks;
  bool operator==(const AlertRule&) const = default;

  bool is_of_metric() const { return condition <= Condition::kAnomaly; }
  // "max of SystemMetrics/CpuTemperature in 5m above 80".
  std::string text() const;
};

struct AlertRules {
  enum class GroupBy { kRule, kSeverity, kDevice };
  int64_t every_ms = 60'000;       // how often the rules are looked at
  int64_t group_wait_ms = 10'000;  // what begins in so long is one message
  int64_t repeat_ms = 0;           // an alert that lasts is told again after so long; 0: never
  GroupBy group_by = GroupBy::kRule;
  std::vector<AlertSink> sinks;
  std::vector<AlertRule> rules;
  bool operator==(const AlertRules&) const = default;

  const AlertSink* find_sink(std::string_view name) const;  // null: there is none
  const AlertRule* find_rule(std::string_view name) const;
};

struct AlertComplaint {
  size_t line = 1;
  std::string message;  // "rules[0].above: must be a number"
  auto operator<=>(const AlertComplaint&) const = default;
};

inline constexpr size_t kMaxAlertFileBytes = 256 << 10;
inline constexpr size_t kMaxAlertRules = 200;
inline constexpr size_t kMaxAlertSinks = 20;

// All that is wrong in `text`, not the first alone. `rules` is of use where nothing is.
struct AlertReading {
  AlertRules rules;
  std::vector<AlertComplaint> complaints;
};
AlertReading read_alert_rules(std::string_view text);
// The same for who has no use for more than one: kInvalidArgument, "line 3: rules[0]: …".
Result<AlertRules> parse_alert_rules(std::string_view text);

std::string_view name_of(AlertValue value);  // "mean"
// "90s", "15m", "2h", "7d": whole numbers above 0, up to 10 years; nothing for other texts.
std::optional<int64_t> parse_alert_duration(std::string_view text);
std::string alert_duration_text(int64_t duration_ms);  // "90s", "2h"

// That value of a distribution over `window_ms`; not of kChange.
double alert_value(const formats::Distribution& distribution, AlertValue value, int64_t window_ms);

// How many deviations `value` is away from the middle of `history`: the median, and 1.4826 times
// the median of the distances from it (as the standard deviation is for a normal distribution, and
// former incidents do not hide new ones), at least a hundredth of the median. Nothing where the
// history has fewer than `least` values.
std::optional<double> deviations(std::vector<double> history, double value, size_t least);

}  // namespace skerry::monitor
