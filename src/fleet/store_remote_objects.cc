// What is known of objects on the operator's S3 service.
#include "fleet/remote_artifacts.h"
#include "fleet/store_sql.h"

namespace skerry::fleet {
namespace {

const std::string kRemoteColumns = "bucket, object_key, sha256, size_bytes, etag";

RemoteObject read_remote_object(const Row& row) {
  return {row.text("bucket"), row.text("object_key"), row.text("sha256"),
          static_cast<uint64_t>(row.number("size_bytes")), row.text("etag")};
}

}  // namespace

Result<RemoteObject> find_remote_object(Store& store, const std::string& bucket,
                                        const std::string& key) {
  return store.database().select_one(
      "s3://" + bucket + "/" + key + " is not known",
      "SELECT " + kRemoteColumns +
          " FROM remote_objects WHERE bucket = :bucket AND object_key = :key",
      read_remote_object, bucket, key);
}

Result<RemoteObject> find_remote_content(Store& store, const std::string& sha256) {
  return store.database().select_one(
      "no object with the content " + sha256 + " is known",
      "SELECT " + kRemoteColumns + " FROM remote_objects WHERE sha256 = :sha256 LIMIT 1",
      read_remote_object, sha256);
}

Result<std::optional<int64_t>> content_bytes(Store& store, const std::string& sha256) {
  SKERRY_ASSIGN(auto sizes,
                store.database().select(
                    "SELECT size_bytes FROM objects WHERE sha256 = :first UNION ALL "
                    "SELECT size_bytes FROM remote_objects WHERE sha256 = :second "
                    "LIMIT 1",
                    [](const Row& row) { return row.number("size_bytes"); }, sha256, sha256));
  if (sizes.empty()) return std::optional<int64_t>();
  return std::optional(sizes.front());
}

Result<void> put_remote_object(Store& store, const RemoteObject& object) {
  SKERRY_TRY(store.database().execute(
      "INSERT INTO remote_objects (" + kRemoteColumns +
          ") VALUES (:bucket, :key, :sha256, :size, :etag) ON CONFLICT (bucket, object_key) DO "
          "UPDATE SET sha256 = excluded.sha256, size_bytes = excluded.size_bytes, "
          "etag = excluded.etag",
      object.bucket, object.key, object.sha256, static_cast<int64_t>(object.size_bytes),
      object.etag));
  return {};
}

}  // namespace skerry::fleet
