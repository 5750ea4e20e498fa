// Access keys, operators, their sessions, and the audit log in the store. Records and errors as
// store.h has them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fleet/access/roles.h"
#include "fleet/store.h"

namespace skerry::fleet {

// What a program signs its requests with.
struct AccessKey {
  std::string id;      // "AKIA…"
  std::string secret;  // as it is: signatures are checked with it
  std::string name;    // whom it was given to
  Role role = Role::kViewer;
  bool enabled = true;
  int64_t created_ms = 0;
};

// A person who may log in at the console.
struct Operator {
  std::string name;
  Role role = Role::kViewer;
  std::string password_hash;  // passwords.h
  bool enabled = true;
  int64_t created_ms = 0;
};

struct ConsoleSession {
  std::string token_sha256;  // hex; the token itself is the browser's alone
  std::string operator_name;
  std::string csrf_token;
  int64_t created_ms = 0;
};

// One change that was made, and who made it.
struct AuditEntry {
  int64_t sequence = 0;  // set by the store
  int64_t at_ms = 0;
  std::string actor;
  Role role = Role::kViewer;
  std::string via;        // Identity::via
  std::string operation;  // "greengrass:CreateDeployment"
  std::string resource;   // the path that was asked, decoded
  std::string request_id;
  std::string details_json = "{}";  // the request's body, shortened, without secrets
};

Result<void> add_access_key(Store& store, const AccessKey& key);
Result<AccessKey> find_access_key(Store& store, const std::string& id);
Result<std::vector<AccessKey>> list_access_keys(Store& store);  // by name
Result<void> enable_access_key(Store& store, const std::string& id, bool enabled);
Result<void> delete_access_key(Store& store, const std::string& id);

Result<void> add_operator(Store& store, const Operator& person);
Result<Operator> find_operator(Store& store, const std::string& name);
Result<std::vector<Operator>> list_operators(Store& store);  // by name
// Ends the sessions of one whose password or role is another or who is disabled.
Result<void> update_operator(Store& store, const Operator& person);
Result<void> delete_operator(Store& store, const std::string& name);  // with the sessions

Result<void> add_console_session(Store& store, const ConsoleSession& session);
Result<ConsoleSession> find_console_session(Store& store, const std::string& token_sha256);
Result<void> delete_console_session(Store& store, const std::string& token_sha256);
Result<void> delete_console_sessions_before(Store& store, int64_t created_ms);

Result<void> add_audit_entry(Store& store, const AuditEntry& entry);
struct AuditFilter {
  std::string actor;      // "" for everybody
  std::string operation;  // "" for every one
  std::string text;       // in the operation or the resource; "" for all
  int64_t from_ms = 0;
  int64_t until_ms = INT64_MAX;  // not included
};
// Newest first.
Result<Slice<AuditEntry>> list_audit(Store& store, const AuditFilter& filter, const Page& page);
Result<int64_t> prune_audit(Store& store, int64_t oldest_ms, int64_t limit);  // how many went

}  // namespace skerry::fleet
