// ListComponents, GetComponentDetails, RestartComponent, StopComponent: what the device's operator
// (the stock Greengrass CLI, `skerry device`) and components that may ask of the others.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "formats/json_ptr.h"
#include "nucleus/ipc/operations.h"

namespace skerry::nucleus {
namespace {

using nlohmann::json;

// For what concerns no component by name.
constexpr std::string_view kEveryComponent = "*";

std::string details_of(const IpcCall& call, const ComponentStatus& status) {
  std::string configuration;
  if (!call.context.config.tree().append_json(status.name, {}, configuration)) configuration = "{}";
  return R"({"componentName":)" + json_string(status.name.str()) + R"(,"version":)" +
         json_string(status.version) + R"(,"state":")" + std::string(name_of(status.state)) +
         R"(","configuration":)" + configuration + "}";
}

IpcOutcome restart_or_stop(const IpcCall& call, ComponentControl what, std::string_view response,
                           const char* status_key) {
  SKERRY_IPC_ASSIGN(const ComponentName component, call.named_component());
  SKERRY_IPC_TRY(call.authorize(kCliService, component.str()));
  const auto accepted = call.context.host.control(component, what);
  if (!accepted) return component_error(call, component, accepted.error(), kComponentNotFound);
  call.stream.respond(response, formats::json_text(json{{status_key, "SUCCEEDED"}}));
  return {};
}

}  // namespace

IpcOutcome list_components(const IpcCall& call) {
  SKERRY_IPC_TRY(call.authorize(kCliService, kEveryComponent));
  std::string body = R"({"components":[)";
  for (const ComponentStatus& status : call.context.host.components()) {
    if (!body.ends_with('[')) body += ',';
    body += details_of(call, status);
  }
  call.stream.respond("aws.greengrass#ListComponentsResponse", body + "]}");
  return {};
}

IpcOutcome get_component_details(const IpcCall& call) {
  SKERRY_IPC_ASSIGN(const ComponentName component, call.named_component());
  SKERRY_IPC_TRY(call.authorize(kCliService, component.str()));
  const auto all = call.context.host.components();
  const auto found = std::ranges::find(all, component, &ComponentStatus::name);
  if (found == all.end()) {
    return component_error(call, component, Error(Code::kNotFound, ""));
  }
  call.stream.respond("aws.greengrass#GetComponentDetailsResponse",
                      R"({"componentDetails":)" + details_of(call, *found) + "}");
  return {};
}

IpcOutcome restart_component(const IpcCall& call) {
  return restart_or_stop(call, ComponentControl::kRestart,
                         "aws.greengrass#RestartComponentResponse", "restartStatus");
}

IpcOutcome stop_component(const IpcCall& call) {
  return restart_or_stop(call, ComponentControl::kStop, "aws.greengrass#StopComponentResponse",
                         "stopStatus");
}

}  // namespace skerry::nucleus
