// The names of artifacts in the store: buckets and objects.
#include <algorithm>

#include "fleet/store.h"
#include "fleet/store_sql.h"

namespace skerry::fleet {
namespace {

const std::string kObjectColumns = "bucket, object_key, sha256, size_bytes, modified_ms, headers";

// Behind everything that begins with what stands before it.
constexpr const char* kLastCharacter = "\U0010ffff";

ArtifactObject read_object(const Row& row) {
  return {row.text("bucket"),        row.text("object_key"),
          row.text("sha256"),        static_cast<uint64_t>(row.number("size_bytes")),
          row.number("modified_ms"), row.text("headers")};
}

ArtifactBucket read_bucket(const Row& row) {
  return {row.text("name"), row.number("created_ms")};
}

// Recipes name content in their artifacts' URIs.
bool names_content(const std::vector<std::string>& recipes, const std::string& digest) {
  return std::ranges::any_of(recipes,
                             [&](const std::string& recipe) { return recipe.contains(digest); });
}

}  // namespace

Result<void> Store::put_object(const ArtifactObject& object) {
  SKERRY_TRY(create_bucket({object.bucket, object.modified_ms}));
  SKERRY_TRY(database_->execute(
      "INSERT INTO objects (" + kObjectColumns +
          ") VALUES (:bucket, :key, :sha256, :size, :modified, :headers) "
          "ON CONFLICT (bucket, object_key) DO UPDATE SET sha256 = excluded.sha256, "
          "size_bytes = excluded.size_bytes, modified_ms = excluded.modified_ms, "
          "headers = excluded.headers",
      object.bucket, object.key, object.sha256, static_cast<int64_t>(object.size_bytes),
      object.modified_ms, object.headers_json));
  return {};
}

Result<ArtifactObject> Store::find_object(const std::string& bucket, const std::string& key) {
  return database_->select_one(
      "s3://" + bucket + "/" + key + " does not exist in this artifact store",
      "SELECT " + kObjectColumns + " FROM objects WHERE bucket = :bucket AND object_key = :key",
      read_object, bucket, key);
}

Result<bool> Store::delete_object(const std::string& bucket, const std::string& key) {
  SKERRY_ASSIGN(
      int64_t touched,
      database_->execute("DELETE FROM objects WHERE bucket = :bucket AND object_key = :key", bucket,
                         key));
  return touched > 0;
}

Result<std::vector<ArtifactObject>> Store::list_objects(const std::string& bucket,
                                                        const std::string& prefix,
                                                        const Page& page) {
  const std::string end = prefix + kLastCharacter;
  return database_->select("SELECT " + kObjectColumns +
                               " FROM objects WHERE bucket = :bucket AND object_key > :after AND "
                               "object_key >= :prefix AND object_key < :end "
                               "ORDER BY object_key LIMIT :limit",
                           read_object, bucket, page.after, prefix, end,
                           static_cast<int64_t>(page.limit));
}

Result<bool> Store::create_bucket(const ArtifactBucket& bucket) {
  SKERRY_ASSIGN(int64_t inserted,
                database_->execute("INSERT INTO buckets (name, created_ms) VALUES (:name, "
                                   ":created) ON CONFLICT (name) DO NOTHING",
                                   bucket.name, bucket.created_ms));
  return inserted > 0;
}

Result<ArtifactBucket> Store::find_bucket(const std::string& name) {
  return database_->select_one("there is no bucket " + name,
                               "SELECT name, created_ms FROM buckets WHERE name = :name",
                               read_bucket, name);
}

Result<std::vector<ArtifactBucket>> Store::list_buckets() {
  return database_->select("SELECT name, created_ms FROM buckets ORDER BY name", read_bucket);
}

Result<void> Store::delete_bucket(const std::string& name) {
  SKERRY_TRY(find_bucket(name));
  SKERRY_ASSIGN(auto first, list_objects(name, "", {1, ""}));
  if (!first.empty()) return fail(Code::kFailedPrecondition, "bucket " + name + " is not empty");
  SKERRY_TRY(database_->execute("DELETE FROM buckets WHERE name = :name", name));
  return {};
}

Result<void> Store::expire_objects(int64_t before_ms) {
  SKERRY_ASSIGN(auto recipes, database_->select("SELECT recipe FROM components",
                                                [](const Row& row) { return row.text("recipe"); }));
  SKERRY_ASSIGN(auto old, database_->select(
                              "SELECT sha256 FROM objects GROUP BY sha256 "
                              "HAVING MAX(modified_ms) < :before",
                              [](const Row& row) { return row.text("sha256"); }, before_ms));
  for (const std::string& digest : old) {
    if (names_content(recipes, digest)) continue;
    SKERRY_TRY(database_->execute("DELETE FROM objects WHERE sha256 = :sha256", digest));
  }
  return {};
}

Result<std::vector<std::string>> Store::unused_content(const std::vector<std::string>& digests) {
  SKERRY_ASSIGN(auto recipes, database_->select("SELECT recipe FROM components",
                                                [](const Row& row) { return row.text("recipe"); }));
  std::vector<std::string> unused;
  for (const std::string& digest : digests) {
    if (names_content(recipes, digest)) continue;
    SKERRY_ASSIGN(auto named, database_->select(
                                  "SELECT object_key FROM objects WHERE sha256 = :sha256 LIMIT 1",
                                  [](const Row& row) { return row.text("object_key"); }, digest));
    if (named.empty()) unused.push_back(digest);
  }
  return unused;
}

}  // namespace skerry::fleet
