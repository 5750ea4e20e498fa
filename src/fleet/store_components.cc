// Component versions and the names of artifacts in the store.
#include "fleet/store.h"
#include "fleet/store_sql.h"

namespace skerry::fleet {
namespace {

const std::string kColumns = "name, version, recipe, description, publisher, tags, created_ms";

ComponentVersion read_component(const Row& row) {
  return {ComponentName(row.text("name")), row.text("version"),   row.text("recipe"),
          row.text("description"),         row.text("publisher"), row.text("tags"),
          row.number("created_ms")};
}

const std::string kObjectColumns = "bucket, object_key, sha256, size_bytes, modified_ms";

ArtifactObject read_object(const Row& row) {
  return {row.text("bucket"), row.text("object_key"), row.text("sha256"),
          static_cast<uint64_t>(row.number("size_bytes")), row.number("modified_ms")};
}

std::string missing(const ComponentName& name, const std::string& version) {
  return "component " + name.str() + " has no version " + version;
}

}  // namespace

Result<void> Store::create_component(const ComponentVersion& component) {
  SKERRY_ASSIGN(int64_t inserted,
                database_->execute("INSERT INTO components (" + kColumns +
                                       ") VALUES (:name, :version, :recipe, :description, "
                                       ":publisher, :tags, :created) "
                                       "ON CONFLICT (name, version) DO NOTHING",
                                   component.name.str(), component.version, component.recipe_json,
                                   component.description, component.publisher, component.tags_json,
                                   component.created_ms));
  if (inserted == 0) {
    return fail(Code::kAlreadyExists, "component " + component.name.str() +
                                          " already has version " + component.version +
                                          ": publish the change as a new version");
  }
  return {};
}

Result<ComponentVersion> Store::find_component(const ComponentName& name,
                                               const std::string& version) {
  return database_->select_one(
      missing(name, version),
      "SELECT " + kColumns + " FROM components WHERE name = :name AND version = :version",
      read_component, name.str(), version);
}

Result<std::vector<ComponentVersion>> Store::component_versions(const ComponentName& name) {
  return database_->select("SELECT " + kColumns + " FROM components WHERE name = :name",
                           read_component, name.str());
}

Result<Slice<ComponentName>> Store::list_component_names(const Page& page) {
  SKERRY_ASSIGN(auto rows, database_->select(
                               "SELECT DISTINCT name FROM components WHERE name > :after "
                               "ORDER BY name LIMIT :limit",
                               [](const Row& row) { return ComponentName(row.text("name")); },
                               page.after, limit_of(page)));
  return slice_of(std::move(rows), page, [](const ComponentName& name) { return name.str(); });
}

Result<void> Store::set_component_tags(const ComponentName& name, const std::string& version,
                                       const std::string& tags_json) {
  SKERRY_ASSIGN(int64_t touched,
                database_->execute(
                    "UPDATE components SET tags = :tags WHERE name = :name AND version = :version",
                    tags_json, name.str(), version));
  if (touched == 0) return fail(Code::kNotFound, missing(name, version));
  return {};
}

Result<void> Store::delete_component(const ComponentName& name, const std::string& version) {
  SKERRY_ASSIGN(
      int64_t touched,
      database_->execute("DELETE FROM components WHERE name = :name AND version = :version",
                         name.str(), version));
  if (touched == 0) return fail(Code::kNotFound, missing(name, version));
  return {};
}

Result<void> Store::put_object(const ArtifactObject& object) {
  SKERRY_TRY(database_->execute(
      "INSERT INTO objects (" + kObjectColumns +
          ") VALUES (:bucket, :key, :sha256, :size, :modified) "
          "ON CONFLICT (bucket, object_key) DO UPDATE SET sha256 = excluded.sha256, "
          "size_bytes = excluded.size_bytes, modified_ms = excluded.modified_ms",
      object.bucket, object.key, object.sha256, static_cast<int64_t>(object.size_bytes),
      object.modified_ms));
  return {};
}

Result<ArtifactObject> Store::find_object(const std::string& bucket, const std::string& key) {
  return database_->select_one(
      "s3://" + bucket + "/" + key + " does not exist in this artifact store",
      "SELECT " + kObjectColumns + " FROM objects WHERE bucket = :bucket AND object_key = :key",
      read_object, bucket, key);
}

Result<void> Store::delete_object(const std::string& bucket, const std::string& key) {
  SKERRY_TRY(database_->execute("DELETE FROM objects WHERE bucket = :bucket AND object_key = :key",
                                bucket, key));
  return {};
}

}  // namespace skerry::fleet
