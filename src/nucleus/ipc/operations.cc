// The table of operations, and the way of every request through it: parse, look up, run, answer.
#include "nucleus/ipc/operations.h"

#include <array>
#include <nlohmann/json.hpp>

#include "formats/json_ptr.h"
namespace skerry::nucleus {
namespace {

using nlohmann::json;

// Deeper requests are refused before they are parsed into memory.
constexpr int kMaxRequestDepth = 64;

struct Operation {
  std::string_view name;
  IpcOutcome (*run)(const IpcCall&);
  std::string_view bad_request;  // the modelled shape for a request that makes no sense
};

// The whole model. To add an operation: write it in the file of its service, declare it in the
// header, add its line here.
constexpr std::array kOperations = {
    Operation{"GetConfiguration", get_configuration, kServiceError},
    Operation{"UpdateConfiguration", update_configuration, kInvalidArguments},
    Operation{"SubscribeToConfigurationUpdate", subscribe_to_configuration_update, kServiceError},
    Operation{"PublishToTopic", publish_to_topic, kServiceError},
    Operation{"SubscribeToTopic", subscribe_to_topic, kInvalidArguments},
    Operation{"PublishToIoTCore", publish_to_iot_core, kServiceError},
    Operation{"SubscribeToIoTCore", subscribe_to_iot_core, kServiceError},
    Operation{"SubscribeToIoTCoreConnectionStatus", subscribe_to_iot_core_connection_status,
              kServiceError},
    Operation{"GetThingShadow", get_thing_shadow, kInvalidArguments},
    Operation{"UpdateThingShadow", update_thing_shadow, kInvalidArguments},
    Operation{"DeleteThingShadow", delete_thing_shadow, kInvalidArguments},
    Operation{"ListNamedShadowsForThing", list_named_shadows_for_thing, kInvalidArguments},
    Operation{"GetSecretValue", get_secret_value, kServiceError},
    Operation{"UpdateState", update_state, kServiceError},
    Operation{"PauseComponent", pause_component, kServiceError},
    Operation{"ResumeComponent", resume_component, kServiceError},
    Operation{"ListComponents", list_components, kServiceError},
    Operation{"GetComponentDetails", get_component_details, kInvalidArguments},
    Operation{"RestartComponent", restart_component, kInvalidArguments},
    Operation{"StopComponent", stop_component, kInvalidArguments},
    Operation{"CreateLocalDeployment", create_local_deployment, kServiceError},
    Operation{"CancelLocalDeployment", cancel_local_deployment, kInvalidArguments},
    Operation{"GetLocalDeploymentStatus", get_local_deployment_status, kInvalidArguments},
    Operation{"ListLocalDeployments", list_local_deployments, kServiceError},
    Operation{"SubscribeToComponentUpdates", subscribe_to_component_updates, kServiceError},
    Operation{"DeferComponentUpdate", defer_component_update, kInvalidArguments},
    Operation{"SubscribeToValidateConfigurationUpdates",
              subscribe_to_validate_configuration_updates, kServiceError},
    Operation{"SendConfigurationValidityReport", send_configuration_validity_report,
              kInvalidArguments},
    Operation{"VerifyClientDeviceIdentity", verify_client_device_identity, kInvalidArguments},
    Operation{"GetClientDeviceAuthToken", get_client_device_auth_token, kInvalidArguments},
    Operation{"AuthorizeClientDeviceAction", authorize_client_device_action, kInvalidArguments},
    Operation{"PutComponentMetric", put_component_metric, kInvalidArguments},
    Operation{"ValidateAuthorizationToken", validate_authorization_token, kServiceError},
    Operation{"SubscribeToCertificateUpdates", subscribe_to_certificate_updates, kInvalidArguments},
    Operation{"CreateDebugPassword", create_debug_password, kInvalidArguments},
};

// Our own, for the device's operator.
constexpr std::array kOwnOperations = {
    Operation{"PutSecret", put_secret, kInvalidArguments},
    Operation{"ListSecrets", list_secrets, kInvalidArguments},
    Operation{"DeleteSecret", delete_secret, kInvalidArguments},
};

std::expected<json, IpcError> parse_request(std::string_view payload, std::string_view shape) {
  if (formats::is_deeper_than(payload, kMaxRequestDepth)) {
    return std::unexpected(IpcError{shape, "The request is nested deeper than 64 levels", {}, {}});
  }
  json request = payload.empty() ? json::object() : json::parse(payload, nullptr, false);
  if (!request.is_object()) {
    return std::unexpected(IpcError{shape, "The request must be a JSON object", {}, {}});
  }
  return request;
}

}  // namespace

void send_error(const rpc::ServerStream& stream, const IpcError& error) {
  std::string body = R"({"message":)" + json_string(error.message);
  if (error.shape == kResourceNotFound) {
    body += R"(,"resourceType":)" + json_string(error.resource_type);
    body += R"(,"resourceName":)" + json_string(error.resource_name);
  }
  stream.fail(error.shape, body + "}");
}

std::string json_string(const std::string& text) {
  return formats::json_text(json(text));
}

std::unexpected<IpcError> IpcCall::invalid(std::string message) const {
  return std::unexpected(IpcError{bad_request, std::move(message), {}, {}});
}

std::expected<std::string, IpcError> IpcCall::text(const char* key) const {
  const auto found = request.find(key);
  if (found == request.end() || !found->is_string()) {
    return invalid(std::string(key) + " is required and must be a string");
  }
  return found->get<std::string>();
}

std::unexpected<IpcError> component_error(const IpcCall& call, const ComponentName& component,
                                          const Error& error, std::string_view not_found) {
  if (error.code() == Code::kNotFound) {
    return std::unexpected(IpcError{not_found,
                                    "Component with name " + component.str() + " not found",
                                    "Component", component.str()});
  }
  if (error.code() == Code::kFailedPrecondition) return call.invalid(error.message());
  return std::unexpected(IpcError{kServiceError, error.message(), {}, {}});
}

std::expected<KeyPath, IpcError> IpcCall::key_path() const {
  KeyPath path;
  const auto found = request.find("keyPath");
  if (found == request.end() || found->is_null()) return path;
  if (!found->is_array()) return invalid("keyPath must be a list of strings");
  for (const json& key : *found) {
    if (!key.is_string()) return invalid("keyPath must be a list of strings");
    path.push_back(key.get<std::string>());
  }
  return path;
}

std::expected<ComponentName, IpcError> IpcCall::named_component() const {
  SKERRY_IPC_ASSIGN(std::string name, text("componentName"));
  if (name.empty()) return invalid("Component name cannot be empty");
  return ComponentName(std::move(name));
}

IpcOutcome IpcCall::authorize(std::string_view service, std::string_view resource) const {
  if (caller.str() == kOperator) return {};
  if (auto allowed = context.access.check(caller, service, operation, resource); !allowed) {
    return std::unexpected(IpcError{kUnauthorized, allowed.error().message(), {}, {}});
  }
  return {};
}

rpc::Service greengrass_service(IpcContext& context) {
  rpc::Service service;
  service.authenticate = [&context](const rpc::Frame& connect) -> Result<std::string> {
    const json payload = json::parse(connect.payload, nullptr, false);
    const auto token = payload.is_object() ? payload.find("authToken") : payload.end();
    if (token == payload.end() || !token->is_string()) {
      return fail(Code::kPermissionDenied, "no authToken: is SVCUID in the client's environment?");
    }
    const auto& shown = token->get_ref<const std::string&>();
    auto component = context.host.component_of_token(shown);
    if (!component) {
      const int64_t now_ms = context.host.env().clock.monotonic_ms();
      if (context.debug_passwords.accepts(shown, now_ms)) return std::string(kOperator);
      return fail(Code::kPermissionDenied, "the authToken belongs to no running component");
    }
    return component->str();
  };
  const auto serve = [&](std::string_view model, const Operation& operation) {
    std::string name = std::string(model) + "#" + std::string(operation.name);
    service.operations[name] = [&context, &operation, name](const rpc::ServerStream& stream,
                                                            std::string_view payload) {
      const auto request = parse_request(payload, operation.bad_request);
      if (!request) return send_error(stream, request.error());
      const IpcCall call{context,  ComponentName(stream.principal()),
                         name,     operation.bad_request,
                         *request, stream};
      if (auto outcome = operation.run(call); !outcome) send_error(stream, outcome.error());
    };
  };
  for (const Operation& operation : kOperations) serve("aws.greengrass", operation);
  for (const Operation& operation : kOwnOperations) serve("skerry", operation);
  return service;
}

}  // namespace skerry::nucleus
