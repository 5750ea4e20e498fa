// A deployment to a single thing in its named shadow, as AWS IoT Greengrass offers it to the Java
// nucleus: what is wanted stands in `desired`, how it went in `reported`. Source: the Java
// nucleus's ShadowDeploymentListener.
//
//   desired   {"fleetConfig": "a deployment document as text", "desiredStatus": "IN_PROGRESS"}
//             or with "desiredStatus": "CANCELED"
//   reported  {"fleetConfigurationArnForStatus", "status", "statusDetails": {"detailedStatus",
//             "failureCause", "errorStack", "errorTypes"}, "ggcVersion"}
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "formats/deployment.h"

namespace skerry::formats {

inline constexpr std::string_view kDeploymentShadow = "AWSManagedGreengrassV2Deployment";

struct WantedByShadow {
  std::string configuration_arn;  // what the deployment is known by; never empty
  Result<Deployment> document;    // an error where it cannot be read
  bool cancelled = false;
};

// What a message about the shadow says: get/accepted all of it, update/accepted what was changed.
struct ShadowWord {
  int64_t version = 0;
  std::string client_token;  // of whoever asked; may be empty
  // Nothing where `desired` is not there, or says nothing that could be named.
  std::optional<WantedByShadow> wanted;
  bool has_desired = false;
  std::string reported_arn, reported_status;  // empty where it does not say
};

// Untrusted.
Result<ShadowWord> parse_shadow_word(std::string_view payload);

struct ShadowReport {
  std::string configuration_arn;
  std::string status;           // "IN_PROGRESS", "SUCCEEDED", "FAILED", "REJECTED", "CANCELED"
  std::string detailed_status;  // may be empty, as what follows
  std::string failure_cause;
  std::vector<std::string> error_stack, error_types;
  std::string nucleus_version;
};

// The update that says it. With a version the shadow must be of that version. Causes are cut to
// what the service takes of a job's.
std::string to_text(const ShadowReport& report, std::optional<int64_t> version,
                    std::string_view client_token);

}  // namespace skerry::formats
