// The end of a job that was cancelled or superseded, or whose group is gone, on the devices that
// have not begun it: at once for whoever asks, and in pieces in the store, so that a million
// devices keep nobody waiting.
#pragma once

#include <cstdint>
#include <string_view>

#include "fleet/store.h"

namespace skerry::fleet {

// A unit of work ends so many executions at most.
inline constexpr int64_t kEndedAtOnce = 20'000;

enum class Ends { kQueued, kBegun };  // what no device has begun; what one has, too
// Ends at most `limit` of the job's executions, whose things are told, and notes that the others
// are to end. Returns how many ended now.
Result<int64_t> end_executions(Store& store, const JobId& job, Ends ends, ExecutionStatus status,
                               int64_t now_ms, int64_t limit = kEndedAtOnce);
Result<bool> has_endings(Store& store);
// Ends at most `limit` of what was noted.
Result<void> end_more(Store& store, int64_t now_ms, int64_t limit = kEndedAtOnce);

// SQL over a row of job_executions: its status for whoever asks, whatever is written of it by now.
inline constexpr std::string_view kStatusForAll =
    "coalesce((SELECT e.status FROM job_endings e WHERE e.job_id = job_executions.job_id AND "
    "(job_executions.status = 'QUEUED' OR (e.begun = 1 AND job_executions.status = "
    "'IN_PROGRESS'))), job_executions.status)";

}  // namespace skerry::fleet
