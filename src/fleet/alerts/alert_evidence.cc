// Windows of metrics and health, as observations of rules.
#include "fleet/alerts/alert_evidence.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "fleet/device_metrics.h"
#include "fleet/overview_store.h"

namespace skerry::fleet {
namespace {

using formats::Distribution;
using monitor::AlertKey;
using monitor::AlertRule;
using monitor::AlertValue;
using monitor::Observation;
using monitor::Observations;
using Condition = AlertRule::Condition;

constexpr size_t kLeastHistory = 24;      // hours
constexpr size_t kLeastOfSameHour = 4;    // days
constexpr int64_t kPointsOfWindow = 240;  // of the level that a window is read from
constexpr int64_t kSeenBeforeMs = 7 * kDayOfMetricsMs;
constexpr size_t kDevicesOfPage = 1'000;

const MetricLevel& level_of(int64_t window_ms) {
  for (const MetricLevel& level : kMetricLevels) {
    if (window_ms <= kPointsOfWindow * level.length_ms) return level;
  }
  return kMetricLevels[2];
}

// By thing, of one series in one stretch of time.
using Windows = std::map<std::string, Distribution>;

class AlertEvidence {
 public:
  AlertEvidence(Store& store, const monitor::AlertRules& rules, int64_t now_ms)
      : store_(store), now_ms_(now_ms) {
    for (const AlertRule& rule : rules.rules) {
      if (!rule.is_of_metric()) continue;
      names_.insert(rule.metric);
      wanted_.insert({rule.component, rule.metric});
    }
  }

  Result<Observations> of(const AlertRule& rule, AlertObserver::Hourly& kept) {
    if (!rule.is_of_metric()) return of_health(rule);
    SKERRY_ASSIGN(const Windows now, windows(rule, now_ms_ - rule.window_ms, now_ms_ + 1));
    if (rule.condition == Condition::kAbsent) return of_absence(rule, now, kept);
    Windows before;
    if (rule.value == AlertValue::kChange) {
      SKERRY_ASSIGN(before, windows(rule, now_ms_ - 2 * rule.window_ms, now_ms_ - rule.window_ms));
    }
    const AlertObserver::History* history = nullptr;
    if (rule.condition == Condition::kAnomaly) {
      SKERRY_ASSIGN(history, history_of(rule, kept));
    }
    Observations seen;
    SKERRY_ASSIGN(const auto members, members_of(rule));
    // Who says nothing now is there all the same, as far as it is known.
    if (members && !rule.merges_group) {
      for (const std::string& thing : *members) seen[thing] = {};
    }
    for (const auto& [subject, distribution] : now) {
      double value = alert_value(distribution, rule.value, rule.window_ms);
      if (rule.value == AlertValue::kChange) {
        const auto former = before.find(subject);
        if (former == before.end()) continue;
        value -= former->second.mean();
      }
      if (rule.condition == Condition::kAnomaly) {
        const auto known = history->find(subject);
        if (known == history->end()) continue;
        const auto away = monitor::deviations(known->second, value,
                                              rule.same_hour ? kLeastOfSameHour : kLeastHistory);
        if (!away) continue;
        value = *away;
      }
      seen[subject] = monitor::judge(rule, value);
    }
    return seen;
  }

 private:
  using Members = std::optional<std::set<std::string>>;
  // The rule's things; nothing where all are.
  Result<Members> members_of(const AlertRule& rule) {
    if (rule.group.empty()) return Members();
    const ThingGroupName group(rule.group);
    // A group that is not there yet has nobody.
    SKERRY_ASSIGN(const auto things, store_.things_in_group(group));
    std::set<std::string> names;
    for (const ThingName& thing : things) names.insert(thing.str());
    return Members(std::move(names));
  }

  // Of everybody in a stretch of time, the series of all rules: rules share them.
  struct Stretch {
    int64_t length_ms, from_ms, until_ms;
    auto operator<=>(const Stretch&) const = default;
  };
  struct Point {
    std::string thing;
    formats::SeriesMap series;
  };
  using Points = std::vector<Point>;
  Result<const Points*> points(const MetricLevel& level, int64_t from_ms, int64_t until_ms) {
    auto [found, is_new] = points_.try_emplace({level.length_ms, from_ms, until_ms});
    if (is_new) {
      SKERRY_TRY(scan(level, from_ms, until_ms,
                      [&](const std::string& thing, int64_t, const formats::SeriesMap& series) {
                        found->second.push_back({thing, series});
                      }));
    }
    return &found->second;
  }
  Result<void> scan(const MetricLevel& level, int64_t from_ms, int64_t until_ms,
                    const EachMetrics& each) {
    return scan_metrics(
        store_, level, from_ms, until_ms, names_,
        [this](const formats::SeriesId& id) { return wanted_.contains({id.component, id.name}); },
        each);
  }

  static std::string subject_of(const AlertRule& rule, const std::string& thing) {
    return rule.merges_group ? "group/" + rule.group : thing;
  }

  static bool is_of(const AlertRule& rule, const formats::SeriesId& id) {
    return id.component == rule.component && id.name == rule.metric;
  }

  Result<Windows> windows(const AlertRule& rule, int64_t from_ms, int64_t until_ms) {
    Windows found;
    SKERRY_ASSIGN(const auto members, members_of(rule));
    SKERRY_ASSIGN(const Points* all, points(level_of(rule.window_ms), from_ms, until_ms));
    for (const Point& point : *all) {
      if (members && !members->contains(point.thing)) continue;
      for (const auto& [id, distribution] : point.series) {
        if (is_of(rule, id)) found[subject_of(rule, point.thing)].merge(distribution);
      }
    }
    return found;
  }

  // One value for each hour before this window, with same_hour of this hour of the day alone. Of
  // kAbsent: who has had the metric.
  Result<const AlertObserver::History*> history_of(const AlertRule& rule,
                                                   AlertObserver::Hourly& kept) {
    const MetricLevel& hours = kMetricLevels[1];
    const bool is_absence = rule.condition == Condition::kAbsent;
    const int64_t hour = now_ms_ / hours.length_ms;
    if (kept.hour == hour && kept.rule == rule) return &kept.history;
    kept = {.hour = -1, .rule = rule, .history = {}};
    const int64_t from_ms = now_ms_ - (is_absence ? kSeenBeforeMs : rule.history_ms);
    // Not what is judged: neither the hour that goes on nor the window.
    const int64_t until_ms =
        is_absence
            ? now_ms_
            : std::min(hour * hours.length_ms, now_ms_ - rule.window_ms) - hours.length_ms + 1;
    SKERRY_ASSIGN(const auto members, members_of(rule));
    std::map<std::string, std::map<int64_t, Distribution>> merged;
    SKERRY_TRY(scan(is_absence ? kMetricLevels[2] : hours, from_ms, until_ms,
                    [&](const std::string& thing, int64_t at_ms, const formats::SeriesMap& series) {
                      if (members && !members->contains(thing)) return;
                      const bool is_other_hour =
                          rule.same_hour && (at_ms / hours.length_ms - hour) % 24 != 0;
                      if (is_other_hour) return;
                      for (const auto& [id, distribution] : series) {
                        if (!is_of(rule, id)) continue;
                        Distribution& at = merged[subject_of(rule, thing)][is_absence ? 0 : at_ms];
                        if (!is_absence) at.merge(distribution);
                      }
                    }));
    for (const auto& [subject, of_hours] : merged) {
      for (const auto& [at_ms, point] : of_hours) {
        kept.history[subject].push_back(alert_value(point, rule.value, hours.length_ms));
      }
    }
    kept.hour = hour;
    return &kept.history;
  }

  // Of a group everybody; else whoever has had the metric in the last week.
  Result<Observations> of_absence(const AlertRule& rule, const Windows& now,
                                  AlertObserver::Hourly& kept) {
    using Kind = Observation::Kind;
    Observations seen;
    const auto look = [&](const std::string& subject) {
      seen[subject] = {now.contains(subject) ? Kind::kCleared : Kind::kBreached, 0};
    };
    SKERRY_ASSIGN(const auto members, members_of(rule));
    if (rule.merges_group) {
      look("group/" + rule.group);
    } else if (members) {
      std::ranges::for_each(*members, look);
    } else {
      SKERRY_ASSIGN(const auto* known, history_of(rule, kept));
      for (const auto& [subject, none] : *known) look(subject);
    }
    return seen;
  }

  Result<Observations> of_health(const AlertRule& rule) {
    const std::string bad = rule.condition == Condition::kUnreachable ? "UNREACHABLE" : "UNHEALTHY";
    using Kind = Observation::Kind;
    Observations seen;
    Page page{.limit = kDevicesOfPage};
    for (;;) {
      SKERRY_ASSIGN(const auto slice, find_devices(store_, {.group = rule.group}, page));
      for (const DeviceRow& device : slice.items) {
        // What is unreachable may be unhealthy or not.
        const bool is_unknown = rule.condition == Condition::kUnhealthy &&
                                device.status != "HEALTHY" && device.status != "UNHEALTHY";
        seen[device.thing.str()] = {is_unknown             ? Kind::kNoData
                                    : device.status == bad ? Kind::kBreached
                                                           : Kind::kCleared,
                                    0};
      }
      if (slice.next.empty()) return seen;
      page.after = slice.next;
    }
  }

  Store& store_;
  const int64_t now_ms_;
  std::set<std::string> names_;                           // of metrics
  std::set<std::pair<std::string, std::string>> wanted_;  // component and metric
  std::map<Stretch, Points> points_;
};

}  // namespace

Result<std::vector<Observations>> AlertObserver::observe(Store& store,
                                                         const monitor::AlertRules& rules,
                                                         const std::vector<AlertKey>& present,
                                                         int64_t now_ms) {
  std::erase_if(histories_, [&](const auto& each) { return !rules.find_rule(each.first); });
  AlertEvidence evidence(store, rules, now_ms);
  std::vector<Observations> all;
  for (const AlertRule& rule : rules.rules) {
    SKERRY_ASSIGN(Observations seen, evidence.of(rule, histories_[rule.name]));
    for (const AlertKey& key : present) {
      if (key.rule != rule.name || seen.contains(key.subject)) continue;
      const bool is_there = rule.merges_group
                                ? key.subject == "group/" + rule.group
                                : rule.group.empty() && store.find_thing(ThingName(key.subject));
      if (is_there) seen[key.subject] = {};
    }
    all.push_back(std::move(seen));
  }
  return all;
}

}  // namespace skerry::fleet
