// iot: what became of a deployment's job on each thing.
#include <nlohmann/json.hpp>

#include "fleet/aws/input.h"
#include "fleet/store.h"

namespace skerry::fleet::aws {
namespace {

using nlohmann::json;

constexpr size_t kMaxPage = 250;

std::string thing_arn(const ApiContext& context, const ThingName& name) {
  return formats::target_arn(context.scope, {formats::Target::Kind::kThing, name.str()});
}

// "" in the request is no filter.
Result<std::optional<ExecutionStatus>> status_option(const ApiRequest& request) {
  const std::string text = request.option("status");
  if (text.empty()) return std::optional<ExecutionStatus>();
  ExecutionStatus status = ExecutionStatus::kQueued;
  if (!parse(text, status)) {
    return fail(Code::kInvalidArgument, "status: '" + text + "' is no job execution status");
  }
  return std::optional(status);
}

json times_of(const JobExecution& execution) {
  json item = {{"status", std::string(to_string(execution.status))},
               {"queuedAt", timestamp(execution.queued_ms)},
               {"lastUpdatedAt", timestamp(execution.updated_ms)},
               {"executionNumber", execution.execution_number}};
  if (execution.started_ms > 0) item["startedAt"] = timestamp(execution.started_ms);
  return item;
}

Result<json> list_of_job(ApiContext& context, const ApiRequest& request) {
  SKERRY_ASSIGN(Page page, page_of(request, kMaxPage));
  SKERRY_ASSIGN(auto status, status_option(request));
  const JobId job(request.parameter("jobId"));
  SKERRY_TRY(context.store.find_deployment_of_job(job));
  SKERRY_ASSIGN(auto executions, context.store.list_executions_of_job(job, status, page));
  json answer = {{"executionSummaries", json::array()}};
  for (const JobExecution& execution : executions.items) {
    answer["executionSummaries"].push_back({{"thingArn", thing_arn(context, execution.thing)},
                                            {"jobExecutionSummary", times_of(execution)}});
  }
  add_next_token(answer, executions.next);
  return answer;
}

Result<json> list_of_thing(ApiContext& context, const ApiRequest& request) {
  SKERRY_ASSIGN(Page page, page_of(request, kMaxPage));
  SKERRY_ASSIGN(auto status, status_option(request));
  const ThingName thing(request.parameter("thingName"));
  const std::string job = request.option("jobId");
  SKERRY_TRY(context.store.find_thing(thing));
  SKERRY_ASSIGN(auto executions, context.store.list_executions_of_thing(thing, page));
  json answer = {{"executionSummaries", json::array()}};
  for (const JobExecution& execution : executions.items) {
    if (status && execution.status != *status) continue;
    if (!job.empty() && execution.job_id.str() != job) continue;
    answer["executionSummaries"].push_back(
        {{"jobId", execution.job_id.str()}, {"jobExecutionSummary", times_of(execution)}});
  }
  add_next_token(answer, executions.next);
  return answer;
}

Result<json> describe_execution(ApiContext& context, const ApiRequest& request) {
  SKERRY_ASSIGN(auto execution,
                context.store.find_execution(JobId(request.parameter("jobId")),
                                             ThingName(request.parameter("thingName"))));
  json item = times_of(execution);
  item["jobId"] = execution.job_id.str();
  item["thingArn"] = thing_arn(context, execution.thing);
  item["versionNumber"] = execution.version_number;
  item["statusDetails"] = {
      {"detailsMap", json::parse(execution.status_details_json, nullptr, false)}};
  return json{{"execution", std::move(item)}};
}

constexpr Route kRoutes[] = {
    {"iot", "GET", "/jobs/{jobId}/things", 200, list_of_job},
    {"iot", "GET", "/things/{thingName}/jobs", 200, list_of_thing},
    {"iot", "GET", "/things/{thingName}/jobs/{jobId}", 200, describe_execution},
};

}  // namespace

std::span<const Route> job_routes() {
  return kRoutes;
}

}  // namespace skerry::fleet::aws
