// Component versions in the store.
#include "base/encoding.h"
#include "base/sha256.h"
#include "fleet/store.h"
#include "fleet/store_sql.h"

namespace skerry::fleet {
namespace {

const std::string kComponentColumns =
    "name, version, recipe, description, publisher, tags, created_ms";

ComponentVersion read_component(const Row& row) {
  return {ComponentName(row.text("name")), row.text("version"),   row.text("recipe"),
          row.text("description"),         row.text("publisher"), row.text("tags"),
          row.number("created_ms")};
}

// Of all that devices get: the recipe names its artifacts by their digests.
std::string digest_of(const ComponentVersion& component) {
  return hex_encode(sha256(component.recipe_json));
}

std::string missing(const ComponentName& name, const std::string& version) {
  return "component " + name.str() + " has no version " + version;
}

}  // namespace

Result<void> Store::create_component(const ComponentVersion& component) {
  SKERRY_ASSIGN(int64_t inserted,
                database_->execute("INSERT INTO components (" + kComponentColumns +
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
  SKERRY_TRY(
      database_->execute("DELETE FROM deleted_components WHERE name = :name AND version = :version",
                         component.name.str(), component.version));
  return {};
}

Result<void> Store::check_same_as_deleted(const ComponentVersion& component) {
  SKERRY_ASSIGN(auto digests, database_->select(
                                  "SELECT recipe_sha256 FROM deleted_components WHERE name = :name "
                                  "AND version = :version",
                                  [](const Row& row) { return row.text("recipe_sha256"); },
                                  component.name.str(), component.version));
  if (digests.empty() || digests.front() == digest_of(component)) return {};
  return fail(Code::kAlreadyExists,
              "component " + component.name.str() + " had a version " + component.version +
                  " with other content, which was deleted and may still run on devices: publish "
                  "the change as a new version, or force it (skerry component publish --force)");
}

Result<ComponentVersion> Store::find_component(const ComponentName& name,
                                               const std::string& version) {
  return database_->select_one(
      missing(name, version),
      "SELECT " + kComponentColumns + " FROM components WHERE name = :name AND version = :version",
      read_component, name.str(), version);
}

Result<std::vector<ComponentVersion>> Store::component_versions(const ComponentName& name) {
  return database_->select("SELECT " + kComponentColumns + " FROM components WHERE name = :name",
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

Result<std::string> Store::components_stamp() {
  SKERRY_ASSIGN(auto stamps,
                database_->select("SELECT COUNT(*) AS published, "
                                  "COALESCE(MAX(created_ms), 0) AS newest FROM components",
                                  [](const Row& row) {
                                    return std::to_string(row.number("published")) + "/" +
                                           std::to_string(row.number("newest"));
                                  }));
  return stamps.empty() ? std::string() : stamps.front();
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
  return transaction([&]() -> Result<void> {
    SKERRY_ASSIGN(auto component, find_component(name, version));
    SKERRY_TRY(database_->execute(
        "INSERT INTO deleted_components (name, version, recipe_sha256) "
        "VALUES (:name, :version, :digest) ON CONFLICT (name, version) DO UPDATE SET "
        "recipe_sha256 = excluded.recipe_sha256",
        name.str(), version, digest_of(component)));
    SKERRY_TRY(database_->execute(
        "DELETE FROM components WHERE name = :name AND version = :version", name.str(), version));
    return {};
  });
}

}  // namespace skerry::fleet
