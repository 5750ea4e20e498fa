// Things, thing groups, memberships and certificates in the store.
#include "fleet/rollout/cohort.h"
#include "fleet/store.h"
#include "fleet/store_sql.h"

namespace skerry::fleet {
namespace {

const std::string kThingColumns = "name, id, attributes, created_ms, version";
Thing read_thing(const Row& row) {
  return {ThingName(row.text("name")), row.text("id"), row.text("attributes"),
          row.number("created_ms"), row.number("version")};
}

const std::string kGroupColumns = "name, id, description, created_ms, attributes, tags, version";
ThingGroup read_group(const Row& row) {
  return {ThingGroupName(row.text("name")),
          row.text("id"),
          row.text("description"),
          row.number("created_ms"),
          row.text("attributes"),
          row.text("tags"),
          row.number("version")};
}

const std::string kCertificateColumns =
    "id, pem, status, common_name, thing, created_ms, expires_ms";
Certificate read_certificate(const Row& row) {
  Certificate certificate;
  certificate.id = row.text("id");
  certificate.pem = row.text("pem");
  parse(row.text("status"), certificate.status);
  certificate.common_name = row.text("common_name");
  certificate.thing = ThingName(row.text("thing"));
  certificate.created_ms = row.number("created_ms");
  certificate.expires_ms = row.number("expires_ms");
  return certificate;
}

ThingName read_member(const Row& row) {
  return ThingName(row.text("thing"));
}

std::string missing_certificate(const std::string& id) {
  return "certificate " + id + " does not exist";
}

}  // namespace

Result<void> Store::create_thing(const Thing& thing) {
  SKERRY_ASSIGN(int64_t inserted,
                database_->execute("INSERT INTO things (" + kThingColumns +
                                       ") VALUES (:name, :id, :attributes, :created, :version) "
                                       "ON CONFLICT (name) DO NOTHING",
                                   thing.name.str(), thing.id, thing.attributes_json,
                                   thing.created_ms, thing.version));
  if (inserted == 0) {
    return fail(Code::kAlreadyExists, "thing " + thing.name.str() + " already exists");
  }
  return {};
}

Result<Thing> Store::find_thing(const ThingName& name) {
  return database_->select_one("thing " + name.str() + " does not exist",
                               "SELECT " + kThingColumns + " FROM things WHERE name = :name",
                               read_thing, name.str());
}

Result<Slice<Thing>> Store::list_things(const Page& page) {
  SKERRY_ASSIGN(auto rows,
                database_->select("SELECT " + kThingColumns +
                                      " FROM things WHERE name > :after ORDER BY name LIMIT :limit",
                                  read_thing, page.after, limit_of(page)));
  return slice_of(std::move(rows), page, [](const Thing& thing) { return thing.name.str(); });
}

Result<void> Store::update_thing(const ThingName& name, const std::string& attributes_json) {
  SKERRY_ASSIGN(int64_t touched, database_->execute("UPDATE things SET attributes = :attributes, "
                                                    "version = version + 1 WHERE name = :name",
                                                    attributes_json, name.str()));
  if (touched == 0) return fail(Code::kNotFound, "thing " + name.str() + " does not exist");
  return {};
}

Result<void> Store::delete_thing(const ThingName& name) {
  return transaction([&]() -> Result<void> {
    SKERRY_TRY(
        database_->execute("DELETE FROM job_executions WHERE cohort = :cohort AND thing = :thing",
                           rollout::cohort_of(name), name.str()));
    for (const char* statement :
         {"DELETE FROM installed_components WHERE thing = :thing",
          "DELETE FROM component_histories WHERE thing = :thing",
          "DELETE FROM component_events WHERE thing = :thing",
          "DELETE FROM core_devices WHERE thing = :thing",
          "DELETE FROM presence WHERE thing = :thing", "DELETE FROM shadows WHERE thing = :thing",
          "DELETE FROM memberships WHERE thing = :thing"}) {
      SKERRY_TRY(database_->execute(statement, name.str()));
    }
    SKERRY_ASSIGN(int64_t touched,
                  database_->execute("DELETE FROM things WHERE name = :name", name.str()));
    if (touched == 0) return fail(Code::kNotFound, "thing " + name.str() + " does not exist");
    return {};
  });
}

Result<void> Store::create_group(const ThingGroup& group) {
  SKERRY_ASSIGN(
      int64_t inserted,
      database_->execute(
          "INSERT INTO thing_groups (" + kGroupColumns +
              ") VALUES (:name, :id, :description, :created, :attributes, :tags, :version) "
              "ON CONFLICT (name) DO NOTHING",
          group.name.str(), group.id, group.description, group.created_ms, group.attributes_json,
          group.tags_json, group.version));
  if (inserted == 0) {
    return fail(Code::kAlreadyExists, "thing group " + group.name.str() + " already exists");
  }
  return {};
}

Result<ThingGroup> Store::find_group(const ThingGroupName& name) {
  return database_->select_one("thing group " + name.str() + " does not exist",
                               "SELECT " + kGroupColumns + " FROM thing_groups WHERE name = :name",
                               read_group, name.str());
}

Result<void> Store::update_group(const ThingGroup& group) {
  SKERRY_ASSIGN(int64_t touched,
                database_->execute("UPDATE thing_groups SET description = :description, "
                                   "attributes = :attributes, tags = :tags, version = :version "
                                   "WHERE name = :name",
                                   group.description, group.attributes_json, group.tags_json,
                                   group.version, group.name.str()));
  if (touched == 0) {
    return fail(Code::kNotFound, "thing group " + group.name.str() + " does not exist");
  }
  return {};
}

Result<void> Store::delete_group(const ThingGroupName& name) {
  return transaction([&]() -> Result<void> {
    SKERRY_TRY(database_->execute("DELETE FROM memberships WHERE group_name = :name", name.str()));
    SKERRY_TRY(database_->execute("DELETE FROM thing_groups WHERE name = :name", name.str()));
    return {};
  });
}

Result<Slice<ThingGroup>> Store::list_groups(const std::string& name_prefix, const Page& page) {
  SKERRY_ASSIGN(auto rows, database_->select("SELECT " + kGroupColumns +
                                                 " FROM thing_groups WHERE name > :after AND "
                                                 "substr(name, 1, length(:prefix)) = :same_prefix "
                                                 "ORDER BY name LIMIT :limit",
                                             read_group, page.after, name_prefix, name_prefix,
                                             limit_of(page)));
  return slice_of(std::move(rows), page, [](const ThingGroup& group) { return group.name.str(); });
}

Result<bool> Store::add_to_group(const ThingName& thing, const ThingGroupName& group) {
  SKERRY_TRY(find_thing(thing));
  SKERRY_TRY(find_group(group));
  SKERRY_ASSIGN(int64_t inserted,
                database_->execute("INSERT INTO memberships (group_name, thing, cohort) VALUES "
                                   "(:group, :thing, :cohort) ON CONFLICT (group_name, thing) DO "
                                   "NOTHING",
                                   group.str(), thing.str(), rollout::cohort_of(thing)));
  return inserted > 0;
}

Result<void> Store::remove_from_group(const ThingName& thing, const ThingGroupName& group) {
  SKERRY_TRY(find_thing(thing));
  SKERRY_TRY(find_group(group));
  SKERRY_TRY(
      database_->execute("DELETE FROM memberships WHERE group_name = :group AND thing = :thing",
                         group.str(), thing.str()));
  return {};
}

Result<Slice<ThingName>> Store::list_things_in_group(const ThingGroupName& group,
                                                     const Page& page) {
  SKERRY_TRY(find_group(group));
  SKERRY_ASSIGN(auto rows,
                database_->select("SELECT thing FROM memberships WHERE group_name = :group AND "
                                  "thing > :after ORDER BY thing LIMIT :limit",
                                  read_member, group.str(), page.after, limit_of(page)));
  return slice_of(std::move(rows), page, [](const ThingName& name) { return name.str(); });
}

Result<Slice<ThingGroupName>> Store::list_groups_of_thing(const ThingName& thing,
                                                          const Page& page) {
  SKERRY_TRY(find_thing(thing));
  SKERRY_ASSIGN(auto rows,
                database_->select(
                    "SELECT group_name FROM memberships WHERE thing = :thing AND "
                    "group_name > :after ORDER BY group_name LIMIT :limit",
                    [](const Row& row) { return ThingGroupName(row.text("group_name")); },
                    thing.str(), page.after, limit_of(page)));
  return slice_of(std::move(rows), page, [](const ThingGroupName& name) { return name.str(); });
}

Result<std::vector<ThingName>> Store::things_in_group(const ThingGroupName& group) {
  return database_->select("SELECT thing FROM memberships WHERE group_name = :group ORDER BY thing",
                           read_member, group.str());
}

Result<bool> Store::is_in_group(const ThingName& thing, const ThingGroupName& group) {
  SKERRY_ASSIGN(const auto found,
                database_->select(
                    "SELECT thing FROM memberships WHERE group_name = :group AND thing = :thing",
                    read_member, group.str(), thing.str()));
  return !found.empty();
}

Result<void> Store::add_certificate(const Certificate& certificate) {
  SKERRY_ASSIGN(int64_t inserted,
                database_->execute(
                    "INSERT INTO certificates (id, pem, status, common_name, created_ms, "
                    "expires_ms) VALUES (:id, :pem, :status, :name, :created, :expires) "
                    "ON CONFLICT (id) DO NOTHING",
                    certificate.id, certificate.pem, std::string(to_string(certificate.status)),
                    certificate.common_name, certificate.created_ms, certificate.expires_ms));
  if (inserted == 0) {
    return fail(Code::kAlreadyExists, "certificate " + certificate.id + " is already registered");
  }
  changed_certificates_.insert(certificate.id);
  return {};
}

Result<Certificate> Store::find_certificate(const std::string& id) {
  return database_->select_one(
      missing_certificate(id),
      "SELECT " + kCertificateColumns + " FROM certificates WHERE id = :id", read_certificate, id);
}

Result<Slice<Certificate>> Store::list_certificates(const Page& page) {
  SKERRY_ASSIGN(auto rows, database_->select("SELECT " + kCertificateColumns +
                                                 " FROM certificates WHERE id > :after "
                                                 "ORDER BY id LIMIT :limit",
                                             read_certificate, page.after, limit_of(page)));
  return slice_of(std::move(rows), page, [](const Certificate& one) { return one.id; });
}

Result<std::vector<Certificate>> Store::certificates_of_thing(const ThingName& thing) {
  return database_->select(
      "SELECT " + kCertificateColumns + " FROM certificates WHERE thing = :thing ORDER BY id",
      read_certificate, thing.str());
}

Result<void> Store::attach_certificate(const std::string& id, const ThingName& thing) {
  SKERRY_TRY(find_thing(thing));
  SKERRY_ASSIGN(
      int64_t touched,
      database_->execute("UPDATE certificates SET thing = :thing WHERE id = :id", thing.str(), id));
  if (touched == 0) return fail(Code::kNotFound, missing_certificate(id));
  changed_certificates_.insert(id);
  return {};
}

Result<void> Store::detach_certificate(const std::string& id) {
  SKERRY_ASSIGN(int64_t touched,
                database_->execute("UPDATE certificates SET thing = NULL WHERE id = :id", id));
  if (touched == 0) return fail(Code::kNotFound, missing_certificate(id));
  changed_certificates_.insert(id);
  return {};
}

Result<void> Store::delete_certificate(const std::string& id) {
  SKERRY_ASSIGN(int64_t touched, database_->execute("DELETE FROM certificates WHERE id = :id", id));
  if (touched == 0) return fail(Code::kNotFound, missing_certificate(id));
  changed_certificates_.insert(id);
  return {};
}

Result<void> Store::set_certificate_status(const std::string& id, CertificateStatus status) {
  SKERRY_ASSIGN(int64_t touched,
                database_->execute("UPDATE certificates SET status = :status WHERE id = :id",
                                   std::string(to_string(status)), id));
  if (touched == 0) return fail(Code::kNotFound, missing_certificate(id));
  changed_certificates_.insert(id);
  return {};
}

Result<std::vector<CertificateChange>> Store::usable_certificates() {
  return database_->select(
      "SELECT id, thing, expires_ms FROM certificates "
      "WHERE status = 'ACTIVE' AND thing IS NOT NULL",
      [](const Row& row) {
        return CertificateChange{row.text("id"), ThingName(row.text("thing")),
                                 row.number("expires_ms")};
      });
}

}  // namespace skerry::fleet
