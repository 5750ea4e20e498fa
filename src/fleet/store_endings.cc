// Jobs that end in pieces: `job_endings` has those of which something is left.
#include <array>
#include <utility>

#include "fleet/endings.h"
#include "fleet/rollout/cohort.h"
#include "fleet/store_sql.h"

namespace skerry::fleet {

Result<int64_t> end_executions(Store& store, const JobId& job, Ends ends, ExecutionStatus status,
                               int64_t now_ms, int64_t limit) {
  Database& database = store.database();
  const std::string which =
      ends == Ends::kQueued ? "status = 'QUEUED'" : "status IN ('QUEUED', 'IN_PROGRESS')";
  const int64_t begun = ends == Ends::kBegun ? 1 : 0;
  std::vector<ThingName> things;
  SKERRY_TRY(store.transaction([&]() -> Result<void> {
    const std::string most = std::to_string(limit);
    const std::array<std::string_view, 2> parameters = {job.str(), most};
    SKERRY_TRY(database.scan("SELECT thing FROM job_executions WHERE job_id = ? AND " + which +
                                 " ORDER BY cohort, thing LIMIT CAST(? AS BIGINT)",
                             parameters, [&](std::string_view thing, std::string_view) {
                               things.emplace_back(std::string(thing));
                             }));
    if (!things.empty()) {
      SKERRY_TRY(database.execute(
          "UPDATE job_executions SET status = :status, updated_ms = :now, version_number = "
          "version_number + 1 WHERE job_id = :job AND " +
              which + " AND (cohort, thing) <= (:cohort, :thing)",
          std::string(to_string(status)), now_ms, job.str(), rollout::cohort_of(things.back()),
          things.back().str()));
    }
    if (static_cast<int64_t>(things.size()) < limit) {
      SKERRY_TRY(database.execute("DELETE FROM job_endings WHERE job_id = :job AND begun <= :begun",
                                  job.str(), begun));
      return {};
    }
    SKERRY_TRY(database.execute(
        "INSERT INTO job_endings (job_id, begun, status) VALUES (:job, :begun, :status) ON "
        "CONFLICT (job_id) DO UPDATE SET begun = max(job_endings.begun, excluded.begun)",
        job.str(), begun, std::string(to_string(status))));
    return {};
  }));
  auto& told = store.effects().jobs;
  told.insert(told.end(), things.begin(), things.end());
  return static_cast<int64_t>(things.size());
}

Result<bool> has_endings(Store& store) {
  return store.database().select_one("", "SELECT count(*) AS number FROM job_endings",
                                     [](const Row& row) { return row.number("number") > 0; });
}

Result<void> end_more(Store& store, int64_t now_ms, int64_t limit) {
  struct Ending {
    JobId job;
    Ends ends;
    ExecutionStatus status;
  };
  SKERRY_ASSIGN(const auto found,
                store.database().select(
                    "SELECT job_id, begun, status FROM job_endings ORDER BY job_id LIMIT 1",
                    [](const Row& row) {
                      ExecutionStatus status = ExecutionStatus::kCanceled;
                      parse(row.text("status"), status);
                      const bool begun = row.number("begun") != 0;
                      return Ending{JobId(row.text("job_id")), begun ? Ends::kBegun : Ends::kQueued,
                                    status};
                    }));
  if (found.empty()) return {};
  const Ending& first = found.front();
  SKERRY_TRY(end_executions(store, first.job, first.ends, first.status, now_ms, limit));
  return {};
}

}  // namespace skerry::fleet
