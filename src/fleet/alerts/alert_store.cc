// SQL of alerts, silences and notices.
#include "fleet/alerts/alert_store.h"

#include <charconv>

#include "fleet/store_sql.h"

namespace skerry::fleet {
namespace {

using monitor::Alert;
using monitor::Silence;

// Text, so that any double comes back the same.
std::string exact_text(double value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  return {text, end};
}

Alert read_alert(const Row& row) {
  Alert alert{.key = {row.text("rule"), row.text("subject")},
              .is_firing = row.number("is_firing") != 0,
              .since_ms = row.number("since_ms"),
              .fired_ms = row.number("fired_ms"),
              .breached_ms = row.number("breached_ms"),
              .told_ms = row.number("told_ms")};
  const std::string value = row.text("value");
  std::from_chars(value.data(), value.data() + value.size(), alert.value);
  return alert;
}

AlertNotice read_notice(const Row& row) {
  return {row.text("id"),         row.text("sink"),         row.text("group_key"),
          row.text("alert"),      row.number("created_ms"), row.number("due_ms"),
          row.number("attempts"), row.text("error")};
}

const std::string kNoticeColumns =
    "SELECT id, sink, group_key, alert, created_ms, due_ms, attempts, error FROM alert_notices ";

Result<void> store_alert(Database& database, const Alert& alert) {
  SKERRY_TRY(database.execute(
      "INSERT INTO alerts (rule, subject, is_firing, since_ms, fired_ms, breached_ms, value, "
      "told_ms) VALUES (:rule, :subject, :firing, :since, :fired, :breached, :value, :told) ON "
      "CONFLICT (rule, subject) DO UPDATE SET is_firing = excluded.is_firing, since_ms = "
      "excluded.since_ms, fired_ms = excluded.fired_ms, breached_ms = excluded.breached_ms, value "
      "= excluded.value, told_ms = excluded.told_ms",
      alert.key.rule, alert.key.subject, int64_t{alert.is_firing}, alert.since_ms, alert.fired_ms,
      alert.breached_ms, exact_text(alert.value), alert.told_ms));
  return {};
}

}  // namespace

Result<std::vector<Alert>> list_alerts(Store& store) {
  return store.database().select(
      "SELECT rule, subject, is_firing, since_ms, fired_ms, breached_ms, value, told_ms FROM "
      "alerts ORDER BY rule, subject",
      read_alert);
}

Result<int64_t> change_alerts(Store& store, const monitor::AlertBook::Changes& changes,
                              const std::vector<AlertNotice>& notices) {
  int64_t dropped = 0;
  Database& database = store.database();
  SKERRY_TRY(store.transaction([&]() -> Result<void> {
    for (const Alert& alert : changes.changed) SKERRY_TRY(store_alert(database, alert));
    for (const monitor::AlertKey& key : changes.gone) {
      SKERRY_TRY(database.execute("DELETE FROM alerts WHERE rule = :rule AND subject = :subject",
                                  key.rule, key.subject));
    }
    if (notices.empty()) return {};
    SKERRY_ASSIGN(int64_t waiting,
                  database.select_one("", "SELECT count(*) AS waiting FROM alert_notices",
                                      [](const Row& row) { return row.number("waiting"); }));
    for (const AlertNotice& notice : notices) {
      if (waiting >= kMaxAlertNotices) {
        ++dropped;
        continue;
      }
      ++waiting;
      SKERRY_TRY(database.execute(
          "INSERT INTO alert_notices (id, sink, group_key, alert, created_ms, due_ms, attempts, "
          "error) VALUES (:id, :sink, :group_key, :alert, :created, :due, :attempts, :error)",
          notice.id, notice.sink, notice.group, notice.alert_json, notice.created_ms, notice.due_ms,
          notice.attempts, notice.error));
    }
    return {};
  }));
  return dropped;
}

Result<std::vector<Silence>> list_silences(Store& store, int64_t now_ms) {
  return store.database().select(
      "SELECT id, rule, subject, until_ms, reason, created_by, created_ms FROM alert_silences "
      "WHERE until_ms > :now ORDER BY until_ms, id",
      [](const Row& row) {
        return Silence{row.text("id"),          row.text("rule"),   row.text("subject"),
                       row.number("until_ms"),  row.text("reason"), row.text("created_by"),
                       row.number("created_ms")};
      },
      now_ms);
}

Result<void> add_silence(Store& store, const Silence& silence) {
  SKERRY_ASSIGN(const auto present, list_silences(store, silence.created_ms));
  if (present.size() >= kMaxSilences) {
    return fail(Code::kResourceExhausted,
                "there are 500 silences: end some, or silence a rule or a "
                "device as a whole");
  }
  SKERRY_TRY(store.database().execute(
      "INSERT INTO alert_silences (id, rule, subject, until_ms, reason, created_by, created_ms) "
      "VALUES (:id, :rule, :subject, :until, :reason, :by, :created)",
      silence.id, silence.rule, silence.subject, silence.until_ms, silence.reason,
      silence.created_by, silence.created_ms));
  return {};
}

Result<void> delete_silence(Store& store, const std::string& id) {
  SKERRY_ASSIGN(const int64_t gone,
                store.database().execute("DELETE FROM alert_silences WHERE id = :id", id));
  if (gone == 0) return fail(Code::kNotFound, "there is no silence " + id);
  return {};
}

Result<std::vector<AlertNotice>> list_notices(Store& store, int64_t limit) {
  return store.database().select(kNoticeColumns + "ORDER BY created_ms, id LIMIT :limit",
                                 read_notice, limit);
}

Result<std::vector<AlertNotice>> due_notices(Store& store, const std::string& sink, int64_t now_ms,
                                             int64_t limit) {
  return store.database().select(
      kNoticeColumns +
          "WHERE sink = :sink AND group_key IN (SELECT group_key FROM alert_notices WHERE sink = "
          ":sink_too AND due_ms <= :now) ORDER BY created_ms, id LIMIT :limit",
      read_notice, sink, sink, now_ms, limit);
}

Result<void> delete_notices(Store& store, const std::vector<std::string>& ids) {
  return store.transaction([&]() -> Result<void> {
    for (const std::string& id : ids) {
      SKERRY_TRY(store.database().execute("DELETE FROM alert_notices WHERE id = :id", id));
    }
    return {};
  });
}

Result<void> postpone_notices(Store& store, const std::vector<std::string>& ids, int64_t due_ms,
                              const std::string& error) {
  return store.transaction([&]() -> Result<void> {
    for (const std::string& id : ids) {
      SKERRY_TRY(store.database().execute(
          "UPDATE alert_notices SET due_ms = :due, attempts = attempts + 1, error = :error WHERE "
          "id = :id",
          due_ms, error, id));
    }
    return {};
  });
}

Result<int64_t> prune_alerts(Store& store, const std::vector<std::string>& sinks, int64_t now_ms) {
  int64_t gone = 0;
  SKERRY_TRY(store.transaction([&]() -> Result<void> {
    Database& database = store.database();
    SKERRY_TRY(database.execute("DELETE FROM alert_silences WHERE until_ms <= :now", now_ms));
    SKERRY_ASSIGN(gone, database.execute("DELETE FROM alert_notices WHERE created_ms < :oldest",
                                         now_ms - kAlertNoticeLifeMs));
    SKERRY_ASSIGN(const auto used,
                  database.select("SELECT DISTINCT sink FROM alert_notices",
                                  [](const Row& row) { return row.text("sink"); }));
    for (const std::string& sink : used) {
      if (std::ranges::find(sinks, sink) != sinks.end()) continue;
      SKERRY_ASSIGN(const int64_t notices,
                    database.execute("DELETE FROM alert_notices WHERE sink = :sink", sink));
      gone += notices;
    }
    return {};
  }));
  return gone;
}

}  // namespace skerry::fleet
