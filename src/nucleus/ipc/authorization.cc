// ValidateAuthorizationToken: the stream manager asks whether a client of its own is a component of
// this device. Nobody else may ask.
#include <nlohmann/json.hpp>

#include "nucleus/ipc/operations.h"

namespace skerry::nucleus {
namespace {

constexpr std::string_view kStreamManager = "aws.greengrass.StreamManager";

}  // namespace

IpcOutcome validate_authorization_token(const IpcCall& call) {
  if (call.caller.str() != kStreamManager) {
    return std::unexpected(
        IpcError{kUnauthorized,
                 call.caller.str() + " is not authorized to perform " + std::string(call.operation),
                 {},
                 {}});
  }
  SKERRY_IPC_ASSIGN(const std::string token, call.text("token"));
  if (!call.context.host.component_of_token(token)) {
    return std::unexpected(
        IpcError{kInvalidToken, "The token belongs to no running component", {}, {}});
  }
  call.stream.respond("aws.greengrass#ValidateAuthorizationTokenResponse", R"({"isValid":true})");
  return {};
}

}  // namespace skerry::nucleus
