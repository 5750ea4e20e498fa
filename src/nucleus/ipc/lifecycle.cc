// UpdateState: a component says that it runs, or that it has failed. PauseComponent and
// ResumeComponent: halts the processes of another.
#include <nlohmann/json.hpp>

#include "nucleus/ipc/operations.h"

namespace skerry::nucleus {

IpcOutcome update_state(const IpcCall& call) {
  SKERRY_IPC_ASSIGN(const std::string state, call.text("state"));
  if (state != "RUNNING" && state != "ERRORED") {
    return call.invalid("state must be RUNNING or ERRORED, not " + state);
  }
  const auto reported = call.context.host.report_state(
      call.caller, state == "RUNNING" ? ComponentState::kRunning : ComponentState::kErrored);
  if (!reported && reported.error().code() == Code::kNotFound) {
    return std::unexpected(
        IpcError{kResourceNotFound, reported.error().message(), "Component", call.caller.str()});
  }
  if (!reported) {
    return std::unexpected(IpcError{kServiceError, reported.error().message(), {}, {}});
  }
  call.stream.respond("aws.greengrass#UpdateStateResponse", "{}");
  return {};
}

namespace {

IpcOutcome pause_or_resume(const IpcCall& call, ComponentControl what, std::string_view response) {
  SKERRY_IPC_ASSIGN(const ComponentName component, call.named_component());
  SKERRY_IPC_TRY(call.authorize(kLifecycleService, component.str()));
  const auto done = call.context.host.control(component, what);
  if (!done) return component_error(call, component, done.error());
  call.stream.respond(response, "{}");
  return {};
}

}  // namespace

IpcOutcome pause_component(const IpcCall& call) {
  return pause_or_resume(call, ComponentControl::kPause, "aws.greengrass#PauseComponentResponse");
}

IpcOutcome resume_component(const IpcCall& call) {
  return pause_or_resume(call, ComponentControl::kResume, "aws.greengrass#ResumeComponentResponse");
}

}  // namespace skerry::nucleus
