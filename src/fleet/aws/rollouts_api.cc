// skerry: rollouts. A rollout begins with a deployment of its own and has that deployment's id.
#include <nlohmann/json.hpp>

#include "fleet/aws/fields.h"
#include "fleet/aws/input.h"
#include "fleet/components.h"
#include "fleet/deployments.h"
#include "fleet/rollout/engine.h"
#include "fleet/rollout/preflight.h"
#include "fleet/rollout/rollouts.h"
#include "formats/json_ptr.h"

namespace skerry::fleet::aws {
namespace {

using nlohmann::json;
using rollout::Record;

constexpr Shape kDocument{.type = Type::kMap, .max = 1000, .key = &kText};
constexpr Shape kStageNumber{.type = Type::kInteger, .min = 1, .max = 1000};

struct StartRollout {
  json deployment;
  json plan;
  std::string client_token;
  static std::span<const Field> fields() {
    using F = Fields<StartRollout>;
    static constexpr Field kFields[] = {
        F::body<&StartRollout::deployment>("deployment", kDocument, true),
        F::body<&StartRollout::plan>("rollout", kDocument, true),
        F::body<&StartRollout::client_token>("clientToken", kClientToken)};
    return kFields;
  }
};

struct RolloutRequest {
  DeploymentId id;
  static std::span<const Field> fields() {
    using F = Fields<RolloutRequest>;
    static constexpr Field kFields[] = {F::path<&RolloutRequest::id>("rolloutId", kNonEmpty)};
    return kFields;
  }
};

struct ApproveRequest {
  DeploymentId id;
  std::optional<int64_t> stage;
  static std::span<const Field> fields() {
    using F = Fields<ApproveRequest>;
    static constexpr Field kFields[] = {
        F::path<&ApproveRequest::id>("rolloutId", kNonEmpty),
        F::body<&ApproveRequest::stage>("stage", kStageNumber, true)};
    return kFields;
  }
};

struct ListRollouts : Paged {
  std::string target_arn;
  static std::span<const Field> fields() {
    using F = Fields<ListRollouts>;
    static constexpr Field kFields[] = {
        F::query<&ListRollouts::target_arn>("targetArn", kTargetArn),
        page_size<ListRollouts>(kPageSize100), page_token<ListRollouts>()};
    return kFields;
  }
};

json census_json(const rollout::Census& census) {
  return {{"asked", census.asked()},      {"queued", census.queued},
          {"silent", census.silent},      {"inProgress", census.in_progress},
          {"retrying", census.retrying},  {"succeeded", census.succeeded},
          {"failed", census.failed},      {"rejected", census.rejected},
          {"timedOut", census.timed_out}, {"canceled", census.canceled}};
}

// What lists say.
json summary(const Record& record) {
  json item = {{"rolloutId", record.id.str()},
               {"targetArn", record.target_arn},
               {"phase", name_of(record.state.phase)},
               {"stage", record.state.stage + 1},
               {"stages", record.plan.stages.size()},
               {"reason", record.state.reason},
               {"createdTimestamp", timestamp(record.created_ms)},
               {"updatedTimestamp", timestamp(record.updated_ms)}};
  if (!record.previous.id.empty()) item["previousDeploymentId"] = record.previous.id.str();
  if (!record.rollback_id.empty()) item["rollbackDeploymentId"] = record.rollback_id.str();
  return item;
}

// Each stage with how many devices it reaches, all before it included.
Result<json> stages(Store& store, const rollout::Plan& plan, const std::string& group) {
  SKERRY_ASSIGN(const int64_t members, rollout::count_members(store, group));
  json list = json::array();
  const json printed = rollout::to_json(plan);
  for (size_t i = 0; i < plan.stages.size(); ++i) {
    json stage = printed["stages"][i];
    if (plan.stages[i].size == rollout::Stage::Size::kCanaryGroup) {
      SKERRY_ASSIGN(stage["devicesSoFar"],
                    rollout::count_shared(store, group, plan.canary_group.str()));
    } else {
      stage["devicesSoFar"] = rollout::quota(plan.stages[i], members);
    }
    list.push_back(std::move(stage));
  }
  return list;
}

Result<json> full(Store& store, const Record& record) {
  json answer = summary(record);
  answer["plan"] = rollout::to_json(record.plan);
  SKERRY_ASSIGN(answer["gates"], formats::parse_json(record.findings_json));
  const auto due = rollout::deadlines(record.plan, record.state);
  SKERRY_ASSIGN(const auto release,
                rollout::census(store, record.job_id,
                                {due.silence_ms, record.updated_ms, record.plan.retry.attempts}));
  answer["devices"] = census_json(release);
  SKERRY_ASSIGN(answer["members"], rollout::count_members(store, record.group));
  SKERRY_ASSIGN(answer["stageList"], stages(store, record.plan, record.group));
  answer["bakedSeconds"] = record.state.baked_ms / 1000;
  if (record.rollback_id.empty()) return answer;
  SKERRY_ASSIGN(const auto back, rollout::census(store, record.rollback_job_id,
                                                 {due.silence_ms, record.updated_ms, 0}));
  answer["rollback"] = census_json(back);
  answer["rollback"]["couldNotGoBack"] = json::array();
  for (const ExecutionStatus status :
       {ExecutionStatus::kFailed, ExecutionStatus::kRejected, ExecutionStatus::kTimedOut}) {
    SKERRY_ASSIGN(const auto failed,
                  store.list_executions_of_job(record.rollback_job_id, status, {.limit = 100}));
    for (const JobExecution& each : failed.items) {
      answer["rollback"]["couldNotGoBack"].push_back(each.thing.str());
    }
  }
  return answer;
}

// Stages by number and by share can fall in one target and rise in another.
Result<void> check_rising(Store& store, const rollout::Plan& plan, const std::string& group) {
  SKERRY_ASSIGN(const int64_t members, rollout::count_members(store, group));
  int64_t before = 0;
  for (size_t i = 0; i < plan.stages.size(); ++i) {
    if (plan.stages[i].size == rollout::Stage::Size::kCanaryGroup) continue;
    const int64_t reached = rollout::quota(plan.stages[i], members);
    if (reached < before) {
      return fail(Code::kInvalidArgument,
                  "rollout.stages[" + std::to_string(i) + "]: reaches " + std::to_string(reached) +
                      " of the target's " + std::to_string(members) +
                      " devices, the stage before " + std::to_string(before) +
                      ": the sizes of stages must rise");
    }
    before = reached;
  }
  return {};
}

// The plan and the target of a request, checked as far as that can be done without changing
// anything.
struct Checked {
  rollout::Plan plan;
  std::string group;  // "" where the target is one thing
};
Result<Checked> checked(const ApiContext& context, const StartRollout& request) {
  Checked found;
  SKERRY_ASSIGN(found.plan, rollout::parse_plan(request.plan));
  if (request.deployment.contains("iotJobConfiguration")) {
    return fail(Code::kInvalidArgument,
                "deployment.iotJobConfiguration: a rollout document takes its place: leave it out");
  }
  const auto arn = request.deployment.find("targetArn");
  if (arn == request.deployment.end() || !arn->is_string()) {
    return fail(Code::kInvalidArgument, "deployment.targetArn: is required");
  }
  SKERRY_ASSIGN(const auto target, formats::parse_target_arn(arn->get<std::string>()));
  if (formats::target_arn(context.scope, target) != arn->get<std::string>()) {
    return fail(Code::kInvalidArgument, "deployment.targetArn: is not of this region and account");
  }
  if (target.kind != formats::Target::Kind::kThingGroup) return found;
  found.group = target.name;
  SKERRY_TRY(context.store.find_group(ThingGroupName(target.name)));
  SKERRY_TRY(check_rising(context.store, found.plan, found.group));
  if (found.plan.canary_group.empty()) return found;
  if (auto canary = context.store.find_group(found.plan.canary_group); !canary) {
    return fail(canary.error().with_context("rollout.canaryGroup"));
  }
  SKERRY_ASSIGN(const int64_t shared,
                rollout::count_shared(context.store, found.group, found.plan.canary_group.str()));
  if (shared > 0) return found;
  return fail(Code::kInvalidArgument, "rollout.canaryGroup: no device of the target is in " +
                                          found.plan.canary_group.str() +
                                          ": add one, or name another group");
}

// The request of CreateDeployment, checked against its model.
Result<json> checked_deployment(const StartRollout& request) {
  json deployment = request.deployment;
  const std::pair<const char*, const Shape*> kMembers[] = {
      {"targetArn", &kTargetArn},
      {"deploymentName", &kDeploymentName},
      {"components", &kDeploymentComponents},
      {"deploymentPolicies", &kDeploymentPolicies},
      {"parentTargetArn", &kThingGroupArn},
      {"tags", &kTags}};
  json known = json::object();
  for (const auto& [name, shape] : kMembers) {
    const auto member = deployment.find(name);
    if (member == deployment.end() || member->is_null()) continue;
    SKERRY_TRY(check(*shape, *member, std::string("deployment.") + name));
    known[name] = *member;
    deployment.erase(name);
  }
  if (deployment.empty()) return known;
  return fail(Code::kInvalidArgument,
              "deployment." + deployment.begin().key() + ": is no field of CreateDeployment here");
}

Result<json> start_rollout(ApiContext& context, const StartRollout& request) {
  SKERRY_ASSIGN(auto former, former_answer(context, request.client_token));
  if (former) return std::move(*former);
  SKERRY_ASSIGN(const Checked found, checked(context, request));
  SKERRY_ASSIGN(const json deployment, checked_deployment(request));
  SKERRY_ASSIGN(const auto made, context.deployments.create(context.store, deployment, found.plan));
  SKERRY_ASSIGN(const Record record, rollout::find_rollout(context.store, made.id));
  json answer = summary(record);
  answer["deploymentId"] = made.id.str();
  answer["iotJobId"] = made.job_id.str();
  SKERRY_TRY(remember_answer(context, request.client_token, answer));
  return answer;
}

json concerns_json(const std::vector<rollout::Concern>& concerns) {
  json list = json::array();
  for (const auto& each : concerns) {
    list.push_back({{"kind", rollout::name_of(each.kind)}, {"text", each.text}});
  }
  return list;
}

void add_outlook(const rollout::Preflight& found, json& answer) {
  answer["devices"] = {{"total", found.ready + found.refusing + found.unknown},
                       {"ready", found.ready},
                       {"refusing", found.refusing},
                       {"unknown", found.unknown}};
  answer["concerns"] = json::array();
  for (const auto& each : found.listed) {
    answer["concerns"].push_back({{"thing", each.thing.str()},
                                  {"refuses", concerns_json(each.refuses)},
                                  {"unknown", concerns_json(each.unknown)}});
  }
  answer["concernsLeftOut"] =
      found.refusing + found.unknown - static_cast<int64_t>(found.listed.size());
}

Result<json> plan_rollout(ApiContext& context, const StartRollout& request) {
  SKERRY_ASSIGN(const Checked found, checked(context, request));
  SKERRY_ASSIGN(const json deployment, checked_deployment(request));
  SKERRY_ASSIGN(const auto good,
                rollout::last_known_good(context.store, deployment.value("targetArn", "")));
  json answer = {{"plan", rollout::to_json(found.plan)},
                 {"previousDeploymentId", good ? json(good->id.str()) : json()}};
  SKERRY_ASSIGN(answer["members"], rollout::count_members(context.store, found.group));
  SKERRY_ASSIGN(answer["stages"], stages(context.store, found.plan, found.group));
  SKERRY_ASSIGN(const auto target, formats::parse_target_arn(deployment.value("targetArn", "")));
  SKERRY_ASSIGN(const auto document, formats::parse_deployment(deployment));
  Roots roots;
  for (const auto& [name, component] : document.components) roots.emplace(name, component.version);
  SKERRY_TRY(check_available(context.store, roots));
  SKERRY_ASSIGN(const auto outlook,
                rollout::preflight(context.store, context.scope, target, document));
  add_outlook(outlook, answer);
  return answer;
}

Result<json> get_rollout(ApiContext& context, const RolloutRequest& request) {
  SKERRY_ASSIGN(const Record record, rollout::find_rollout(context.store, request.id));
  return full(context.store, record);
}

Result<json> get_history(ApiContext& context, const RolloutRequest& request) {
  SKERRY_TRY(rollout::find_rollout(context.store, request.id));
  SKERRY_ASSIGN(const auto lines, rollout::history(context.store, request.id));
  json answer = {{"history", json::array()}};
  for (const auto& line : lines) {
    answer["history"].push_back(
        {{"sequence", line.sequence}, {"timestamp", timestamp(line.at_ms)}, {"text", line.text}});
  }
  return answer;
}

Result<json> list_all(ApiContext& context, const ListRollouts& request) {
  SKERRY_ASSIGN(const Page page, page_of(context, request));
  SKERRY_ASSIGN(const auto rollouts,
                rollout::list_rollouts(context.store, request.target_arn, page));
  json answer = {{"rollouts", json::array()}};
  for (const Record& each : rollouts.items) answer["rollouts"].push_back(summary(each));
  add_next_token(context, answer, rollouts.next);
  return answer;
}

Result<json> command(ApiContext& context, const DeploymentId& id, const rollout::Event& event) {
  const rollout::Rollouts rollouts(context.deployments);
  SKERRY_ASSIGN(const Record record,
                rollouts.command(context.store, id, event, context.env.clock.wall_ms()));
  return summary(record);
}

template <class Event>
Result<json> send(ApiContext& context, const RolloutRequest& request) {
  return command(context, request.id, Event{});
}

Result<json> approve(ApiContext& context, const ApproveRequest& request) {
  return command(context, request.id, rollout::Approve{static_cast<size_t>(*request.stage - 1)});
}

constexpr std::string_view kService = "skerry";
constexpr Route kRolloutRoutes[] = {
    operation<start_rollout>(kService, "StartRollout", "POST", "/skerry/v1/rollouts", 201),
    operation<list_all>(kService, "ListRollouts", "GET", "/skerry/v1/rollouts"),
    question(operation<plan_rollout>(kService, "PlanRollout", "POST", "/skerry/v1/rollouts/plan")),
    operation<get_rollout>(kService, "GetRollout", "GET", "/skerry/v1/rollouts/{rolloutId}"),
    operation<get_history>(kService, "GetRolloutHistory", "GET",
                           "/skerry/v1/rollouts/{rolloutId}/history"),
    operation<send<rollout::Pause>>(kService, "PauseRollout", "POST",
                                    "/skerry/v1/rollouts/{rolloutId}/pause"),
    operation<send<rollout::Resume>>(kService, "ResumeRollout", "POST",
                                     "/skerry/v1/rollouts/{rolloutId}/resume"),
    operation<approve>(kService, "ApproveRollout", "POST",
                       "/skerry/v1/rollouts/{rolloutId}/approve"),
    operation<send<rollout::Abort>>(kService, "AbortRollout", "POST",
                                    "/skerry/v1/rollouts/{rolloutId}/abort"),
    operation<send<rollout::Rollback>>(kService, "RollBackRollout", "POST",
                                       "/skerry/v1/rollouts/{rolloutId}/rollback"),
};

}  // namespace

std::span<const Route> rollout_routes() {
  return kRolloutRoutes;
}

}  // namespace skerry::fleet::aws
