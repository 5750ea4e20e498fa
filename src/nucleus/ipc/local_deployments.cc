// CreateLocalDeployment, CancelLocalDeployment, GetLocalDeploymentStatus, ListLocalDeployments:
// what the device's operator (the stock Greengrass CLI, `skerry device`) deploys without a fleet.
#include "nucleus/local_deployments.h"

#include <nlohmann/json.hpp>

#include "base/iso_time.h"
#include "formats/json_ptr.h"
#include "nucleus/ipc/operations.h"

namespace skerry::nucleus {
namespace {

using nlohmann::json;

constexpr std::string_view kEveryDeployment = "*";
constexpr std::string_view kInvalidRecipes = "aws.greengrass#InvalidRecipeDirectoryPathError";
constexpr std::string_view kInvalidArtifacts = "aws.greengrass#InvalidArtifactsDirectoryPathError";

std::expected<LocalDeployments*, IpcError> local_of(const IpcCall& call) {
  SKERRY_IPC_TRY(call.authorize(kCliService, kEveryDeployment));
  if (LocalDeployments* local = call.context.host.local_deployments()) return local;
  return std::unexpected(IpcError{kServiceError, "The nucleus is about to stop", {}, {}});
}

std::expected<DeploymentId, IpcError> named_deployment(const IpcCall& call) {
  SKERRY_IPC_ASSIGN(std::string id, call.text("deploymentId"));
  return DeploymentId(std::move(id));
}

std::unexpected<IpcError> not_found(const DeploymentId& id) {
  return std::unexpected(
      IpcError{kResourceNotFound, "Cannot find deployment " + id.str(), "Deployment", id.str()});
}

json to_json(const LocalDeployments& local, const LocalDeployment& deployment) {
  json out = {{"deploymentId", deployment.id.str()},
              {"status", local.status_of(deployment)},
              {"createdOn", iso_time(deployment.created_ms)}};
  if (!deployment.result) return out;
  const JobResult& result = *deployment.result;
  json& details = out["deploymentStatusDetails"];
  details = {{"detailedDeploymentStatus", result.detailed_status}};
  if (!result.reason.empty()) {
    details["deploymentFailureCause"] = result.reason;
    details["deploymentErrorStack"] = result.codes.stack;
    details["deploymentErrorTypes"] = result.codes.types;
  }
  return out;
}

void answer(const rpc::ServerStream& stream,
            const std::expected<DeploymentId, LocalDeployments::Refusal>& created) {
  using Blame = LocalDeployments::Blame;
  if (created) {
    return stream.respond("aws.greengrass#CreateLocalDeploymentResponse",
                          formats::json_text(json{{"deploymentId", created->str()}}));
  }
  const Blame blame = created.error().blame;
  const std::string_view shape = blame == Blame::kRecipes     ? kInvalidRecipes
                                 : blame == Blame::kArtifacts ? kInvalidArtifacts
                                                              : kServiceError;
  send_error(stream, {shape, created.error().error.message(), {}, {}});
}

}  // namespace

IpcOutcome create_local_deployment(const IpcCall& call) {
  SKERRY_IPC_ASSIGN(LocalDeployments* const local, local_of(call));
  auto request = parse_local_request(call.request);
  if (!request) return call.invalid(request.error().message());
  auto folders = parse_local_folders(call.request);
  if (!folders) return call.invalid(folders.error().message());
  local->create(std::move(*request), std::move(*folders),
                [stream = call.stream](const auto& created) { answer(stream, created); });
  return {};
}

IpcOutcome cancel_local_deployment(const IpcCall& call) {
  SKERRY_IPC_ASSIGN(LocalDeployments* const local, local_of(call));
  SKERRY_IPC_ASSIGN(const DeploymentId id, named_deployment(call));
  if (auto cancelled = local->cancel(id); !cancelled) {
    if (cancelled.error().code() == Code::kNotFound) return not_found(id);
    if (cancelled.error().code() == Code::kFailedPrecondition)
      return call.invalid(cancelled.error().message());
    return std::unexpected(IpcError{kServiceError, cancelled.error().message(), {}, {}});
  }
  call.stream.respond(
      "aws.greengrass#CancelLocalDeploymentResponse",
      formats::json_text(
          json{{"message", "Cancellation request submitted. Deployment ID: " + id.str()}}));
  return {};
}

IpcOutcome get_local_deployment_status(const IpcCall& call) {
  SKERRY_IPC_ASSIGN(LocalDeployments* const local, local_of(call));
  SKERRY_IPC_ASSIGN(const DeploymentId id, named_deployment(call));
  for (const LocalDeployment& each : local->all()) {
    if (each.id != id) continue;
    call.stream.respond("aws.greengrass#GetLocalDeploymentStatusResponse",
                        formats::json_text(json{{"deployment", to_json(*local, each)}}));
    return {};
  }
  return not_found(id);
}

IpcOutcome list_local_deployments(const IpcCall& call) {
  SKERRY_IPC_ASSIGN(LocalDeployments* const local, local_of(call));
  json list = json::array();  // newest first
  for (auto each = local->all().rbegin(); each != local->all().rend(); ++each)
    list.push_back(to_json(*local, *each));
  call.stream.respond("aws.greengrass#ListLocalDeploymentsResponse",
                      formats::json_text(json{{"localDeployments", std::move(list)}}));
  return {};
}

}  // namespace skerry::nucleus
