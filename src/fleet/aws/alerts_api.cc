// skerry, our own service: alerts, silences, and trying a sink.
#include <nlohmann/json.hpp>

#include "fleet/alerts/alert_messages.h"
#include "fleet/alerts/alert_store.h"
#include "fleet/aws/fields.h"
#include "fleet/aws/input.h"
#include "formats/json_ptr.h"

namespace skerry::fleet::aws {
namespace {

using monitor::Silence;
using nlohmann::json;

constexpr Shape kAlertLine{.max = 256};
constexpr Shape kSilenceSeconds{.type = Type::kLong, .min = 1, .max = 366 * 86'400};
constexpr int64_t kMostNotices = 1'000;

json silence_json(const Silence& silence) {
  return {{"silenceId", silence.id},
          {"rule", silence.rule},
          {"subject", silence.subject},
          {"until", timestamp(silence.until_ms)},
          {"reason", silence.reason},
          {"createdBy", silence.created_by},
          {"created", timestamp(silence.created_ms)}};
}

struct ListAlerts {
  static std::span<const Field> fields() { return {}; }
};

Result<json> alert_list(ApiContext& context, const ListAlerts&) {
  const int64_t now_ms = context.env.clock.wall_ms();
  SKERRY_ASSIGN(const auto alerts, list_alerts(context.store));
  SKERRY_ASSIGN(const auto silences, list_silences(context.store, now_ms));
  SKERRY_ASSIGN(const auto notices, list_notices(context.store, kMostNotices));
  SKERRY_ASSIGN(const std::string rules, context.store.setting(kAlertRulesSetting));
  json answer = {
      {"alerts", json::array()}, {"silences", json::array()}, {"waiting", json::array()}};
  for (const monitor::Alert& alert : alerts) {
    const bool silenced = monitor::is_silenced(silences, alert.key, now_ms);
    json one = {{"rule", alert.key.rule},
                {"subject", alert.key.subject},
                {"state", alert.is_firing ? "FIRING" : "PENDING"},
                {"silenced", silenced},
                {"value", alert.value},
                {"since", timestamp(alert.since_ms)}};
    if (alert.told_ms != 0) one["told"] = timestamp(alert.told_ms);
    answer["alerts"].push_back(std::move(one));
  }
  for (const Silence& silence : silences) answer["silences"].push_back(silence_json(silence));
  for (const AlertNotice& notice : notices) {
    answer["waiting"].push_back({{"noticeId", notice.id},
                                 {"sink", notice.sink},
                                 {"created", timestamp(notice.created_ms)},
                                 {"due", timestamp(notice.due_ms)},
                                 {"attempts", notice.attempts},
                                 {"error", notice.error}});
  }
  const auto status = formats::parse_json(rules.empty() ? "{}" : rules);
  answer["rules"] = status ? *status : json::object();
  return answer;
}

struct CreateSilence {
  std::string rule, subject, reason;
  std::optional<int64_t> seconds;
  static std::span<const Field> fields() {
    using F = Fields<CreateSilence>;
    static constexpr Field kFields[] = {
        F::body<&CreateSilence::rule>("rule", kAlertLine),
        F::body<&CreateSilence::subject>("subject", kAlertLine),
        F::body<&CreateSilence::reason>("reason", kAlertLine),
        F::body<&CreateSilence::seconds>("seconds", kSilenceSeconds, true)};
    return kFields;
  }
};

Result<json> create_silence(ApiContext& context, const CreateSilence& request) {
  const int64_t now_ms = context.env.clock.wall_ms();
  const Silence silence{.id = context.env.random.uuid(),
                        .rule = request.rule,
                        .subject = request.subject,
                        .until_ms = now_ms + *request.seconds * 1'000,
                        .reason = request.reason,
                        .created_by = context.actor,
                        .created_ms = now_ms};
  SKERRY_TRY(add_silence(context.store, silence));
  return silence_json(silence);
}

struct SilenceRequest {
  std::string id;
  static std::span<const Field> fields() {
    using F = Fields<SilenceRequest>;
    static constexpr Field kFields[] = {F::path<&SilenceRequest::id>("silenceId", kNonEmpty)};
    return kFields;
  }
};

Result<json> end_silence(ApiContext& context, const SilenceRequest& request) {
  SKERRY_TRY(delete_silence(context.store, request.id));
  return json::object();
}

struct TestSink {
  std::string sink;
  static std::span<const Field> fields() {
    using F = Fields<TestSink>;
    static constexpr Field kFields[] = {F::path<&TestSink::sink>("sink", kNonEmpty)};
    return kFields;
  }
};

// As any alert, by way of the store: what is tried is the whole way.
Result<json> test_sink(ApiContext& context, const TestSink& request) {
  SKERRY_ASSIGN(const std::string text, context.store.setting(kAlertRulesSetting));
  const auto rules = formats::parse_json(text.empty() ? "{}" : text);
  const json sinks = rules ? rules->value("sinks", json::array()) : json::array();
  if (std::ranges::find(sinks, json(request.sink)) == sinks.end()) {
    return fail(Code::kNotFound, "the alert file has no sink '" + request.sink + "'");
  }
  const int64_t now_ms = context.env.clock.wall_ms();
  const monitor::AlertRule rule{.name = "SkerryTest",
                                .severity = "none",
                                .summary = "A test of this sink by " + context.actor};
  const monitor::AlertBook::Event event{
      {.key = {rule.name, "test"}, .is_firing = true, .since_ms = now_ms, .fired_ms = now_ms},
      false};
  json alert = alert_json(rule, event, now_ms);
  alert["annotations"] = {{"summary", rule.summary}};
  const AlertNotice notice{.id = context.env.random.uuid(),
                           .sink = request.sink,
                           .group = "alertname=" + rule.name,
                           .alert_json = formats::json_text(alert),
                           .created_ms = now_ms,
                           .due_ms = now_ms,
                           .attempts = 0,
                           .error = {}};
  SKERRY_ASSIGN(const int64_t dropped, change_alerts(context.store, {}, {notice}));
  if (dropped > 0) return fail(Code::kResourceExhausted, "too many alerts wait for their sinks");
  return json{{"noticeId", notice.id}};
}

constexpr Route kAlertRoutes[] = {
    operation<alert_list>("skerry", "ListAlerts", "GET", "/skerry/v1/alerts"),
    operation<create_silence>("skerry", "CreateAlertSilence", "POST", "/skerry/v1/alertSilences"),
    operation<end_silence>("skerry", "DeleteAlertSilence", "DELETE",
                           "/skerry/v1/alertSilences/{silenceId}"),
    operation<test_sink>("skerry", "TestAlertSink", "POST", "/skerry/v1/alertSinks/{sink}/test"),
};

}  // namespace

std::span<const Route> alert_routes() {
  return kAlertRoutes;
}

}  // namespace skerry::fleet::aws
