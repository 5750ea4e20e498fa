// The table of migrations. Released entries never change; a new need is a new entry at the end.
#include "fleet/store_migrations.h"

#include <span>

#include "fleet/deployed_components.h"
#include "fleet/rollout/cohort.h"
#include "fleet/store_sql.h"

namespace skerry::fleet {
namespace {

struct Migration {
  int64_t version;
  std::vector<const char*> statements;
  Result<void> (*also)(Database&) = nullptr;  // what no statement can do; after them
};

// Migration 5: answers to requests with a client token.
const std::vector<const char*> kAnswers = {
    "CREATE TABLE answers (operation TEXT NOT NULL, client_token TEXT NOT NULL, "
    "request_sha256 TEXT NOT NULL, response TEXT NOT NULL, created_ms BIGINT NOT NULL, "
    "PRIMARY KEY (operation, client_token))",
    "CREATE INDEX answers_by_time ON answers (created_ms)"};

// Migration 6: buckets, and what an object tells its readers besides its content.
const std::vector<const char*> kBuckets = {
    "CREATE TABLE buckets (name TEXT PRIMARY KEY, created_ms BIGINT NOT NULL)",
    "INSERT INTO buckets (name, created_ms) SELECT bucket, MIN(modified_ms) FROM objects "
    "GROUP BY bucket",
    "ALTER TABLE objects ADD COLUMN headers TEXT NOT NULL DEFAULT '{}'",
    "CREATE INDEX objects_by_content ON objects (sha256)"};

// Migration 7. A revision is given once, even where its deployment is deleted: devices know
// configurations by it. So is the content of a component version.
const std::vector<const char*> kUpdatesAndDeletions = {
    "ALTER TABLE things ADD COLUMN version BIGINT NOT NULL DEFAULT 1",
    "ALTER TABLE thing_groups ADD COLUMN version BIGINT NOT NULL DEFAULT 1",
    "ALTER TABLE thing_groups ADD COLUMN attributes TEXT NOT NULL DEFAULT '{}'",
    "ALTER TABLE thing_groups ADD COLUMN tags TEXT NOT NULL DEFAULT '{}'",
    "ALTER TABLE core_devices ADD COLUMN tags TEXT NOT NULL DEFAULT '{}'",
    "CREATE TABLE revisions (target_arn TEXT PRIMARY KEY, revision BIGINT NOT NULL)",
    "INSERT INTO revisions (target_arn, revision) "
    "SELECT target_arn, max(revision) FROM deployments GROUP BY target_arn",
    "CREATE TABLE deleted_components (name TEXT NOT NULL, version TEXT NOT NULL, "
    "recipe_sha256 TEXT NOT NULL, PRIMARY KEY (name, version))",
    "CREATE INDEX job_executions_by_end ON job_executions (updated_ms)"};

// Migration 8: who may do what, and who did.
const std::vector<const char*> kAccess = {
    "CREATE TABLE access_keys (id TEXT PRIMARY KEY, secret TEXT NOT NULL, name TEXT NOT NULL, "
    "role TEXT NOT NULL, enabled BIGINT NOT NULL, created_ms BIGINT NOT NULL)",
    "CREATE TABLE operators (name TEXT PRIMARY KEY, role TEXT NOT NULL, "
    "password_hash TEXT NOT NULL, enabled BIGINT NOT NULL, created_ms BIGINT NOT NULL)",
    "CREATE TABLE console_sessions (token_sha256 TEXT PRIMARY KEY, "
    "operator TEXT NOT NULL REFERENCES operators (name), csrf_token TEXT NOT NULL, "
    "created_ms BIGINT NOT NULL)",
    "CREATE INDEX console_sessions_by_operator ON console_sessions (operator)",
    "CREATE TABLE audit (sequence BIGINT PRIMARY KEY, at_ms BIGINT NOT NULL, actor TEXT NOT NULL, "
    "role TEXT NOT NULL, via TEXT NOT NULL, operation TEXT NOT NULL, resource TEXT NOT NULL, "
    "request_id TEXT NOT NULL, details TEXT NOT NULL)",
    "CREATE INDEX audit_by_actor ON audit (actor, sequence)",
    "CREATE INDEX audit_by_operation ON audit (operation, sequence)"};

// Migration 20: the history of devices' metrics; a device's points of one length lie together.
const std::vector<const char*> kDeviceMetrics = {
    "CREATE TABLE device_metrics (thing TEXT NOT NULL, length_ms BIGINT NOT NULL, "
    "at_ms BIGINT NOT NULL, series TEXT NOT NULL, PRIMARY KEY (thing, length_ms, at_ms)) "
    "WITHOUT ROWID",
    "CREATE INDEX device_metrics_by_time ON device_metrics (length_ms, at_ms)"};

// Migration 24: claims, and the serial numbers that some of them ask for.
const std::vector<const char*> kClaims = {
    "CREATE TABLE claims (name TEXT PRIMARY KEY, certificate_id TEXT NOT NULL UNIQUE, "
    "names TEXT NOT NULL, group_names TEXT NOT NULL, has_serials BIGINT NOT NULL, "
    "most BIGINT NOT NULL, used BIGINT NOT NULL, revoked BIGINT NOT NULL, "
    "created_ms BIGINT NOT NULL, expires_ms BIGINT NOT NULL)",
    "CREATE TABLE claim_serials (claim TEXT NOT NULL, serial TEXT NOT NULL, thing TEXT NOT NULL, "
    "PRIMARY KEY (claim, serial)) WITHOUT ROWID"};

// Migration 9: what models do on devices. WITHOUT ROWID is SQLite's: rows lie in the order of their
// key, so that all things of one version are read in one sweep.
const std::vector<const char*> kModelMetrics = {
    "CREATE TABLE summary_runs (thing TEXT NOT NULL, run TEXT NOT NULL, highest BIGINT NOT NULL, "
    "below BIGINT NOT NULL, seen_ms BIGINT NOT NULL, PRIMARY KEY (thing, run))",
    "CREATE TABLE model_totals (model TEXT NOT NULL, version TEXT NOT NULL, thing TEXT NOT NULL, "
    "first_ms BIGINT NOT NULL, last_ms BIGINT NOT NULL, counts TEXT NOT NULL, "
    "PRIMARY KEY (model, version, thing)) WITHOUT ROWID",
    "CREATE INDEX model_totals_by_thing ON model_totals (thing)",
    "CREATE TABLE model_hours (model TEXT NOT NULL, version TEXT NOT NULL, "
    "hour_ms BIGINT NOT NULL, counts TEXT NOT NULL, PRIMARY KEY (model, version, hour_ms))"};

// Migration 15: what a release must fit into.
const std::vector<const char*> kFreeDisk = {
    "ALTER TABLE core_devices ADD COLUMN free_disk_bytes BIGINT NOT NULL DEFAULT -1"};

// Migration 17: how much of each device's streams is here.
const std::vector<const char*> kStreamCursors = {
    "CREATE TABLE stream_cursors (thing TEXT NOT NULL, stream TEXT NOT NULL, "
    "next BIGINT NOT NULL, seen_ms BIGINT NOT NULL, PRIMARY KEY (thing, stream))"};

// Migration 10: versions of models, where they come from, and which devices run them.
const std::vector<const char*> kModels = {
    "CREATE TABLE models (component TEXT NOT NULL, version TEXT NOT NULL, model TEXT NOT NULL, "
    "dataset TEXT NOT NULL, dataset_version TEXT NOT NULL, source_sha256 TEXT NOT NULL, "
    "provenance TEXT NOT NULL, created_by TEXT NOT NULL, created_ms BIGINT NOT NULL, "
    "PRIMARY KEY (component, version))",
    "CREATE INDEX models_by_dataset ON models (dataset, dataset_version)",
    "CREATE INDEX models_by_source ON models (source_sha256)",
    "CREATE INDEX installed_components_by_version ON installed_components (name, version, thing)",
    "CREATE TABLE model_promotions (sequence BIGINT PRIMARY KEY, component TEXT NOT NULL, "
    "tag TEXT NOT NULL, version TEXT NOT NULL, previous TEXT NOT NULL, promoted_by TEXT NOT NULL, "
    "at_ms BIGINT NOT NULL)",
    "CREATE INDEX model_promotions_by_tag ON model_promotions (component, tag, sequence)"};

// Migration 11: objects on the operator's own S3 service.
const std::vector<const char*> kRemoteObjects = {
    "CREATE TABLE remote_objects (bucket TEXT NOT NULL, object_key TEXT NOT NULL, "
    "sha256 TEXT NOT NULL, size_bytes BIGINT NOT NULL, etag TEXT NOT NULL, "
    "PRIMARY KEY (bucket, object_key))",
    "CREATE INDEX remote_objects_by_content ON remote_objects (sha256)"};

// Migration 12. Who is away is found when the broker tells.
const std::vector<const char*> kPresenceTable = {
    "CREATE TABLE presence (thing TEXT PRIMARY KEY REFERENCES things (name), "
    "connected BIGINT NOT NULL, since_ms BIGINT NOT NULL, last_seen_ms BIGINT NOT NULL, "
    "unreachable BIGINT NOT NULL)",
    "INSERT INTO presence (thing, connected, since_ms, last_seen_ms, unreachable) "
    "SELECT thing, 0, last_status_ms, last_status_ms, 0 FROM core_devices"};

// Migration 13: rollouts. A membership knows its thing's cohort, so that a stage is a range of an
// index.
const std::vector<const char*> kRollouts = {
    "ALTER TABLE memberships ADD COLUMN cohort BIGINT NOT NULL DEFAULT -1",
    "CREATE INDEX memberships_by_cohort ON memberships (group_name, cohort, thing)",
    "CREATE TABLE rollouts (id TEXT PRIMARY KEY, job_id TEXT NOT NULL, target_arn TEXT NOT NULL, "
    "group_name TEXT NOT NULL, plan TEXT NOT NULL, state TEXT NOT NULL, is_over BIGINT NOT NULL, "
    "findings TEXT NOT NULL, previous TEXT NOT NULL, rollback_id TEXT NOT NULL, "
    "rollback_job_id TEXT NOT NULL, release_bytes BIGINT NOT NULL, asked_to BIGINT NOT NULL, "
    "back_to TEXT NOT NULL, created_ms BIGINT NOT NULL, updated_ms BIGINT NOT NULL)",
    "CREATE INDEX rollouts_by_end ON rollouts (is_over)",
    "CREATE INDEX rollouts_by_target ON rollouts (target_arn, created_ms)",
    "CREATE TABLE rollout_history (rollout_id TEXT NOT NULL, sequence BIGINT NOT NULL, "
    "at_ms BIGINT NOT NULL, text TEXT NOT NULL, PRIMARY KEY (rollout_id, sequence))"};

// Migration 16. Executions lie in the order in which rollouts ask devices: a million of them are
// queued into neighbouring pages, and what one device has to do is in one place. No foreign keys:
// who deletes a thing or a deployment deletes its executions.
const std::vector<const char*> kExecutionsByDevice = {
    "CREATE TABLE executions_by_device (cohort BIGINT NOT NULL, thing TEXT NOT NULL, "
    "job_id TEXT NOT NULL, status TEXT NOT NULL, status_details TEXT NOT NULL, "
    "queued_ms BIGINT NOT NULL, started_ms BIGINT NOT NULL, updated_ms BIGINT NOT NULL, "
    "version_number BIGINT NOT NULL, execution_number BIGINT NOT NULL, "
    "PRIMARY KEY (cohort, thing, job_id)) WITHOUT ROWID",
    "CREATE TABLE cohorts_of_things (thing TEXT PRIMARY KEY, cohort BIGINT NOT NULL)",
    "UPDATE rollouts SET back_to = ''"};  // it followed the names

// Migration 18: what happens to components, told by fleet statuses: of each device the history that
// it told last, and when something was new in it.
const std::vector<const char*> kComponentEvents = {
    "CREATE TABLE component_histories (thing TEXT PRIMARY KEY, history TEXT NOT NULL, "
    "since_ms BIGINT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE component_events (thing TEXT NOT NULL, at_ms BIGINT NOT NULL, "
    "errors BIGINT NOT NULL, restarts BIGINT NOT NULL, PRIMARY KEY (thing, at_ms)) WITHOUT ROWID",
    "CREATE INDEX component_events_by_time ON component_events (at_ms)"};

// Migration 19: jobs that have ended on devices in more executions than are written at once.
const std::vector<const char*> kEndings = {
    "CREATE TABLE job_endings (job_id TEXT PRIMARY KEY, begun BIGINT NOT NULL, "
    "status TEXT NOT NULL) WITHOUT ROWID"};

// Migration 21: device shadows; each row is one of formats/shadow.h.
const std::vector<const char*> kShadowTable = {
    "CREATE TABLE shadows (thing TEXT NOT NULL, name TEXT NOT NULL, record TEXT NOT NULL, "
    "deleted BIGINT NOT NULL, changed_ms BIGINT NOT NULL, PRIMARY KEY (thing, name)) "
    "WITHOUT ROWID",
    "CREATE INDEX shadows_by_deletion ON shadows (deleted, changed_ms)"};

Result<void> move_executions(Database& database) {
  SKERRY_ASSIGN(auto things, database.select("SELECT DISTINCT thing FROM job_executions",
                                             [](const Row& row) { return row.text("thing"); }));
  for (const std::string& thing : things) {
    SKERRY_TRY(
        database.execute("INSERT INTO cohorts_of_things (thing, cohort) VALUES (:thing, :cohort)",
                         thing, rollout::cohort_of(ThingName(thing))));
  }
  for (const char* statement :
       {"INSERT INTO executions_by_device SELECT c.cohort, e.thing, e.job_id, e.status, "
        "e.status_details, e.queued_ms, e.started_ms, e.updated_ms, e.version_number, "
        "e.execution_number FROM job_executions e JOIN cohorts_of_things c ON c.thing = e.thing "
        "ORDER BY c.cohort, e.thing, e.job_id",
        "DROP TABLE cohorts_of_things", "DROP TABLE job_executions",
        "ALTER TABLE executions_by_device RENAME TO job_executions",
        // Whatever a rollout asks of all executions of a job is in it.
        "CREATE INDEX job_executions_by_job ON job_executions (job_id, status, cohort, thing, "
        "queued_ms, execution_number, updated_ms)"}) {
    SKERRY_TRY(database.execute(statement));
  }
  return {};
}

Result<void> fill_cohorts(Database& database) {
  SKERRY_ASSIGN(auto things, database.select("SELECT DISTINCT thing FROM memberships",
                                             [](const Row& row) { return row.text("thing"); }));
  for (const std::string& thing : things) {
    SKERRY_TRY(database.execute("UPDATE memberships SET cohort = :cohort WHERE thing = :thing",
                                rollout::cohort_of(ThingName(thing)), thing));
  }
  return {};
}

// Migration 14: the component versions that each deployment brings.
const std::vector<const char*> kDeployedComponents = {
    "CREATE TABLE deployed_components (deployment_id TEXT NOT NULL REFERENCES deployments (id) "
    "ON DELETE CASCADE, name TEXT NOT NULL, version TEXT NOT NULL, "
    "PRIMARY KEY (deployment_id, name))",
    "CREATE INDEX deployed_components_by_name ON deployed_components (name, version)"};

Result<void> fill_deployed_components(Database& database) {
  SKERRY_ASSIGN(auto deployments,
                database.select("SELECT id, request FROM deployments", [](const Row& row) {
                  return std::pair(row.text("id"), row.text("request"));
                }));
  for (const auto& [id, request] : deployments) {
    SKERRY_TRY(add_deployed_components(database, id, request));
  }
  return {};
}

// Migration 22: trainings on devices (learning/trainings.h).
const std::vector<const char*> kTrainings = {
    "CREATE TABLE trainings (id TEXT PRIMARY KEY, component TEXT NOT NULL, "
    "from_version TEXT NOT NULL, version TEXT NOT NULL, model_sha256 TEXT NOT NULL, "
    "layout TEXT NOT NULL, group_name TEXT NOT NULL, data TEXT NOT NULL, plan TEXT NOT NULL, "
    "rollout TEXT NOT NULL, state TEXT NOT NULL, is_over BIGINT NOT NULL, "
    "publishes BIGINT NOT NULL, reason TEXT NOT NULL, progress TEXT NOT NULL, "
    "deployment_id TEXT NOT NULL, created_by TEXT NOT NULL, created_ms BIGINT NOT NULL, "
    "updated_ms BIGINT NOT NULL)",
    "CREATE INDEX trainings_by_end ON trainings (is_over, created_ms)"};

// Migration 4: what core devices report of themselves.
const std::vector<const char*> kCoreDevices = {
    "CREATE TABLE core_devices (thing TEXT PRIMARY KEY REFERENCES things (name), "
    "healthy BIGINT NOT NULL, last_status_ms BIGINT NOT NULL, nucleus_version TEXT NOT NULL, "
    "platform TEXT NOT NULL, architecture TEXT NOT NULL, runtime TEXT NOT NULL, "
    "sequence_number BIGINT NOT NULL)",
    "CREATE TABLE installed_components (thing TEXT NOT NULL REFERENCES core_devices (thing), "
    "name TEXT NOT NULL, version TEXT NOT NULL, state TEXT NOT NULL, "
    "status_codes TEXT NOT NULL, status_reason TEXT NOT NULL, "
    "configuration_arns TEXT NOT NULL, is_root BIGINT NOT NULL, changed_ms BIGINT NOT NULL, "
    "reported_ms BIGINT NOT NULL, installed_ms BIGINT NOT NULL, PRIMARY KEY (thing, name))"};

// Migration 23: alerts (alerts/alert_store.h).
const std::vector<const char*> kAlerts = {
    "CREATE TABLE alerts (rule TEXT NOT NULL, subject TEXT NOT NULL, is_firing BIGINT NOT NULL, "
    "since_ms BIGINT NOT NULL, fired_ms BIGINT NOT NULL, breached_ms BIGINT NOT NULL, "
    "value TEXT NOT NULL, told_ms BIGINT NOT NULL, PRIMARY KEY (rule, subject))",
    "CREATE INDEX alerts_by_subject ON alerts (subject, is_firing)",
    "CREATE TABLE alert_silences (id TEXT PRIMARY KEY, rule TEXT NOT NULL, subject TEXT NOT NULL, "
    "until_ms BIGINT NOT NULL, reason TEXT NOT NULL, created_by TEXT NOT NULL, "
    "created_ms BIGINT NOT NULL)",
    "CREATE TABLE alert_notices (id TEXT PRIMARY KEY, sink TEXT NOT NULL, "
    "group_key TEXT NOT NULL, alert TEXT NOT NULL, created_ms BIGINT NOT NULL, "
    "due_ms BIGINT NOT NULL, attempts BIGINT NOT NULL, error TEXT NOT NULL)",
    "CREATE INDEX alert_notices_by_sink ON alert_notices (sink, due_ms)"};

const std::vector<Migration>& migrations() {
  static const std::vector<Migration> kMigrations = {
      // 1: the registry of things, groups and certificates.
      {1,
       {"CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
        "CREATE TABLE things (name TEXT PRIMARY KEY, id TEXT NOT NULL, attributes TEXT NOT NULL, "
        "created_ms BIGINT NOT NULL)",
        "CREATE TABLE thing_groups (name TEXT PRIMARY KEY, id TEXT NOT NULL, "
        "description TEXT NOT NULL, created_ms BIGINT NOT NULL)",
        "CREATE TABLE memberships (group_name TEXT NOT NULL REFERENCES thing_groups (name), "
        "thing TEXT NOT NULL REFERENCES things (name), PRIMARY KEY (group_name, thing))",
        "CREATE INDEX memberships_by_thing ON memberships (thing)",
        "CREATE TABLE certificates (id TEXT PRIMARY KEY, pem TEXT NOT NULL, status TEXT NOT NULL, "
        "common_name TEXT NOT NULL, thing TEXT REFERENCES things (name), "
        "created_ms BIGINT NOT NULL, expires_ms BIGINT NOT NULL)",
        "CREATE INDEX certificates_by_thing ON certificates (thing)"}},
      // 2: components and the names of their artifacts.
      {2,
       {"CREATE TABLE components (name TEXT NOT NULL, version TEXT NOT NULL, recipe TEXT NOT NULL, "
        "description TEXT NOT NULL, publisher TEXT NOT NULL, tags TEXT NOT NULL, "
        "created_ms BIGINT NOT NULL, PRIMARY KEY (name, version))",
        "CREATE TABLE objects (bucket TEXT NOT NULL, object_key TEXT NOT NULL, "
        "sha256 TEXT NOT NULL, size_bytes BIGINT NOT NULL, modified_ms BIGINT NOT NULL, "
        "PRIMARY KEY (bucket, object_key))"}},
      // 3: deployments and what became of them on each thing.
      {3,
       {"CREATE TABLE deployments (id TEXT PRIMARY KEY, job_id TEXT NOT NULL UNIQUE, "
        "sequence BIGINT NOT NULL UNIQUE, name TEXT NOT NULL, target_arn TEXT NOT NULL, "
        "parent_target_arn TEXT NOT NULL, revision BIGINT NOT NULL, status TEXT NOT NULL, "
        "is_latest BIGINT NOT NULL, request TEXT NOT NULL, document TEXT NOT NULL, "
        "tags TEXT NOT NULL, created_ms BIGINT NOT NULL)",
        "CREATE INDEX deployments_by_target ON deployments (target_arn, sequence)",
        "CREATE TABLE job_executions (job_id TEXT NOT NULL REFERENCES deployments (job_id), "
        "thing TEXT NOT NULL REFERENCES things (name), status TEXT NOT NULL, "
        "status_details TEXT NOT NULL, queued_ms BIGINT NOT NULL, started_ms BIGINT NOT NULL, "
        "updated_ms BIGINT NOT NULL, version_number BIGINT NOT NULL, "
        "execution_number BIGINT NOT NULL, PRIMARY KEY (job_id, thing))",
        "CREATE INDEX job_executions_by_thing ON job_executions (thing, queued_ms)"}},
      {4, kCoreDevices},
      {5, kAnswers},
      {6, kBuckets},
      {7, kUpdatesAndDeletions},
      {8, kAccess},
      {9, kModelMetrics},
      {10, kModels},
      {11, kRemoteObjects},
      {12, kPresenceTable},
      {13, kRollouts, fill_cohorts},
      {14, kDeployedComponents, fill_deployed_components},
      {15, kFreeDisk},
      {16, kExecutionsByDevice, move_executions},
      {17, kStreamCursors},
      {18, kComponentEvents},
      {19, kEndings},
      {20, kDeviceMetrics},
      {21, kShadowTable},
      {22, kTrainings},
      {23, kAlerts},
      {24, kClaims},
  };
  return kMigrations;
}

Result<int64_t> schema_version(Database& database) {
  SKERRY_TRY(
      database.execute("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)"));
  SKERRY_ASSIGN(auto versions,
                database.select("SELECT version FROM schema_version",
                                [](const Row& row) { return row.number("version"); }));
  return versions.empty() ? 0 : versions.front();
}

Result<void> apply(Database& database, const Migration& migration) {
  return database.transaction([&]() -> Result<void> {
    for (const char* statement : migration.statements) SKERRY_TRY(database.execute(statement));
    if (migration.also != nullptr) SKERRY_TRY(migration.also(database));
    SKERRY_TRY(database.execute("DELETE FROM schema_version"));
    SKERRY_TRY(database.execute("INSERT INTO schema_version (version) VALUES (:version)",
                                migration.version));
    return {};
  });
}

}  // namespace

int64_t newest_schema_version() {
  return migrations().back().version;
}

Result<void> migrate(Database& database, int64_t version) {
  SKERRY_ASSIGN(int64_t present, schema_version(database));
  if (present > newest_schema_version()) {
    return fail(Code::kFailedPrecondition,
                "the control-plane database has schema " + std::to_string(present) +
                    ", this program knows up to " + std::to_string(newest_schema_version()) +
                    ": run the skerry-fleet that made it, or a newer one");
  }
  for (const Migration& migration : migrations()) {
    if (migration.version > present && migration.version <= version) {
      SKERRY_TRY(apply(database, migration));
    }
  }
  return {};
}

}  // namespace skerry::fleet
