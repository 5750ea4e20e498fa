// Alerts in the store: those that there are, silences, and what is still to be told to sinks.
//
// A change of an alert and what is told of it are one unit of work, so that a crash loses neither;
// a notice leaves the store when its sink has taken it. It may come twice, with the same id.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "fleet/store.h"
#include "monitor/alert_book.h"

namespace skerry::fleet {

struct AlertNotice {
  std::string id;
  std::string sink;
  std::string group;       // what belongs into one message
  std::string alert_json;  // one alert of Alertmanager's webhook (alert_messages.h)
  int64_t created_ms = 0;
  int64_t due_ms = 0;
  int64_t attempts = 0;
  std::string error;  // of the last attempt
};
inline constexpr int64_t kMaxAlertNotices = 10'000;  // that wait; more are dropped
inline constexpr int64_t kAlertNoticeLifeMs = int64_t{3} * 86'400'000;

Result<std::vector<monitor::Alert>> list_alerts(Store& store);
// All or nothing. How many notices there was no room for.
Result<int64_t> change_alerts(Store& store, const monitor::AlertBook::Changes& changes,
                              const std::vector<AlertNotice>& notices);

// Of those that have not ended.
Result<std::vector<monitor::Silence>> list_silences(Store& store, int64_t now_ms);
inline constexpr size_t kMaxSilences = 500;
Result<void> add_silence(Store& store, const monitor::Silence& silence);
Result<void> delete_silence(Store& store, const std::string& id);

// Oldest first.
Result<std::vector<AlertNotice>> list_notices(Store& store, int64_t limit);
// Of the sink's groups of which something is due, everything: oldest first.
Result<std::vector<AlertNotice>> due_notices(Store& store, const std::string& sink, int64_t now_ms,
                                             int64_t limit);
Result<void> delete_notices(Store& store, const std::vector<std::string>& ids);
Result<void> postpone_notices(Store& store, const std::vector<std::string>& ids, int64_t due_ms,
                              const std::string& error);
// Silences that have ended, and notices of sinks other than `sinks` or older than their life.
Result<int64_t> prune_alerts(Store& store, const std::vector<std::string>& sinks, int64_t now_ms);

// What the rules are that are in use, for people: {"file", "rules", "sinks", "error"}; a setting.
inline constexpr const char* kAlertRulesSetting = "alert_rules";

}  // namespace skerry::fleet
