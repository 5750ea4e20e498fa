// Deployments in the store.
#include <nlohmann/json.hpp>

#include "fleet/deployed_components.h"
#include "fleet/store.h"
#include "fleet/store_sql.h"
#include "formats/json_ptr.h"

namespace skerry::fleet {
namespace {

const std::string kDeploymentColumns =
    "id, job_id, sequence, name, target_arn, parent_target_arn, revision, status, is_latest, "
    "request, document, tags, created_ms";

Deployment read_deployment(const Row& row) {
  Deployment deployment;
  deployment.id = DeploymentId(row.text("id"));
  deployment.job_id = JobId(row.text("job_id"));
  deployment.sequence = row.number("sequence");
  deployment.name = row.text("name");
  deployment.target_arn = row.text("target_arn");
  deployment.parent_target_arn = row.text("parent_target_arn");
  deployment.revision = row.number("revision");
  parse(row.text("status"), deployment.status);
  deployment.is_latest = row.number("is_latest") != 0;
  deployment.request_json = row.text("request");
  deployment.document_json = row.text("document");
  deployment.tags_json = row.text("tags");
  deployment.created_ms = row.number("created_ms");
  return deployment;
}

}  // namespace

Result<void> add_deployed_components(Database& database, const std::string& deployment_id,
                                     const std::string& request_json) {
  if (request_json.empty()) return {};
  SKERRY_ASSIGN(const auto request, formats::parse_json(request_json));
  const auto components = request.find("components");
  if (components == request.end() || !components->is_object()) return {};
  for (const auto& [name, wanted] : components->items()) {
    if (!wanted.is_object()) continue;
    SKERRY_TRY(database.execute(
        "INSERT INTO deployed_components (deployment_id, name, version) VALUES (:id, :name, "
        ":version)",
        deployment_id, name, wanted.value("componentVersion", "")));
  }
  return {};
}

Result<int64_t> Store::next_revision(const std::string& target_arn) {
  SKERRY_TRY(
      database_->execute("INSERT INTO revisions (target_arn, revision) VALUES (:arn, 1) "
                         "ON CONFLICT (target_arn) DO UPDATE SET revision = revisions.revision + 1",
                         target_arn));
  return database_->select_one(
      "", "SELECT revision FROM revisions WHERE target_arn = :arn",
      [](const Row& row) { return row.number("revision"); }, target_arn);
}

Result<Deployment> Store::create_deployment(Deployment deployment) {
  SKERRY_TRY(transaction([&]() -> Result<void> {
    SKERRY_ASSIGN(
        deployment.sequence,
        database_->select_one("", "SELECT coalesce(max(sequence), 0) + 1 AS next FROM deployments",
                              [](const Row& row) { return row.number("next"); }));
    SKERRY_TRY(
        database_->execute("UPDATE deployments SET is_latest = 0 WHERE target_arn = :arn AND "
                           "is_latest = 1",
                           deployment.target_arn));
    const std::string status(to_string(deployment.status));
    const int64_t is_latest = 1;
    SKERRY_TRY(database_->execute(
        "INSERT INTO deployments (" + kDeploymentColumns +
            ") VALUES (:id, :job, :sequence, :name, :target, :parent, :revision, :status, :latest, "
            ":request, :document, :tags, :created)",
        deployment.id.str(), deployment.job_id.str(), deployment.sequence, deployment.name,
        deployment.target_arn, deployment.parent_target_arn, deployment.revision, status, is_latest,
        deployment.request_json, deployment.document_json, deployment.tags_json,
        deployment.created_ms));
    deployment.is_latest = true;
    return add_deployed_components(*database_, deployment.id.str(), deployment.request_json);
  }));
  return deployment;
}

Result<Deployment> Store::find_deployment(const DeploymentId& id) {
  return database_->select_one("deployment " + id.str() + " does not exist",
                               "SELECT " + kDeploymentColumns + " FROM deployments WHERE id = :id",
                               read_deployment, id.str());
}

Result<Deployment> Store::find_deployment_of_job(const JobId& job_id) {
  return database_->select_one(
      "job " + job_id.str() + " does not exist",
      "SELECT " + kDeploymentColumns + " FROM deployments WHERE job_id = :id", read_deployment,
      job_id.str());
}

Result<void> Store::delete_deployment(const DeploymentId& id) {
  return transaction([&]() -> Result<void> {
    SKERRY_ASSIGN(auto deployment, find_deployment(id));
    SKERRY_TRY(database_->execute("DELETE FROM job_executions WHERE job_id = :job",
                                  deployment.job_id.str()));
    SKERRY_TRY(database_->execute("DELETE FROM deployments WHERE id = :id", id.str()));
    return {};
  });
}

Result<Deployment> Store::latest_deployment(const std::string& target_arn) {
  return database_->select_one(target_arn + " has no deployment",
                               "SELECT " + kDeploymentColumns +
                                   " FROM deployments WHERE target_arn = :arn AND is_latest = 1",
                               read_deployment, target_arn);
}

Result<Slice<Deployment>> Store::list_deployments(const DeploymentFilter& filter,
                                                  const Page& page) {
  const int64_t before = number_after(page, INT64_MAX);
  const int64_t least_latest = filter.latest_only ? 1 : 0;
  SKERRY_ASSIGN(
      auto rows,
      database_->select("SELECT " + kDeploymentColumns +
                            " FROM deployments WHERE sequence < :before AND "
                            "is_latest >= :latest AND "
                            "(:any_target = '' OR target_arn = :target) AND "
                            "(:any_parent = '' OR parent_target_arn = :parent) "
                            "ORDER BY sequence DESC LIMIT :limit",
                        read_deployment, before, least_latest, filter.target_arn, filter.target_arn,
                        filter.parent_target_arn, filter.parent_target_arn, limit_of(page)));
  return slice_of(std::move(rows), page,
                  [](const Deployment& one) { return std::to_string(one.sequence); });
}

Result<void> Store::set_deployment_status(const DeploymentId& id, DeploymentStatus status) {
  SKERRY_ASSIGN(int64_t touched,
                database_->execute("UPDATE deployments SET status = :status WHERE id = :id",
                                   std::string(to_string(status)), id.str()));
  if (touched == 0) return fail(Code::kNotFound, "deployment " + id.str() + " does not exist");
  return {};
}

Result<void> Store::set_deployment_tags(const DeploymentId& id, const std::string& tags_json) {
  SKERRY_ASSIGN(int64_t touched,
                database_->execute("UPDATE deployments SET tags = :tags WHERE id = :id", tags_json,
                                   id.str()));
  if (touched == 0) return fail(Code::kNotFound, "deployment " + id.str() + " does not exist");
  return {};
}

}  // namespace skerry::fleet
