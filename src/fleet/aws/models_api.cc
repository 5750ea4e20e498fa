// skerry, our own service: versions of models, where they come from, who promoted them, which
// devices run them and what they do there.
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "fleet/aws/fields.h"
#include "fleet/aws/input.h"
#include "fleet/model_metrics.h"
#include "fleet/models.h"
#include "formats/names.h"
#include "formats/version.h"

namespace skerry::fleet::aws {
namespace {

using formats::ModelCounts;
using nlohmann::json;

constexpr size_t kModelsListed = 1000;
constexpr size_t kPromotionsListed = 200;
constexpr Shape kLine{.min = 1, .max = 256};
constexpr Shape kAnyNumber{.type = Type::kDouble};
constexpr Shape kMetrics{.type = Type::kMap, .key = &kLine, .element = &kAnyNumber};
constexpr Shape kSettings{.type = Type::kMap, .key = &kLine, .element = &kText};
constexpr Member kProvenanceMembers[] = {
    {"model", &kLine, true},  {"artifact", &kText},    {"artifactSha256", &kText},
    {"trainedOn", &kText},    {"dataset", &kText},     {"datasetVersion", &kText},
    {"sourceSha256", &kText}, {"trainingRun", &kText}, {"licence", &kText},
    {"metric", &kText},       {"metrics", &kMetrics},  {"optimiser", &kSettings}};
constexpr Shape kProvenance{.type = Type::kStructure, .members = kProvenanceMembers};
constexpr int64_t kHourMs = 3'600'000;
constexpr int64_t kHoursUnasked = 48;
constexpr Shape kHours{.type = Type::kInteger, .min = 1, .max = 24 * 90};
constexpr Shape kTracePage{.type = Type::kInteger, .min = 1, .max = 1000};

Result<ComponentName> component_in(const std::string& text) {
  auto name = formats::parse_component_name(text);
  if (!name) return fail(name.error().with_context("component"));
  return name;
}

json answer_of(const ModelVersion& model) {
  json answer = formats::to_json(model.provenance);
  answer["component"] = model.component.str();
  answer["version"] = model.version;
  answer["createdBy"] = model.created_by;
  answer["created"] = timestamp(model.created_ms);
  if (auto release = formats::release_name_of(model.provenance); !release.empty()) {
    answer["release"] = std::move(release);
  }
  return answer;
}

json answer_of(const Promotion& promotion) {
  return {{"component", promotion.component.str()},
          {"tag", promotion.tag},
          {"version", promotion.version},
          {"previous", promotion.previous},
          {"by", promotion.by},
          {"at", timestamp(promotion.at_ms)}};
}

// --- Versions -----------------------------------------------------------------------------------

struct PutModel {
  std::string component;
  std::string version;
  json provenance;
  static std::span<const Field> fields() {
    using F = Fields<PutModel>;
    static constexpr Field kFields[] = {
        F::path<&PutModel::component>("component", kLine),
        F::path<&PutModel::version>("version", kLine),
        F::body<&PutModel::provenance>("provenance", kProvenance, true)};
    return kFields;
  }
};

Result<json> put_model(ApiContext& context, const PutModel& request) {
  ModelVersion model;
  SKERRY_ASSIGN(model.component, component_in(request.component));
  SKERRY_TRY(formats::Version::parse(request.version));
  model.version = request.version;
  auto provenance = formats::parse_model_provenance(request.provenance);
  if (!provenance) return fail(provenance.error().with_context("provenance"));
  model.provenance = std::move(*provenance);
  SKERRY_TRY(formats::check_component_name(request.component, model.provenance));
  model.created_by = context.actor;
  model.created_ms = context.env.clock.wall_ms();
  SKERRY_TRY(describe_model(context.store, model));
  SKERRY_ASSIGN(model, find_model(context.store, model.component, model.version));
  return answer_of(model);
}

struct ListModels {
  std::string component;
  std::string dataset;
  std::string dataset_version;
  std::string source;
  static std::span<const Field> fields() {
    using F = Fields<ListModels>;
    static constexpr Field kFields[] = {
        F::query<&ListModels::component>("component", kLine),
        F::query<&ListModels::dataset>("dataset", kLine),
        F::query<&ListModels::dataset_version>("datasetVersion", kLine),
        F::query<&ListModels::source>("sourceSha256", kLine)};
    return kFields;
  }
};

// Each with the tags that point at it.
Result<json> list_all_models(ApiContext& context, const ListModels& request) {
  const ModelFilter filter{.component = ComponentName(request.component),
                           .dataset = request.dataset,
                           .dataset_version = request.dataset_version,
                           .source_sha256 = request.source};
  SKERRY_ASSIGN(const auto models, list_models(context.store, filter, kModelsListed));
  json answer = {{"models", json::array()}};
  std::vector<Promotion> tags;
  ComponentName tags_of;
  for (const ModelVersion& model : models) {
    if (model.component != tags_of) {
      SKERRY_ASSIGN(tags, model_tags(context.store, model.component));
      tags_of = model.component;
    }
    json one = answer_of(model);
    one["tags"] = json::array();
    for (const Promotion& tag : tags) {
      if (tag.version == model.version) one["tags"].push_back(tag.tag);
    }
    answer["models"].push_back(std::move(one));
  }
  return answer;
}

struct ModelRequest {
  std::string component;
  std::string version;
  static std::span<const Field> fields() {
    using F = Fields<ModelRequest>;
    static constexpr Field kFields[] = {F::path<&ModelRequest::component>("component", kLine),
                                        F::path<&ModelRequest::version>("version", kLine)};
    return kFields;
  }
};

Result<json> describe_one_model(ApiContext& context, const ModelRequest& request) {
  const ComponentName component(request.component);
  SKERRY_ASSIGN(const auto model, find_model(context.store, component, request.version));
  SKERRY_ASSIGN(const auto tags, model_tags(context.store, component));
  json answer = answer_of(model);
  answer["tags"] = json::array();
  for (const Promotion& tag : tags) {
    if (tag.version == model.version) answer["tags"].push_back(tag.tag);
  }
  return answer;
}

// --- Which devices run what ---------------------------------------------------------------------

struct TraceModels : Paged {
  std::string thing;
  std::string component;
  std::string version;
  std::string dataset;
  std::string dataset_version;
  std::string source;
  static std::span<const Field> fields() {
    using F = Fields<TraceModels>;
    static constexpr Field kFields[] = {
        F::query<&TraceModels::thing>("thing", kLine),
        F::query<&TraceModels::component>("component", kLine),
        F::query<&TraceModels::version>("version", kLine),
        F::query<&TraceModels::dataset>("dataset", kLine),
        F::query<&TraceModels::dataset_version>("datasetVersion", kLine),
        F::query<&TraceModels::source>("sourceSha256", kLine),
        page_size<TraceModels>(kTracePage),
        page_token<TraceModels>()};
    return kFields;
  }
};

Result<json> trace(ApiContext& context, const TraceModels& request) {
  SKERRY_ASSIGN(Page page, page_of(context, request));
  const ModelFilter filter{
      ComponentName(request.component), request.version, request.dataset,
      request.dataset_version,          request.source,  ThingName(request.thing)};
  SKERRY_ASSIGN(const auto running, trace_models(context.store, filter, page));
  json answer = {{"running", json::array()}};
  for (const RunningModel& one : running.items) {
    answer["running"].push_back(
        {{"thing", one.thing.str()}, {"state", one.state}, {"model", answer_of(one.model)}});
  }
  add_next_token(context, answer, running.next);
  return answer;
}

// --- Tags ---------------------------------------------------------------------------------------

struct PromoteModel {
  std::string component;
  std::string tag;
  std::string version;
  static std::span<const Field> fields() {
    using F = Fields<PromoteModel>;
    static constexpr Field kFields[] = {F::path<&PromoteModel::component>("component", kLine),
                                        F::path<&PromoteModel::tag>("tag", kLine),
                                        F::body<&PromoteModel::version>("version", kLine, true)};
    return kFields;
  }
};

// A tag is told from a version by its first letter.
Result<void> check_tag(const std::string& tag) {
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  if (is_letter(tag.front()) && formats::parse_component_name(tag)) return {};
  return fail(Code::kInvalidArgument,
              "tag: '" + tag + "' must begin with a letter and have letters, digits and -_. only");
}

Result<json> promote(ApiContext& context, const PromoteModel& request) {
  SKERRY_TRY(check_tag(request.tag));
  SKERRY_ASSIGN(const ComponentName component, component_in(request.component));
  SKERRY_ASSIGN(const auto promotion,
                promote_model(context.store, {.component = component,
                                              .tag = request.tag,
                                              .version = request.version,
                                              .by = context.actor,
                                              .at_ms = context.env.clock.wall_ms()}));
  return answer_of(promotion);
}

struct ListPromotions {
  std::string component;
  std::string tag;
  static std::span<const Field> fields() {
    using F = Fields<ListPromotions>;
    static constexpr Field kFields[] = {F::path<&ListPromotions::component>("component", kLine),
                                        F::query<&ListPromotions::tag>("tag", kLine)};
    return kFields;
  }
};

Result<json> promotions(ApiContext& context, const ListPromotions& request) {
  SKERRY_ASSIGN(const auto found, list_promotions(context.store, ComponentName(request.component),
                                                  request.tag, kPromotionsListed));
  json answer = {{"promotions", json::array()}};
  for (const Promotion& one : found) answer["promotions"].push_back(answer_of(one));
  return answer;
}

// --- What they do -------------------------------------------------------------------------------

struct GetMetrics {
  std::string model;
  std::string version;
  std::string group;
  static std::span<const Field> fields() {
    using F = Fields<GetMetrics>;
    static constexpr Field kFields[] = {F::path<&GetMetrics::model>("model", kLine),
                                        F::path<&GetMetrics::version>("version", kLine),
                                        F::query<&GetMetrics::group>("group", kLine)};
    return kFields;
  }
};

json answer_of(const ModelCounts& counts) {
  json classes = json::object();
  for (size_t i = 0; i < counts.classes.size(); ++i) {
    if (counts.classes[i] > 0) classes[std::to_string(i)] = counts.classes[i];
  }
  return {{"requests", counts.requests},
          {"errors", counts.errors},
          {"refused", counts.refused},
          {"errorRate", counts.error_rate()},
          {"meanLatencyUs", counts.mean_latency_us()},
          {"latencyNs",
           {{"p50", counts.latency_quantile_ns(0.5)},
            {"p90", counts.latency_quantile_ns(0.9)},
            {"p99", counts.latency_quantile_ns(0.99)}}},
          {"predictions", counts.predictions},
          {"meanConfidence", counts.mean_confidence()},
          {"classes", std::move(classes)},
          {"hangs", counts.hangs},
          {"notFinite", counts.not_finite},
          {"slow", counts.slow}};
}

Result<json> metrics(ApiContext& context, const GetMetrics& request) {
  std::unordered_set<std::string> members;
  if (!request.group.empty()) {
    const ThingGroupName group(request.group);
    SKERRY_TRY(context.store.find_group(group));
    SKERRY_ASSIGN(const auto things, context.store.things_in_group(group));
    for (const ThingName& thing : things) members.insert(thing.str());
  }
  const bool all = request.group.empty();
  SKERRY_ASSIGN(
      const auto cohort,
      cohort_metrics(context.store, {request.model, request.version}, [&](std::string_view thing) {
        return all || members.contains(std::string(thing));
      }));
  json answer = answer_of(cohort.counts);
  answer["things"] = cohort.things;
  return answer;
}

struct GetHistory {
  std::string model;
  std::string version;
  std::optional<int64_t> hours;
  static std::span<const Field> fields() {
    using F = Fields<GetHistory>;
    static constexpr Field kFields[] = {F::path<&GetHistory::model>("model", kLine),
                                        F::path<&GetHistory::version>("version", kLine),
                                        F::query<&GetHistory::hours>("hours", kHours)};
    return kFields;
  }
};

// Hour by hour over the fleet, oldest first; hours in which nothing was said are left out.
Result<json> history(ApiContext& context, const GetHistory& request) {
  const int64_t now_ms = context.env.clock.wall_ms();
  const int64_t from_ms = now_ms - request.hours.value_or(kHoursUnasked) * kHourMs;
  SKERRY_ASSIGN(const auto hours, model_history(context.store, {request.model, request.version},
                                                from_ms, now_ms + kHourMs));
  json answer = {{"hours", json::array()}};
  for (const ModelHour& hour : hours) {
    json one = answer_of(hour.counts);
    one["at"] = timestamp(hour.hour_ms);
    answer["hours"].push_back(std::move(one));
  }
  return answer;
}

struct DeviceModels {
  ThingName thing;
  static std::span<const Field> fields() {
    using F = Fields<DeviceModels>;
    static constexpr Field kFields[] = {
        F::path<&DeviceModels::thing>("coreDeviceThingName", kCoreDeviceName)};
    return kFields;
  }
};

// What one device said of each version that it served.
Result<json> device_models(ApiContext& context, const DeviceModels& request) {
  SKERRY_TRY(context.store.find_thing(request.thing));
  SKERRY_ASSIGN(const auto models, models_of_thing(context.store, request.thing));
  json answer = {{"models", json::array()}};
  for (const ThingModel& one : models) {
    json model = answer_of(one.counts);
    model["model"] = one.model.name;
    model["version"] = one.model.version;
    model["first"] = timestamp(one.first_ms);
    model["last"] = timestamp(one.last_ms);
    answer["models"].push_back(std::move(model));
  }
  return answer;
}

constexpr Route kModelRoutes[] = {
    operation<put_model>("skerry", "PutModel", "PUT",
                         "/skerry/v1/models/{component}/versions/{version}"),
    operation<list_all_models>("skerry", "ListModels", "GET", "/skerry/v1/models"),
    operation<describe_one_model>("skerry", "DescribeModel", "GET",
                                  "/skerry/v1/models/{component}/versions/{version}"),
    operation<promote>("skerry", "PromoteModel", "PUT", "/skerry/v1/models/{component}/tags/{tag}"),
    operation<promotions>("skerry", "ListPromotions", "GET",
                          "/skerry/v1/models/{component}/promotions"),
    operation<trace>("skerry", "TraceModels", "GET", "/skerry/v1/runningModels"),
    operation<metrics>("skerry", "GetModelMetrics", "GET",
                       "/skerry/v1/modelMetrics/{model}/versions/{version}"),
    operation<history>("skerry", "GetModelHistory", "GET",
                       "/skerry/v1/modelMetrics/{model}/versions/{version}/history"),
    operation<device_models>("skerry", "ListDeviceModels", "GET",
                             "/skerry/v1/coreDevices/{coreDeviceThingName}/models"),
};

}  // namespace

std::span<const Route> model_routes() {
  return kModelRoutes;
}

}  // namespace skerry::fleet::aws
