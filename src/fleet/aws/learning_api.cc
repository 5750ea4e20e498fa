// skerry: federated learning. What is asked for is checked here as far as that can be; the service
// (learning/learning_service.h) finds the training in the store and runs it.
#include <nlohmann/json.hpp>

#include "fleet/artifacts.h"
#include "fleet/aws/fields.h"
#include "fleet/aws/input.h"
#include "fleet/learning/outcome.h"
#include "fleet/rollout/plan.h"
#include "fleet/rollout/rollout_store.h"
#include "formats/json_ptr.h"
#include "formats/names.h"
#include "formats/version.h"

namespace skerry::fleet::aws {
namespace {

using learning::Training;
using nlohmann::json;

constexpr size_t kMostRanges = 100'000;
constexpr Shape kLearningLine{.min = 1, .max = 256};
constexpr Shape kLearningCount{.type = Type::kLong, .min = 0};
constexpr Shape kRange{.type = Type::kList, .min = 2, .max = 2, .element = &kLearningCount};
constexpr Shape kLayout{.type = Type::kList, .min = 1, .max = kMostRanges, .element = &kRange};
constexpr Shape kLearningDocument{.type = Type::kMap, .max = 1000, .key = &kText};

struct StartTraining {
  std::string component, from_version, version, model_sha256, group, data, client_token;
  std::string rollout_group;  // "": the group itself
  json layout, plan, rollout;
  static std::span<const Field> fields() {
    using F = Fields<StartTraining>;
    static constexpr Field kFields[] = {
        F::body<&StartTraining::component>("component", kLearningLine, true),
        F::body<&StartTraining::from_version>("fromVersion", kLearningLine, true),
        F::body<&StartTraining::version>("version", kLearningLine, true),
        F::body<&StartTraining::model_sha256>("modelSha256", kLearningLine, true),
        F::body<&StartTraining::layout>("layout", kLayout, true),
        F::body<&StartTraining::group>("thingGroupName", kLearningLine, true),
        F::body<&StartTraining::data>("data", kLearningLine, true),
        F::body<&StartTraining::plan>("plan", kLearningDocument, true),
        F::body<&StartTraining::rollout>("rollout", kLearningDocument),
        F::body<&StartTraining::rollout_group>("rolloutGroupName", kLearningLine),
        F::body<&StartTraining::client_token>("clientToken", kClientToken)};
    return kFields;
  }
};

json summary(const Training& training) {
  json answer = {{"trainingId", training.id},
                 {"component", training.component.str()},
                 {"fromVersion", training.from_version},
                 {"version", training.version},
                 {"thingGroupName", training.group.str()},
                 {"data", training.data},
                 {"state", learning::name_of(training.state)},
                 {"reason", training.reason},
                 {"createdBy", training.created_by},
                 {"created", timestamp(training.created_ms)},
                 {"updated", timestamp(training.updated_ms)}};
  if (!training.deployment_id.empty()) answer["rolloutId"] = training.deployment_id;
  return answer;
}

json full(const Training& training) {
  json answer = summary(training);
  const auto plan = formats::parse_json(training.plan_json);
  const auto progress = formats::parse_json(training.progress_json);
  answer["plan"] = plan ? *plan : json::object();
  answer["progress"] = progress ? *progress : json::object();
  return answer;
}

// Names of data become parts of models' file names.
Result<void> check_data(const std::string& data) {
  const bool fits = std::ranges::all_of(data, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.';
  });
  if (fits) return {};
  return fail(Code::kInvalidArgument, "data: letters, digits, _ and . only");
}

Result<std::string> checked_plan(ApiContext& context, const StartTraining& request) {
  auto plan = federated::parse_training_plan(request.plan);
  if (!plan) return fail(plan.error().with_context("plan"));
  const bool counts_devices = plan->local.scaffold && plan->rounds.strategy.devices == 0;
  const bool counts_population = plan->rounds.noise > 0 && plan->rounds.population == 0;
  if (counts_devices || counts_population) {
    SKERRY_ASSIGN(const int64_t members, rollout::count_members(context.store, request.group));
    if (counts_devices) plan->rounds.strategy.devices = static_cast<size_t>(members);
    if (counts_population) plan->rounds.population = static_cast<size_t>(members);
  }
  if (auto checked = federated::check(plan->rounds); !checked) {
    return fail(checked.error().with_context("plan"));
  }
  return federated::to_json(*plan).dump();
}

Result<std::string> checked_rollout(ApiContext& context, const StartTraining& request) {
  if (!request.rollout.is_object()) return std::string();
  auto plan = rollout::parse_plan(request.rollout);
  if (!plan) return fail(plan.error().with_context("rollout"));
  SKERRY_ASSIGN(auto from, formats::Version::parse(request.from_version));
  if (auto can = check_available(context.store, {{ComponentName(request.component), from}}); !can) {
    return fail(can.error().with_context("rollout"));
  }
  const std::string group = request.rollout_group.empty() ? request.group : request.rollout_group;
  SKERRY_TRY(context.store.find_group(ThingGroupName(group)));
  const formats::Target target{formats::Target::Kind::kThingGroup, group};
  return json{{"targetArn", formats::target_arn(context.scope, target)}, {"plan", request.rollout}}
      .dump();
}

// The model, its file and the layout that the request has of it belong together.
Result<void> check_model(ApiContext& context, const StartTraining& request) {
  const ComponentName component(request.component);
  SKERRY_ASSIGN(const auto package, learning::package_of(context.store, context.artifacts,
                                                         component, request.from_version));
  if (package.sha256 != request.model_sha256) {
    return fail(Code::kFailedPrecondition, "modelSha256: " + request.component + " " +
                                               request.from_version + " has another model");
  }
  if (!package.file.ends_with(".onnx")) {
    return fail(Code::kUnsupported, package.file + ": ONNX models can be trained");
  }
  SKERRY_ASSIGN(const uint64_t bytes, context.artifacts.size_of(package.sha256));
  auto layout = federated::parse_layout(request.layout, bytes);
  if (!layout) return fail(layout.error().with_context("layout"));
  if (context.store.find_component(component, request.version)) {
    return fail(Code::kAlreadyExists,
                "version: " + request.component + " " + request.version + " is published already");
  }
  return {};
}

Result<json> start(ApiContext& context, const StartTraining& request) {
  SKERRY_ASSIGN(auto former, former_answer(context, request.client_token));
  if (former) return std::move(*former);
  SKERRY_TRY(formats::parse_component_name(request.component));
  SKERRY_TRY(formats::Version::parse(request.version));
  SKERRY_TRY(check_data(request.data));
  SKERRY_TRY(context.store.find_group(ThingGroupName(request.group)));
  SKERRY_TRY(check_model(context, request));
  Training training{.id = context.env.random.uuid(),
                    .component = ComponentName(request.component),
                    .from_version = request.from_version,
                    .version = request.version,
                    .model_sha256 = request.model_sha256,
                    .layout_json = request.layout.dump(),
                    .group = ThingGroupName(request.group),
                    .data = request.data,
                    .created_by = context.actor,
                    .created_ms = context.env.clock.wall_ms()};
  training.updated_ms = training.created_ms;
  SKERRY_ASSIGN(training.plan_json, checked_plan(context, request));
  SKERRY_ASSIGN(training.rollout_json, checked_rollout(context, request));
  SKERRY_TRY(learning::create_training(context.store, training));
  json answer = full(training);
  SKERRY_TRY(remember_answer(context, request.client_token, answer));
  return answer;
}

struct TrainingRequest {
  std::string id;
  static std::span<const Field> fields() {
    using F = Fields<TrainingRequest>;
    static constexpr Field kFields[] = {F::path<&TrainingRequest::id>("trainingId", kNonEmpty)};
    return kFields;
  }
};

Result<json> describe(ApiContext& context, const TrainingRequest& request) {
  SKERRY_ASSIGN(const Training training, learning::find_training(context.store, request.id));
  return full(training);
}

struct StopTraining {
  std::string id;
  std::optional<bool> publish;
  static std::span<const Field> fields() {
    using F = Fields<StopTraining>;
    static constexpr Field kFields[] = {F::path<&StopTraining::id>("trainingId", kNonEmpty),
                                        F::body<&StopTraining::publish>("publish", kBoolean)};
    return kFields;
  }
};

Result<json> stop(ApiContext& context, const StopTraining& request) {
  SKERRY_ASSIGN(Training training, learning::find_training(context.store, request.id));
  training.state = learning::State::kStopping;
  training.publishes = request.publish.value_or(false);
  training.updated_ms = context.env.clock.wall_ms();
  SKERRY_TRY(learning::change_training(context.store, training));
  return summary(training);
}

struct ListTrainings : Paged {
  static std::span<const Field> fields() {
    static constexpr Field kFields[] = {page_size<ListTrainings>(kPageSize100),
                                        page_token<ListTrainings>()};
    return kFields;
  }
};

Result<json> list(ApiContext& context, const ListTrainings& request) {
  SKERRY_ASSIGN(const Page page, page_of(context, request));
  SKERRY_ASSIGN(const auto found, learning::list_trainings(context.store, page));
  json answer = {{"trainings", json::array()}};
  for (const Training& training : found.items) {
    json one = summary(training);
    const auto progress = formats::parse_json(training.progress_json);
    one["rounds"] = progress ? progress->value("rounds", 0) : 0;
    answer["trainings"].push_back(std::move(one));
  }
  add_next_token(context, answer, found.next);
  return answer;
}

constexpr Route kLearningRoutes[] = {
    operation<start>("skerry", "StartTraining", "POST", "/skerry/v1/trainings"),
    operation<list>("skerry", "ListTrainings", "GET", "/skerry/v1/trainings"),
    operation<describe>("skerry", "DescribeTraining", "GET", "/skerry/v1/trainings/{trainingId}"),
    operation<stop>("skerry", "StopTraining", "POST", "/skerry/v1/trainings/{trainingId}/stop"),
};

}  // namespace

std::span<const Route> learning_routes() {
  return kLearningRoutes;
}

}  // namespace skerry::fleet::aws
