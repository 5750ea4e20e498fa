// SQL of rollouts. Whatever may concern a million devices is one statement over an index, never a
// statement for each.
#include "fleet/rollout/rollout_store.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <nlohmann/json.hpp>
#include <span>

#include "fleet/rollout/cohort.h"
#include "fleet/store_sql.h"
#include "formats/json_ptr.h"

namespace skerry::fleet::rollout {
namespace {

using nlohmann::json;

const std::string kRolloutColumns =
    "id, job_id, target_arn, group_name, plan, state, is_over, findings, previous, rollback_id, "
    "rollback_job_id, release_bytes, asked_to, back_to, created_ms, updated_ms";
const std::string kExecutionColumns =
    "job_id, thing, status, status_details, queued_ms, started_ms, updated_ms, version_number, "
    "execution_number";
constexpr int64_t kManyAtOnce = 1'000;
// Of an execution at which a device was at work, and of one at which none was. (REMOVED is neither:
// the device has left, or its deployment is gone.)
constexpr std::array kBegun = {ExecutionStatus::kInProgress, ExecutionStatus::kSucceeded,
                               ExecutionStatus::kFailed, ExecutionStatus::kTimedOut,
                               ExecutionStatus::kRejected};
constexpr std::array kNotBegun = {ExecutionStatus::kQueued, ExecutionStatus::kCanceled};

std::string listed(std::span<const ExecutionStatus> statuses) {
  std::string list;
  for (const ExecutionStatus status : statuses) {
    list += (list.empty() ? "'" : ", '") + std::string(to_string(status)) + "'";
  }
  return list;
}
// Of a row of core_devices as `core`.
const std::string kInError =
    "EXISTS (SELECT 1 FROM installed_components i WHERE i.thing = core.thing AND i.state IN "
    "('ERRORED', 'BROKEN'))";
const std::string kWithAlert =
    "EXISTS (SELECT 1 FROM alerts a WHERE a.subject = core.thing AND a.is_firing = 1)";

json to_json(const Previous& previous) {
  json unproven = json::array();
  for (const JobId& job : previous.unproven_jobs) unproven.push_back(job.str());
  return {{"unprovenJobs", unproven},          {"deploymentId", previous.id.str()},
          {"jobId", previous.job_id.str()},    {"request", previous.request_json},
          {"devices", previous.devices},       {"failures", previous.failures},
          {"models", previous.models},         {"reporting", previous.reporting},
          {"unhealthy", previous.unhealthy},   {"withErrors", previous.with_errors},
          {"withAlerts", previous.with_alerts}};
}

Result<Record> read_record(const Row& row) {
  Record record;
  record.id = DeploymentId(row.text("id"));
  record.job_id = JobId(row.text("job_id"));
  record.target_arn = row.text("target_arn");
  record.group = row.text("group_name");
  SKERRY_ASSIGN(const json plan, formats::parse_json(row.text("plan")));
  SKERRY_ASSIGN(record.plan, parse_plan(plan));
  SKERRY_ASSIGN(const json state, formats::parse_json(row.text("state")));
  SKERRY_ASSIGN(record.state, parse_state(state));
  record.findings_json = row.text("findings");
  SKERRY_ASSIGN(const json previous, formats::parse_json(row.text("previous")));
  record.previous.id = DeploymentId(previous.value("deploymentId", ""));
  record.previous.job_id = JobId(previous.value("jobId", ""));
  record.previous.request_json = previous.value("request", "");
  record.previous.devices = previous.value("devices", int64_t{0});
  record.previous.failures = previous.value("failures", int64_t{0});
  record.previous.reporting = previous.value("reporting", int64_t{0});
  record.previous.unhealthy = previous.value("unhealthy", int64_t{0});
  record.previous.with_errors = previous.value("withErrors", int64_t{0});
  record.previous.with_alerts = previous.value("withAlerts", int64_t{0});
  record.previous.models = previous.value("models", ModelVersions());
  for (const std::string& job : previous.value("unprovenJobs", std::vector<std::string>())) {
    record.previous.unproven_jobs.emplace_back(job);
  }
  record.rollback_id = DeploymentId(row.text("rollback_id"));
  record.rollback_job_id = JobId(row.text("rollback_job_id"));
  record.release_bytes = row.number("release_bytes");
  record.asked_to = row.number("asked_to");
  record.back_to = row.text("back_to");
  record.created_ms = row.number("created_ms");
  record.updated_ms = row.number("updated_ms");
  return record;
}

Result<std::vector<Record>> unwrapped(std::vector<Result<Record>> read) {
  std::vector<Record> records;
  for (Result<Record>& each : read) {
    if (!each) return fail(each.error().with_context("control-plane database: a rollout"));
    records.push_back(std::move(*each));
  }
  return records;
}

Candidate read_candidate(const Row& row) {
  return {ThingName(row.text("thing")), row.number("cohort"), row.text("attributes"), false};
}
ThingName read_thing(const Row& row) {
  return ThingName(row.text("thing"));
}

// A job of the devices that `from` yields as `it`, queued not before what else they have: stock
// nuclei ignore an older job. In the order of cohorts, so that what is written lies together; who
// has an execution of the job keeps it. Parameters: job, four times now, those of `from`.
std::string queueing(const std::string& from) {
  return "INSERT INTO job_executions (cohort, " + kExecutionColumns +
         ") SELECT cohort, :job, thing, 'QUEUED', '{}', CASE WHEN latest > :n1 THEN latest ELSE "
         ":n2 END, 0, CASE WHEN latest > :n3 THEN latest ELSE :n4 END, 1, 1 FROM (SELECT it.cohort "
         "AS cohort, it.thing AS thing, coalesce((SELECT max(before.queued_ms) FROM job_executions "
         "before WHERE before.cohort = it.cohort AND before.thing = it.thing), 0) AS latest FROM " +
         from +
         " ORDER BY it.cohort, it.thing) wanted WHERE true ON CONFLICT (cohort, thing, job_id) DO "
         "NOTHING";
}

// Whether a device has no execution of a job; parameter: the job.
std::string unasked(const std::string& device) {
  return "NOT EXISTS (SELECT 1 FROM job_executions e WHERE e.cohort = " + device +
         ".cohort AND e.thing = " + device + ".thing AND e.job_id = :unasked_job)";
}

Result<Share> share(Store& store, const std::string& sql, const std::string& first,
                    const std::string& second) {
  const auto read = [](const Row& row) {
    return Share{row.number("devices"), row.number("events")};
  };
  if (second.empty()) return store.database().select_one("", sql, read, first);
  return store.database().select_one("", sql, read, first, second);
}

// The devices of a cohort as `it`, with their core device as `core`.
std::string devices_of(Cohort cohort) {
  if (cohort == Cohort::kRelease) {
    return "job_executions it JOIN core_devices core ON core.thing = it.thing "
           "WHERE it.job_id = :job AND it.status = 'SUCCEEDED'";
  }
  return "memberships it JOIN core_devices core ON core.thing = it.thing WHERE it.group_name = "
         ":group_name AND " +
         unasked("it");
}

}  // namespace

Result<void> insert_rollout(Store& store, const Record& record) {
  SKERRY_TRY(store.database().execute(
      "INSERT INTO rollouts (" + kRolloutColumns +
          ") VALUES (:id, :job, :target, :group_name, :plan, '{}', 0, '[]', :previous, '', '', "
          ":bytes, -1, '', :created, 0)",
      record.id.str(), record.job_id.str(), record.target_arn, record.group,
      rollout::to_json(record.plan).dump(), to_json(record.previous).dump(), record.release_bytes,
      record.created_ms));
  return save_rollout(store, record);
}

Result<void> save_rollout(Store& store, const Record& record) {
  const int64_t over = is_over(record.state.phase) ? 1 : 0;
  SKERRY_TRY(store.database().execute(
      "UPDATE rollouts SET state = :state, is_over = :over, findings = :findings, "
      "rollback_id = :rollback, rollback_job_id = :rollback_job, asked_to = :asked, "
      "back_to = :back, updated_ms = :updated WHERE id = :id",
      rollout::to_json(record.state).dump(), over, record.findings_json, record.rollback_id.str(),
      record.rollback_job_id.str(), record.asked_to, record.back_to, record.updated_ms,
      record.id.str()));
  return {};
}

Result<std::optional<Record>> rollout_of(Store& store, const DeploymentId& id) {
  SKERRY_ASSIGN(auto rows, store.database().select(
                               "SELECT " + kRolloutColumns + " FROM rollouts WHERE id = :id",
                               read_record, id.str()));
  SKERRY_ASSIGN(auto records, unwrapped(std::move(rows)));
  if (records.empty()) return std::optional<Record>();
  return std::optional<Record>(std::move(records.front()));
}

Result<Record> find_rollout(Store& store, const DeploymentId& id) {
  SKERRY_ASSIGN(auto found, rollout_of(store, id));
  if (found) return std::move(*found);
  return fail(Code::kNotFound, "rollout " + id.str() + " does not exist");
}

Result<bool> is_rollback(Store& store, const DeploymentId& id) {
  SKERRY_ASSIGN(auto found, store.database().select(
                                "SELECT id FROM rollouts WHERE rollback_id = :id",
                                [](const Row& row) { return row.text("id"); }, id.str()));
  return !found.empty();
}

Result<std::vector<DeploymentId>> live_rollouts(Store& store) {
  return store.database().select(
      "SELECT id FROM rollouts WHERE is_over = 0 ORDER BY created_ms, id",
      [](const Row& row) { return DeploymentId(row.text("id")); });
}

Result<Slice<Record>> list_rollouts(Store& store, const std::string& target_arn, const Page& page) {
  // The key is created_ms with the id, for those of one millisecond.
  const int64_t before = number_after(page, INT64_MAX);
  const size_t separator = page.after.find('/');
  const std::string after = separator == std::string::npos ? "" : page.after.substr(separator + 1);
  SKERRY_ASSIGN(
      auto rows,
      store.database().select(
          "SELECT " + kRolloutColumns +
              " FROM rollouts WHERE (:any = '' OR target_arn = :arn) AND (created_ms < "
              ":before OR (created_ms = :same AND id > :after)) ORDER BY created_ms DESC, "
              "id LIMIT :limit",
          read_record, target_arn, target_arn, before, before, after, limit_of(page)));
  SKERRY_ASSIGN(auto records, unwrapped(std::move(rows)));
  return slice_of(std::move(records), page, [](const Record& one) {
    return std::to_string(one.created_ms) + "/" + one.id.str();
  });
}

Result<void> add_history(Store& store, const DeploymentId& id, int64_t now_ms,
                         const std::string& text) {
  SKERRY_TRY(store.database().execute(
      "INSERT INTO rollout_history (rollout_id, sequence, at_ms, text) SELECT :id, "
      "coalesce(max(sequence), 0) + 1, :now, :text FROM rollout_history WHERE rollout_id = :same",
      id.str(), now_ms, text, id.str()));
  return {};
}

Result<std::vector<HistoryLine>> history(Store& store, const DeploymentId& id) {
  return store.database().select(
      "SELECT sequence, at_ms, text FROM rollout_history WHERE rollout_id = :id ORDER BY sequence",
      [](const Row& row) {
        return HistoryLine{row.number("sequence"), row.number("at_ms"), row.text("text")};
      },
      id.str());
}

Result<int64_t> count_members(Store& store, const std::string& group) {
  return store.database().select_one(
      "", "SELECT count(*) AS number FROM memberships WHERE group_name = :group_name",
      [](const Row& row) { return row.number("number"); }, group);
}

Result<int64_t> count_shared(Store& store, const std::string& group, const std::string& other) {
  return store.database().select_one(
      "",
      "SELECT count(*) AS number FROM memberships m JOIN memberships o ON o.thing = m.thing WHERE "
      "m.group_name = :group_name AND o.group_name = :other",
      [](const Row& row) { return row.number("number"); }, group, other);
}

Result<int64_t> cohort_at(Store& store, const std::string& group, int64_t quota) {
  const int64_t before = quota - 1;
  if (quota <= 0) return -1;
  SKERRY_ASSIGN(
      auto found,
      store.database().select(
          "SELECT cohort FROM memberships WHERE group_name = :group_name ORDER BY cohort, "
          "thing LIMIT 1 OFFSET :before",
          [](const Row& row) { return row.number("cohort"); }, group, before));
  return found.empty() ? -1 : found.front();
}

Result<std::vector<Candidate>> waiting(Store& store, const Record& record, int64_t limit) {
  SKERRY_ASSIGN(auto canaries, waiting_canaries(store, record, limit));
  const bool none = record.group.empty() || !record.state.stage_is_open;
  if (none || !canaries.empty()) return canaries;
  return store.database().select(
      "SELECT m.thing, m.cohort, t.attributes FROM memberships m JOIN things t ON t.name = m.thing "
      "WHERE m.group_name = :group_name AND m.cohort > :after AND m.cohort <= :boundary AND " +
          unasked("m") + " ORDER BY m.cohort, m.thing LIMIT :limit",
      read_candidate, record.group, record.asked_to, record.state.boundary, record.job_id.str(),
      limit);
}

Result<std::vector<Candidate>> waiting_canaries(Store& store, const Record& record, int64_t limit) {
  std::vector<Candidate> found;
  const bool none = record.group.empty() || !record.state.stage_is_open;
  if (none || record.plan.canary_group.empty()) return found;
  SKERRY_ASSIGN(found, store.database().select(
                           "SELECT m.thing, m.cohort, t.attributes FROM memberships c JOIN "
                           "memberships m ON m.thing = c.thing JOIN things t ON t.name = m.thing "
                           "WHERE c.group_name = :canary AND m.group_name = :group_name AND " +
                               unasked("m") + " ORDER BY m.cohort, m.thing LIMIT :limit",
                           read_candidate, record.plan.canary_group.str(), record.group,
                           record.job_id.str(), limit));
  for (Candidate& each : found) each.is_canary = true;
  return found;
}

Result<int64_t> count_waiting(Store& store, const Record& record, int64_t limit) {
  if (record.group.empty() || !record.state.stage_is_open) return 0;
  SKERRY_ASSIGN(const auto canaries, waiting_canaries(store, record, limit));
  if (!canaries.empty()) return static_cast<int64_t>(canaries.size());
  return store.database().select_one(
      "",
      "SELECT count(*) AS number FROM (SELECT m.thing FROM memberships m WHERE m.group_name = "
      ":group_name AND m.cohort > :after AND m.cohort <= :boundary AND " +
          unasked("m") + " LIMIT :limit) found",
      [](const Row& row) { return row.number("number"); }, record.group, record.asked_to,
      record.state.boundary, record.job_id.str(), limit);
}

Result<int64_t> cohort_after(Store& store, const Record& record, int64_t members) {
  const int64_t before = members - 1;
  SKERRY_ASSIGN(const auto found,
                store.database().select(
                    "SELECT cohort FROM memberships WHERE group_name = :group_name AND cohort > "
                    ":after AND cohort <= :boundary ORDER BY cohort, thing LIMIT 1 OFFSET :before",
                    [](const Row& row) { return row.number("cohort"); }, record.group,
                    record.asked_to, record.state.boundary, before));
  return found.empty() ? record.state.boundary : found.front();
}

Result<bool> is_in_group(Store& store, const ThingName& thing, const std::string& group) {
  SKERRY_ASSIGN(auto found, store.database().select(
                                "SELECT thing FROM memberships WHERE group_name = :group_name AND "
                                "thing = :thing",
                                read_thing, group, thing.str()));
  return !found.empty();
}

Result<std::vector<ThingName>> ask_range(Store& store, const Record& record, int64_t upto,
                                         int64_t now_ms) {
  Database& database = store.database();
  SKERRY_TRY(database.execute(
      queueing("memberships it WHERE it.group_name = :group_name AND it.cohort > :after AND "
               "it.cohort <= :upto"),
      record.job_id.str(), now_ms, now_ms, now_ms, now_ms, record.group, record.asked_to, upto));
  SKERRY_TRY(database.execute(
      "UPDATE job_executions SET status = 'CANCELED', updated_ms = :now, version_number = "
      "version_number + 1 WHERE job_id = :previous AND status = 'QUEUED' AND cohort > :after AND "
      "cohort <= :upto AND EXISTS (SELECT 1 FROM memberships m WHERE m.group_name = :group_name "
      "AND m.thing = job_executions.thing)",
      now_ms, record.previous.job_id.str(), record.asked_to, upto, record.group));
  std::vector<ThingName> asked;
  const std::string after = std::to_string(record.asked_to), last = std::to_string(upto);
  const std::array<std::string_view, 3> range = {record.group, after, last};
  SKERRY_TRY(database.scan(
      "SELECT thing FROM memberships WHERE group_name = ? AND cohort > ? AND cohort <= ?", range,
      [&](std::string_view thing, std::string_view) { asked.emplace_back(std::string(thing)); }));
  return asked;
}

Result<void> ask_one(Store& store, const Record& record, const ThingName& thing, int64_t now_ms) {
  SKERRY_TRY(store.queue_execution(record.job_id, thing, now_ms));
  SKERRY_TRY(store.database().execute(
      "UPDATE job_executions SET status = 'CANCELED', updated_ms = :now, version_number = "
      "version_number + 1 WHERE cohort = :cohort AND thing = :thing AND job_id = :previous AND "
      "status = 'QUEUED'",
      now_ms, cohort_of(thing), thing.str(), record.previous.job_id.str()));
  return {};
}

Result<std::vector<ThingName>> waiting_for_rollback(Store& store, const Record& record,
                                                    int64_t limit) {
  const std::string after =
      std::to_string(record.back_to.empty() ? -1 : cohort_of(ThingName(record.back_to)));
  const std::string most = std::to_string(limit);
  std::vector<std::pair<int64_t, ThingName>> found;
  const auto find = [&](const JobId& job, ExecutionStatus status) -> Result<void> {
    const std::array<std::string_view, 5> parameters = {job.str(), to_string(status), after,
                                                        record.back_to, most};
    return store.database().scan(
        "SELECT thing, cohort FROM job_executions WHERE job_id = ? AND status = ? AND "
        "(cohort, thing) > (CAST(? AS BIGINT), ?) ORDER BY cohort, thing LIMIT CAST(? AS BIGINT)",
        parameters, [&](std::string_view thing, std::string_view cohort) {
          found.emplace_back(std::stoll(std::string(cohort)), ThingName(std::string(thing)));
        });
  };
  for (const ExecutionStatus status : kBegun) {
    for (const JobId& job : record.previous.unproven_jobs) SKERRY_TRY(find(job, status));
    SKERRY_TRY(find(record.job_id, status));
  }
  for (const ExecutionStatus status : kNotBegun) SKERRY_TRY(find(record.job_id, status));
  std::ranges::sort(found);
  found.erase(std::ranges::unique(found).begin(), found.end());
  if (found.size() > static_cast<size_t>(limit)) found.resize(static_cast<size_t>(limit));
  std::vector<ThingName> things;
  for (auto& [cohort, thing] : found) things.push_back(std::move(thing));
  return things;
}

Result<void> ask_back(Store& store, const Record& record, const ThingName& upto, int64_t now_ms) {
  const int64_t after = record.back_to.empty() ? -1 : cohort_of(ThingName(record.back_to));
  const std::string begun = listed(kBegun);
  const auto ask = [&](const JobId& job, const std::string& statuses) -> Result<void> {
    SKERRY_TRY(store.database().execute(
        queueing("job_executions it WHERE it.job_id = :release AND it.status IN (" + statuses +
                 ") AND (it.cohort, it.thing) > (:after_cohort, :after) AND (it.cohort, it.thing) "
                 "<= (:upto_cohort, :upto)"),
        record.rollback_job_id.str(), now_ms, now_ms, now_ms, now_ms, job.str(), after,
        record.back_to, cohort_of(upto), upto.str()));
    return {};
  };
  SKERRY_TRY(ask(record.job_id, begun + ", " + listed(kNotBegun)));
  for (const JobId& job : record.previous.unproven_jobs) SKERRY_TRY(ask(job, begun));
  return {};
}

Result<Census> census(Store& store, const JobId& job, const CensusCut& cut) {
  // A time to come is from a clock that has gone back since: it is as old as can be.
  const int64_t old = cut.silence_ms ? cut.now_ms - *cut.silence_ms : -1;
  const int64_t young = cut.silence_ms ? cut.now_ms : INT64_MAX;
  Census total;
  SKERRY_TRY(store.database().select(
      "SELECT status, count(*) AS number, sum(CASE WHEN status = 'QUEUED' AND (queued_ms <= :old "
      "OR "
      "queued_ms > :young) THEN 1 ELSE 0 END) AS silent, sum(CASE WHEN status IN ('FAILED', "
      "'TIMED_OUT') AND execution_number <= :retries THEN 1 ELSE 0 END) AS retrying FROM "
      "job_executions WHERE job_id = :job GROUP BY status",
      [&](const Row& row) {
        ExecutionStatus status = ExecutionStatus::kQueued;
        fleet::parse(row.text("status"), status);
        const int64_t retrying = row.number("retrying");
        const int64_t number = row.number("number") - retrying;
        total.retrying += retrying;
        if (status == ExecutionStatus::kQueued) {
          total.silent = row.number("silent");
          total.queued = number - total.silent;
        }
        if (status == ExecutionStatus::kInProgress) total.in_progress = number;
        if (status == ExecutionStatus::kSucceeded) total.succeeded = number;
        if (status == ExecutionStatus::kFailed) total.failed = number;
        if (status == ExecutionStatus::kRejected) total.rejected = number;
        if (status == ExecutionStatus::kTimedOut) total.timed_out = number;
        const bool ended_by_us =
            status == ExecutionStatus::kCanceled || status == ExecutionStatus::kRemoved;
        if (ended_by_us) total.canceled += number;
        return 0;
      },
      old, young, cut.retries, job.str()));
  return total;
}

Result<std::vector<ThingName>> overdue(Store& store, const JobId& job, int64_t timeout_ms,
                                       int64_t now_ms) {
  const int64_t old = now_ms - timeout_ms;
  return store.database().select(
      "SELECT thing FROM job_executions WHERE job_id = :job AND status = 'IN_PROGRESS' AND "
      "(started_ms <= :old OR started_ms > :now) ORDER BY cohort, thing LIMIT :limit",
      read_thing, job.str(), old, now_ms, kManyAtOnce);
}

Result<std::vector<ThingName>> retries_due(Store& store, const JobId& job, const Retry& retry,
                                           int64_t now_ms) {
  if (retry.attempts == 0) return std::vector<ThingName>();
  const int64_t old = now_ms - retry.delay_s * 1000;
  return store.database().select(
      "SELECT thing FROM job_executions WHERE job_id = :job AND status IN ('FAILED', 'TIMED_OUT') "
      "AND execution_number <= :attempts AND (updated_ms <= :old OR updated_ms > :now) ORDER BY "
      "cohort, thing LIMIT :limit",
      read_thing, job.str(), retry.attempts, old, now_ms, kManyAtOnce);
}

Result<std::vector<SiteLoad>> site_loads(Store& store, const Record& record, int64_t silence_ms,
                                         int64_t recent_ms, int64_t now_ms) {
  const int64_t old = now_ms - silence_ms;
  const int64_t recent = now_ms - recent_ms;
  return store.database().select(
      "SELECT t.attributes AS attributes, e.queued_ms AS queued, CASE WHEN e.status = "
      "'IN_PROGRESS' OR (e.status = 'QUEUED' AND e.queued_ms > :old) THEN 1 ELSE 0 END AS open "
      "FROM job_executions e JOIN things t ON t.name = e.thing WHERE e.job_id = :job AND (e.status "
      "IN ('QUEUED', 'IN_PROGRESS') OR e.queued_ms > :recent)",
      [](const Row& row) {
        return SiteLoad{row.text("attributes"), row.number("queued"), row.number("open") != 0};
      },
      old, record.job_id.str(), recent);
}

Result<Share> unhealthy(Store& store, const Record& record, Cohort cohort) {
  const std::string sql =
      "SELECT count(*) AS devices, sum(CASE WHEN core.healthy = 0 THEN 1 ELSE 0 END) AS events "
      "FROM " +
      devices_of(cohort);
  if (cohort == Cohort::kRelease) return share(store, sql, record.job_id.str(), "");
  return share(store, sql, record.group, record.job_id.str());
}

Result<void> count_sick(Store& store, const Record& record, const ThingName& only,
                        Previous& previous) {
  SKERRY_TRY(store.database().select_one(
      "",
      "SELECT count(*) AS devices, sum(CASE WHEN core.healthy = 0 THEN 1 ELSE 0 END) AS "
      "unhealthy, sum(CASE WHEN " +
          kInError + " THEN 1 ELSE 0 END) AS with_errors, sum(CASE WHEN " + kWithAlert +
          " THEN 1 ELSE 0 END) AS with_alerts FROM core_devices core WHERE core.thing IN (SELECT "
          "thing FROM memberships WHERE group_name = :group_name UNION SELECT :only)",
      [&](const Row& row) {
        previous.reporting = row.number("devices");
        previous.unhealthy = row.number("unhealthy");
        previous.with_errors = row.number("with_errors");
        previous.with_alerts = row.number("with_alerts");
        return 0;
      },
      record.group, only.str()));
  return {};
}

Result<Share> with_errors(Store& store, const Record& record, Cohort cohort) {
  const std::string sql = "SELECT count(*) AS devices, sum(CASE WHEN " + kInError +
                          " THEN 1 ELSE 0 END) AS events FROM " + devices_of(cohort);
  if (cohort == Cohort::kRelease) return share(store, sql, record.job_id.str(), "");
  return share(store, sql, record.group, record.job_id.str());
}

Result<Share> with_alerts(Store& store, const Record& record, Cohort cohort) {
  const std::string sql = "SELECT count(*) AS devices, sum(CASE WHEN " + kWithAlert +
                          " THEN 1 ELSE 0 END) AS events FROM " + devices_of(cohort);
  if (cohort == Cohort::kRelease) return share(store, sql, record.job_id.str(), "");
  return share(store, sql, record.group, record.job_id.str());
}

Result<std::vector<std::pair<std::string, std::string>>> running_models(Store& store,
                                                                        const Record& record,
                                                                        Cohort cohort) {
  const std::string of_some =
      "SELECT m.model AS model, m.version AS version FROM (SELECT it.thing AS thing FROM " +
      devices_of(cohort) +
      " LIMIT 100) some JOIN installed_components i ON i.thing = some.thing JOIN models m ON "
      "m.component = i.name AND m.version = i.version GROUP BY m.model, m.version ORDER BY "
      "count(*) DESC, m.version DESC";
  const auto read = [](const Row& row) {
    return std::pair(row.text("model"), row.text("version"));
  };
  Database& database = store.database();
  if (cohort == Cohort::kRelease) return database.select(of_some, read, record.job_id.str());
  return database.select(of_some, read, record.group, record.job_id.str());
}

Result<void> each_asked(Store& store, const Record& record,
                        const std::function<void(std::string_view, bool)>& each) {
  const std::array<std::string_view, 1> parameters = {record.job_id.str()};
  return store.database().scan(
      "SELECT thing, status FROM job_executions WHERE job_id = ?", parameters,
      [&](std::string_view thing, std::string_view status) { each(thing, status == "SUCCEEDED"); });
}

Result<void> each_member(Store& store, const Record& record,
                         const std::function<void(std::string_view)>& each) {
  const std::array<std::string_view, 1> parameters = {record.group};
  return store.database().scan("SELECT thing FROM memberships WHERE group_name = ?", parameters,
                               [&](std::string_view thing, std::string_view) { each(thing); });
}

Result<void> each_report(
    Store& store, const formats::ModelId& model,
    const std::function<void(std::string_view thing, std::string_view packed)>& each) {
  const std::array<std::string_view, 2> parameters = {model.name, model.version};
  return store.database().scan(
      "SELECT thing, counts FROM model_totals WHERE model = ? AND version = ?", parameters, each);
}

}  // namespace skerry::fleet::rollout
