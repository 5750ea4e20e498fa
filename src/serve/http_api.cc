// Routes, and the documents of the protocol.
#include "serve/http_api.h"

#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "serve/memory_guard.h"
#include "serve/runtime_list.h"

namespace skerry::serve {
namespace {

using net::HttpRequest;
using net::HttpResponse;
using nlohmann::json;

constexpr std::string_view kJsonBytesHeader = "Inference-Header-Content-Length";
// What is read and written on the loop takes some 100 µs at most.
constexpr size_t kMaxJsonOnLoop = 16 << 10;
constexpr size_t kMaxBinaryOnLoop = 256 << 10;
constexpr size_t kUsualParts = 6;  // of a path

HttpResponse error_response(const Error& error) {
  return serve::error_response(http_status(error.code()), error.message());
}

HttpResponse json_response(const json& document) {
  return net::json_response(200, document.dump(-1, ' ', false, json::error_handler_t::replace));
}

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

json metadata_of(const ServedModel& model) {
  return {{"name", model.name},
          {"versions", json::array({model.version})},
          {"platform", platform_of(model)},
          {"inputs", describe(model.inputs)},
          {"outputs", describe(model.outputs)}};
}

// In Triton's terms. max_batch_size 0: a batch dimension, where there is one, is part of the
// shapes.
json config_of(const ServedModel& model) {
  const auto tensors = [](const std::vector<tensor::TensorSpec>& specs) {
    json result = json::array();
    for (const tensor::TensorSpec& spec : specs) {
      const bool is_bytes = spec.type == tensor::DataType::kBytes;
      result.push_back(
          {{"name", spec.name},
           {"data_type", fmt::format("TYPE_{}", is_bytes ? "STRING" : name_of(spec.type))},
           {"dims", spec.shape}});
    }
    return result;
  };
  json parameters = {{"runtime_version", {{"string_value", model.runtime_version}}}};
  const json capabilities = json::parse(to_json(model.capabilities));
  for (const auto& [name, value] : capabilities.items()) {
    parameters[name] = {{"string_value", value.dump()}};
  }
  return {{"name", model.name},
          {"platform", platform_of(model)},
          {"backend", model.runtime},
          {"max_batch_size", 0},
          {"input", tensors(model.inputs)},
          {"output", tensors(model.outputs)},
          {"parameters", parameters}};
}

io::Task<HttpResponse> answer(HttpResponse response) {
  co_return response;
}

Result<std::optional<size_t>> json_bytes_of(const HttpRequest& request) {
  if (!request.headers.has(kJsonBytesHeader)) return std::nullopt;
  const std::string_view text = request.headers.get(kJsonBytesHeader);
  size_t bytes = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bytes);
  if (error != std::errc() || end != text.data() + text.size()) {
    return fail(Code::kInvalidArgument,
                fmt::format("header {} is '{}', not a number of bytes", kJsonBytesHeader, text));
  }
  return bytes;
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

// What a load is asked for beside the model's name.
struct LoadParameters {
  std::string directory;
  bool retry = false;
};

// Parameters that are not honoured are refused.
Result<LoadParameters> load_parameters(std::string_view body, bool is_load) {
  if (body.empty()) return LoadParameters{};
  const json document = json::parse(body, nullptr, false);
  if (!document.is_object()) return fail(Code::kInvalidArgument, "the body is not a JSON object");
  const json parameters = document.value("parameters", json::object());
  if (!parameters.is_object()) {
    return fail(Code::kInvalidArgument, "'parameters' must be an object");
  }
  for (const auto& [key, value] : parameters.items()) {
    // Models depend on no others here: both answers to the question come to the same.
    if (!is_load && key == "unload_dependents" && value.is_boolean()) continue;
    if (is_load && key == "retry" && value.is_boolean()) continue;
    if (!is_load || key != "path") {
      return fail(Code::kUnsupported,
                  fmt::format("parameter '{}' is not supported: a model comes from the folder in "
                              "'path', and its model.json describes it",
                              key));
    }
    if (!value.is_string()) return fail(Code::kInvalidArgument, "'path' must be a string");
  }
  return LoadParameters{parameters.value("path", ""), parameters.value("retry", false)};
}

Result<DecodedRequest> decode(const ServedModel& model, const std::string& body,
                              std::optional<size_t> json_bytes) {
  return within_memory("the request", [&] {
    return json_bytes == 0u ? decode_raw_request(body, model.inputs)
                            : decode_request(body, json_bytes);
  });
}

bool is_long_to_decode(const std::string& body, std::optional<size_t> json_bytes) {
  return body.size() > kMaxBinaryOnLoop || json_bytes.value_or(body.size()) > kMaxJsonOnLoop;
}

Result<EncodedAnswer> encode(const ServedModel& model, const AnswerForm& form,
                             const std::vector<tensor::Tensor>& outputs) {
  return within_memory("the answer",
                       [&] { return encode_answer(model.name, model.version, form, outputs); });
}

bool is_long_to_encode(const AnswerForm& form, const std::vector<tensor::Tensor>& outputs) {
  size_t json_bytes = 0;
  size_t binary_bytes = 0;
  for (size_t i = 0; i < outputs.size(); ++i) {
    (wants_binary(form, i) ? binary_bytes : json_bytes) += outputs[i].bytes.size();
  }
  return binary_bytes > kMaxBinaryOnLoop || json_bytes > kMaxJsonOnLoop;
}

}  // namespace

HttpResponse error_response(int status, std::string_view message) {
  std::string body = "{\"error\":";
  append_json_string(body, message);
  body += "}";
  return net::json_response(status, std::move(body));
}

HttpResponse HttpApi::refusal(const HttpRequest&, int status, std::string_view message) {
  return error_response(status, message);
}

struct HttpApi::Route {
  enum class Kind {
    kUnknown,
    kMetrics,
    kServer,
    kHealth,
    kAllStats,
    kModel,
    kIndex,
    kRepositoryModel,
  };
  Kind kind = Kind::kUnknown;
  std::string model;
  std::string version;
  std::string action;  // what follows the model, or live and ready of the health routes

  std::string_view method() const {
    const bool changes =
        kind == Kind::kIndex || kind == Kind::kRepositoryModel || action == "infer";
    return changes ? "POST" : "GET";
  }

  static Route of(std::vector<std::string> parts);
};

HttpApi::Route HttpApi::Route::of(std::vector<std::string> parts) {
  const size_t size = parts.size();
  if (size == 1 && parts[0] == "metrics") return {.kind = Kind::kMetrics};
  if (size == 0 || parts[0] != "v2") return {};
  if (size == 1) return {.kind = Kind::kServer};
  if (parts[1] == "health" && size == 3) return {.kind = Kind::kHealth, .action = parts[2]};
  if (parts[1] == "repository") {
    if (size == 3 && parts[2] == "index") return {.kind = Kind::kIndex};
    if (size == 5 && parts[2] == "models" && (parts[4] == "load" || parts[4] == "unload")) {
      return {.kind = Kind::kRepositoryModel, .model = parts[3], .action = parts[4]};
    }
    return {};
  }
  if (parts[1] != "models" || size < 3) return {};
  if (size == 3 && parts[2] == "stats") return {.kind = Kind::kAllStats};
  Route route{.kind = Kind::kModel, .model = parts[2]};
  size_t next = 3;
  if (size >= 5 && parts[3] == "versions") {
    route.version = parts[4];
    next = 5;
  }
  if (next < size) route.action = parts[next++];
  const bool known = route.action.empty() || route.action == "ready" || route.action == "infer" ||
                     route.action == "config" || route.action == "stats";
  if (!known || next < size) return {};
  return route;
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

// No coroutine on the way to an inference but its own: each would be another block of memory.
io::Task<HttpResponse> HttpApi::handle(HttpRequest request) {
  auto parts = split_path(net::split_target(request.target).first);
  if (!parts) return answer(error_response(parts.error()));
  Route route = Route::of(std::move(*parts));
  if (route.kind == Route::Kind::kUnknown) {
    return answer(
        error_response(404, fmt::format("{} is not served here; see GET /v2", request.target)));
  }
  if (net::routed_method(request) != route.method()) {
    HttpResponse refused = error_response(
        405, fmt::format("{} takes {}, not {}", request.target, route.method(), request.method));
    refused.headers.set("Allow", route.method() == "GET" ? "GET, HEAD" : "POST");
    return answer(std::move(refused));
  }
  if (route.action == "infer") {
    auto model = find(route.model, route.version);
    if (!model) return answer(error_response(model.error()));
    return infer(std::move(*model), std::move(request));
  }
  if (route.kind == Route::Kind::kRepositoryModel) {
    return change_repository(route.model, route.action, std::move(request));
  }
  auto response = route.kind == Route::Kind::kIndex ? index(request) : read(route);
  return answer(response ? std::move(*response) : error_response(response.error()));
}

Result<HttpResponse> HttpApi::read(const Route& route) const {
  switch (route.kind) {
    case Route::Kind::kMetrics:
      return net::text_response(200, metrics(), "text/plain; version=0.0.4");
    case Route::Kind::kHealth:
      if (route.action != "live" && route.action != "ready") break;
      if (route.action == "ready" && !ready_) {
        return fail(Code::kUnavailable, "the models of the last run are still being loaded");
      }
      return net::text_response(200, "");
    case Route::Kind::kServer:
      return json_response({{"name", "skerry-infer"},
                            {"version", options_.server_version},
                            {"extensions", json::array({"binary_tensor_data", "model_configuration",
                                                        "model_repository", "statistics"})}});
    case Route::Kind::kAllStats: {
      std::string rows;
      for (const ServedModelPtr& model : repository_.served()) {
        rows.append(rows.empty() ? "" : ",")
            .append(model->stats.to_json(model->name, model->version));
      }
      return net::json_response(200, fmt::format("{{\"model_stats\":[{}]}}", rows));
    }
    case Route::Kind::kModel:
      return read_model(route);
    default:
      break;
  }
  return fail(Code::kNotFound, "not served here; see GET /v2");
}

Result<HttpResponse> HttpApi::read_model(const Route& route) const {
  SKERRY_ASSIGN(const ServedModelPtr model, find(route.model, route.version));
  if (route.action == "ready") {
    if (model->hung == 0) return net::text_response(200, "");
    return fail(Code::kUnavailable, fmt::format("model '{}' hangs; load it again", model->name));
  }
  if (route.action == "config") return json_response(config_of(*model));
  if (route.action == "stats") {
    return net::json_response(200, fmt::format("{{\"model_stats\":[{}]}}",
                                               model->stats.to_json(model->name, model->version)));
  }
  return json_response(metadata_of(*model));
}

Result<ServedModelPtr> HttpApi::find(const std::string& name, const std::string& version) const {
  ServedModelPtr model = repository_.find(name);
  if (!model) {
    return fail(
        Code::kNotFound,
        fmt::format("model '{}' is not loaded; POST /v2/repository/index lists those that are",
                    name));
  }
  if (!version.empty() && version != model->version) {
    return fail(Code::kNotFound,
                fmt::format("model '{}' serves version {}, not {}", name, model->version, version));
  }
  return model;
}

io::Task<HttpResponse> HttpApi::infer(ServedModelPtr model, HttpRequest request) {
  RequestTimes times;
  const int64_t started = now_ns();
  const auto failed = [&](const Error& error) {
    model->stats.add_failure(now_ns() - started);
    if (options_.summaries) options_.summaries->add_failure(*model, error.code());
    return error_response(error);
  };
  if (request.headers.has("Content-Encoding")) {  // one that the server has not undone
    co_return error_response(415, "send the body as it is, or compressed with gzip or deflate");
  }
  const auto json_bytes = json_bytes_of(request);
  if (!json_bytes) co_return failed(json_bytes.error());
  auto decoded =
      is_long_to_decode(request.body, *json_bytes)
          ? co_await io::run_on(codec_, loop_,
                                [model, body = std::move(request.body), json_bytes = *json_bytes] {
                                  return decode(*model, body, json_bytes);
                                })
          : decode(*model, request.body, *json_bytes);
  if (!decoded) co_return failed(decoded.error());
  times.input_ns = now_ns() - started;

  decoded->inference.caller_is_gone = std::move(request.client_is_gone);
  auto outcome = co_await inference_.infer(model, std::move(decoded->inference));
  if (!outcome.outputs) co_return failed(outcome.outputs.error());
  times.queue_ns = outcome.queue_ns;
  times.infer_ns = outcome.infer_ns;
  if (options_.summaries && model->scores) {
    count_predictions(*model->scores, *outcome.outputs, options_.summaries->counts_of(*model));
  }

  const int64_t inferred = now_ns();
  auto answer = is_long_to_encode(decoded->form, *outcome.outputs)
                    ? co_await io::run_on(codec_, loop_,
                                          [model, form = std::move(decoded->form),
                                           outputs = std::move(*outcome.outputs)] {
                                            return encode(*model, form, outputs);
                                          })
                    : encode(*model, decoded->form, *outcome.outputs);
  if (!answer) co_return failed(answer.error());
  HttpResponse response;
  if (answer->json_bytes) {
    response.headers.add("Content-Type", "application/octet-stream");
    response.headers.add(std::string(kJsonBytesHeader), std::to_string(*answer->json_bytes));
  } else {
    response.headers.add("Content-Type", "application/json");
  }
  response.body = std::move(answer->body);
  times.output_ns = now_ns() - inferred;
  model->stats.add_success(times, clock_.wall_ms());
  if (options_.summaries) options_.summaries->add_success(*model, times.total_ns());
  co_return response;
}

io::Task<HttpResponse> HttpApi::change_repository(std::string name, std::string action,
                                                  HttpRequest request) {
  if (request.peer.address != "unix" && !options_.repository_over_tcp) {
    co_return error_response(403,
                             "models are loaded and unloaded through the Unix socket; start "
                             "skerry-infer with --repository-over-tcp to allow it here");
  }
  auto parameters = load_parameters(request.body, action == "load");
  if (!parameters) co_return error_response(parameters.error());
  if (action == "unload") {
    auto unloaded = co_await repository_.unload(std::move(name));
    co_return unloaded ? json_response(json::object()) : error_response(unloaded.error());
  }
  auto report = co_await repository_.load(std::move(name), std::move(parameters->directory),
                                          parameters->retry);
  if (!report) co_return error_response(report.error());
  co_return json_response({{"name", report->name},
                           {"version", report->version},
                           {"previous_version", report->previous_version}});
}

Result<HttpResponse> HttpApi::index(const HttpRequest& request) const {
  bool ready_only = false;
  if (!request.body.empty()) {
    const json document = json::parse(request.body, nullptr, false);
    if (!document.is_object()) {
      return fail(Code::kInvalidArgument, "the body is not a JSON object");
    }
    const json ready = document.value("ready", json(false));
    if (!ready.is_boolean()) return fail(Code::kInvalidArgument, "'ready' must be true or false");
    ready_only = ready.get<bool>();
  }
  json rows = json::array();
  for (const IndexEntry& entry : repository_.index()) {
    if (ready_only && entry.state != "READY") continue;
    rows.push_back({{"name", entry.name},
                    {"version", entry.version},
                    {"state", entry.state},
                    {"reason", entry.reason}});
  }
  return json_response(rows);
}

std::string HttpApi::metrics() const {
  const std::vector<ServedModelPtr> models = repository_.served();
  std::vector<StatsRow> rows;
  rows.reserve(models.size());
  for (const ServedModelPtr& model : models) {
    rows.push_back({model->name, model->version, &model->stats});
  }
  return to_prometheus(rows);
}

}  // namespace skerry::serve
