// SubscribeToComponentUpdates, DeferComponentUpdate, SubscribeToValidateConfigurationUpdates,
// SendConfigurationValidityReport: a component's word in deployments. Each speaks for itself alone.
#include <nlohmann/json.hpp>

#include "nucleus/ipc/operations.h"
#include "nucleus/update_consent.h"

namespace skerry::nucleus {
namespace {

using nlohmann::json;

IpcOutcome subscribe(const IpcCall& call, UpdateConsent::Topic topic, std::string_view response,
                     std::string_view event_shape) {
  call.stream.start(response, "{}");
  auto subscription = call.context.host.consent().subscribe(
      topic, call.caller, [stream = call.stream, event_shape](const std::string& event) {
        stream.send(event_shape, event);
      });
  call.stream.on_closed([subscription = std::move(subscription)] {});
  return {};
}

// The string at `key` of an object; empty where it is absent or null.
std::expected<std::string, IpcError> optional_text(const IpcCall& call, const json& object,
                                                   const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return std::string();
  if (!found->is_string()) return call.invalid(std::string(key) + " must be a string");
  return found->get<std::string>();
}

IpcOutcome answer(const IpcCall& call, const Result<void>& taken, std::string_view response) {
  if (!taken) return call.invalid(taken.error().message());
  call.stream.respond(response, "{}");
  return {};
}

}  // namespace

IpcOutcome subscribe_to_component_updates(const IpcCall& call) {
  return subscribe(call, UpdateConsent::Topic::kUpdates,
                   "aws.greengrass#SubscribeToComponentUpdatesResponse",
                   "aws.greengrass#ComponentUpdatePolicyEvents");
}

IpcOutcome defer_component_update(const IpcCall& call) {
  SKERRY_IPC_ASSIGN(const std::string deployment, call.text("deploymentId"));
  SKERRY_IPC_ASSIGN(const std::string why, optional_text(call, call.request, "message"));
  int64_t recheck_ms = 0;
  const auto recheck = call.request.find("recheckAfterMs");
  if (recheck != call.request.end() && !recheck->is_null()) {
    const double given = recheck->is_number() ? recheck->get<double>() : -1;
    if (!(given >= 0 && given <= 9e15)) {
      return call.invalid("recheckAfterMs must be a number of milliseconds, 0 to go on now");
    }
    recheck_ms = static_cast<int64_t>(given);
  }
  return answer(call, call.context.host.consent().defer(call.caller, deployment, recheck_ms, why),
                "aws.greengrass#DeferComponentUpdateResponse");
}

IpcOutcome subscribe_to_validate_configuration_updates(const IpcCall& call) {
  return subscribe(call, UpdateConsent::Topic::kValidation,
                   "aws.greengrass#SubscribeToValidateConfigurationUpdatesResponse",
                   "aws.greengrass#ValidateConfigurationUpdateEvents");
}

IpcOutcome send_configuration_validity_report(const IpcCall& call) {
  const auto report = call.request.find("configurationValidityReport");
  if (report == call.request.end() || !report->is_object()) {
    return call.invalid("configurationValidityReport is required and must be an object");
  }
  SKERRY_IPC_ASSIGN(const std::string deployment, optional_text(call, *report, "deploymentId"));
  SKERRY_IPC_ASSIGN(const std::string status, optional_text(call, *report, "status"));
  SKERRY_IPC_ASSIGN(std::string message, optional_text(call, *report, "message"));
  if (deployment.empty()) return call.invalid("deploymentId is required");
  std::optional<std::string> rejection;
  if (status == "REJECTED") {
    rejection = std::move(message);
  } else if (status != "ACCEPTED") {
    return call.invalid("status must be ACCEPTED or REJECTED");
  }
  return answer(call,
                call.context.host.consent().report(call.caller, deployment, std::move(rejection)),
                "aws.greengrass#SendConfigurationValidityReportResponse");
}

}  // namespace skerry::nucleus
