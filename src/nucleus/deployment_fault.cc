// One table from cause and code to what is reported. The first row that fits counts; one without a
// code fits every code.
#include "nucleus/deployment_fault.h"

#include <array>
#include <optional>
#include <ranges>
#include <string_view>

namespace skerry::nucleus {
namespace {

using enum Cause;

struct Row {
  Cause cause;
  std::optional<Code> code;
  std::string_view stack;  // below DEPLOYMENT_FAILURE, "/" between the levels
  std::string_view type;   // may be empty
};

constexpr std::string_view kUserComponent = "USER_COMPONENT_ERROR";
constexpr std::string_view kAwsComponents = "aws.greengrass.";
constexpr std::string_view kFailure = "DEPLOYMENT_FAILURE";
constexpr std::string_view kRejected = "DEPLOYMENT_REJECTED";

constexpr std::array kRows = {
    Row{kDocument, {}, "DEPLOYMENT_DOCUMENT_NOT_VALID", "CLOUD_SERVICE_ERROR"},
    Row{kStale, {}, "REJECTED_STALE_DEPLOYMENT", ""},
    Row{kCapabilities, {}, "NUCLEUS_MISSING_REQUIRED_CAPABILITIES", "REQUEST_ERROR"},
    Row{kCloud, Code::kNotFound, "CLOUD_API_ERROR/RESOURCE_NOT_FOUND", "REQUEST_ERROR"},
    Row{kCloud, Code::kPermissionDenied, "CLOUD_API_ERROR/ACCESS_DENIED", "PERMISSION_ERROR"},
    Row{kCloud, Code::kInvalidArgument, "CLOUD_API_ERROR/BAD_REQUEST", "NUCLEUS_ERROR"},
    Row{kCloud, Code::kUnavailable, "CLOUD_API_ERROR/NETWORK_ERROR", "NETWORK_ERROR"},
    Row{kCloud, Code::kTimeout, "CLOUD_API_ERROR/NETWORK_ERROR", "NETWORK_ERROR"},
    Row{kCloud,
        {},
        "CLOUD_API_ERROR/RESOLVE_COMPONENT_CANDIDATES_BAD_RESPONSE",
        "CLOUD_SERVICE_ERROR"},
    Row{kVersions,
        {},
        "NO_AVAILABLE_COMPONENT_VERSION/COMPONENT_VERSION_REQUIREMENTS_NOT_MET",
        "REQUEST_ERROR"},
    Row{kCircle, {}, "COMPONENT_CIRCULAR_DEPENDENCY_ERROR", "REQUEST_ERROR"},
    Row{kRecipe,
        {},
        "COMPONENT_PACKAGE_LOADING_ERROR/RECIPE_PARSE_ERROR",
        "COMPONENT_RECIPE_ERROR"},
    Row{kPlatform,
        {},
        "COMPONENT_PACKAGE_LOADING_ERROR/RECIPE_MISSING_MANIFEST",
        "COMPONENT_RECIPE_ERROR"},
    Row{kConfiguration, {}, "COMPONENT_CONFIGURATION_NOT_VALID", "REQUEST_ERROR"},
    Row{kRunWith, Code::kUnsupported, "CUSTOM_PLUGIN_NOT_SUPPORTED", "USER_COMPONENT_ERROR"},
    Row{kRunWith, {}, "RUN_WITH_CONFIG_NOT_VALID", "REQUEST_ERROR"},
    Row{kArtifact, Code::kNotFound, "ARTIFACT_DOWNLOAD_ERROR/CLOUD_API_ERROR/RESOURCE_NOT_FOUND",
        "REQUEST_ERROR"},
    Row{kArtifact, Code::kPermissionDenied,
        "ARTIFACT_DOWNLOAD_ERROR/CLOUD_API_ERROR/ACCESS_DENIED/"
        "GET_COMPONENT_VERSION_ARTIFACT_ACCESS_DENIED",
        "PERMISSION_ERROR"},
    Row{kArtifact, Code::kCorrupt, "ARTIFACT_DOWNLOAD_ERROR/ARTIFACT_CHECKSUM_MISMATCH",
        "COMPONENT_RECIPE_ERROR"},
    Row{kArtifact, Code::kUnsupported, "ARTIFACT_DOWNLOAD_ERROR/UNSUPPORTED_ARTIFACT_SCHEME",
        "COMPONENT_RECIPE_ERROR"},
    Row{kArtifact, Code::kResourceExhausted, "ARTIFACT_DOWNLOAD_ERROR/IO_ERROR/DISK_SPACE_CRITICAL",
        "DEVICE_ERROR"},
    Row{kArtifact, Code::kUnavailable, "ARTIFACT_DOWNLOAD_ERROR/NETWORK_ERROR", "NETWORK_ERROR"},
    Row{kArtifact, Code::kTimeout, "ARTIFACT_DOWNLOAD_ERROR/NETWORK_ERROR", "NETWORK_ERROR"},
    Row{kArtifact, Code::kInternal, "ARTIFACT_DOWNLOAD_ERROR/IO_ERROR/IO_WRITE_ERROR",
        "DEVICE_ERROR"},
    // What is left is about what was downloaded: mostly an archive.
    Row{kArtifact, {}, "ARTIFACT_DOWNLOAD_ERROR/IO_ERROR/IO_UNZIP_ERROR", "COMPONENT_RECIPE_ERROR"},
    Row{kState, Code::kResourceExhausted, "IO_ERROR/DISK_SPACE_CRITICAL", "DEVICE_ERROR"},
    Row{kState, {}, "IO_ERROR/IO_WRITE_ERROR", "DEVICE_ERROR"},
    Row{kValidity,
        {},
        "COMPONENT_UPDATE_ERROR/COMPONENT_CONFIGURATION_NOT_VALID",
        "USER_COMPONENT_ERROR"},
    Row{kRestarts, {}, "NUCLEUS_RESTART_FAILURE", "NUCLEUS_ERROR"},
    Row{kBootstrap, Code::kTimeout, "COMPONENT_UPDATE_ERROR/COMPONENT_BOOTSTRAP_TIMEOUT",
        "USER_COMPONENT_ERROR"},
    Row{kBootstrap, {}, "COMPONENT_UPDATE_ERROR/COMPONENT_BOOTSTRAP_ERROR", "USER_COMPONENT_ERROR"},
    Row{kComponent, {}, "COMPONENT_UPDATE_ERROR/COMPONENT_BROKEN", "USER_COMPONENT_ERROR"},
    Row{kActivation, Code::kResourceExhausted,
        "COMPONENT_UPDATE_ERROR/IO_ERROR/DISK_SPACE_CRITICAL", "DEVICE_ERROR"},
    Row{kActivation, {}, "COMPONENT_UPDATE_ERROR", "COMPONENT_ERROR"},
    Row{kCancelled, {}, "DEPLOYMENT_INTERRUPTED", ""},
};

}  // namespace

FaultCodes codes_of(const Fault& fault) {
  FaultCodes codes;
  codes.stack.emplace_back(fault.cause == kDocument || fault.cause == kStale ? kRejected
                                                                             : kFailure);
  for (const Row& row : kRows) {
    if (row.cause != fault.cause || row.code.value_or(fault.error.code()) != fault.error.code())
      continue;
    for (const auto level : std::views::split(row.stack, '/'))
      codes.stack.emplace_back(std::string_view(level));
    const bool is_aws = row.type == kUserComponent && fault.component.starts_with(kAwsComponents);
    if (!row.type.empty()) codes.types.emplace_back(is_aws ? "AWS_COMPONENT_ERROR" : row.type);
    break;
  }
  return codes;
}

}  // namespace skerry::nucleus
