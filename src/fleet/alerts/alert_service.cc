// From the file to alerts, one look after another.
#include "fleet/alerts/alert_service.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "base/log_limit.h"
#include "formats/json_ptr.h"
#include "io/files.h"

namespace skerry::fleet {
namespace {

using monitor::AlertBook;
using monitor::AlertRule;
using monitor::AlertRules;
using nlohmann::json;

constexpr std::string_view kAlertServiceModule = "alerts";

std::vector<std::string> names_of(const std::vector<monitor::AlertSink>& sinks) {
  std::vector<std::string> names;
  for (const auto& sink : sinks) names.push_back(sink.name);
  return names;
}

}  // namespace

AlertService::AlertService(io::Env& env, StorePool& stores, DeviceLink& link, std::string file,
                           std::string external_url, int64_t poll_ms)
    : env_(env),
      stores_(stores),
      file_(std::move(file)),
      sender_(env, stores, link, std::move(external_url), poll_ms) {}

Result<std::unique_ptr<AlertService>> AlertService::make(io::Env& env, StorePool& stores,
                                                         DeviceLink& link, std::string file,
                                                         std::string external_url,
                                                         int64_t poll_ms) {
  std::unique_ptr<AlertService> service(
      new AlertService(env, stores, link, std::move(file), std::move(external_url), poll_ms));
  if (service->file_.empty()) return service;
  SKERRY_ASSIGN(service->text_,
                io::read_file(env.files, service->file_, monitor::kMaxAlertFileBytes));
  auto rules = monitor::parse_alert_rules(service->text_);
  if (!rules) return fail(rules.error().with_context(service->file_));
  service->rules_ = std::make_shared<const AlertRules>(std::move(*rules));
  return service;
}

io::Task<void> AlertService::run() {
  while (true) {
    auto begun = co_await begin();
    if (begun) break;
    log::warn(kAlertServiceModule, "alerts do not begin yet", {{"error", begun.error().message()}});
    co_await io::sleep(env_.loop, rules_->every_ms);
  }
  while (!file_.empty()) {
    auto looked = co_await look();
    if (!looked) {
      static log::Limit limit;
      limit.write(log::Level::kWarn, kAlertServiceModule, "rules not looked at this time",
                  {{"error", looked.error().message()}});
    }
    co_await io::sleep(env_.loop, rules_->every_ms);
  }
}

// What an earlier run has left.
io::Task<Result<void>> AlertService::begin() {
  SKERRY_CO_ASSIGN(auto alerts,
                   co_await stores_.read([](Store& store) { return list_alerts(store); }));
  for (auto& alert : alerts) book_.load(std::move(alert));
  co_return co_await use(*rules_);
}

io::Task<Result<void>> AlertService::use(AlertRules rules) {
  const int64_t now_ms = env_.clock.wall_ms();
  // Alerts of rules that are no more end as their former rules would have it told.
  AlertBook book = book_;
  AlertBook::Changes changes;
  book.drop_others(rules, changes);
  const std::shared_ptr<const AlertRules> former = rules_;
  SKERRY_CO_TRY(co_await keep(std::move(book), *former, std::move(changes), now_ms));
  SKERRY_CO_TRY(co_await stores_.write(
      [sinks = names_of(rules.sinks), now_ms](Store& store) -> Result<void> {
        SKERRY_TRY(prune_alerts(store, sinks, now_ms));
        return {};
      },
      StorePool::Need::kRelief));
  rules_ = std::make_shared<const AlertRules>(std::move(rules));
  sender_.set_sinks(rules_->sinks);
  co_return co_await say("");
}

// For lists.
io::Task<Result<void>> AlertService::say(const std::string& error) {
  file_error_ = error;
  const json status = {{"file", file_},
                       {"rules", rules_->rules.size()},
                       {"sinks", names_of(rules_->sinks)},
                       {"error", error}};
  co_return co_await stores_.write(
      [text = status.dump()](Store& store) { return store.set_setting(kAlertRulesSetting, text); });
}

io::Task<Result<void>> AlertService::reload() {
  auto text = io::read_file(env_.files, file_, monitor::kMaxAlertFileBytes);
  if (text && *text == text_) co_return Result<void>();
  auto rules = text ? monitor::parse_alert_rules(*text) : Result<AlertRules>(fail(text.error()));
  text_ = text ? *text : "";
  if (rules) {
    log::info(kAlertServiceModule, "the alert file has changed", {{"file", file_}});
    co_return co_await use(std::move(*rules));
  }
  if (rules.error().message() == file_error_) co_return Result<void>();
  log::error(kAlertServiceModule, "the alert file is wrong: the rules before stay in use",
             {{"file", file_}, {"error", rules.error().message()}});
  co_return co_await say(rules.error().message());
}

io::Task<Result<void>> AlertService::look() {
  SKERRY_CO_TRY(co_await reload());
  const int64_t now_ms = env_.clock.wall_ms();
  const std::shared_ptr<const AlertRules> rules = rules_;
  std::vector<monitor::AlertKey> present;
  for (const auto& [key, alert] : book_.alerts()) present.push_back(key);
  struct Seen {
    std::vector<monitor::Observations> of_rules;
    std::vector<monitor::Silence> silences;
  };
  SKERRY_CO_ASSIGN(const Seen seen, co_await stores_.read([observer = observer_, rules, present,
                                                           now_ms](Store& store) -> Result<Seen> {
    Seen found;
    SKERRY_ASSIGN(found.of_rules, observer->observe(store, *rules, present, now_ms));
    SKERRY_ASSIGN(found.silences, list_silences(store, now_ms));
    return found;
  }));
  AlertBook book = book_;
  AlertBook::Changes changes;
  for (size_t i = 0; i < rules->rules.size(); ++i) {
    book.step(rules->rules[i], seen.of_rules[i], seen.silences, rules->repeat_ms, now_ms, changes);
  }
  co_return co_await keep(std::move(book), *rules, std::move(changes), now_ms);
}

std::vector<AlertNotice> AlertService::notices_of(const AlertRules& rules,
                                                  const AlertBook::Changes& changes,
                                                  int64_t now_ms) {
  std::vector<AlertNotice> notices;
  for (const AlertBook::Event& event : changes.to_be_told) {
    const AlertRule* found = rules.find_rule(event.alert.key.rule);
    if (!found) continue;
    for (const std::string& sink : found->sinks) {
      notices.push_back({.id = env_.random.uuid(),
                         .sink = sink,
                         .group = alert_group(rules.group_by, *found, event.alert.key),
                         .alert_json = formats::json_text(alert_json(*found, event, now_ms)),
                         .created_ms = now_ms,
                         .due_ms = now_ms + rules.group_wait_ms,
                         .attempts = 0,
                         .error = {}});
    }
  }
  return notices;
}

// `book` is the one in use once the store has it: what could not be stored is seen again.
io::Task<Result<void>> AlertService::keep(AlertBook book, const AlertRules& rules,
                                          AlertBook::Changes changes, int64_t now_ms) {
  if (changes.empty()) {
    book_ = std::move(book);
    co_return Result<void>();
  }
  for (const AlertBook::Event& event : changes.to_be_told) {
    log::info(kAlertServiceModule, event.is_resolved ? "resolved" : "firing",
              {{"rule", event.alert.key.rule}, {"subject", event.alert.key.subject}});
  }
  auto notices = notices_of(rules, changes, now_ms);
  SKERRY_CO_ASSIGN(const int64_t dropped,
                   co_await stores_.write([changes, notices = std::move(notices)](Store& store) {
                     return change_alerts(store, changes, notices);
                   }));
  if (dropped > 0) {
    log::error(kAlertServiceModule, "too many alerts wait for their sinks: these are not told",
               {{"dropped", std::to_string(dropped)}});
  }
  book_ = std::move(book);
  co_return Result<void>();
}

}  // namespace skerry::fleet
