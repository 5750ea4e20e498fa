// What the store shows of the subjects of a rule: windows of devices' metrics, and their health.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "fleet/store.h"
#include "monitor/alert_book.h"

namespace skerry::fleet {

// One at a time, on any thread.
class AlertObserver {
 public:
  // Of each rule, in their order; one state of the store. A window of metrics is read once, however
  // many rules look at it. What rules have as history is read once an hour.
  // A device of which there is an alert (`present`) and that says nothing now is seen without data.
  Result<std::vector<monitor::Observations>> observe(Store& store, const monitor::AlertRules& rules,
                                                     const std::vector<monitor::AlertKey>& present,
                                                     int64_t now_ms);

  // By subject, a value for each hour.
  using History = std::map<std::string, std::vector<double>>;
  struct Hourly {
    int64_t hour = -1;
    monitor::AlertRule rule;
    History history;
  };

 private:
  std::map<std::string, Hourly> histories_;  // by rule
};

}  // namespace skerry::fleet
