// The JSON of results.
#include "nucleus/job_result.h"

#include <nlohmann/json.hpp>

namespace skerry::nucleus {

using nlohmann::json;

json to_json(const FaultCodes& codes) {
  return {{"stack", codes.stack}, {"types", codes.types}};
}

// Earlier releases wrote none.
FaultCodes codes_from(const json& record) {
  if (!record.contains("codes")) return {};
  const json& codes = record.at("codes");
  return {codes.at("stack").get<std::vector<std::string>>(),
          codes.at("types").get<std::vector<std::string>>()};
}

json to_json(const JobResult& result) {
  return {{"job", result.job.str()}, {"deployment", result.deployment.str()},
          {"target", result.target}, {"arn", result.configuration_arn},
          {"status", result.status}, {"detailed", result.detailed_status},
          {"reason", result.reason}, {"codes", to_json(result.codes)}};
}

JobResult result_from(const json& in) {
  return {JobId(in.at("job")), DeploymentId(in.at("deployment")),
          in.at("target"),     in.at("arn"),
          in.at("status"),     in.at("detailed"),
          in.at("reason"),     codes_from(in)};
}

}  // namespace skerry::nucleus
