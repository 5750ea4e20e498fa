// How a deployment ended.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/named_type.h"
#include "nucleus/deployment_fault.h"

namespace skerry::nucleus {

// Of a job it is kept until the control plane has taken it. A local deployment's job is its id.
struct JobResult {
  JobId job;
  DeploymentId deployment;
  std::string target;  // "thinggroup/G"
  std::string configuration_arn;
  std::string status;           // name of a formats::JobStatus that is an end
  std::string detailed_status;  // "SUCCESSFUL", "FAILED_ROLLBACK_COMPLETE", …
  std::string reason;           // for people; empty when it succeeded
  FaultCodes codes = {};        // for machines; likewise
};

// Of a deployment in the thing's shadow the job is its configuration's ARN, which no job's id can
// be.
inline bool is_of_shadow(const JobId& job) {
  return job.str().starts_with("arn:");
}

// As records of the device's state have them. Reading throws json::exception on a missing field.
nlohmann::json to_json(const FaultCodes& codes);
FaultCodes codes_from(const nlohmann::json& record);  // its "codes"; none where there are none
nlohmann::json to_json(const JobResult& result);
JobResult result_from(const nlohmann::json& record);

}  // namespace skerry::nucleus
