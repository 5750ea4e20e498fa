// UpdateState: a component says that it runs, or that it has failed.
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

}  // namespace skerry::nucleus
