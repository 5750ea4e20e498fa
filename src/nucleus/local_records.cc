// A short list: found by looking.
#include "nucleus/local_records.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace skerry::nucleus {

using nlohmann::json;

LocalDeployment* LocalRecords::find(const std::string& id) {
  const auto found =
      std::ranges::find_if(all_, [&](const LocalDeployment& each) { return each.id.str() == id; });
  return found == all_.end() ? nullptr : &*found;
}

const LocalDeployment* LocalRecords::find(const DeploymentId& id) const {
  const auto found = std::ranges::find(all_, id, &LocalDeployment::id);
  return found == all_.end() ? nullptr : &*found;
}

void LocalRecords::add(LocalDeployment deployment) {
  all_.push_back(std::move(deployment));
}

void LocalRecords::note_cancelled(const DeploymentId& id) {
  if (auto* known = find(id.str())) known->cancelled = true;
}

bool LocalRecords::take(const JobResult& result) {
  LocalDeployment* known = find(result.job.str());
  if (!known) return false;
  known->result = result;
  auto too_many = std::ranges::count_if(
      all_, [](const LocalDeployment& each) { return each.result.has_value(); });
  too_many -= kKept;
  std::erase_if(all_, [&](const LocalDeployment& each) {
    if (!each.result || too_many <= 0) return false;
    --too_many;
    return true;
  });
  return true;
}

json LocalRecords::to_json(const LocalDeployment& deployment) {
  json out = {{"id", deployment.id.str()},
              {"created_ms", deployment.created_ms},
              {"request", nucleus::to_json(deployment.request)}};
  if (deployment.cancelled) out["cancelled"] = true;
  if (deployment.result) out["result"] = nucleus::to_json(*deployment.result);
  return out;
}

Result<LocalDeployment> LocalRecords::deployment_from(const json& record) {
  LocalDeployment deployment;
  deployment.id = DeploymentId(record.at("id").get<std::string>());
  deployment.created_ms = record.at("created_ms");
  SKERRY_ASSIGN(deployment.request, local_request_from(record.at("request")));
  deployment.cancelled = record.value("cancelled", false);
  if (record.contains("result")) deployment.result = result_from(record.at("result"));
  return deployment;
}

json LocalRecords::to_json() const {
  json list = json::array();
  for (const LocalDeployment& each : all_) list.push_back(to_json(each));
  return list;
}

Result<LocalRecords> LocalRecords::from_json(const json& list) {
  LocalRecords records;
  for (const json& each : list) {
    SKERRY_ASSIGN(auto deployment, deployment_from(each));
    records.all_.push_back(std::move(deployment));
  }
  return records;
}

}  // namespace skerry::nucleus
