// The local deployments that the device's state remembers: all that have not ended, and the last
// few that have. Part of DeviceState, which makes them durable.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "nucleus/job_result.h"
#include "nucleus/local_request.h"

namespace skerry::nucleus {

struct LocalDeployment {
  DeploymentId id;
  int64_t created_ms = 0;
  LocalRequest request;
  bool cancelled = false;           // somebody wants it to end
  std::optional<JobResult> result;  // where it has ended
};

class LocalRecords {
 public:
  static constexpr int64_t kKept = 5;  // that have ended

  // Oldest first.
  const std::vector<LocalDeployment>& all() const { return all_; }
  const LocalDeployment* find(const DeploymentId& id) const;

  void add(LocalDeployment deployment);
  void note_cancelled(const DeploymentId& id);
  // False where the result is not that of a local deployment.
  bool take(const JobResult& result);

  nlohmann::json to_json() const;
  static nlohmann::json to_json(const LocalDeployment& deployment);
  // Throw json::exception on a missing field.
  static Result<LocalDeployment> deployment_from(const nlohmann::json& record);
  static Result<LocalRecords> from_json(const nlohmann::json& list);

 private:
  LocalDeployment* find(const std::string& id);

  std::vector<LocalDeployment> all_;
};

}  // namespace skerry::nucleus
