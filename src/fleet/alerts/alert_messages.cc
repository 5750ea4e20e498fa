// Alerts as JSON and as text.
#include "fleet/alerts/alert_messages.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>

#include "base/encoding.h"
#include "base/iso_time.h"
#include "formats/json_ptr.h"

namespace skerry::fleet {
namespace {

using monitor::AlertRule;
using nlohmann::json;

constexpr std::string_view kOfGroup = "group/";
constexpr size_t kSubjectsInLine = 3;

// RFC 3339, UTC; 0 as Alertmanager has it.
std::string alert_time(int64_t time_ms) {
  return time_ms == 0 ? "0001-01-01T00:00:00Z" : iso_time(time_ms);
}

// FNV-1a, 64 bits: which alert it is, over restarts.
std::string fingerprint(const monitor::AlertKey& key) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : key.rule + '\0' + key.subject) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
  return fmt::format("{:016x}", hash);
}

// What all alerts say alike.
json common(const std::vector<json>& alerts, const char* member) {
  json shared = alerts.front().value(member, json::object());
  for (const json& alert : alerts) {
    const json& own = alert.at(member);
    for (auto at = shared.begin(); at != shared.end();) {
      const auto found = own.find(at.key());
      at = found != own.end() && *found == *at ? std::next(at) : shared.erase(at);
    }
  }
  return shared;
}

std::string who(const json& alert) {
  const json& labels = alert.at("labels");
  return labels.contains("device") ? labels.value("device", "") : labels.value("group", "");
}

}  // namespace

json alert_json(const AlertRule& rule, const monitor::AlertBook::Event& event, int64_t now_ms) {
  const auto& [key, is_firing, since_ms, fired_ms, breached_ms, value, told_ms] = event.alert;
  json labels = {{"alertname", rule.name}, {"severity", rule.severity}};
  if (key.subject.starts_with(kOfGroup)) {
    labels["group"] = key.subject.substr(kOfGroup.size());
  } else {
    labels["device"] = key.subject;
  }
  json annotations = {{"summary", rule.summary.empty() ? rule.text() : rule.summary},
                      {"rule", rule.text()}};
  if (rule.is_of_metric() && rule.condition != AlertRule::Condition::kAbsent) {
    annotations["value"] = fmt::format("{:.6g}", value);
  }
  return {{"status", event.is_resolved ? "resolved" : "firing"},
          {"labels", std::move(labels)},
          {"annotations", std::move(annotations)},
          {"startsAt", alert_time(since_ms)},
          {"endsAt", alert_time(event.is_resolved ? now_ms : 0)},
          {"generatorURL", ""},
          {"fingerprint", fingerprint(key)}};
}

std::string alert_group(monitor::AlertRules::GroupBy group_by, const AlertRule& rule,
                        const monitor::AlertKey& key) {
  switch (group_by) {
    case monitor::AlertRules::GroupBy::kRule:
      return "alertname=" + rule.name;
    case monitor::AlertRules::GroupBy::kSeverity:
      return "severity=" + rule.severity;
    case monitor::AlertRules::GroupBy::kDevice:
      return "device=" + key.subject;
  }
  return "";
}

AlertMessage alert_message(std::span<const AlertNotice> notices, const std::string& external_url) {
  std::vector<json> alerts;
  for (const AlertNotice& notice : notices) {
    // Our own text, from the store.
    auto alert = formats::parse_json(notice.alert_json);
    if (!alert || !alert->is_object()) continue;
    (*alert)["noticeId"] = notice.id;
    alerts.push_back(std::move(*alert));
  }
  AlertMessage message;
  message.id = notices.front().id;
  if (alerts.empty()) return message;
  size_t firing = 0;
  std::set<std::string> names, subjects;
  for (const json& alert : alerts) {
    firing += alert.value("status", "") == "firing" ? 1 : 0;
    names.insert(alert.at("labels").value("alertname", ""));
    subjects.insert(who(alert));
    const json& notes = alert.at("annotations");
    message.text += fmt::format(
        "{} {} ({}) on {}\n  {}\n  {}{}\n  since {}{}\n\n",
        alert.value("status", "") == "firing" ? "FIRING" : "RESOLVED",
        alert.at("labels").value("alertname", ""), alert.at("labels").value("severity", ""),
        who(alert), notes.value("summary", ""), notes.value("rule", ""),
        notes.contains("value") ? ": " + notes.value("value", "") : "", alert.value("startsAt", ""),
        alert.value("status", "") == "firing" ? "" : " until " + alert.value("endsAt", ""));
  }
  if (!external_url.empty()) message.text += external_url + "\n";
  const bool is_resolved = firing == 0;
  std::vector<std::string> some(subjects.begin(), subjects.end());
  if (some.size() > kSubjectsInLine) {
    const size_t more = some.size() - kSubjectsInLine;
    some.resize(kSubjectsInLine);
    some.push_back(fmt::format("{} more", more));
  }
  message.subject =
      fmt::format("[{}] {}: {}", is_resolved ? "RESOLVED" : fmt::format("FIRING {}", firing),
                  fmt::join(names, ", "), fmt::join(some, ", "));
  const std::string& group = notices.front().group;
  const size_t equals = group.find('=');
  message.json = formats::json_text(
      {{"version", "4"},
       {"groupKey", "{}:{" + group + "}"},
       {"truncatedAlerts", 0},
       {"status", is_resolved ? "resolved" : "firing"},
       {"receiver", notices.front().sink},
       {"groupLabels", equals == std::string::npos
                           ? json::object()
                           : json{{group.substr(0, equals), group.substr(equals + 1)}}},
       {"commonLabels", common(alerts, "labels")},
       {"commonAnnotations", common(alerts, "annotations")},
       {"externalURL", external_url},
       {"alerts", alerts}});
  return message;
}

}  // namespace skerry::fleet
