// The past, one look after another.
#include "monitor/alert_replay.h"

#include <algorithm>
#include <limits>

namespace skerry::monitor {
namespace {

using formats::Distribution;
using Points = std::map<int64_t, Distribution>;
using Kind = Observation::Kind;

constexpr int64_t kReplayHourMs = 3'600'000;
constexpr size_t kLeastReplayedHours = 24, kLeastReplayedDays = 4;

// Of the points that end in (from, until].
Distribution window_of(const Points& points, int64_t from_ms, int64_t until_ms) {
  Distribution sum;
  const auto end = points.upper_bound(until_ms);
  for (auto at = points.upper_bound(from_ms); at != end; ++at) sum.merge(at->second);
  return sum;
}

Observation judge_past(const AlertRule& rule, const Points& points, int64_t now_ms) {
  const Distribution now = window_of(points, now_ms - rule.window_ms, now_ms);
  if (rule.condition == AlertRule::Condition::kAbsent) {
    // Before its first word nothing is missed.
    const bool is_known = !points.empty() && points.begin()->first <= now_ms;
    return {now.count == 0 && is_known ? Kind::kBreached : Kind::kCleared, 0};
  }
  if (now.count == 0) return {};
  double value = alert_value(now, rule.value, rule.window_ms);
  if (rule.value == AlertValue::kChange) {
    const Distribution before =
        window_of(points, now_ms - 2 * rule.window_ms, now_ms - rule.window_ms);
    if (before.count == 0) return {};
    value -= before.mean();
  }
  if (rule.condition == AlertRule::Condition::kAnomaly) {
    std::map<int64_t, Distribution> hours;
    const int64_t hour = now_ms / kReplayHourMs;
    const int64_t until = std::min(hour * kReplayHourMs, now_ms - rule.window_ms);
    for (auto at = points.lower_bound(now_ms - rule.history_ms);
         at != points.end() && at->first < until; ++at) {
      const int64_t of_point = at->first / kReplayHourMs;
      if (!rule.same_hour || (hour - of_point) % 24 == 0) hours[of_point].merge(at->second);
    }
    std::vector<double> values;
    for (const auto& [start, sum] : hours) {
      values.push_back(alert_value(sum, rule.value, kReplayHourMs));
    }
    const auto away = deviations(std::move(values), value,
                                 rule.same_hour ? kLeastReplayedDays : kLeastReplayedHours);
    if (!away) return {};
    value = *away;
  }
  return judge(rule, value);
}

}  // namespace

std::vector<ReplayedAlert> replay_alerts(const AlertRules& rules,
                                         const formats::SeriesHistory& history,
                                         const std::string& subject) {
  int64_t first = std::numeric_limits<int64_t>::max(), last = 0;
  std::map<std::pair<std::string, std::string>, Points> series;  // whatever the unit
  for (const auto& [id, points] : history) {
    for (const auto& [at_ms, point] : points) {
      first = std::min(first, at_ms);
      last = std::max(last, at_ms);
      series[{id.component, id.name}][at_ms].merge(point);
    }
  }
  std::vector<ReplayedAlert> replayed;
  AlertBook book;
  for (int64_t now_ms = first; now_ms <= last; now_ms += rules.every_ms) {
    AlertBook::Changes changes;
    for (const AlertRule& rule : rules.rules) {
      if (!rule.is_of_metric() || rule.merges_group) continue;
      const Observation seen = judge_past(rule, series[{rule.component, rule.metric}], now_ms);
      book.step(rule, {{subject, seen}}, {}, 0, now_ms, changes);
    }
    for (auto& event : changes.to_be_told) replayed.push_back({now_ms, std::move(event)});
  }
  return replayed;
}

}  // namespace skerry::monitor
