// What the control plane remembers: plain values, as the store keeps them. Times are milliseconds
// since 1970 (UTC); 0 where there is none. Fields ending in _json hold one JSON value as text.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/named_type.h"
#include "formats/jobs.h"

namespace skerry::fleet {

struct Thing {
  ThingName name;
  std::string id;  // UUID
  std::string attributes_json = "{}";
  int64_t created_ms = 0;
  int64_t version = 1;  // counts updates
};

struct ThingGroup {
  ThingGroupName name;
  std::string id;  // UUID
  std::string description;
  int64_t created_ms = 0;
  std::string attributes_json = "{}";
  std::string tags_json = "{}";
  int64_t version = 1;  // counts updates
};

enum class CertificateStatus { kActive, kInactive, kRevoked };

struct Certificate {
  std::string id;  // SHA-256 fingerprint of the DER form, lower-case hex
  std::string pem;
  CertificateStatus status = CertificateStatus::kInactive;
  std::string common_name;  // of the subject; the only thing it can be attached to
  ThingName thing;          // empty until attached
  int64_t created_ms = 0;
  int64_t expires_ms = 0;
};

struct ComponentVersion {
  ComponentName name;
  std::string version;
  std::string recipe_json;  // canonical JSON, artifact URIs and digests already rewritten
  std::string description;
  std::string publisher;
  std::string tags_json = "{}";
  int64_t created_ms = 0;
};

// The name BUCKET/KEY of content that lies in artifacts/sha256/.
struct ArtifactObject {
  std::string bucket;
  std::string key;
  std::string sha256;  // lower-case hex
  uint64_t size_bytes = 0;
  int64_t modified_ms = 0;
  std::string headers_json = "{}";  // that readers get with it: {"Content-Type": …}
};

// Where objects are; made by its first object, too.
struct ArtifactBucket {
  std::string name;
  int64_t created_ms = 0;
};

enum class DeploymentStatus { kActive, kCompleted, kCanceled, kFailed, kInactive };

struct Deployment {
  DeploymentId id;
  JobId job_id;
  int64_t sequence = 0;  // order of creation; set by the store
  std::string name;
  std::string target_arn;
  std::string parent_target_arn;
  int64_t revision = 0;  // counts up for each target
  DeploymentStatus status = DeploymentStatus::kActive;
  bool is_latest = true;      // of its target
  std::string request_json;   // what CreateDeployment was given
  std::string document_json;  // what devices get
  std::string tags_json = "{}";
  int64_t created_ms = 0;
};

using ExecutionStatus = formats::JobStatus;
inline constexpr std::array kEveryExecutionStatus = {
    ExecutionStatus::kQueued,   ExecutionStatus::kInProgress, ExecutionStatus::kSucceeded,
    ExecutionStatus::kFailed,   ExecutionStatus::kTimedOut,   ExecutionStatus::kRejected,
    ExecutionStatus::kCanceled, ExecutionStatus::kRemoved};

// One deployment's job on one thing.
struct JobExecution {
  JobId job_id;
  ThingName thing;
  ExecutionStatus status = ExecutionStatus::kQueued;
  std::string status_details_json = "{}";  // string to string
  int64_t queued_ms = 0;  // never goes back for one thing: stock nuclei ignore an older job
  int64_t started_ms = 0;
  int64_t updated_ms = 0;
  int64_t version_number = 1;    // counts every change
  int64_t execution_number = 1;  // 1 unless a job is run again on the thing
};

// A thing that runs a nucleus, as its last fleet status said.
struct CoreDevice {
  ThingName thing;
  bool healthy = true;
  int64_t last_status_ms = 0;
  std::string nucleus_version;
  std::string platform;
  std::string architecture;
  std::string runtime;
  int64_t sequence_number = 0;   // of the last status message taken
  int64_t free_disk_bytes = -1;  // where its packages lie; -1: it does not say
  std::string tags_json = "{}";  // an operator's, not the device's
};

struct InstalledComponent {
  ComponentName name;
  std::string version;
  std::string state;                     // NEW, INSTALLED, STARTING, RUNNING, …
  std::string status_codes_json = "[]";  // of strings
  std::string status_reason;
  std::string configuration_arns_json = "[]";  // deployments that want it
  bool is_root = false;
  int64_t changed_ms = 0;   // when `state` last changed
  int64_t reported_ms = 0;  // when the device last spoke of it
  int64_t installed_ms = 0;
};

// The names on the wire: "ACTIVE", "IN_PROGRESS", …
std::string_view to_string(CertificateStatus status);
std::string_view to_string(DeploymentStatus status);
std::string_view to_string(ExecutionStatus status);
// False where `text` is no such name.
bool parse(std::string_view text, CertificateStatus& status);
bool parse(std::string_view text, DeploymentStatus& status);
bool parse(std::string_view text, ExecutionStatus& status);
using formats::is_terminal;

// Which part of a list: at most `limit` rows after the row that `after` (a former Slice::next)
// names.
struct Page {
  size_t limit = 100;
  std::string after;
};

template <class T>
struct Slice {
  std::vector<T> items;
  std::string next;  // "" at the end
};

}  // namespace skerry::fleet
