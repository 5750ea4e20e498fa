// iot: the jobs that carry deployments, and what became of them on each thing.
#include <nlohmann/json.hpp>

#include "fleet/aws/fields.h"
#include "fleet/aws/input.h"
#include "fleet/deployments.h"
#include "fleet/store.h"
#include "formats/limits.h"

namespace skerry::fleet::aws {
namespace {

using nlohmann::json;

struct ListOfJob : Paged {
  JobId job;
  std::string status;
  static std::span<const Field> fields() {
    using F = Fields<ListOfJob>;
    static constexpr Field kFields[] = {F::path<&ListOfJob::job>("jobId", kJobId),
                                        F::query<&ListOfJob::status>("status", kExecutionStatus),
                                        page_size<ListOfJob>(kPageSize250),
                                        page_token<ListOfJob>()};
    return kFields;
  }
};

struct ListOfThing : Paged {
  ThingName thing;
  std::string status;
  std::string name_space;  // all jobs here are of one
  JobId job;
  static std::span<const Field> fields() {
    using F = Fields<ListOfThing>;
    static constexpr Field kFields[] = {
        F::path<&ListOfThing::thing>("thingName", kName),
        F::query<&ListOfThing::status>("status", kExecutionStatus),
        F::query<&ListOfThing::name_space>("namespaceId", kNamespace),
        F::query<&ListOfThing::job>("jobId", kJobId),
        page_size<ListOfThing>(kPageSize250),
        page_token<ListOfThing>()};
    return kFields;
  }
};

struct DescribeExecution {
  JobId job;
  ThingName thing;
  std::optional<int64_t> number;
  static std::span<const Field> fields() {
    using F = Fields<DescribeExecution>;
    static constexpr Field kFields[] = {
        F::path<&DescribeExecution::job>("jobId", kJobId),
        F::path<&DescribeExecution::thing>("thingName", kName),
        F::query<&DescribeExecution::number>("executionNumber", kLong)};
    return kFields;
  }
};

struct CancelExecution {
  JobId job;
  ThingName thing;
  bool force = false;
  std::optional<int64_t> expected_version;
  json details;
  static std::span<const Field> fields() {
    using F = Fields<CancelExecution>;
    static constexpr Field kFields[] = {
        F::path<&CancelExecution::job>("jobId", kJobId),
        F::path<&CancelExecution::thing>("thingName", kName),
        F::query<&CancelExecution::force>("force", kBoolean),
        F::body<&CancelExecution::expected_version>("expectedVersion", kLong),
        F::body<&CancelExecution::details>("statusDetails", kDetails)};
    return kFields;
  }
};

struct DeleteExecution {
  JobId job;
  ThingName thing;
  std::optional<int64_t> number;
  bool force = false;
  std::string name_space;
  static std::span<const Field> fields() {
    using F = Fields<DeleteExecution>;
    static constexpr Field kFields[] = {
        F::path<&DeleteExecution::job>("jobId", kJobId),
        F::path<&DeleteExecution::thing>("thingName", kName),
        F::path<&DeleteExecution::number>("executionNumber", kLong),
        F::query<&DeleteExecution::force>("force", kBoolean),
        F::query<&DeleteExecution::name_space>("namespaceId", kNamespace)};
    return kFields;
  }
};

struct JobRequest {
  JobId job;
  bool before_substitution = false;  // documents have nothing to substitute
  static std::span<const Field> fields() {
    using F = Fields<JobRequest>;
    static constexpr Field kFields[] = {
        F::path<&JobRequest::job>("jobId", kJobId),
        F::query<&JobRequest::before_substitution>("beforeSubstitution", kBoolean)};
    return kFields;
  }
};

struct CancelJob {
  JobId job;
  std::string reason_code;
  std::string comment;
  bool force = false;
  static std::span<const Field> fields() {
    using F = Fields<CancelJob>;
    static constexpr Field kFields[] = {F::path<&CancelJob::job>("jobId", kJobId),
                                        F::body<&CancelJob::reason_code>("reasonCode", kReasonCode),
                                        F::body<&CancelJob::comment>("comment", kComment),
                                        F::query<&CancelJob::force>("force", kBoolean)};
    return kFields;
  }
};

struct DeleteJob {
  JobId job;
  bool force = false;
  std::string name_space;
  static std::span<const Field> fields() {
    using F = Fields<DeleteJob>;
    static constexpr Field kFields[] = {
        F::path<&DeleteJob::job>("jobId", kJobId), F::query<&DeleteJob::force>("force", kBoolean),
        F::query<&DeleteJob::name_space>("namespaceId", kNamespace)};
    return kFields;
  }
};

json times_of(const JobExecution& execution) {
  json item = {{"status", std::string(to_string(execution.status))},
               {"queuedAt", timestamp(execution.queued_ms)},
               {"lastUpdatedAt", timestamp(execution.updated_ms)},
               {"executionNumber", execution.execution_number}};
  if (execution.started_ms > 0) item["startedAt"] = timestamp(execution.started_ms);
  return item;
}

Result<json> list_of_job(ApiContext& context, const ListOfJob& request) {
  SKERRY_ASSIGN(Page page, page_of(context, request));
  SKERRY_TRY(context.store.find_deployment_of_job(request.job));
  SKERRY_ASSIGN(auto executions, context.store.list_executions_of_job(
                                     request.job, formats::parse_job_status(request.status), page));
  json answer = {{"executionSummaries", json::array()}};
  for (const JobExecution& execution : executions.items) {
    answer["executionSummaries"].push_back({{"thingArn", thing_arn(context, execution.thing)},
                                            {"jobExecutionSummary", times_of(execution)}});
  }
  add_next_token(context, answer, executions.next);
  return answer;
}

Result<json> list_of_thing(ApiContext& context, const ListOfThing& request) {
  SKERRY_ASSIGN(Page page, page_of(context, request));
  SKERRY_TRY(context.store.find_thing(request.thing));
  SKERRY_ASSIGN(auto executions, context.store.list_executions_of_thing(request.thing, page));
  const auto status = formats::parse_job_status(request.status);
  json answer = {{"executionSummaries", json::array()}};
  for (const JobExecution& execution : executions.items) {
    if (status && execution.status != *status) continue;
    if (!request.job.empty() && execution.job_id != request.job) continue;
    answer["executionSummaries"].push_back(
        {{"jobId", execution.job_id.str()}, {"jobExecutionSummary", times_of(execution)}});
  }
  add_next_token(context, answer, executions.next);
  return answer;
}

// The execution, where it is the one of that number.
Result<JobExecution> execution_of(const ApiContext& context, const JobId& job,
                                  const ThingName& thing, std::optional<int64_t> number) {
  SKERRY_ASSIGN(auto execution, context.store.find_execution(job, thing));
  if (number.value_or(execution.execution_number) == execution.execution_number) return execution;
  return fail(Code::kNotFound, "job " + job.str() + " has no execution " + std::to_string(*number) +
                                   " on thing " + thing.str());
}

Result<json> describe_execution(ApiContext& context, const DescribeExecution& request) {
  SKERRY_ASSIGN(auto execution, execution_of(context, request.job, request.thing, request.number));
  json item = times_of(execution);
  item["jobId"] = execution.job_id.str();
  item["thingArn"] = thing_arn(context, execution.thing);
  item["versionNumber"] = execution.version_number;
  item["statusDetails"] = {{"detailsMap", object_of(execution.status_details_json)}};
  return json{{"execution", std::move(item)}};
}

Result<json> cancel_execution(ApiContext& context, const CancelExecution& request) {
  SKERRY_ASSIGN(auto execution, context.store.find_execution(request.job, request.thing));
  const std::string name = "job " + request.job.str() + " on thing " + request.thing.str();
  if (request.expected_version.value_or(execution.version_number) != execution.version_number) {
    return context.refuse(kVersionConflict,
                          name + " is at version " + std::to_string(execution.version_number));
  }
  if (is_terminal(execution.status)) {
    return context.refuse(kInvalidStateTransition,
                          name + " has ended as " + std::string(to_string(execution.status)));
  }
  if (execution.status == ExecutionStatus::kInProgress && !request.force) {
    return context.refuse(kInvalidStateTransition,
                          name + " is IN_PROGRESS: only with force can it be cancelled");
  }
  Store::ExecutionChange change;
  change.status = ExecutionStatus::kCanceled;
  change.now_ms = context.env.clock.wall_ms();
  if (request.details.is_object()) {
    json details = object_of(execution.status_details_json);
    details.update(request.details);
    std::string text = details.dump();
    if (text.size() > formats::kMaxStatusDetailsBytes) {
      return fail(Code::kInvalidArgument, "statusDetails: too many");
    }
    change.status_details_json = std::move(text);
  }
  SKERRY_TRY(
      context.deployments.update_execution(context.store, request.job, request.thing, change));
  return json::object();
}

Result<json> delete_execution(ApiContext& context, const DeleteExecution& request) {
  SKERRY_ASSIGN(auto execution, execution_of(context, request.job, request.thing, request.number));
  if (!is_terminal(execution.status) && !request.force) {
    return context.refuse(kInvalidStateTransition,
                          "the execution is " + std::string(to_string(execution.status)) +
                              ": only with force can it be deleted before its end");
  }
  SKERRY_TRY(context.store.delete_execution(request.job, request.thing));
  if (!is_terminal(execution.status)) context.store.effects().jobs.push_back(request.thing);
  return json::object();
}

std::string_view job_status(DeploymentStatus status) {
  switch (status) {
    case DeploymentStatus::kActive:
      return "IN_PROGRESS";
    case DeploymentStatus::kCompleted:
    case DeploymentStatus::kFailed:
      return "COMPLETED";
    case DeploymentStatus::kCanceled:
    case DeploymentStatus::kInactive:
      break;
  }
  return "CANCELED";
}

json progress_of(const std::vector<std::pair<ExecutionStatus, int64_t>>& counts) {
  json details = json::object();
  for (const auto& [status, count] : counts) {
    std::string_view name;
    switch (status) {
      case ExecutionStatus::kQueued:
        name = "numberOfQueuedThings";
        break;
      case ExecutionStatus::kInProgress:
        name = "numberOfInProgressThings";
        break;
      case ExecutionStatus::kSucceeded:
        name = "numberOfSucceededThings";
        break;
      case ExecutionStatus::kFailed:
        name = "numberOfFailedThings";
        break;
      case ExecutionStatus::kTimedOut:
        name = "numberOfTimedOutThings";
        break;
      case ExecutionStatus::kRejected:
        name = "numberOfRejectedThings";
        break;
      case ExecutionStatus::kCanceled:
        name = "numberOfCanceledThings";
        break;
      case ExecutionStatus::kRemoved:
        name = "numberOfRemovedThings";
        break;
    }
    details[std::string(name)] = count;
  }
  return details;
}

Result<json> describe_job(ApiContext& context, const JobRequest& request) {
  SKERRY_ASSIGN(auto deployment, context.store.find_deployment_of_job(request.job));
  SKERRY_ASSIGN(auto target, formats::parse_target_arn(deployment.target_arn));
  SKERRY_ASSIGN(auto counts, context.store.count_executions(request.job));
  const bool is_group = target.kind == formats::Target::Kind::kThingGroup;
  return json{{"job",
               {{"jobId", request.job.str()},
                {"jobArn", job_arn(context, request.job)},
                {"targetSelection", is_group ? "CONTINUOUS" : "SNAPSHOT"},
                {"status", std::string(job_status(deployment.status))},
                {"targets", json::array({deployment.target_arn})},
                {"createdAt", timestamp(deployment.created_ms)},
                {"namespaceId", "aws-gg-deployment"},
                {"jobProcessDetails", progress_of(counts)}}}};
}

Result<json> job_document(ApiContext& context, const JobRequest& request) {
  SKERRY_ASSIGN(auto deployment, context.store.find_deployment_of_job(request.job));
  return json{{"document", deployment.document_json}};
}

Result<json> cancel_job(ApiContext& context, const CancelJob& request) {
  SKERRY_ASSIGN(auto deployment, context.store.find_deployment_of_job(request.job));
  using Begun = Deployments::Begun;
  auto cancelled = context.deployments.cancel(context.store, deployment.id,
                                              request.force ? Begun::kEnds : Begun::kFinishes);
  if (!cancelled && cancelled.error().code() == Code::kFailedPrecondition) {
    return fail(Code::kInvalidArgument, cancelled.error().message());
  }
  if (!cancelled) return fail(cancelled.error());
  return json{{"jobArn", job_arn(context, request.job)}, {"jobId", request.job.str()}};
}

Result<json> delete_job(ApiContext& context, const DeleteJob& request) {
  SKERRY_ASSIGN(auto deployment, context.store.find_deployment_of_job(request.job));
  if (deployment.status == DeploymentStatus::kActive && !request.force) {
    return context.refuse(kInvalidStateTransition,
                          "job " + request.job.str() +
                              " is IN_PROGRESS: only with force can it be deleted before its end");
  }
  SKERRY_TRY(context.deployments.remove(context.store, deployment));
  return json::object();
}

constexpr Route kJobRoutes[] = {
    operation<list_of_job>("iot", "ListJobExecutionsForJob", "GET", "/jobs/{jobId}/things"),
    operation<list_of_thing>("iot", "ListJobExecutionsForThing", "GET", "/things/{thingName}/jobs"),
    operation<describe_execution>("iot", "DescribeJobExecution", "GET",
                                  "/things/{thingName}/jobs/{jobId}"),
    operation<cancel_execution>("iot", "CancelJobExecution", "PUT",
                                "/things/{thingName}/jobs/{jobId}/cancel"),
    operation<delete_execution>(
        "iot", "DeleteJobExecution", "DELETE",
        "/things/{thingName}/jobs/{jobId}/executionNumber/{executionNumber}"),
    operation<describe_job>("iot", "DescribeJob", "GET", "/jobs/{jobId}"),
    operation<job_document>("iot", "GetJobDocument", "GET", "/jobs/{jobId}/job-document"),
    operation<cancel_job>("iot", "CancelJob", "PUT", "/jobs/{jobId}/cancel"),
    operation<delete_job>("iot", "DeleteJob", "DELETE", "/jobs/{jobId}"),
};

}  // namespace

std::span<const Route> job_routes() {
  return kJobRoutes;
}

}  // namespace skerry::fleet::aws
