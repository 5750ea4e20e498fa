// AWS IoT Jobs over MQTT: topics and messages.
#include "formats/jobs.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "formats/limits.h"
#include "formats/names.h"
#include "formats/node.h"

namespace skerry::formats {
namespace {

using nlohmann::json;

constexpr std::string_view kPrefix = "$aws/things/";
constexpr std::string_view kJobs = "/jobs/";
constexpr std::string_view kNamespace = "namespace-aws-gg-deployment";
constexpr size_t kMaxDetailLength = 1024;

constexpr EnumNames<JobStatus, 8> kStatuses = {{
    {JobStatus::kQueued, "QUEUED"},
    {JobStatus::kInProgress, "IN_PROGRESS"},
    {JobStatus::kSucceeded, "SUCCEEDED"},
    {JobStatus::kFailed, "FAILED"},
    {JobStatus::kRejected, "REJECTED"},
    {JobStatus::kTimedOut, "TIMED_OUT"},
    {JobStatus::kRemoved, "REMOVED"},
    {JobStatus::kCanceled, "CANCELED"},
}};

// What follows the namespace in the topics of one job.
constexpr EnumNames<JobTopicKind, 6> kJobTopics = {{
    {JobTopicKind::kGet, "get"},
    {JobTopicKind::kGetAccepted, "get/accepted"},
    {JobTopicKind::kGetRejected, "get/rejected"},
    {JobTopicKind::kUpdate, "update"},
    {JobTopicKind::kUpdateAccepted, "update/accepted"},
    {JobTopicKind::kUpdateRejected, "update/rejected"},
}};
constexpr EnumNames<JobTopicKind, 2> kNotifications = {{
    {JobTopicKind::kNotify, "notify-"},
    {JobTopicKind::kNotifyNext, "notify-next-"},
}};

// At most `limit` bytes, without cutting a UTF-8 character in two.
std::string_view cut(std::string_view text, size_t limit) {
  if (text.size() <= limit) return text;
  while (limit > 0 && (static_cast<unsigned char>(text[limit]) & 0xC0) == 0x80) --limit;
  return text.substr(0, limit);
}

// --- Printing -----------------------------------------------------------------------------------

json to_json(const StatusDetails& details) {
  json result = json::object();
  for (const auto& [key, value] : details) result[key] = cut(value, kMaxDetailLength);
  return result;
}

json summary_json(const JobExecution& execution) {
  json result = {{"jobId", execution.job_id.str()},
                 {"queuedAt", execution.queued_at},
                 {"lastUpdatedAt", execution.last_updated_at},
                 {"executionNumber", execution.execution_number},
                 {"versionNumber", execution.version_number}};
  if (execution.started_at != 0) result["startedAt"] = execution.started_at;
  return result;
}

json execution_json(const JobExecution& execution) {
  json result = summary_json(execution);
  result["status"] = name_of(execution.status);
  if (!execution.thing.empty()) result["thingName"] = execution.thing.str();
  if (!execution.status_details.empty()) {
    result["statusDetails"] = to_json(execution.status_details);
  }
  if (execution.job_document) result["jobDocument"] = *execution.job_document;
  return result;
}

void set_token(json& message, const std::string& token) {
  if (!token.empty()) message["clientToken"] = token;
}

// --- Reading ------------------------------------------------------------------------------------

// Seconds since 1970; some senders add a fraction.
Result<> read_time(const Node& node, std::string_view key, int64_t& out) {
  constexpr double kLatest = 1e13;
  SKERRY_ASSIGN(auto member, node.find(key));
  if (!member) return {};
  SKERRY_ASSIGN(const double seconds, member->as_number());
  if (!(seconds >= 0 && seconds <= kLatest)) return member->wrong("is not a time");
  out = static_cast<int64_t>(seconds);
  return {};
}

Result<> read_token(const Node& node, std::string& token) {
  SKERRY_TRY(node.read("clientToken", token));
  // It is echoed in the answer: without a limit a device could make the fleet send what it likes.
  if (token.size() <= kMaxClientTokenBytes) return {};
  return fail(Code::kInvalidArgument,
              fmt::format("clientToken: longer than {} bytes", kMaxClientTokenBytes));
}

Result<StatusDetails> parse_details(const Node& node) {
  SKERRY_ASSIGN(auto members, node.members());
  StatusDetails details;
  for (const auto& [key, member] : members) {
    details[key] =
        member.is_string() ? member.value().get<std::string>() : json_text(member.value());
  }
  return details;
}

Result<> read_details(const Node& node, StatusDetails& details) {
  SKERRY_ASSIGN(auto member, node.find("statusDetails"));
  if (!member) return {};
  SKERRY_ASSIGN(details, parse_details(*member));
  return {};
}

Result<JobExecution> parse_execution(const Node& node) {
  JobExecution execution;
  SKERRY_ASSIGN(auto id_node, node.require("jobId"));
  SKERRY_ASSIGN(const std::string id_text, id_node.as_string());
  auto id = parse_job_id(id_text);
  if (!id) return id_node.wrong(id.error().message());
  execution.job_id = *std::move(id);

  std::string thing;
  SKERRY_TRY(node.read("thingName", thing));
  execution.thing = ThingName(std::move(thing));
  SKERRY_TRY(node.read("status", kStatuses, execution.status));
  SKERRY_TRY(read_details(node, execution.status_details));
  SKERRY_TRY(read_time(node, "queuedAt", execution.queued_at));
  SKERRY_TRY(read_time(node, "startedAt", execution.started_at));
  SKERRY_TRY(read_time(node, "lastUpdatedAt", execution.last_updated_at));
  SKERRY_TRY(node.read("versionNumber", execution.version_number));
  SKERRY_TRY(node.read("executionNumber", execution.execution_number));
  SKERRY_ASSIGN(auto document, node.find("jobDocument"));
  if (document) execution.job_document = share(document->value());
  return execution;
}

Result<json> parse_message(std::string_view text) {
  auto message = parse_json(text);
  if (!message) return fail(message.error().with_context("job message"));
  if (!message->is_object()) return fail(Code::kInvalidArgument, "job message: must be an object");
  return message;
}

}  // namespace

std::string_view name_of(JobStatus status) {
  return enum_name(kStatuses, status);
}
std::optional<JobStatus> parse_job_status(std::string_view name) {
  return enum_value(kStatuses, name);
}
bool is_terminal(JobStatus status) {
  return status != JobStatus::kQueued && status != JobStatus::kInProgress;
}

std::string JobTopic::str() const {
  const std::string jobs = fmt::format("{}{}{}", kPrefix, thing.str(), kJobs);
  if (const auto notification = enum_name(kNotifications, kind); !notification.empty()) {
    return fmt::format("{}{}{}", jobs, notification, kNamespace);
  }
  return fmt::format("{}{}/{}/{}", jobs, job, kNamespace, enum_name(kJobTopics, kind));
}

std::optional<JobTopic> parse_job_topic(std::string_view topic) {
  if (!topic.starts_with(kPrefix)) return std::nullopt;
  topic.remove_prefix(kPrefix.size());
  const size_t jobs = topic.find(kJobs);
  if (jobs == std::string_view::npos) return std::nullopt;
  auto thing = parse_thing_name(topic.substr(0, jobs));
  if (!thing) return std::nullopt;
  topic.remove_prefix(jobs + kJobs.size());

  JobTopic result{JobTopicKind::kGet, *std::move(thing), std::string(kNextJob)};
  for (const auto& [kind, prefix] : kNotifications) {
    if (topic.starts_with(prefix) && topic.substr(prefix.size()) == kNamespace) {
      result.kind = kind;
      return result;
    }
  }
  const size_t slash = topic.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  result.job = topic.substr(0, slash);
  if (result.job != kNextJob && !parse_job_id(result.job)) return std::nullopt;
  topic.remove_prefix(slash + 1);
  if (!topic.starts_with(kNamespace) || !topic.substr(kNamespace.size()).starts_with('/')) {
    return std::nullopt;
  }
  topic.remove_prefix(kNamespace.size() + 1);
  for (const auto& [kind, name] : kJobTopics) {
    if (name == topic) {
      result.kind = kind;
      return result;
    }
  }
  return std::nullopt;
}

std::string to_text(const JobGetRequest& message) {
  json result = {{"jobId", message.job_id},
                 {"thingName", message.thing.str()},
                 {"includeJobDocument", message.include_job_document}};
  set_token(result, message.client_token);
  return json_text(result);
}

std::string to_text(const NextJob& message) {
  json result = {{"timestamp", message.timestamp}};
  if (message.execution) result["execution"] = execution_json(*message.execution);
  if (message.redeployed) result["redeployed"] = *message.redeployed;
  set_token(result, message.client_token);
  return json_text(result);
}

std::string to_text(const JobsChanged& message) {
  json jobs = json::object();
  for (const JobExecution& execution : message.executions) {
    jobs[std::string(name_of(execution.status))].push_back(summary_json(execution));
  }
  return json_text({{"timestamp", message.timestamp}, {"jobs", std::move(jobs)}});
}

std::string to_text(const JobUpdateRequest& message) {
  json result = {{"status", name_of(message.status)}};
  if (!message.status_details.empty()) result["statusDetails"] = to_json(message.status_details);
  if (message.expected_version) result["expectedVersion"] = *message.expected_version;
  if (message.include_job_execution_state) result["includeJobExecutionState"] = true;
  set_token(result, message.client_token);
  return json_text(result);
}

std::string to_text(const JobUpdateAccepted& message) {
  json result = {{"timestamp", message.timestamp}};
  if (message.execution_state) {
    result["executionState"] = {{"status", name_of(message.execution_state->status)},
                                {"statusDetails", to_json(message.execution_state->status_details)},
                                {"versionNumber", message.execution_state->version_number}};
  }
  set_token(result, message.client_token);
  return json_text(result);
}

std::string to_text(const JobRejected& message) {
  json result = {
      {"timestamp", message.timestamp}, {"code", message.code}, {"message", message.message}};
  set_token(result, message.client_token);
  return json_text(result);
}

Result<JobGetRequest> parse_job_get_request(std::string_view text) {
  SKERRY_ASSIGN(const json message, parse_message(text));
  const Node root(message, "");
  JobGetRequest result;
  std::string thing;
  SKERRY_TRY(root.read("jobId", result.job_id));
  SKERRY_TRY(root.read("thingName", thing));
  result.thing = ThingName(std::move(thing));
  SKERRY_TRY(root.read("includeJobDocument", result.include_job_document));
  SKERRY_TRY(read_token(root, result.client_token));
  return result;
}

Result<NextJob> parse_next_job(std::string_view text) {
  SKERRY_ASSIGN(const json message, parse_message(text));
  const Node root(message, "");
  NextJob result;
  SKERRY_TRY(read_time(root, "timestamp", result.timestamp));
  SKERRY_TRY(read_token(root, result.client_token));
  SKERRY_ASSIGN(auto execution, root.find("execution"));
  const bool has_execution = execution && !(execution->is_object() && execution->value().empty());
  if (has_execution) {
    SKERRY_ASSIGN(result.execution, parse_execution(*execution));
  }
  SKERRY_ASSIGN(auto redeployed, root.find("redeployed"));
  if (redeployed) SKERRY_TRY(root.read("redeployed", result.redeployed.emplace()));
  return result;
}

Result<JobUpdateRequest> parse_job_update_request(std::string_view text) {
  SKERRY_ASSIGN(const json message, parse_message(text));
  const Node root(message, "");
  JobUpdateRequest result;
  SKERRY_ASSIGN(auto status, root.require("status"));
  SKERRY_ASSIGN(result.status, status.as_enum(kStatuses));
  SKERRY_TRY(read_details(root, result.status_details));
  SKERRY_ASSIGN(auto expected_version, root.find("expectedVersion"));
  if (expected_version) {
    SKERRY_ASSIGN(result.expected_version, expected_version->as_integer());
  }
  SKERRY_TRY(root.read("includeJobExecutionState", result.include_job_execution_state));
  SKERRY_TRY(read_token(root, result.client_token));
  return result;
}

Result<JobUpdateAccepted> parse_job_update_accepted(std::string_view text) {
  SKERRY_ASSIGN(const json message, parse_message(text));
  const Node root(message, "");
  JobUpdateAccepted result;
  SKERRY_TRY(read_time(root, "timestamp", result.timestamp));
  SKERRY_TRY(read_token(root, result.client_token));
  SKERRY_ASSIGN(auto state, root.find("executionState"));
  if (state) {
    JobExecution execution;
    SKERRY_TRY(state->read("status", kStatuses, execution.status));
    SKERRY_TRY(read_details(*state, execution.status_details));
    SKERRY_TRY(state->read("versionNumber", execution.version_number));
    result.execution_state = std::move(execution);
  }
  return result;
}

Result<JobRejected> parse_job_rejected(std::string_view text) {
  SKERRY_ASSIGN(const json message, parse_message(text));
  const Node root(message, "");
  JobRejected result;
  SKERRY_TRY(read_time(root, "timestamp", result.timestamp));
  SKERRY_TRY(root.read("code", result.code));
  SKERRY_TRY(root.read("message", result.message));
  SKERRY_TRY(read_token(root, result.client_token));
  return result;
}

}  // namespace skerry::formats
