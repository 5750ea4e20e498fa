// VerifyClientDeviceIdentity, GetClientDeviceAuthToken, AuthorizeClientDeviceAction: what a broker
// component asks about the devices behind this one.
#include "nucleus/client_devices.h"

#include <nlohmann/json.hpp>

#include "formats/json_ptr.h"
#include "nucleus/ipc/operations.h"

namespace skerry::nucleus {
namespace {

using nlohmann::json;

constexpr std::string_view kEverything = "*";
constexpr std::string_view kInvalidCredential = "aws.greengrass#InvalidCredentialError";
constexpr std::string_view kInvalidDeviceToken = "aws.greengrass#InvalidClientDeviceAuthTokenError";

// A member of the object at `outer`, which is a union or an object of the request.
std::expected<std::string, IpcError> text_within(const IpcCall& call, const json& object,
                                                 const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  if (!object.is_object() || found == object.end() || !found->is_string()) {
    return call.invalid(std::string(key) + " is required and must be a string");
  }
  return found->get<std::string>();
}

json member(const json& object, const char* key) {
  return object.is_object() ? object.value(key, json()) : json();
}

int64_t now_ms(const IpcCall& call) {
  return call.context.host.env().clock.wall_ms();
}

}  // namespace

IpcOutcome verify_client_device_identity(const IpcCall& call) {
  SKERRY_IPC_TRY(call.authorize(kClientDevicesService, kEverything));
  SKERRY_IPC_ASSIGN(const std::string pem, text_within(call, member(call.request, "credential"),
                                                       "clientDeviceCertificate"));
  const bool is_valid = call.context.client_devices.thing_of(pem, now_ms(call)).has_value();
  call.stream.respond("aws.greengrass#VerifyClientDeviceIdentityResponse",
                      formats::json_text(json{{"isValidClientDevice", is_valid}}));
  return {};
}

IpcOutcome get_client_device_auth_token(const IpcCall& call) {
  SKERRY_IPC_TRY(call.authorize(kClientDevicesService, kEverything));
  const json mqtt = member(member(call.request, "credential"), "mqttCredential");
  SKERRY_IPC_ASSIGN(const std::string client_id, text_within(call, mqtt, "clientId"));
  SKERRY_IPC_ASSIGN(const std::string pem, text_within(call, mqtt, "certificatePem"));
  auto token = call.context.client_devices.token_for(client_id, pem, call.context.host.env().random,
                                                     now_ms(call));
  if (!token && token.error().code() == Code::kPermissionDenied)
    return std::unexpected(IpcError{kInvalidCredential, token.error().message(), {}, {}});
  if (!token) return call.invalid(token.error().message());
  call.stream.respond("aws.greengrass#GetClientDeviceAuthTokenResponse",
                      formats::json_text(json{{"clientDeviceAuthToken", *token}}));
  return {};
}

IpcOutcome authorize_client_device_action(const IpcCall& call) {
  SKERRY_IPC_TRY(call.authorize(kClientDevicesService, kEverything));
  SKERRY_IPC_ASSIGN(const std::string token, call.text("clientDeviceAuthToken"));
  SKERRY_IPC_ASSIGN(const std::string operation, call.text("operation"));
  SKERRY_IPC_ASSIGN(const std::string resource, call.text("resource"));
  const auto allowed = call.context.client_devices.allows(token, operation, resource);
  if (!allowed && allowed.error().code() == Code::kNotFound) {
    return std::unexpected(
        IpcError{kInvalidDeviceToken, "The token belongs to no client device", {}, {}});
  }
  if (!allowed) return call.invalid(allowed.error().message());
  call.stream.respond("aws.greengrass#AuthorizeClientDeviceActionResponse",
                      formats::json_text(json{{"isAuthorized", *allowed}}));
  return {};
}

}  // namespace skerry::nucleus
