// Exposure from presence, restarts from the events of devices (component_events.h).
#include "fleet/rollout/restart_evidence.h"

#include <algorithm>

#include "fleet/store_sql.h"

namespace skerry::fleet::rollout {
namespace {

constexpr int64_t kDayMs = int64_t{24} * 3'600'000;
constexpr double kHourMs = 3'600'000;

// Each device of a cohort with when it was watched: thing, began, ended. A device that is away was
// watched until it was last seen.
const std::string kSeen =
    "CASE WHEN p.connected = 1 THEN :now ELSE coalesce(p.last_seen_ms, core.last_status_ms) END";
const std::string kRelease =
    "SELECT e.thing AS thing, CASE WHEN h.since_ms > e.began THEN h.since_ms ELSE e.began END AS "
    "began, " +
    kSeen +
    " AS ended FROM (SELECT thing, CASE WHEN started_ms > 0 THEN started_ms ELSE updated_ms END AS "
    "began FROM job_executions WHERE job_id = :job AND status = 'SUCCEEDED') e JOIN "
    "component_histories h ON h.thing = e.thing JOIN core_devices core ON core.thing = e.thing "
    "LEFT JOIN presence p ON p.thing = e.thing";
const std::string kControl =
    "SELECT m.thing AS thing, CASE WHEN h.since_ms > :from THEN h.since_ms ELSE :same_from END AS "
    "began, CASE WHEN e.queued_ms < " +
    kSeen +
    " THEN e.queued_ms ELSE CASE WHEN p.connected = 1 THEN :same_now ELSE "
    "coalesce(p.last_seen_ms, core.last_status_ms) END END AS ended FROM memberships m JOIN "
    "component_histories h ON h.thing = m.thing JOIN core_devices core ON core.thing = m.thing "
    "LEFT JOIN presence p ON p.thing = m.thing LEFT JOIN job_executions e ON e.cohort = m.cohort "
    "AND e.thing = m.thing AND e.job_id = :job WHERE m.group_name = :group_name";

struct Watched {
  int64_t devices = 0;
  int64_t ms = 0;
};
Watched read_watched(const Row& row) {
  return {row.number("devices"), row.number("ms")};
}
// A device with restarts.
struct Restarted {
  double count = 0;
  double hours = 0;
};
Restarted read_restarted(const Row& row) {
  const auto ms = static_cast<double>(std::max<int64_t>(row.number("ms"), 1'000));
  return {static_cast<double>(row.number("restarts")), ms / kHourMs};
}

std::string watched_of(const std::string& cohort) {
  return "SELECT count(*) AS devices, sum(ended - began) AS ms FROM (" + cohort +
         ") w WHERE ended > began";
}
std::string restarted_of(const std::string& cohort) {
  return "SELECT min(w.ended - w.began) AS ms, sum(v.restarts) AS restarts FROM (" + cohort +
         ") w JOIN component_events v ON v.thing = w.thing AND v.at_ms >= w.began AND v.at_ms <= "
         "w.ended WHERE w.ended > w.began GROUP BY w.thing HAVING sum(v.restarts) > 0";
}

// Restarts come in clusters: one device with a loose contact has them all. How many times more the
// counts of devices vary than chance would have it (Pearson's chi-square by its degrees of
// freedom); of a single device nobody can tell, so all of its restarts are one.
double dispersion_of(const Watched& watched, const std::vector<Restarted>& restarted) {
  double count = 0, squares = 0;
  for (const Restarted& each : restarted) {
    count += each.count;
    squares += each.count * each.count / each.hours;
  }
  if (count == 0) return 1;
  if (watched.devices < 2) return std::max(1.0, count);
  const double rate = count / (static_cast<double>(watched.ms) / kHourMs);
  const double chi_square = squares / rate - count;
  return std::max(1.0, chi_square / static_cast<double>(watched.devices - 1));
}

Arm arm_of(const Watched& watched, const std::vector<Restarted>& restarted) {
  Arm arm;
  arm.devices = watched.devices;
  arm.device_hours = static_cast<double>(watched.ms) / kHourMs;
  for (const Restarted& each : restarted) arm.count += each.count;
  arm.dispersion = dispersion_of(watched, restarted);
  return arm;
}

}  // namespace

Result<Evidence> restart_evidence(Store& store, const Record& record, int64_t now_ms) {
  Database& database = store.database();
  const int64_t from_ms = record.created_ms - kDayMs;
  Evidence evidence;
  SKERRY_ASSIGN(const auto with, database.select_one("", watched_of(kRelease), read_watched, now_ms,
                                                     record.job_id.str()));
  SKERRY_ASSIGN(const auto with_restarts, database.select(restarted_of(kRelease), read_restarted,
                                                          now_ms, record.job_id.str()));
  SKERRY_ASSIGN(const auto without,
                database.select_one("", watched_of(kControl), read_watched, from_ms, from_ms,
                                    now_ms, now_ms, record.job_id.str(), record.group));
  SKERRY_ASSIGN(const auto without_restarts,
                database.select(restarted_of(kControl), read_restarted, from_ms, from_ms, now_ms,
                                now_ms, record.job_id.str(), record.group));
  evidence.release = arm_of(with, with_restarts);
  evidence.control = arm_of(without, without_restarts);
  // What varies in one cohort varies in the other, where it may not have shown yet.
  evidence.release.dispersion = std::max(evidence.release.dispersion, evidence.control.dispersion);
  return evidence;
}

}  // namespace skerry::fleet::rollout
