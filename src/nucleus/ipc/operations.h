// What the IPC operations share: the state they work on, one call of one, and the errors of the
// Greengrass service model. Internal to the IPC server.
#pragma once

#include <expected>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "io/task.h"
#include "nucleus/access_control.h"
#include "nucleus/client_devices.h"
#include "nucleus/config_store.h"
#include "nucleus/debug_passwords.h"
#include "nucleus/ipc/server.h"
#include "nucleus/local_shadows.h"
#include "nucleus/pubsub.h"
#include "nucleus/server_certificates.h"
#include "rpc/server_connection.h"

namespace skerry::nucleus {

struct IpcContext;
// To the subscribers of `topic` on this device, as a binary message of the nucleus.
void publish_bytes(IpcContext& context, const std::string& topic, std::string_view bytes);

struct IpcContext {
  IpcHost& host;
  ConfigStore& config;
  AccessControl access{config};
  ClientDevices client_devices{config};
  ServerCertificates server_certificates{host.env().files, host.env().random,
                                         host.client_devices_directory()};
  DebugPasswords debug_passwords;
  LocalTopics topics;
  LocalShadows shadows{host.env(), host.shadows(),
                       [this](const std::string& topic, const std::string& document) {
                         publish_bytes(*this, topic, document);
                       }};
  io::TaskScope tasks;  // operations that wait for a disk
};

// An error as the model has it. Which shapes an operation may answer with is in the SDKs' models; a
// client rejects others.
struct IpcError {
  std::string_view shape;
  std::string message;
  std::string resource_type, resource_name;  // of kResourceNotFound
};
using IpcOutcome = std::expected<void, IpcError>;
void send_error(const rpc::ServerStream& stream, const IpcError& error);

inline constexpr std::string_view kServiceError = "aws.greengrass#ServiceError";
inline constexpr std::string_view kInvalidArguments = "aws.greengrass#InvalidArgumentsError";
inline constexpr std::string_view kUnauthorized = "aws.greengrass#UnauthorizedError";
inline constexpr std::string_view kInvalidToken = "aws.greengrass#InvalidTokenError";
inline constexpr std::string_view kResourceNotFound = "aws.greengrass#ResourceNotFoundError";
inline constexpr std::string_view kComponentNotFound = "aws.greengrass#ComponentNotFoundError";
inline constexpr std::string_view kConflict = "aws.greengrass#ConflictError";
inline constexpr std::string_view kFailedUpdateCondition =
    "aws.greengrass#FailedUpdateConditionCheckError";

struct IpcCall {
  IpcContext& context;
  ComponentName caller;
  std::string_view operation;     // "aws.greengrass#PublishToTopic"
  std::string_view bad_request;   // the shape for a request that makes no sense
  const nlohmann::json& request;  // an object
  const rpc::ServerStream& stream;

  std::unexpected<IpcError> invalid(std::string message) const;
  // The string at `key`; `bad_request` where it is absent or no string.
  std::expected<std::string, IpcError> text(const char* key) const;
  // The list of strings at `key`; absent and null are {}.
  std::expected<KeyPath, IpcError> key_path() const;
  // The component that the request names; `bad_request` where it names none.
  std::expected<ComponentName, IpcError> named_component() const;
  // UnauthorizedError where the caller's access control does not allow the operation on `resource`.
  // The device's operator may do everything.
  IpcOutcome authorize(std::string_view service, std::string_view resource) const;
};

// The error of a component that is not here (as `not_found`), or in no state for what is asked.
std::unexpected<IpcError> component_error(const IpcCall& call, const ComponentName& component,
                                          const Error& error,
                                          std::string_view not_found = kResourceNotFound);

// `text` as a JSON string with its quotes.
std::string json_string(const std::string& text);

// configuration.cc
IpcOutcome get_configuration(const IpcCall& call);
IpcOutcome update_configuration(const IpcCall& call);
IpcOutcome subscribe_to_configuration_update(const IpcCall& call);
// pubsub.cc
IpcOutcome publish_to_topic(const IpcCall& call);
IpcOutcome subscribe_to_topic(const IpcCall& call);
// mqtt.cc
IpcOutcome publish_to_iot_core(const IpcCall& call);
IpcOutcome subscribe_to_iot_core(const IpcCall& call);
IpcOutcome subscribe_to_iot_core_connection_status(const IpcCall& call);
// lifecycle.cc
IpcOutcome update_state(const IpcCall& call);
IpcOutcome pause_component(const IpcCall& call);
IpcOutcome resume_component(const IpcCall& call);
// client_devices.cc
IpcOutcome verify_client_device_identity(const IpcCall& call);
IpcOutcome get_client_device_auth_token(const IpcCall& call);
IpcOutcome authorize_client_device_action(const IpcCall& call);
// certificates.cc
IpcOutcome subscribe_to_certificate_updates(const IpcCall& call);
// debug_password.cc
IpcOutcome create_debug_password(const IpcCall& call);
// components.cc
IpcOutcome list_components(const IpcCall& call);
IpcOutcome get_component_details(const IpcCall& call);
IpcOutcome restart_component(const IpcCall& call);
IpcOutcome stop_component(const IpcCall& call);
// secrets.cc
IpcOutcome get_secret_value(const IpcCall& call);
IpcOutcome put_secret(const IpcCall& call);
IpcOutcome list_secrets(const IpcCall& call);
IpcOutcome delete_secret(const IpcCall& call);
// local_deployments.cc
IpcOutcome create_local_deployment(const IpcCall& call);
IpcOutcome cancel_local_deployment(const IpcCall& call);
IpcOutcome get_local_deployment_status(const IpcCall& call);
IpcOutcome list_local_deployments(const IpcCall& call);
// authorization.cc
IpcOutcome validate_authorization_token(const IpcCall& call);
// metrics.cc
IpcOutcome put_component_metric(const IpcCall& call);
// shadows.cc
IpcOutcome get_thing_shadow(const IpcCall& call);
IpcOutcome update_thing_shadow(const IpcCall& call);
IpcOutcome delete_thing_shadow(const IpcCall& call);
IpcOutcome list_named_shadows_for_thing(const IpcCall& call);
// updates.cc
IpcOutcome subscribe_to_component_updates(const IpcCall& call);
IpcOutcome defer_component_update(const IpcCall& call);
IpcOutcome subscribe_to_validate_configuration_updates(const IpcCall& call);
IpcOutcome send_configuration_validity_report(const IpcCall& call);

// The RPC service over all of them. `context` must outlive it.
rpc::Service greengrass_service(IpcContext& context);

}  // namespace skerry::nucleus

// Leaves an operation with the error of an IpcOutcome, or takes the value of an expected.
#define SKERRY_IPC_TRY(expr)                                    \
  do {                                                          \
    if (auto ipc_outcome_ = (expr); !ipc_outcome_) [[unlikely]] \
      return std::unexpected(std::move(ipc_outcome_.error()));  \
  } while (0)
#define SKERRY_IPC_ASSIGN(lhs, expr) \
  SKERRY_IPC_ASSIGN_INNER(SKERRY_CONCAT(ipc_value_, __LINE__), lhs, expr)
#define SKERRY_IPC_ASSIGN_INNER(tmp, lhs, expr)     \
  auto tmp = (expr);                                \
  if (!tmp) [[unlikely]]                            \
    return std::unexpected(std::move(tmp.error())); \
  lhs = std::move(*tmp)
