// One table of all operations, and one of what each error code is called by each service.
#include "fleet/aws/router.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/encoding.h"
#include "base/log.h"
#include "fleet/aws/audit.h"
#include "fleet/aws/fields.h"
#include "fleet/remote_artifacts.h"
#include "formats/json_ptr.h"
#include "formats/limits.h"

namespace skerry::fleet::aws {
namespace {

using nlohmann::json;

struct Exception {
  Code code;
  int status;
  std::string_view type;
};

// The names that the service models of botocore give these situations.
constexpr Exception kGreengrassExceptions[] = {
    {Code::kInvalidArgument, 400, "ValidationException"},
    {Code::kUnsupported, 400, "ValidationException"},
    {Code::kNotFound, 404, "ResourceNotFoundException"},
    {Code::kAlreadyExists, 409, "ConflictException"},
    {Code::kFailedPrecondition, 409, "ConflictException"},
    {Code::kPermissionDenied, 403, "AccessDeniedException"},
    {Code::kResourceExhausted, 402, "ServiceQuotaExceededException"},
    {Code::kInternal, 500, "InternalServerException"},
};
constexpr Exception kIotExceptions[] = {
    {Code::kInvalidArgument, 400, "InvalidRequestException"},
    {Code::kUnsupported, 400, "InvalidRequestException"},
    {Code::kNotFound, 404, "ResourceNotFoundException"},
    {Code::kAlreadyExists, 409, "ResourceAlreadyExistsException"},
    {Code::kFailedPrecondition, 406, "CertificateStateException"},
    {Code::kPermissionDenied, 401, "UnauthorizedException"},
    {Code::kUnavailable, 503, "ServiceUnavailableException"},
    {Code::kResourceExhausted, 503, "ServiceUnavailableException"},
    {Code::kInternal, 500, "InternalFailureException"},
};

net::HttpResponse exception_response(std::string_view service, const Error& error,
                                     const std::string& request_id) {
  std::span<const Exception> table = kGreengrassExceptions;
  if (service.starts_with("iot")) table = kIotExceptions;
  auto found =
      std::ranges::find_if(table, [&](const Exception& e) { return e.code == error.code(); });
  if (found == table.end() || error.code() == Code::kInternal) {
    // What went wrong inside is for the operator, not for the client.
    log::error("api", "request failed", {{"request", request_id}, {"error", error.message()}});
    const Exception& internal = table.back();
    return error_response(internal.status, internal.type,
                          "the control plane could not do this; its log says why");
  }
  return error_response(found->status, found->type, error.message());
}

net::HttpResponse refusal_response(Protocol protocol, const net::SigV4Refusal& refusal) {
  using enum net::SigV4Refusal::Kind;
  switch (refusal.kind) {
    case kUnsigned:
      return protocol_error(protocol, 403, "MissingAuthenticationTokenException", refusal.message);
    case kMalformed:
    case kUnsupported:
      return protocol_error(protocol, 403, "IncompleteSignatureException", refusal.message);
    case kUnknownKey:
      return protocol_error(protocol, 403, "UnrecognizedClientException", refusal.message);
    case kExpired:
    case kSkewed:
    case kNotSigned:
    case kMismatch:
      break;
  }
  return protocol_error(protocol, 403, "InvalidSignatureException", refusal.message);
}

// Operations of services that are here which this API does not have.
struct Unserved {
  std::string_view service;
  std::string_view method;
  std::string_view path;
  std::string_view name;
};

constexpr Unserved kUnserved[] = {
    {"greengrass", "PUT", "/greengrass/servicerole", "AssociateServiceRoleToAccount"},
    {"greengrass", "GET", "/greengrass/servicerole", "GetServiceRoleForAccount"},
    {"greengrass", "DELETE", "/greengrass/servicerole", "DisassociateServiceRoleFromAccount"},
    {"greengrass", "GET", "/greengrass/things/{thing}/connectivityInfo", "GetConnectivityInfo"},
    {"greengrass", "PUT", "/greengrass/things/{thing}/connectivityInfo", "UpdateConnectivityInfo"},
    {"greengrass", "POST", "/greengrass/v2/coreDevices/{thing}/associateClientDevices",
     "BatchAssociateClientDeviceWithCoreDevice"},
    {"greengrass", "POST", "/greengrass/v2/coreDevices/{thing}/disassociateClientDevices",
     "BatchDisassociateClientDeviceFromCoreDevice"},
    {"greengrass", "GET", "/greengrass/v2/coreDevices/{thing}/associatedClientDevices",
     "ListClientDevicesAssociatedWithCoreDevice"},
    {"greengrass", "GET", "/greengrass/v2/components/{arn}/artifacts/{name+}",
     "GetComponentVersionArtifact"},
    {"greengrass", "POST", "/greengrass/v2/resolveComponentCandidates",
     "ResolveComponentCandidates"},
    {"iotdata", "POST", "/topics/{topic+}", "Publish"},
    {"iotdata", "GET", "/retainedMessage/{topic+}", "GetRetainedMessage"},
    {"iotdata", "GET", "/retainedMessage", "ListRetainedMessages"},
    {"iotdata", "GET", "/connections/{client}", "GetConnection"},
    {"iotdata", "DELETE", "/connections/{client}", "DeleteConnection"},
    {"iotdata", "GET", "/connections/{client}/subscriptions", "ListSubscriptions"},
    {"iotdata", "POST", "/connections/{client}/messages", "SendDirectMessage"},
};

Result<json> parse_body(const std::string& body) {
  if (body.empty()) return json::object();
  auto parsed = formats::parse_json(body, {.size_bytes = formats::kMaxApiBodyBytes, .depth = 64});
  if (!parsed) return fail(Code::kInvalidArgument, "request body: " + parsed.error().message());
  if (!parsed->is_object()) return fail(Code::kInvalidArgument, "request body: must be an object");
  return parsed;
}

std::string_view next_segment(std::string_view& path) {
  path.remove_prefix(1);  // the slash
  std::string_view segment = path.substr(0, path.find('/'));
  path.remove_prefix(segment.size());
  return segment;
}

// What an operator does on a full disk.
StorePool::Need need_of(const Route& route) {
  constexpr std::string_view kOthers[] = {
      "UpdateCertificate", "UpdateAccessKey", "UpdateOperator", "RemoveThingFromThingGroup",
      "AbortRollout",      "PauseRollout",    "RollBackRollout"};
  const bool takes_away = route.method == "DELETE" || route.name.starts_with("Cancel") ||
                          std::ranges::find(kOthers, route.name) != std::end(kOthers);
  return takes_away ? StorePool::Need::kRelief : StorePool::Need::kRoom;
}

Result<RawRequest> read_request(const net::HttpRequest& request,
                                std::map<std::string, std::string> path) {
  RawRequest raw;
  raw.path = std::move(path);
  SKERRY_ASSIGN(raw.body, parse_body(request.body));
  raw.payload = request.body;
  SKERRY_ASSIGN(auto options, net::parse_query(net::split_target(request.target).second));
  for (auto& [name, value] : options) raw.query.emplace(std::move(name), std::move(value));
  for (const auto& [name, value] : request.headers.fields()) {
    std::string lower = name;
    std::ranges::transform(lower, lower.begin(), [](char c) {
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    raw.headers.emplace(std::move(lower), value);
  }
  return raw;
}

}  // namespace

std::optional<std::map<std::string, std::string>> match_path(std::string_view path_template,
                                                             std::string_view path) {
  std::map<std::string, std::string> values;
  while (path.starts_with('/') && path_template.starts_with('/')) {
    std::string_view wanted = next_segment(path_template);
    const bool is_parameter = wanted.starts_with('{');
    const bool takes_rest = wanted.ends_with("+}");
    std::string_view given = takes_rest ? path.substr(1) : next_segment(path);
    if (takes_rest) path = {};
    if (!is_parameter) {
      if (wanted != given) return std::nullopt;
      continue;
    }
    auto value = net::percent_decode(given);
    if (!value || value->empty()) return std::nullopt;
    wanted.remove_prefix(1);
    wanted.remove_suffix(takes_rest ? 2 : 1);
    values.emplace(wanted, std::move(*value));
  }
  if (!path.empty() || !path_template.empty()) return std::nullopt;
  return values;
}

std::vector<Route> all_routes() {
  std::vector<Route> routes;
  for (auto table :
       {component_routes(), deployment_routes(), device_routes(), tag_routes(), thing_routes(),
        group_routes(), certificate_routes(), job_routes(), access_routes(), overview_routes(),
        metric_routes(), model_routes(), rollout_routes(), shadow_routes(), learning_routes(),
        alert_routes(), claim_routes()}) {
    routes.insert(routes.end(), table.begin(), table.end());
  }
  return routes;
}

Router::Router(ApiServices services, StorePool& stores, const AccessKeys& keys)
    : services_(std::move(services)),
      stores_(stores),
      keys_(keys),
      secret_of_([&keys](std::string_view id, std::string_view token) {
        return keys.secret_of(id, token);
      }),
      routes_(all_routes()) {}

std::optional<net::HttpResponse> Router::refuse_head(const net::HttpRequest& head) const {
  auto caller = net::sigv4_verify_head(head, secret_of_, services_.env.clock.wall_ms());
  if (caller) return std::nullopt;
  return refusal_response(protocol_of(head), caller.error());
}

io::Task<net::HttpResponse> Router::handle(net::HttpRequest request) {
  const std::string request_id = services_.env.random.uuid();
  net::HttpResponse response = co_await answer(std::move(request), request_id);
  response.headers.set("x-amzn-RequestId", request_id);
  co_return response;
}

io::Task<net::HttpResponse> Router::handle_for(Identity who, std::string service,
                                               net::HttpRequest request) {
  const std::string request_id = services_.env.random.uuid();
  net::HttpResponse response =
      co_await dispatch(std::move(who), std::move(service), std::move(request), request_id);
  response.headers.set("x-amzn-RequestId", request_id);
  co_return response;
}

io::Task<net::HttpResponse> Router::answer(net::HttpRequest request, std::string request_id) {
  const Protocol protocol = protocol_of(request);
  auto caller = net::sigv4_verify(request, secret_of_, services_.env.clock.wall_ms());
  if (!caller) co_return refusal_response(protocol, caller.error());
  auto who = keys_.identity_of(caller->access_key_id);
  SKERRY_CHECK(who.has_value(), "a key that signs has an identity");
  const std::string& service = caller->scope.service;
  if (service == "sts") co_return answer_sts(services_.scope, *who, request, request_id);
  const auto is_served = [&](const Route& route) { return route.service == service; };
  if (std::ranges::none_of(routes_, is_served)) {
    co_return protocol_error(protocol, 501, "NotImplementedException",
                             "this control plane does not implement the service " + service);
  }
  if (const std::string& region = services_.scope.region; caller->scope.region != region) {
    co_return protocol_error(
        protocol, 403, "InvalidSignatureException",
        "credential should be scoped to region " + region + ", is for " + caller->scope.region);
  }
  co_return co_await dispatch(std::move(*who), service, std::move(request), std::move(request_id));
}

io::Task<net::HttpResponse> Router::dispatch(Identity who, std::string service,
                                             net::HttpRequest request, std::string request_id) {
  const std::string path(net::split_target(request.target).first);
  for (const Route& route : routes_) {
    if (route.method != request.method || route.service != service) continue;
    auto values = match_path(route.path, path);
    if (!values) continue;
    if (who.role < route.role) {
      co_return error_response(403, "AccessDeniedException",
                               fmt::format("{} takes the role {}, and {} has {}", route.name,
                                           to_string(route.role), who.name, to_string(who.role)));
    }
    co_return co_await run(
        route, {std::move(who), std::move(*values), std::move(request), std::move(request_id)});
  }
  for (const Unserved& one : kUnserved) {
    if (one.service != service || one.method != request.method || !match_path(one.path, path)) {
      continue;
    }
    co_return error_response(501, "NotImplementedException",
                             "this control plane does not implement " + std::string(one.name));
  }
  co_return error_response(404, "UnknownOperationException",
                           "this control plane has no operation " + request.method + " " + path);
}

io::Task<Result<void>> Router::prepare(const Route& route, const net::HttpRequest& request) {
  if (!services_.remote_artifacts || route.name != "CreateComponentVersion") {
    co_return Result<void>();
  }
  const auto body = parse_body(request.body);
  if (!body || !body->contains("inlineRecipe") || !(*body)["inlineRecipe"].is_string()) {
    co_return Result<void>();  // the operation says what is wrong
  }
  auto recipe = base64_decode((*body)["inlineRecipe"].get<std::string>());
  if (!recipe) co_return Result<void>();
  co_return co_await services_.remote_artifacts->learn(std::move(*recipe));
}

io::Task<net::HttpResponse> Router::run(const Route& route, Call call) {
  const std::string request_id = call.request_id;
  if (auto prepared = co_await prepare(route, call.request); !prepared) {
    co_return exception_response(route.service, prepared.error(), request_id);
  }
  // Written by the unit, read after it.
  auto exception = std::make_shared<const ModelledException*>(nullptr);
  auto work = [this, &route, call = std::move(call),
               exception](Store& store) mutable -> Result<std::string> {
    SKERRY_ASSIGN(RawRequest raw, read_request(call.request, std::move(call.path)));
    raw.actor = call.who.name;
    std::optional<AuditEntry> change;
    if (!route.reads()) {
      change = audit_entry(call.who, route, call.request.target, raw.body);
      change->request_id = call.request_id;
      change->at_ms = services_.env.clock.wall_ms();
    }
    SKERRY_ASSIGN(json answer, route.run(services_, store, route.name, std::move(raw), *exception));
    if (change) SKERRY_TRY(add_audit_entry(store, *change));
    return formats::json_text(answer);
  };
  auto answer = route.reads() ? co_await stores_.read(std::move(work))
                              : co_await stores_.write(std::move(work), need_of(route));
  if (!answer && *exception) {
    co_return error_response((*exception)->status, (*exception)->type, answer.error().message());
  }
  if (!answer) co_return exception_response(route.service, answer.error(), request_id);
  if (route.status == 204) co_return net::HttpResponse{.status = 204};
  co_return net::json_response(route.status, std::move(*answer));
}

}  // namespace skerry::fleet::aws
