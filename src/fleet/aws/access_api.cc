// skerry, our own service beside those of AWS: access keys, operators of the console, the audit
// log.
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "fleet/access/access_store.h"
#include "fleet/access/passwords.h"
#include "fleet/aws/fields.h"
#include "fleet/aws/input.h"
#include "fleet/aws/patterns.h"
#include "fleet/credentials.h"

namespace skerry::fleet::aws {
namespace {

using nlohmann::json;

constexpr std::string_view kRoles[] = {"viewer", "deployer", "admin"};
constexpr Shape kRole{.values = kRoles};
constexpr Shape kOwnerName{.min = 1, .max = 128, .pattern = &kNamePattern};
constexpr Shape kPassword{.min = 1, .max = 256};
constexpr Shape kSeconds{.type = Type::kLong, .min = 0, .max = int64_t{1} << 40};
constexpr Shape kAuditPage{.type = Type::kInteger, .min = 1, .max = 1000};

// A field of kRole is one of these.
Role role_of(const std::string& text, Role otherwise = Role::kViewer) {
  Role role = otherwise;
  parse(text, role);
  return role;
}

// --- Access keys --------------------------------------------------------------------------------

struct CreateKey {
  std::string name;
  std::string role;
  static std::span<const Field> fields() {
    using F = Fields<CreateKey>;
    static constexpr Field kFields[] = {F::body<&CreateKey::name>("name", kOwnerName, true),
                                        F::body<&CreateKey::role>("role", kRole, true)};
    return kFields;
  }
};

struct KeyRequest {
  std::string id;
  static std::span<const Field> fields() {
    using F = Fields<KeyRequest>;
    static constexpr Field kFields[] = {F::path<&KeyRequest::id>("accessKeyId", kNonEmpty)};
    return kFields;
  }
};

struct UpdateKey {
  std::string id;
  std::optional<bool> enabled;
  static std::span<const Field> fields() {
    using F = Fields<UpdateKey>;
    static constexpr Field kFields[] = {F::path<&UpdateKey::id>("accessKeyId", kNonEmpty),
                                        F::body<&UpdateKey::enabled>("enabled", kBoolean, true)};
    return kFields;
  }
};

struct Everything {
  static std::span<const Field> fields() { return {}; }
};

json key_answer(const AccessKey& key) {
  return {{"accessKeyId", key.id},
          {"name", key.name},
          {"role", std::string(to_string(key.role))},
          {"enabled", key.enabled},
          {"created", timestamp(key.created_ms)}};
}

// The answer is the only place where the secret can be read.
Result<json> make_key(ApiContext& context, const std::string& name, Role role) {
  const net::AwsCredentials credentials = new_access_key(context.env.random);
  const AccessKey key{credentials.access_key_id,  credentials.secret_access_key, name, role, true,
                      context.env.clock.wall_ms()};
  SKERRY_TRY(add_access_key(context.store, key));
  json answer = key_answer(key);
  answer["secretAccessKey"] = key.secret;
  return answer;
}

Result<json> create_key(ApiContext& context, const CreateKey& request) {
  return make_key(context, request.name, role_of(request.role));
}

Result<json> list_keys(ApiContext& context, const Everything&) {
  SKERRY_ASSIGN(const auto keys, list_access_keys(context.store));
  json answer = {{"accessKeys", json::array()}};
  for (const AccessKey& key : keys) answer["accessKeys"].push_back(key_answer(key));
  return answer;
}

Result<json> update_key(ApiContext& context, const UpdateKey& request) {
  SKERRY_TRY(enable_access_key(context.store, request.id, *request.enabled));
  SKERRY_ASSIGN(const auto key, find_access_key(context.store, request.id));
  return key_answer(key);
}

// A new key in place of one, which works on until it is disabled or deleted.
Result<json> rotate_key(ApiContext& context, const KeyRequest& request) {
  SKERRY_ASSIGN(const auto old, find_access_key(context.store, request.id));
  if (!old.enabled) {
    return fail(Code::kFailedPrecondition,
                "access key " + old.id + " is disabled: enable it, or create another one");
  }
  SKERRY_ASSIGN(json answer, make_key(context, old.name, old.role));
  answer["replaces"] = old.id;
  return answer;
}

Result<json> delete_key(ApiContext& context, const KeyRequest& request) {
  SKERRY_TRY(delete_access_key(context.store, request.id));
  return json::object();
}

// --- Operators ----------------------------------------------------------------------------------

struct CreateOperator {
  std::string name;
  std::string role;
  std::string password;
  static std::span<const Field> fields() {
    using F = Fields<CreateOperator>;
    static constexpr Field kFields[] = {
        F::body<&CreateOperator::name>("name", kOwnerName, true),
        F::body<&CreateOperator::role>("role", kRole, true),
        F::body<&CreateOperator::password>("password", kPassword, true)};
    return kFields;
  }
};

struct UpdateOperator {
  std::string name;
  std::string role;
  std::string password;
  std::optional<bool> enabled;
  static std::span<const Field> fields() {
    using F = Fields<UpdateOperator>;
    static constexpr Field kFields[] = {F::path<&UpdateOperator::name>("name", kOwnerName),
                                        F::body<&UpdateOperator::role>("role", kRole),
                                        F::body<&UpdateOperator::password>("password", kPassword),
                                        F::body<&UpdateOperator::enabled>("enabled", kBoolean)};
    return kFields;
  }
};

struct OperatorRequest {
  std::string name;
  static std::span<const Field> fields() {
    using F = Fields<OperatorRequest>;
    static constexpr Field kFields[] = {F::path<&OperatorRequest::name>("name", kOwnerName)};
    return kFields;
  }
};

json operator_answer(const Operator& person) {
  return {{"name", person.name},
          {"role", std::string(to_string(person.role))},
          {"enabled", person.enabled},
          {"created", timestamp(person.created_ms)}};
}

// Hashing takes the writer 0.1 s; operators are few and change rarely.
Result<json> create_operator(ApiContext& context, const CreateOperator& request) {
  Operator person;
  person.name = request.name;
  person.role = role_of(request.role);
  person.created_ms = context.env.clock.wall_ms();
  SKERRY_ASSIGN(person.password_hash, hash_password(request.password, context.env.random));
  SKERRY_TRY(add_operator(context.store, person));
  return operator_answer(person);
}

Result<json> list_all_operators(ApiContext& context, const Everything&) {
  SKERRY_ASSIGN(const auto people, list_operators(context.store));
  json answer = {{"operators", json::array()}};
  for (const Operator& person : people) answer["operators"].push_back(operator_answer(person));
  return answer;
}

Result<json> change_operator(ApiContext& context, const UpdateOperator& request) {
  SKERRY_ASSIGN(Operator person, find_operator(context.store, request.name));
  person.role = role_of(request.role, person.role);
  person.enabled = request.enabled.value_or(person.enabled);
  if (!request.password.empty()) {
    SKERRY_ASSIGN(person.password_hash, hash_password(request.password, context.env.random));
  }
  SKERRY_TRY(update_operator(context.store, person));
  return operator_answer(person);
}

Result<json> remove_operator(ApiContext& context, const OperatorRequest& request) {
  SKERRY_TRY(delete_operator(context.store, request.name));
  return json::object();
}

// --- Audit --------------------------------------------------------------------------------------

struct ListAudit : Paged {
  std::string actor;
  std::string operation;
  std::string text;
  std::optional<int64_t> from;  // seconds
  std::optional<int64_t> until;
  static std::span<const Field> fields() {
    using F = Fields<ListAudit>;
    static constexpr Field kFields[] = {F::query<&ListAudit::actor>("actor", kText),
                                        F::query<&ListAudit::operation>("operation", kText),
                                        F::query<&ListAudit::text>("text", kText),
                                        F::query<&ListAudit::from>("from", kSeconds),
                                        F::query<&ListAudit::until>("until", kSeconds),
                                        page_size<ListAudit>(kAuditPage),
                                        page_token<ListAudit>()};
    return kFields;
  }
};

Result<json> list_changes(ApiContext& context, const ListAudit& request) {
  SKERRY_ASSIGN(Page page, page_of(context, request));
  AuditFilter filter{.actor = request.actor, .operation = request.operation, .text = request.text};
  filter.from_ms = request.from.value_or(0) * 1000;
  if (request.until) filter.until_ms = *request.until * 1000;
  SKERRY_ASSIGN(const auto entries, list_audit(context.store, filter, page));
  json answer = {{"entries", json::array()}};
  for (const AuditEntry& entry : entries.items) {
    answer["entries"].push_back({{"sequence", entry.sequence},
                                 {"at", timestamp(entry.at_ms)},
                                 {"actor", entry.actor},
                                 {"role", std::string(to_string(entry.role))},
                                 {"via", entry.via},
                                 {"operation", entry.operation},
                                 {"resource", entry.resource},
                                 {"requestId", entry.request_id},
                                 {"details", object_of(entry.details_json)}});
  }
  add_next_token(context, answer, entries.next);
  return answer;
}

constexpr Route kAccessRoutes[] = {
    admin_only(operation<create_key>("skerry", "CreateAccessKey", "POST", "/skerry/v1/accessKeys")),
    admin_only(operation<list_keys>("skerry", "ListAccessKeys", "GET", "/skerry/v1/accessKeys")),
    admin_only(operation<update_key>("skerry", "UpdateAccessKey", "PATCH",
                                     "/skerry/v1/accessKeys/{accessKeyId}")),
    admin_only(operation<rotate_key>("skerry", "RotateAccessKey", "POST",
                                     "/skerry/v1/accessKeys/{accessKeyId}/rotate")),
    admin_only(operation<delete_key>("skerry", "DeleteAccessKey", "DELETE",
                                     "/skerry/v1/accessKeys/{accessKeyId}")),
    admin_only(
        operation<create_operator>("skerry", "CreateOperator", "POST", "/skerry/v1/operators")),
    admin_only(
        operation<list_all_operators>("skerry", "ListOperators", "GET", "/skerry/v1/operators")),
    admin_only(operation<change_operator>("skerry", "UpdateOperator", "PATCH",
                                          "/skerry/v1/operators/{name}")),
    admin_only(operation<remove_operator>("skerry", "DeleteOperator", "DELETE",
                                          "/skerry/v1/operators/{name}")),
    admin_only(operation<list_changes>("skerry", "ListAuditEntries", "GET", "/skerry/v1/audit")),
};

}  // namespace

std::span<const Route> access_routes() {
  return kAccessRoutes;
}

}  // namespace skerry::fleet::aws
