// What changes the server: models loaded and unloaded, runtimes, regions of shared memory,
// settings.
#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>

#include "base/log_level.h"
#include "serve/http_api.h"

namespace skerry::serve {
namespace {

using net::HttpResponse;
using nlohmann::json;

Result<json> parse_object(std::string_view body) {
  json document = json::parse(body, nullptr, false);
  if (!document.is_object()) return fail(Code::kInvalidArgument, "the body is not a JSON object");
  return document;
}

// A member of a registration; `usual` where it is absent.
Result<uint64_t> byte_count(const json& document, const char* name, std::optional<uint64_t> usual) {
  const auto found = document.find(name);
  if (found == document.end() && usual) return *usual;
  if (found == document.end() || !found->is_number_unsigned()) {
    return fail(Code::kInvalidArgument, fmt::format("'{}' must be a number of bytes", name));
  }
  return found->get<uint64_t>();
}

// What a load or unload is asked for beside the model's name.
struct LoadParameters {
  std::string directory;
  std::string label;
  std::string version;
  bool retry = false;
};

// Parameters that are not honoured are refused.
Result<LoadParameters> load_parameters(std::string_view body, bool is_load) {
  LoadParameters result;
  if (body.empty()) return result;
  SKERRY_ASSIGN(const json document, parse_object(body));
  const json parameters = document.value("parameters", json::object());
  if (!parameters.is_object()) {
    return fail(Code::kInvalidArgument, "'parameters' must be an object");
  }
  const std::map<std::string_view, std::string*> texts =
      is_load ? std::map<std::string_view, std::string*>{{"path", &result.directory},
                                                         {"label", &result.label}}
              : std::map<std::string_view, std::string*>{{"version", &result.version}};
  for (const auto& [key, value] : parameters.items()) {
    // Models depend on no others here: both answers to the question come to the same.
    if (!is_load && key == "unload_dependents" && value.is_boolean()) continue;
    if (is_load && key == "retry" && value.is_boolean()) {
      result.retry = value.get<bool>();
      continue;
    }
    const auto text = texts.find(key);
    if (text == texts.end()) {
      return fail(Code::kUnsupported,
                  fmt::format("parameter '{}' is not supported: a model comes from the folder in "
                              "'path', and its model.json describes it",
                              key));
    }
    if (!value.is_string()) {
      return fail(Code::kInvalidArgument, fmt::format("'{}' must be a string", key));
    }
    *text->second = value.get<std::string>();
  }
  return result;
}

struct RuntimeParameters {
  std::string library;
  std::string component;
};

Result<RuntimeParameters> runtime_parameters(std::string_view body) {
  SKERRY_ASSIGN(const json document, parse_object(body));
  const json parameters = document.value("parameters", json::object());
  if (!parameters.is_object()) {
    return fail(Code::kInvalidArgument, "'parameters' must be an object");
  }
  RuntimeParameters result;
  for (const auto& [key, value] : parameters.items()) {
    if (key != "path" && key != "component") {
      return fail(Code::kUnsupported, fmt::format("parameter '{}' is not supported", key));
    }
    if (!value.is_string()) {
      return fail(Code::kInvalidArgument, fmt::format("'{}' must be a string", key));
    }
    (key == "path" ? result.library : result.component) = value.get<std::string>();
  }
  if (!result.library.empty()) return result;
  return fail(Code::kInvalidArgument, "'path' must name the runtime's library");
}

// The protocol has a switch for each kind of record, the log a level: the kinds above one that is
// written are written as well.
struct LogKind {
  const char* setting;
  log::Level level;
};
constexpr LogKind kLogKinds[] = {{"log_info", log::Level::kInfo},
                                 {"log_warning", log::Level::kWarn},
                                 {"log_error", log::Level::kError}};

json log_settings() {
  json settings = {{"log_file", ""},
                   {"log_verbose_level", log::level() == log::Level::kDebug ? 1U : 0U},
                   {"log_format", "default"}};
  for (const LogKind& kind : kLogKinds) settings[kind.setting] = log::level() <= kind.level;
  return settings;
}

// The level that `settings` come to.
Result<log::Level> log_level_of(const json& settings) {
  const json& verbose = settings["log_verbose_level"];
  if (!verbose.is_number_unsigned()) {
    return fail(Code::kInvalidArgument, "'log_verbose_level' must be a number of 0 or more");
  }
  if (verbose.get<uint64_t>() > 0) return log::Level::kDebug;
  std::optional<log::Level> lowest;
  for (const LogKind& kind : kLogKinds) {
    const json& value = settings[kind.setting];
    if (!value.is_boolean()) {
      return fail(Code::kInvalidArgument, fmt::format("'{}' must be true or false", kind.setting));
    }
    if (value.get<bool>() && !lowest) lowest = kind.level;
    if (!value.get<bool>() && (lowest || kind.level == log::Level::kError)) {
      return fail(Code::kUnsupported,
                  fmt::format("'{}' cannot be false: errors are always logged, and warnings "
                              "wherever information is",
                              kind.setting));
    }
  }
  return *lowest;
}

}  // namespace

io::Task<HttpResponse> HttpApi::load(Call call) {
  auto parameters = load_parameters(call.request.body, true);
  if (!parameters) co_return error_response(parameters.error());
  auto report = co_await repository_.load(std::move(call.name), std::move(parameters->directory),
                                          parameters->retry, std::move(parameters->label));
  if (!report) co_return error_response(report.error());
  co_return json_response({{"name", report->name},
                           {"version", report->version},
                           {"previous_version", report->previous_version}});
}

io::Task<HttpResponse> HttpApi::unload(Call call) {
  auto parameters = load_parameters(call.request.body, false);
  if (!parameters) co_return error_response(parameters.error());
  if (parameters->version.empty()) trace_.forget(call.name);
  auto unloaded = co_await repository_.unload(std::move(call.name), std::move(parameters->version));
  co_return unloaded ? json_response(json::object()) : error_response(unloaded.error());
}

Result<HttpResponse> HttpApi::index(const Call& call) {
  bool ready_only = false;
  if (!call.request.body.empty()) {
    const json document = json::parse(call.request.body, nullptr, false);
    if (!document.is_object()) {
      return fail(Code::kInvalidArgument, "the body is not a JSON object");
    }
    const json ready = document.value("ready", json(false));
    if (!ready.is_boolean()) return fail(Code::kInvalidArgument, "'ready' must be true or false");
    ready_only = ready.get<bool>();
  }
  json rows = json::array();
  for (const IndexEntry& entry : repository_.index()) {
    if (!call.grant.may_use(entry.name) || (ready_only && entry.state != "READY")) continue;
    rows.push_back({{"name", entry.name},
                    {"version", entry.version},
                    {"state", entry.state},
                    {"reason", entry.reason}});
  }
  return json_response(rows);
}

Result<void> HttpApi::check_runtimes() const {
  if (options_.runtimes != nullptr) return {};
  return fail(Code::kUnsupported, "no runtimes can be registered here");
}

HttpApi::Answer HttpApi::list_runtimes(const Call& call) {
  SKERRY_TRY(check_runtimes());
  json rows = json::array();
  for (const auto& runtime : options_.runtimes->runtimes().all()) {
    json models = json::array();
    for (const ServedModelPtr& model : repository_.served()) {
      if (model->runtime == runtime->origin().name && call.grant.may_use(model->name))
        models.push_back(model->name);
    }
    const auto usable = options_.runtimes->runtimes().find(runtime->origin().name);
    rows.push_back({{"name", runtime->origin().name},
                    {"version", runtime->version()},
                    {"library", runtime->origin().library},
                    {"component", runtime->origin().component},
                    {"registered", runtime->origin().registered},
                    {"memory_bytes", runtime->memory_bytes()},
                    {"models", models},
                    {"reason", usable ? "" : usable.error().message()}});
  }
  return json_response(rows);
}

io::Task<HttpResponse> HttpApi::add_runtime(Call call) {
  if (auto allowed = check_runtimes(); !allowed) {
    co_return error_response(allowed.error());
  }
  auto parameters = runtime_parameters(call.request.body);
  if (!parameters) co_return error_response(parameters.error());
  auto added = co_await options_.runtimes->add(call.name, std::move(parameters->library),
                                               std::move(parameters->component));
  if (!added) co_return error_response(added.error());
  co_return json_response(
      {{"name", call.name}, {"version", added->version}, {"memory_bytes", added->memory_bytes}});
}

io::Task<HttpResponse> HttpApi::remove_runtime(Call call) {
  if (auto allowed = check_runtimes(); !allowed) {
    co_return error_response(allowed.error());
  }
  auto removed = co_await options_.runtimes->remove(std::move(call.name));
  co_return removed ? json_response(json::object()) : error_response(removed.error());
}

HttpApi::Answer HttpApi::policy(const Call& call) {
  SKERRY_ASSIGN(const VersionPolicy policy, repository_.policy(call.name));
  return json_response(to_json(policy));
}

io::Task<HttpResponse> HttpApi::set_policy(Call call) {
  auto changes = parse_object(call.request.body);
  if (!changes) co_return error_response(changes.error());
  auto policy = co_await repository_.set_policy(std::move(call.name), std::move(*changes));
  co_return policy ? json_response(to_json(*policy)) : error_response(policy.error());
}

HttpApi::Answer HttpApi::shared_status(const Call& call) {
  if (!call.name.empty()) SKERRY_TRY(shared_memory_.find(call.name));
  json rows = json::array();
  for (const auto& [name, region] : shared_memory_.regions()) {
    if (!call.name.empty() && name != call.name) continue;
    rows.push_back({{"name", name},
                    {"key", region->key},
                    {"offset", region->offset},
                    {"byte_size", region->size_bytes}});
  }
  return json_response(rows);
}

HttpApi::Answer HttpApi::register_shared(const Call& call) {
  SKERRY_ASSIGN(const json document, parse_object(call.request.body));
  const auto key = document.find("key");
  if (key == document.end() || !key->is_string()) {
    return fail(Code::kInvalidArgument, "'key' must be the name of an object of shared memory");
  }
  SKERRY_ASSIGN(const uint64_t offset, byte_count(document, "offset", 0));
  SKERRY_ASSIGN(const uint64_t size_bytes, byte_count(document, "byte_size", std::nullopt));
  SKERRY_TRY(shared_memory_.add(call.name, key->get<std::string>(), offset, size_bytes,
                                call.request.peer));
  return json_response(json::object());
}

HttpApi::Answer HttpApi::unregister_shared(const Call& call) {
  SKERRY_TRY(shared_memory_.check_local(call.request.peer));
  if (call.name.empty()) {
    shared_memory_.clear();
  } else {
    shared_memory_.remove(call.name);
  }
  return json_response(json::object());
}

HttpApi::Answer HttpApi::no_gpu(const Call& call) {
  return json_response(routed_method(call.request) == "GET" ? json::array() : json::object());
}

HttpApi::Answer HttpApi::no_gpu_memory(const Call&) {
  return fail(Code::kUnsupported, "this server has no GPU; use system shared memory");
}

HttpApi::Answer HttpApi::trace(const Call& call) {
  if (!call.name.empty()) SKERRY_TRY(repository_.get(call.name, ""));
  return json_response(trace_.settings(call.name));
}

HttpApi::Answer HttpApi::set_trace(const Call& call) {
  if (!call.name.empty()) SKERRY_TRY(repository_.get(call.name, ""));
  SKERRY_ASSIGN(const json changes, parse_object(call.request.body));
  SKERRY_TRY(trace_.update(call.name, changes));
  return trace(call);
}

HttpApi::Answer HttpApi::logging(const Call&) {
  return json_response(log_settings());
}

HttpApi::Answer HttpApi::set_logging(const Call& call) {
  SKERRY_ASSIGN(const json changes, parse_object(call.request.body));
  json settings = log_settings();
  for (const auto& [name, value] : changes.items()) {
    if (!settings.contains(name)) {
      return fail(Code::kInvalidArgument, fmt::format("there is no log setting '{}'", name));
    }
    const bool is_fixed = name == "log_file" || name == "log_format";
    if (is_fixed && value != settings[name]) {
      return fail(Code::kUnsupported,
                  fmt::format("'{}' cannot be changed: the log goes to stderr, in the form that "
                              "skerry-infer was started with",
                              name));
    }
    settings[name] = value;
  }
  SKERRY_ASSIGN(const log::Level level, log_level_of(settings));
  log::set_level(level);
  return json_response(log_settings());
}

}  // namespace skerry::serve
