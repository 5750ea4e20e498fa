// SQL of the records of access. Every change of a key is an effect: whoever checks signatures
// follows.
#include "fleet/access/access_store.h"

#include "fleet/store_sql.h"

namespace skerry::fleet {
namespace {

const std::string kKeyColumns = "id, secret, name, role, enabled, created_ms";
const std::string kOperatorColumns = "name, role, password_hash, enabled, created_ms";
const std::string kSessionColumns = "token_sha256, operator, csrf_token, created_ms";
const std::string kAuditColumns =
    "at_ms, actor, role, via, operation, resource, request_id, details";

Role role_in(const Row& row) {
  Role role = Role::kViewer;
  parse(row.text("role"), role);
  return role;
}

AccessKey read_key(const Row& row) {
  return {row.text("id"), row.text("secret"),         row.text("name"),
          role_in(row),   row.number("enabled") != 0, row.number("created_ms")};
}

Operator read_operator(const Row& row) {
  return {row.text("name"), role_in(row), row.text("password_hash"), row.number("enabled") != 0,
          row.number("created_ms")};
}

ConsoleSession read_session(const Row& row) {
  return {row.text("token_sha256"), row.text("operator"), row.text("csrf_token"),
          row.number("created_ms")};
}

AuditEntry read_entry(const Row& row) {
  return {row.number("sequence"), row.number("at_ms"),    row.text("actor"),
          role_in(row),           row.text("via"),        row.text("operation"),
          row.text("resource"),   row.text("request_id"), row.text("details")};
}

std::string role_text(Role role) {
  return std::string(to_string(role));
}
int64_t number(bool value) {
  return value ? 1 : 0;
}

}  // namespace

std::string_view to_string(Role role) {
  constexpr std::string_view kNames[] = {"viewer", "deployer", "admin"};
  return kNames[static_cast<size_t>(role)];
}

bool parse(std::string_view text, Role& role) {
  for (const Role candidate : {Role::kViewer, Role::kDeployer, Role::kAdmin}) {
    if (to_string(candidate) != text) continue;
    role = candidate;
    return true;
  }
  return false;
}

// --- Access keys --------------------------------------------------------------------------------

Result<void> add_access_key(Store& store, const AccessKey& key) {
  SKERRY_TRY(store.database().execute(
      "INSERT INTO access_keys (" + kKeyColumns +
          ") VALUES (:id, :secret, :name, :role, :enabled, :created)",
      key.id, key.secret, key.name, role_text(key.role), number(key.enabled), key.created_ms));
  store.effects().access_keys.push_back({key.id, std::make_shared<const AccessKey>(key)});
  return {};
}

Result<AccessKey> find_access_key(Store& store, const std::string& id) {
  return store.database().select_one("access key " + id + " does not exist",
                                     "SELECT " + kKeyColumns + " FROM access_keys WHERE id = :id",
                                     read_key, id);
}

Result<std::vector<AccessKey>> list_access_keys(Store& store) {
  return store.database().select(
      "SELECT " + kKeyColumns + " FROM access_keys ORDER BY name, created_ms, id", read_key);
}

Result<void> enable_access_key(Store& store, const std::string& id, bool enabled) {
  SKERRY_ASSIGN(AccessKey key, find_access_key(store, id));
  SKERRY_TRY(store.database().execute("UPDATE access_keys SET enabled = :enabled WHERE id = :id",
                                      number(enabled), id));
  key.enabled = enabled;
  store.effects().access_keys.push_back({id, std::make_shared<const AccessKey>(std::move(key))});
  return {};
}

Result<void> delete_access_key(Store& store, const std::string& id) {
  SKERRY_TRY(find_access_key(store, id));
  SKERRY_TRY(store.database().execute("DELETE FROM access_keys WHERE id = :id", id));
  store.effects().access_keys.push_back({id, nullptr});
  return {};
}

// --- Operators ----------------------------------------------------------------------------------

Result<void> add_operator(Store& store, const Operator& person) {
  SKERRY_ASSIGN(int64_t inserted,
                store.database().execute("INSERT INTO operators (" + kOperatorColumns +
                                             ") VALUES (:name, :role, :hash, :enabled, :created) "
                                             "ON CONFLICT (name) DO NOTHING",
                                         person.name, role_text(person.role), person.password_hash,
                                         number(person.enabled), person.created_ms));
  if (inserted == 0) {
    return fail(Code::kAlreadyExists, "operator " + person.name + " already exists");
  }
  return {};
}

Result<Operator> find_operator(Store& store, const std::string& name) {
  return store.database().select_one(
      "operator " + name + " does not exist",
      "SELECT " + kOperatorColumns + " FROM operators WHERE name = :name", read_operator, name);
}

Result<std::vector<Operator>> list_operators(Store& store) {
  return store.database().select("SELECT " + kOperatorColumns + " FROM operators ORDER BY name",
                                 read_operator);
}

Result<void> update_operator(Store& store, const Operator& person) {
  SKERRY_TRY(find_operator(store, person.name));
  SKERRY_TRY(store.database().execute(
      "UPDATE operators SET role = :role, password_hash = :hash, enabled = :enabled "
      "WHERE name = :name",
      role_text(person.role), person.password_hash, number(person.enabled), person.name));
  SKERRY_TRY(
      store.database().execute("DELETE FROM console_sessions WHERE operator = :name", person.name));
  return {};
}

Result<void> delete_operator(Store& store, const std::string& name) {
  SKERRY_TRY(find_operator(store, name));
  SKERRY_TRY(store.database().execute("DELETE FROM console_sessions WHERE operator = :name", name));
  SKERRY_TRY(store.database().execute("DELETE FROM operators WHERE name = :name", name));
  return {};
}

// --- Sessions -----------------------------------------------------------------------------------

Result<void> add_console_session(Store& store, const ConsoleSession& session) {
  SKERRY_TRY(store.database().execute("INSERT INTO console_sessions (" + kSessionColumns +
                                          ") VALUES (:token, :operator, :csrf, :created)",
                                      session.token_sha256, session.operator_name,
                                      session.csrf_token, session.created_ms));
  return {};
}

Result<ConsoleSession> find_console_session(Store& store, const std::string& token_sha256) {
  return store.database().select_one(
      "this session has ended",
      "SELECT " + kSessionColumns + " FROM console_sessions WHERE token_sha256 = :token",
      read_session, token_sha256);
}

Result<void> delete_console_session(Store& store, const std::string& token_sha256) {
  SKERRY_TRY(store.database().execute("DELETE FROM console_sessions WHERE token_sha256 = :token",
                                      token_sha256));
  return {};
}

Result<void> delete_console_sessions_before(Store& store, int64_t created_ms) {
  SKERRY_TRY(store.database().execute("DELETE FROM console_sessions WHERE created_ms < :created",
                                      created_ms));
  return {};
}

// --- Audit --------------------------------------------------------------------------------------

Result<void> add_audit_entry(Store& store, const AuditEntry& entry) {
  SKERRY_TRY(store.database().execute(
      "INSERT INTO audit (sequence, " + kAuditColumns +
          ") VALUES ((SELECT coalesce(max(sequence), 0) + 1 FROM audit), :at, :actor, :role, :via, "
          ":operation, :resource, :request, :details)",
      entry.at_ms, entry.actor, role_text(entry.role), entry.via, entry.operation, entry.resource,
      entry.request_id, entry.details_json));
  return {};
}

Result<Slice<AuditEntry>> list_audit(Store& store, const AuditFilter& filter, const Page& page) {
  const std::string pattern = anywhere(filter.text);
  SKERRY_ASSIGN(
      auto rows,
      store.database().select(
          "SELECT sequence, " + kAuditColumns +
              " FROM audit WHERE sequence < :before AND (:any_actor = '' OR actor = :actor) AND "
              "(:any_operation = '' OR operation = :operation) AND (:any_text = '' OR operation "
              "LIKE "
              ":in_operation ESCAPE '\\' OR resource LIKE :in_resource ESCAPE '\\') AND "
              "at_ms >= :from AND at_ms < :until ORDER BY sequence DESC LIMIT :limit",
          read_entry, number_after(page, INT64_MAX), filter.actor, filter.actor, filter.operation,
          filter.operation, filter.text, pattern, pattern, filter.from_ms, filter.until_ms,
          limit_of(page)));
  return slice_of(std::move(rows), page,
                  [](const AuditEntry& entry) { return std::to_string(entry.sequence); });
}

// The newest one stays, whatever its age: numbers go on from it.
Result<int64_t> prune_audit(Store& store, int64_t oldest_ms, int64_t limit) {
  return store.database().execute(
      "DELETE FROM audit WHERE sequence IN (SELECT sequence FROM audit WHERE at_ms < :oldest AND "
      "sequence < (SELECT max(sequence) FROM audit) ORDER BY sequence LIMIT :limit)",
      oldest_ms, limit);
}

}  // namespace skerry::fleet
