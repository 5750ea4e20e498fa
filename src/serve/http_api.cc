// The table of what is served, and the documents of the protocol.
#include "serve/http_api.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "net/content_coding.h"
#include "serve/runtime_list.h"

namespace skerry::serve {
namespace {

using net::HttpRequest;
using net::HttpResponse;
using nlohmann::json;

constexpr size_t kUsualParts = 6;  // of a path
// Shorter answers are sent as they are, whatever the client takes: they fit into a packet.
constexpr size_t kMinCompressedBytes = 1 << 10;

json describe(const std::vector<tensor::TensorSpec>& specs) {
  json result = json::array();
  for (const tensor::TensorSpec& spec : specs) {
    result.push_back(
        {{"name", spec.name}, {"datatype", name_of(spec.type)}, {"shape", spec.shape}});
  }
  return result;
}

// "onnxruntime" → "onnxruntime_onnx": Triton's name for it, which its clients print.
std::string platform_of(const ServedModel& model) {
  return model.runtime == "onnxruntime" ? "onnxruntime_onnx" : model.runtime;
}

json metadata_of(const ServedModel& model, const std::vector<std::string>& versions) {
  return {{"name", model.name},
          {"versions", versions},
          {"platform", platform_of(model)},
          {"inputs", describe(model.inputs)},
          {"outputs", describe(model.outputs)}};
}

json batching_of(const formats::ModelBatching& batching) {
  constexpr int64_t kUsPerMs = 1000;
  return {{"preferred_batch_size", batching.preferred_rows},
          {"max_queue_delay_microseconds", batching.max_delay_ms * kUsPerMs}};
}

// In Triton's terms. max_batch_size 0: a batch dimension, where there is one, is part of the
// shapes; otherwise they leave it out.
json config_of(const ServedModel& model) {
  const auto tensors = [&](const std::vector<tensor::TensorSpec>& specs) {
    json result = json::array();
    for (const tensor::TensorSpec& spec : specs) {
      const std::vector<int64_t> dims(spec.shape.begin() + (model.batching ? 1 : 0),
                                      spec.shape.end());
      const bool is_bytes = spec.type == tensor::DataType::kBytes;
      result.push_back(
          {{"name", spec.name},
           {"data_type", fmt::format("TYPE_{}", is_bytes ? "STRING" : name_of(spec.type))},
           {"dims", dims}});
    }
    return result;
  };
  json parameters = {{"runtime_version", {{"string_value", model.runtime_version}}}};
  const json capabilities = json::parse(to_json(model.capabilities));
  for (const auto& [name, value] : capabilities.items()) {
    parameters[name] = {{"string_value", value.dump()}};
  }
  json config = {{"name", model.name},
                 {"platform", platform_of(model)},
                 {"backend", model.runtime},
                 {"max_batch_size", model.batching ? model.batching->max_rows : 0},
                 {"input", tensors(model.inputs)},
                 {"output", tensors(model.outputs)},
                 {"parameters", parameters}};
  if (model.batching) config["dynamic_batching"] = batching_of(*model.batching);
  return config;
}

io::Task<HttpResponse> answer(HttpResponse response) {
  co_return response;
}

// "/a/b%2Fc" → "a", "b/c".
Result<std::vector<std::string>> split_path(std::string_view path) {
  std::vector<std::string> parts;
  parts.reserve(kUsualParts);
  while (!path.empty()) {
    path.remove_prefix(1);  // the slash
    const size_t end = std::min(path.find('/'), path.size());
    SKERRY_ASSIGN(auto part, net::percent_decode(path.substr(0, end)));
    parts.push_back(std::move(part));
    path.remove_prefix(end);
  }
  if (!parts.empty() && parts.back().empty()) parts.pop_back();
  return parts;
}

}  // namespace

HttpResponse json_response(const json& document) {
  return net::json_response(200, document.dump(-1, ' ', false, json::error_handler_t::replace));
}

HttpResponse error_response(int status, std::string_view message) {
  std::string body = "{\"error\":";
  append_json_string(body, message);
  body += "}";
  return net::json_response(status, std::move(body));
}

HttpResponse error_response(const Error& error) {
  HttpResponse response = error_response(http_status(error.code()), error.message());
  // Statuses are fewer than causes; the gateway of gRPC tells them apart.
  response.headers.add("Skerry-Error", std::string(code_name(error.code())));
  return response;
}

HttpResponse HttpApi::refusal(const HttpRequest&, int status, std::string_view message) {
  return error_response(status, message);
}

int http_status(Code code) {
  switch (code) {
    case Code::kInvalidArgument:
    case Code::kCorrupt:
    case Code::kUnsupported:
      return 400;
    case Code::kPermissionDenied:
      return 403;
    case Code::kNotFound:
      return 404;
    case Code::kAlreadyExists:
    case Code::kFailedPrecondition:
      return 409;
    case Code::kResourceExhausted:
    case Code::kUnavailable:
    case Code::kTimeout:
      return 503;
    case Code::kCancelled:
    case Code::kInternal:
      return 500;
  }
  return 500;
}

// In `path`, '*' stands for Call::name and '+' for Call::version. The first row that matches
// counts.
struct HttpApi::Endpoint {
  std::string_view method;
  std::string_view path;
  Right right;
  Answer (HttpApi::*answer)(const Call&) = nullptr;  // one of the two
  io::Task<HttpResponse> (HttpApi::*start)(Call) = nullptr;
  bool brings_back = false;  // a model that has made room for others

  static std::span<const Endpoint> all();
  bool matches(std::span<const std::string> parts, Call& call) const;
};

std::span<const HttpApi::Endpoint> HttpApi::Endpoint::all() {
  using Api = HttpApi;
  static constexpr auto kEndpoints = std::to_array<Endpoint>({
      {"POST", "v2/models/*/infer", Right::kInfer, nullptr, &Api::begin_infer, true},
      {"POST", "v2/models/*/versions/+/infer", Right::kInfer, nullptr, &Api::begin_infer, true},
      {"GET", "metrics", Right::kMetrics, &Api::metrics},
      {"GET", "v2", Right::kRead, &Api::server},
      {"GET", "v2/health/live", Right::kHealth, &Api::live},
      {"GET", "v2/health/ready", Right::kHealth, &Api::ready},
      {"GET", "v2/ring", Right::kInfer, &Api::open_ring},
      {"GET", "v2/models/stats", Right::kRead, &Api::all_statistics},
      {"GET", "v2/models/*", Right::kRead, &Api::model, nullptr, true},
      {"GET", "v2/models/*/versions/+", Right::kRead, &Api::model},
      {"GET", "v2/models/*/ready", Right::kRead, &Api::model_ready},
      {"GET", "v2/models/*/versions/+/ready", Right::kRead, &Api::model_ready},
      {"GET", "v2/models/*/config", Right::kRead, &Api::model_config, nullptr, true},
      {"GET", "v2/models/*/versions/+/config", Right::kRead, &Api::model_config},
      {"GET", "v2/models/*/stats", Right::kRead, &Api::model_statistics},
      {"GET", "v2/models/*/versions/+/stats", Right::kRead, &Api::model_statistics},
      {"GET", "v2/models/*/drift", Right::kRead, &Api::model_drift},
      {"GET", "v2/models/*/versions/+/drift", Right::kRead, &Api::model_drift},
      {"GET", "v2/models/*/watchdog", Right::kRead, &Api::model_watchdog},
      {"GET", "v2/models/*/versions/+/watchdog", Right::kRead, &Api::model_watchdog},
      {"GET", "v2/models/*/trace/setting", Right::kRead, &Api::trace},
      {"POST", "v2/models/*/trace/setting", Right::kSettings, &Api::set_trace},
      {"GET", "v2/trace/setting", Right::kRead, &Api::trace},
      {"POST", "v2/trace/setting", Right::kSettings, &Api::set_trace},
      {"GET", "v2/logging", Right::kRead, &Api::logging},
      {"POST", "v2/logging", Right::kSettings, &Api::set_logging},
      {"POST", "v2/repository/index", Right::kRead, &Api::index},
      {"POST", "v2/repository/models/*/load", Right::kRepository, nullptr, &Api::load},
      {"POST", "v2/repository/models/*/unload", Right::kRepository, nullptr, &Api::unload},
      {"GET", "v2/repository/runtimes", Right::kRuntimes, &Api::list_runtimes},
      {"POST", "v2/repository/runtimes/*/add", Right::kRuntimes, nullptr, &Api::add_runtime},
      {"POST", "v2/repository/runtimes/*/remove", Right::kRuntimes, nullptr, &Api::remove_runtime},
      {"GET", "v2/repository/models/*/policy", Right::kRead, &Api::policy},
      {"POST", "v2/repository/models/*/policy", Right::kRepository, nullptr, &Api::set_policy},
      {"GET", "v2/systemsharedmemory/status", Right::kSharedMemory, &Api::shared_status},
      {"GET", "v2/systemsharedmemory/region/*/status", Right::kSharedMemory, &Api::shared_status},
      {"POST", "v2/systemsharedmemory/region/*/register", Right::kSharedMemory,
       &Api::register_shared},
      {"POST", "v2/systemsharedmemory/unregister", Right::kSharedMemory, &Api::unregister_shared},
      {"POST", "v2/systemsharedmemory/region/*/unregister", Right::kSharedMemory,
       &Api::unregister_shared},
      {"GET", "v2/cudasharedmemory/status", Right::kSharedMemory, &Api::no_gpu},
      {"GET", "v2/cudasharedmemory/region/*/status", Right::kSharedMemory, &Api::no_gpu_memory},
      {"POST", "v2/cudasharedmemory/region/*/register", Right::kSharedMemory, &Api::no_gpu_memory},
      {"POST", "v2/cudasharedmemory/unregister", Right::kSharedMemory, &Api::no_gpu},
      {"POST", "v2/cudasharedmemory/region/*/unregister", Right::kSharedMemory, &Api::no_gpu},
  });
  return kEndpoints;
}

bool HttpApi::Endpoint::matches(std::span<const std::string> parts, Call& call) const {
  std::string_view rest = path;
  for (const std::string& part : parts) {
    if (rest.empty()) return false;
    const size_t end = std::min(rest.find('/'), rest.size());
    const std::string_view expected = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (expected == "*") {
      call.name = part;
    } else if (expected == "+") {
      call.version = part;
    } else if (expected != part) {
      return false;
    }
    if (part.empty()) return false;
  }
  return rest.empty() && !parts.empty();
}

io::Task<HttpResponse> HttpApi::handle(HttpRequest request) {
  const std::string_view coding = net::choose_coding(request.headers.get("Accept-Encoding"));
  auto answer = route(std::move(request));
  return coding.empty() ? std::move(answer) : compressed(std::move(answer), coding);
}

// No coroutine on the way to an inference but its own: each would be another block of memory.
io::Task<HttpResponse> HttpApi::route(HttpRequest request) {
  auto parts = split_path(net::split_target(request.target).first);
  if (!parts) return answer(error_response(parts.error()));
  std::string allowed;
  for (const Endpoint& endpoint : Endpoint::all()) {
    Call call;
    if (!endpoint.matches(*parts, call)) continue;
    if (net::routed_method(request) == endpoint.method) {
      const bool is_about_model = endpoint.path.find("/models/*") != std::string_view::npos;
      auto grant = access_.admit(request, endpoint.right, is_about_model ? call.name : "");
      if (!grant) return answer(std::move(grant.error()));
      call.request = std::move(request);
      call.grant = std::move(*grant);
      if (endpoint.brings_back && repository_.is_away(call.name)) {
        return after_bringing_back(&endpoint, std::move(call));
      }
      if (endpoint.start != nullptr) return (this->*endpoint.start)(std::move(call));
      auto response = (this->*endpoint.answer)(call);
      return answer(response ? std::move(*response) : error_response(response.error()));
    }
    if (allowed.find(endpoint.method) != std::string::npos) continue;
    allowed.append(allowed.empty() ? "" : ", ").append(endpoint.method);
    if (endpoint.method == "GET") allowed += ", HEAD";
  }
  if (allowed.empty()) {
    return answer(
        error_response(404, fmt::format("{} is not served here; see GET /v2", request.target)));
  }
  HttpResponse refused = error_response(
      405, fmt::format("{} takes {}, not {}", request.target, allowed, request.method));
  refused.headers.set("Allow", allowed);
  return answer(std::move(refused));
}

io::Task<HttpResponse> HttpApi::after_bringing_back(const Endpoint* endpoint, Call call) {
  auto back = co_await repository_.bring_back(call.name);
  if (!back) co_return error_response(back.error());
  if (endpoint->start != nullptr) co_return co_await (this->*endpoint->start)(std::move(call));
  auto response = (this->*endpoint->answer)(call);
  co_return response ? std::move(*response) : error_response(response.error());
}

io::Task<HttpResponse> HttpApi::compressed(io::Task<HttpResponse> answer, std::string_view coding) {
  HttpResponse response = co_await std::move(answer);
  response.headers.add("Vary", "Accept-Encoding");
  if (response.body.size() < kMinCompressedBytes) co_return response;
  response.body = co_await io::run_on(codec_, loop_, [coding, body = std::move(response.body)] {
    return net::encode_content(coding, body);
  });
  response.headers.add("Content-Encoding", std::string(coding));
  co_return response;
}

HttpApi::Answer HttpApi::server(const Call&) {
  return json_response(
      {{"name", "skerry-infer"},
       {"version", options_.server_version},
       {"extensions",
        json::array({"binary_tensor_data", "classification", "logging", "model_configuration",
                     "model_repository", "model_repository(unload_dependents)", "skerry_ring",
                     "statistics", "system_shared_memory", "trace"})}});
}

HttpApi::Answer HttpApi::live(const Call&) {
  return net::text_response(200, "");
}

HttpApi::Answer HttpApi::ready(const Call&) {
  if (ready_) return net::text_response(200, "");
  return fail(Code::kUnavailable, "the models of the last run are still being loaded");
}

HttpApi::Answer HttpApi::open_ring(const Call& call) {
  return rings_.open(call.request);
}

HttpApi::Answer HttpApi::all_statistics(const Call& call) {
  std::string rows;
  for (const ServedModelPtr& model : repository_.served()) {
    if (!call.grant.may_use(model->name)) continue;
    rows.append(rows.empty() ? "" : ",").append(model->stats.to_json(model->name, model->version));
  }
  return net::json_response(200, fmt::format("{{\"model_stats\":[{}]}}", rows));
}

HttpApi::Answer HttpApi::model(const Call& call) {
  SKERRY_ASSIGN(const ServedModelPtr model, repository_.get(call.name, call.version));
  return json_response(metadata_of(*model, call.version.empty()
                                               ? repository_.versions(call.name)
                                               : std::vector<std::string>{model->version}));
}

HttpApi::Answer HttpApi::model_ready(const Call& call) {
  if (repository_.is_away(call.name)) return net::text_response(200, "");  // a request is answered
  SKERRY_ASSIGN(const ServedModelPtr model, repository_.get(call.name, call.version));
  if (model->hung == 0) return net::text_response(200, "");
  return fail(Code::kUnavailable, fmt::format("model '{}' hangs; load it again", model->name));
}

HttpApi::Answer HttpApi::model_config(const Call& call) {
  SKERRY_ASSIGN(const ServedModelPtr model, repository_.get(call.name, call.version));
  return json_response(config_of(*model));
}

HttpApi::Answer HttpApi::model_statistics(const Call& call) {
  SKERRY_ASSIGN(const ServedModelPtr model, repository_.get(call.name, call.version));
  return net::json_response(200, fmt::format("{{\"model_stats\":[{}]}}",
                                             model->stats.to_json(model->name, model->version)));
}

HttpApi::Answer HttpApi::model_drift(const Call& call) {
  SKERRY_ASSIGN(const ServedModelPtr model, repository_.get(call.name, call.version));
  if (!model->drift) {
    return fail(
        Code::kNotFound,
        fmt::format("the package of '{}' has no reference.json: make one with `skerry model "
                    "reference`",
                    model->name));
  }
  return net::json_response(200, model->drift->to_json());
}

HttpApi::Answer HttpApi::model_watchdog(const Call& call) {
  SKERRY_ASSIGN(const ServedModelPtr model, repository_.get(call.name, call.version));
  const Alarms& alarms = model->watchdog.alarms();
  const std::string& fault = model->watchdog.fault();
  return json_response({{"name", model->name},
                        {"version", model->version},
                        {"hangs", alarms.hangs},
                        {"not_finite", alarms.not_finite},
                        {"slow", alarms.slow},
                        {"fault", fault.empty() ? json() : json(fault)}});
}

HttpApi::Answer HttpApi::metrics(const Call&) {
  const std::vector<ServedModelPtr> models = repository_.served();
  std::vector<StatsRow> rows;
  rows.reserve(models.size());
  for (const ServedModelPtr& model : models) {
    rows.push_back({model->name, model->version, &model->stats, &model->watchdog});
  }
  std::vector<RuntimeRow> runtimes;
  if (options_.runtimes != nullptr) {
    for (const auto& each : options_.runtimes->runtimes().all()) {
      runtimes.push_back({each->origin().name, each->version(), each->memory_bytes()});
    }
  }
  return net::text_response(200, to_prometheus(rows, runtimes) + to_prometheus(access_.refusals()),
                            "text/plain; version=0.0.4");
}

}  // namespace skerry::serve
