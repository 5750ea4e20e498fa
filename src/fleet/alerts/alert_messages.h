// What sinks are told: the JSON of Alertmanager's webhook (version 4), so that what receives that
// understands this; and the text of a mail.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>

#include "fleet/alerts/alert_store.h"
#include "monitor/alert_book.h"

namespace skerry::fleet {

// One alert: labels alertname, severity and device (or group), annotations summary, value and rule.
nlohmann::json alert_json(const monitor::AlertRule& rule, const monitor::AlertBook::Event& event,
                          int64_t now_ms);
// What an alert is grouped by: a text.
std::string alert_group(monitor::AlertRules::GroupBy group_by, const monitor::AlertRule& rule,
                        const monitor::AlertKey& key);

struct AlertMessage {
  std::string id;       // of the first notice: the same when it is sent again
  std::string subject;  // "[FIRING 2] Hot: press-7, press-8"
  std::string text;     // for people
  std::string json;     // for programs
};
// Of notices of one group, at least one.
AlertMessage alert_message(std::span<const AlertNotice> notices, const std::string& external_url);

}  // namespace skerry::fleet
