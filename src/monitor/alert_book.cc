// The state machine of alerts.
#include "monitor/alert_book.h"

#include <algorithm>
#include <cstdint>

namespace skerry::monitor {
namespace {
constexpr int64_t kNew = INT64_MAX;
}

bool is_silenced(std::span<const Silence> silences, const AlertKey& key, int64_t now_ms) {
  return std::ranges::any_of(silences,
                             [&](const Silence& each) { return each.covers(key, now_ms); });
}

Observation judge(const AlertRule& rule, double value) {
  using Kind = Observation::Kind;
  const bool is_below = rule.condition == AlertRule::Condition::kBelow;
  const double clear = rule.clear.value_or(rule.limit);
  const auto is_beyond = [&](double limit) { return is_below ? value < limit : value > limit; };
  if (is_beyond(rule.limit)) return {Kind::kBreached, value};
  return {is_beyond(clear) ? Kind::kBetween : Kind::kCleared, value};
}

// Nobody hears of the end of what they did not hear of.
void AlertBook::end(const Alert& alert, Changes& changes) {
  if (alert.told_ms != 0) changes.to_be_told.push_back({alert, true});
  changes.gone.push_back(alert.key);
}

void AlertBook::step(const AlertRule& rule, const Observations& seen,
                     std::span<const Silence> silences, int64_t repeat_ms, int64_t now_ms,
                     Changes& changes) {
  using Kind = Observation::Kind;
  for (const auto& [subject, observation] : seen) {
    if (observation.kind != Kind::kBreached) continue;
    const AlertKey key{rule.name, subject};
    // Without a time of its own until it is looked at below.
    alerts_.try_emplace(key, Alert{.key = key, .since_ms = kNew});
  }
  for (auto at = alerts_.lower_bound({rule.name, ""});
       at != alerts_.end() && at->first.rule == rule.name;) {
    Alert& alert = at->second;
    const Alert before = alert;
    const auto found = seen.find(alert.key.subject);
    const bool is_there = found != seen.end();
    const Observation now = is_there ? found->second : Observation{Kind::kCleared, alert.value};
    if (now.kind != Kind::kNoData) alert.value = now.value;
    if (now.kind == Kind::kBreached) alert.breached_ms = now_ms;
    const bool is_new = alert.since_ms == kNew;
    // A clock that was set back makes nobody wait for it.
    alert.since_ms = std::min(alert.since_ms, now_ms);
    alert.breached_ms = std::min(alert.breached_ms, now_ms);
    const bool ends = alert.is_firing
                          ? now.kind == Kind::kCleared &&
                                (!is_there || now_ms - alert.breached_ms >= rule.keep_firing_ms)
                          : now.kind != Kind::kBreached;
    if (ends) {
      end(alert, changes);
      at = alerts_.erase(at);
      continue;
    }
    if (!alert.is_firing && now_ms - alert.since_ms >= rule.for_ms) {
      alert.is_firing = true;
      alert.fired_ms = now_ms;
    }
    const bool is_due =
        alert.told_ms == 0 || (repeat_ms > 0 && now_ms - alert.told_ms >= repeat_ms);
    if (alert.is_firing && is_due && !is_silenced(silences, alert.key, now_ms)) {
      alert.told_ms = now_ms;
      changes.to_be_told.push_back({alert, false});
    }
    // What only goes on is not written each time.
    Alert as_stored = alert;
    as_stored.value = before.value;
    if (alert.is_firing && before.is_firing && rule.keep_firing_ms == 0) {
      as_stored.breached_ms = before.breached_ms;
    }
    if (!alert.is_firing) as_stored.breached_ms = before.breached_ms;
    if (is_new || as_stored != before) changes.changed.push_back(alert);
    ++at;
  }
}

void AlertBook::drop_others(const AlertRules& rules, Changes& changes) {
  for (auto at = alerts_.begin(); at != alerts_.end();) {
    if (rules.find_rule(at->first.rule)) {
      ++at;
      continue;
    }
    end(at->second, changes);
    at = alerts_.erase(at);
  }
}

}  // namespace skerry::monitor
