// Job executions in the store: what each thing has to do, does, and has done.
#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "fleet/endings.h"
#include "fleet/rollout/cohort.h"
#include "fleet/store.h"
#include "fleet/store_sql.h"

namespace skerry::fleet {
namespace {

const std::string kJobColumns =
    "job_id, thing, status, status_details, queued_ms, started_ms, updated_ms, version_number, "
    "execution_number";
// As whoever asks is to see them.
const std::string kReadColumns =
    "job_id, thing, " + std::string(kStatusForAll) +
    " AS status, status_details, queued_ms, started_ms, updated_ms, version_number, "
    "execution_number";
const std::string kIsPending = "status IN ('QUEUED', 'IN_PROGRESS')";

JobExecution read_execution(const Row& row) {
  JobExecution execution;
  execution.job_id = JobId(row.text("job_id"));
  execution.thing = ThingName(row.text("thing"));
  parse(row.text("status"), execution.status);
  execution.status_details_json = row.text("status_details");
  execution.queued_ms = row.number("queued_ms");
  execution.started_ms = row.number("started_ms");
  execution.updated_ms = row.number("updated_ms");
  execution.version_number = row.number("version_number");
  execution.execution_number = row.number("execution_number");
  return execution;
}

// Executions lie by device; parameters: cohort, thing.
const std::string kOfThing = "cohort = :cohort AND thing = :thing";

// The order in which a thing works: what it has begun, then the oldest.
const std::string kPendingQuery =
    "SELECT " + kReadColumns + " FROM job_executions WHERE " + kOfThing + " AND " + kIsPending +
    " AND " + std::string(kStatusForAll) + " IN ('QUEUED', 'IN_PROGRESS')" +
    " ORDER BY CASE job_executions.status WHEN 'IN_PROGRESS' THEN 0 ELSE 1 END, queued_ms, job_id";

}  // namespace

Result<JobExecution> Store::queue_execution(const JobId& job_id, const ThingName& thing,
                                            int64_t now_ms) {
  const int64_t cohort = rollout::cohort_of(thing);
  SKERRY_TRY(transaction([&]() -> Result<void> {
    SKERRY_ASSIGN(
        int64_t latest,
        database_->select_one(
            "",
            "SELECT coalesce(max(queued_ms), 0) AS latest FROM job_executions WHERE " + kOfThing,
            [](const Row& row) { return row.number("latest"); }, cohort, thing.str()));
    const int64_t queued_ms = std::max(now_ms, latest);
    SKERRY_TRY(database_->execute(
        "INSERT INTO job_executions (cohort, " + kJobColumns +
            ") VALUES (:cohort, :job, :thing, 'QUEUED', '{}', :queued, 0, :updated, 1, 1) "
            "ON CONFLICT (cohort, thing, job_id) DO UPDATE SET status = excluded.status, "
            "status_details = excluded.status_details, queued_ms = excluded.queued_ms, "
            "started_ms = 0, updated_ms = excluded.updated_ms, version_number = 1, "
            "execution_number = job_executions.execution_number + 1",
        cohort, job_id.str(), thing.str(), queued_ms, queued_ms));
    return {};
  }));
  return find_execution(job_id, thing);
}

Result<void> Store::queue_executions_of_group(const JobId& job_id, const ThingGroupName& group,
                                              int64_t now_ms) {
  SKERRY_TRY(database_->execute(
      "INSERT INTO job_executions (cohort, " + kJobColumns +
          ") SELECT cohort, :job, thing, 'QUEUED', '{}', "
          "CASE WHEN latest > :now THEN latest ELSE :now_again END, 0, "
          "CASE WHEN latest > :now_third THEN latest ELSE :now_fourth END, 1, 1 "
          "FROM (SELECT m.cohort AS cohort, m.thing AS thing, coalesce((SELECT "
          "max(before.queued_ms) FROM job_executions before WHERE before.cohort = m.cohort AND "
          "before.thing = m.thing), 0) AS latest "
          "FROM memberships m WHERE m.group_name = :group_name ORDER BY m.cohort, m.thing) members",
      job_id.str(), now_ms, now_ms, now_ms, now_ms, group.str()));
  return {};
}

Result<JobExecution> Store::find_execution(const JobId& job_id, const ThingName& thing) {
  return database_->select_one(
      "job " + job_id.str() + " has no execution on thing " + thing.str(),
      "SELECT " + kReadColumns + " FROM job_executions WHERE " + kOfThing + " AND job_id = :job",
      read_execution, rollout::cohort_of(thing), thing.str(), job_id.str());
}

Result<std::vector<JobExecution>> Store::pending_executions(const ThingName& thing) {
  return database_->select(kPendingQuery, read_execution, rollout::cohort_of(thing), thing.str());
}

Result<std::optional<JobExecution>> Store::next_pending(const ThingName& thing) {
  SKERRY_ASSIGN(auto found, database_->select(kPendingQuery + " LIMIT 1", read_execution,
                                              rollout::cohort_of(thing), thing.str()));
  if (found.empty()) return std::optional<JobExecution>();
  return std::optional<JobExecution>(std::move(found.front()));
}

Result<std::vector<ThingName>> Store::things_to_notify(int64_t since_ms, const ThingName& after,
                                                       size_t limit) {
  const int64_t cohort = after.empty() ? -1 : rollout::cohort_of(after);
  return database_->select(
      "SELECT thing FROM job_executions WHERE (cohort, thing) > (:cohort, :thing) AND (" +
          kIsPending +
          " OR updated_ms >= :since) GROUP BY cohort, thing ORDER BY cohort, thing LIMIT :limit",
      [](const Row& row) { return ThingName(row.text("thing")); }, cohort, after.str(), since_ms,
      static_cast<int64_t>(limit));
}

Result<JobExecution> Store::update_execution(const JobId& job_id, const ThingName& thing,
                                             const ExecutionChange& change) {
  JobExecution execution;
  SKERRY_TRY(transaction([&]() -> Result<void> {
    SKERRY_ASSIGN(execution, find_execution(job_id, thing));
    const std::string name = "job " + job_id.str() + " on thing " + thing.str();
    if (is_terminal(execution.status)) {
      return fail(Code::kFailedPrecondition,
                  name + " has ended as " + std::string(to_string(execution.status)));
    }
    if (change.expected_version && *change.expected_version != execution.version_number) {
      return fail(Code::kFailedPrecondition,
                  name + " is at version " + std::to_string(execution.version_number) + ", not " +
                      std::to_string(*change.expected_version));
    }
    execution.status = change.status;
    if (change.status_details_json) execution.status_details_json = *change.status_details_json;
    if (execution.started_ms == 0 && change.status != ExecutionStatus::kQueued) {
      execution.started_ms = change.now_ms;
    }
    execution.updated_ms = change.now_ms;
    ++execution.version_number;
    SKERRY_TRY(database_->execute(
        "UPDATE job_executions SET status = :status, status_details = :details, "
        "started_ms = :started, updated_ms = :updated, version_number = :version "
        "WHERE " +
            kOfThing + " AND job_id = :job",
        std::string(to_string(execution.status)), execution.status_details_json,
        execution.started_ms, execution.updated_ms, execution.version_number,
        rollout::cohort_of(thing), thing.str(), job_id.str()));
    return {};
  }));
  return execution;
}

Result<Slice<JobExecution>> Store::list_executions_of_job(const JobId& job_id,
                                                          std::optional<ExecutionStatus> status,
                                                          const Page& page) {
  // Each status is a range of the index in the order of devices.
  const int64_t after = page.after.empty() ? -1 : rollout::cohort_of(ThingName(page.after));
  std::vector<JobExecution> rows;
  for (const ExecutionStatus each : kEveryExecutionStatus) {
    if (status && *status != each) continue;
    SKERRY_ASSIGN(auto some,
                  database_->select("SELECT " + kJobColumns +
                                        " FROM job_executions WHERE job_id = :job AND status = "
                                        ":status AND (cohort, thing) > (:cohort, :thing) "
                                        "ORDER BY cohort, thing LIMIT :limit",
                                    read_execution, job_id.str(), std::string(to_string(each)),
                                    after, page.after, limit_of(page)));
    std::ranges::move(some, std::back_inserter(rows));
  }
  std::ranges::sort(rows, {}, [](const JobExecution& one) {
    return std::pair(rollout::cohort_of(one.thing), one.thing);
  });
  return slice_of(std::move(rows), page, [](const JobExecution& one) { return one.thing.str(); });
}

Result<Slice<JobExecution>> Store::list_executions_of_thing(const ThingName& thing,
                                                            const Page& page) {
  // The key is queued_ms with the job's id, for executions queued in the same millisecond.
  const int64_t before = number_after(page, INT64_MAX);
  const size_t separator = page.after.find('/');
  const std::string after_job =
      separator == std::string::npos ? "" : page.after.substr(separator + 1);
  SKERRY_ASSIGN(
      auto rows,
      database_->select("SELECT " + kReadColumns +
                            " FROM job_executions WHERE cohort = :cohort AND "
                            "thing = :thing AND (queued_ms < :before OR (queued_ms = :same AND "
                            "job_id > :after)) "
                            "ORDER BY queued_ms DESC, job_id LIMIT :limit",
                        read_execution, rollout::cohort_of(thing), thing.str(), before, before,
                        after_job, limit_of(page)));
  return slice_of(std::move(rows), page, [](const JobExecution& one) {
    return std::to_string(one.queued_ms) + "/" + one.job_id.str();
  });
}

Result<void> Store::delete_execution(const JobId& job_id, const ThingName& thing) {
  SKERRY_TRY(
      database_->execute("DELETE FROM job_executions WHERE " + kOfThing + " AND job_id = :job",
                         rollout::cohort_of(thing), thing.str(), job_id.str()));
  return {};
}

Result<int64_t> Store::prune(int64_t oldest_ms, int64_t limit) {
  int64_t gone = 0;
  SKERRY_TRY(transaction([&]() -> Result<void> {
    SKERRY_ASSIGN(
        int64_t executions,
        database_->execute(
            "DELETE FROM job_executions WHERE (cohort, thing, job_id) IN (SELECT e.cohort, "
            "e.thing, "
            "e.job_id FROM deployments d JOIN job_executions e ON e.job_id = d.job_id WHERE "
            "d.is_latest = 0 AND d.created_ms < :before AND e.updated_ms < :oldest AND e.status IN "
            "('SUCCEEDED', 'FAILED', 'REJECTED', 'CANCELED', 'REMOVED', 'TIMED_OUT') LIMIT :limit)",
            oldest_ms, oldest_ms, limit));
    SKERRY_ASSIGN(int64_t deployments,
                  database_->execute(
                      "DELETE FROM deployments WHERE id IN (SELECT d.id FROM deployments d WHERE "
                      "d.is_latest = 0 AND d.created_ms < :oldest AND NOT EXISTS (SELECT 1 FROM "
                      "job_executions e WHERE e.job_id = d.job_id) LIMIT :limit)",
                      oldest_ms, limit));
    gone = executions + deployments;
    return {};
  }));
  return gone;
}

Result<std::vector<std::pair<ExecutionStatus, int64_t>>> Store::count_executions(
    const JobId& job_id) {
  return database_->select(
      "SELECT status, count(*) AS number FROM job_executions WHERE job_id = :job "
      "GROUP BY status ORDER BY status",
      [](const Row& row) {
        ExecutionStatus status = ExecutionStatus::kQueued;
        parse(row.text("status"), status);
        return std::pair(status, row.number("number"));
      },
      job_id.str());
}

}  // namespace skerry::fleet
