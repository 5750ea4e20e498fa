// AWS IoT Jobs over MQTT in the namespace that carries Greengrass deployments: topics and messages,
// both directions, so that device and fleet share one reading of them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/named_type.h"
#include "formats/json_ptr.h"

namespace skerry::formats {

enum class JobStatus {
  kQueued,
  kInProgress,
  kSucceeded,
  kFailed,
  kRejected,
  kTimedOut,
  kRemoved,
  kCanceled,
};
std::string_view name_of(JobStatus status);  // "IN_PROGRESS"
std::optional<JobStatus> parse_job_status(std::string_view name);
bool is_terminal(JobStatus status);  // nothing more happens to the execution

// --- Topics: $aws/things/THING/jobs/… -----------------------------------------------------------

enum class JobTopicKind {
  kGet,  // device → fleet; accepted and rejected are the answers
  kGetAccepted,
  kGetRejected,
  kUpdate,  // device → fleet
  kUpdateAccepted,
  kUpdateRejected,
  kNotify,      // fleet → device: the list of open executions changed
  kNotifyNext,  // fleet → device: another execution is the next one
};

inline constexpr std::string_view kNextJob = "$next";

struct JobTopic {
  JobTopicKind kind = JobTopicKind::kGet;
  ThingName thing;
  std::string job = std::string(kNextJob);  // a job id or $next; without meaning in notifications

  std::string str() const;
};

// Nothing where the topic is another one or holds a name that is not allowed.
std::optional<JobTopic> parse_job_topic(std::string_view topic);

// --- Messages; times are seconds since 1970 ------------------------------------------------------

// Values of at most 1024 characters, as the service has it; longer ones are cut when printed.
using StatusDetails = std::map<std::string, std::string>;

struct JobExecution {
  JobId job_id;
  ThingName thing;  // may be empty
  JobStatus status = JobStatus::kQueued;
  StatusDetails status_details;
  int64_t queued_at = 0;
  int64_t started_at = 0;  // 0: not yet
  int64_t last_updated_at = 0;
  int64_t version_number = 1;
  int64_t execution_number = 1;
  JsonPtr job_document;  // parse_deployment reads it; null where it was not asked for
};

struct JobGetRequest {
  std::string job_id = std::string(kNextJob);
  ThingName thing;
  bool include_job_document = true;
  std::string client_token;
};

// Also the answer to a get: `execution` is absent where no job is open.
struct NextJob {
  int64_t timestamp = 0;
  std::optional<JobExecution> execution;
  std::string client_token;  // empty in notifications
  // Answer to a get whose token begins with kRepairToken: how many deployments were queued again.
  // AWS IoT does not know it and leaves it out.
  std::optional<int64_t> redeployed = std::nullopt;
};

// A device that lost its records starts the token of its gets with this: it asks to be sent again
// what last worked for each of its targets.
inline constexpr std::string_view kRepairToken = "repair-";

struct JobsChanged {
  int64_t timestamp = 0;
  std::vector<JobExecution> executions;  // open ones, without documents
};

struct JobUpdateRequest {
  JobStatus status = JobStatus::kInProgress;
  StatusDetails status_details;
  std::optional<int64_t> expected_version;
  bool include_job_execution_state = false;
  std::string client_token;
};

struct JobUpdateAccepted {
  int64_t timestamp = 0;
  std::optional<JobExecution> execution_state;  // status, details and version number only
  std::string client_token;
};

// Codes: InvalidTopic, InvalidJson, InvalidRequest, InvalidStateTransition, ResourceNotFound,
// VersionMismatch, InternalError, RequestThrottled, TerminalStateReached.
struct JobRejected {
  int64_t timestamp = 0;
  std::string code;
  std::string message;
  std::string client_token;
};

std::string to_text(const JobGetRequest& message);
std::string to_text(const NextJob& message);
std::string to_text(const JobsChanged& message);
std::string to_text(const JobUpdateRequest& message);
std::string to_text(const JobUpdateAccepted& message);
std::string to_text(const JobRejected& message);

// Untrusted.
Result<JobGetRequest> parse_job_get_request(std::string_view text);
Result<NextJob> parse_next_job(std::string_view text);
Result<JobUpdateRequest> parse_job_update_request(std::string_view text);
Result<JobUpdateAccepted> parse_job_update_accepted(std::string_view text);
Result<JobRejected> parse_job_rejected(std::string_view text);

}  // namespace skerry::formats
