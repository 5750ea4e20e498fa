// The alerts that there are: what follows from one look at a rule. Pure: no clock, no store.
//
//   nothing ─ breached ─► pending ─ for ─► firing ─ cleared, keepFiring ─► nothing
//
// Between `clear` and the limit, and where there are no data, a firing alert goes on: silence does
// not end it (rules with `absent` are about silence). A pending one begins anew.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "monitor/alert_rules.h"

namespace skerry::monitor {

struct AlertKey {
  std::string rule;
  std::string subject;  // a thing, or "group/G"
  auto operator<=>(const AlertKey&) const = default;
};

struct Alert {
  AlertKey key;
  bool is_firing = false;  // else pending
  int64_t since_ms = 0;    // it has been so
  int64_t fired_ms = 0;
  int64_t breached_ms = 0;  // when it was last seen to be so
  double value = 0;         // seen last
  int64_t told_ms = 0;      // to its sinks, last; 0: not yet
  bool operator==(const Alert&) const = default;
};

struct Silence {
  std::string id;
  std::string rule, subject;  // "": every one
  int64_t until_ms = 0;
  std::string reason, created_by;
  int64_t created_ms = 0;
  bool covers(const AlertKey& key, int64_t now_ms) const {
    return now_ms < until_ms && (rule.empty() || rule == key.rule) &&
           (subject.empty() || subject == key.subject);
  }
};
bool is_silenced(std::span<const Silence> silences, const AlertKey& key, int64_t now_ms);

// What was seen of one subject of a rule.
struct Observation {
  enum class Kind { kNoData, kCleared, kBetween, kBreached };
  Kind kind = Kind::kNoData;
  double value = 0;
  bool operator==(const Observation&) const = default;
};
// What `value` is for the rule: of kAbove, kBelow and kAnomaly.
Observation judge(const AlertRule& rule, double value);
using Observations = std::map<std::string, Observation>;  // by subject

class AlertBook {
 public:
  struct Event {
    Alert alert;
    bool is_resolved = false;
  };
  struct Changes {
    std::vector<Alert> changed;  // to be stored
    std::vector<AlertKey> gone;  // to be forgotten
    std::vector<Event> to_be_told;
    bool empty() const { return changed.empty() && gone.empty() && to_be_told.empty(); }
  };

  void load(Alert alert) { alerts_[alert.key] = std::move(alert); }
  const std::map<AlertKey, Alert>& alerts() const { return alerts_; }

  // One look at a rule. Who was not observed is not there any more: its alert is over.
  void step(const AlertRule& rule, const Observations& seen, std::span<const Silence> silences,
            int64_t repeat_ms, int64_t now_ms, Changes& changes);
  // Alerts of rules that are no more.
  void drop_others(const AlertRules& rules, Changes& changes);

 private:
  void end(const Alert& alert, Changes& changes);
  std::map<AlertKey, Alert> alerts_;
};

}  // namespace skerry::monitor
