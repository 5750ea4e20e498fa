// Job requests of devices, and notifications to them.
#include "fleet/jobs.h"

#include <nlohmann/json.hpp>

#include "base/log.h"
#include "formats/json_ptr.h"
#include "formats/names.h"

namespace skerry::fleet {
namespace {

constexpr std::string_view kModule = "jobs";
constexpr std::string_view kSubscribedPrefix = "$skerry/subscribed/";  // from the broker's plugin
constexpr int64_t kBacklogRetryMs = 20;
// The stock lite nucleus drops a longer packet without a word.
constexpr size_t kLitePacketBytes = 4'500;

formats::JobStatus to_format(ExecutionStatus status) {
  switch (status) {
    case ExecutionStatus::kQueued:
      return formats::JobStatus::kQueued;
    case ExecutionStatus::kInProgress:
      return formats::JobStatus::kInProgress;
    case ExecutionStatus::kSucceeded:
      return formats::JobStatus::kSucceeded;
    case ExecutionStatus::kFailed:
      return formats::JobStatus::kFailed;
    case ExecutionStatus::kTimedOut:
      return formats::JobStatus::kTimedOut;
    case ExecutionStatus::kRejected:
      return formats::JobStatus::kRejected;
    case ExecutionStatus::kCanceled:
      return formats::JobStatus::kCanceled;
    case ExecutionStatus::kRemoved:
      return formats::JobStatus::kRemoved;
  }
  return formats::JobStatus::kRemoved;
}

// What a device may say; the other statuses are the control plane's.
std::optional<ExecutionStatus> from_device(formats::JobStatus status) {
  switch (status) {
    case formats::JobStatus::kInProgress:
      return ExecutionStatus::kInProgress;
    case formats::JobStatus::kSucceeded:
      return ExecutionStatus::kSucceeded;
    case formats::JobStatus::kFailed:
      return ExecutionStatus::kFailed;
    case formats::JobStatus::kRejected:
      return ExecutionStatus::kRejected;
    default:
      return std::nullopt;
  }
}

formats::JobExecution to_format(const JobExecution& execution) {
  formats::JobExecution result;
  result.job_id = execution.job_id;
  result.thing = execution.thing;
  result.status = to_format(execution.status);
  if (const auto details = formats::parse_json(execution.status_details_json);
      details && details->is_object()) {
    for (const auto& [key, value] : details->items()) {
      if (value.is_string()) result.status_details[key] = value.get<std::string>();
    }
  }
  result.queued_at = execution.queued_ms / 1000;
  result.started_at = execution.started_ms / 1000;
  result.last_updated_at = execution.updated_ms / 1000;
  result.version_number = execution.version_number;
  result.execution_number = execution.execution_number;
  return result;
}

}  // namespace

JobsService::JobsService(io::Env& env, Store& store, Deployments& deployments, DeviceLink& link)
    : env_(env), store_(store), deployments_(deployments), link_(link) {
  const auto on_job_request = [this](const net::MqttMessage& message) { on_request(message); };
  link_.route("$aws/things/+/jobs/+/namespace-aws-gg-deployment/get", on_job_request);
  link_.route("$aws/things/+/jobs/+/namespace-aws-gg-deployment/update", on_job_request);
  link_.route(std::string(kSubscribedPrefix) + "+",
              [this](const net::MqttMessage& message) { on_subscribed(message); });
  link_.on_connected([this] { notify_all(); });
  deployments_.set_notifier(this);
}

JobsService::~JobsService() {
  deployments_.set_notifier(nullptr);
}

void JobsService::on_request(const net::MqttMessage& message) {
  using formats::JobTopicKind;
  auto topic = formats::parse_job_topic(message.topic);
  if (!topic) {
    log::warn(kModule, "request on a topic with an invalid name", {{"topic", message.topic}});
    return;
  }
  const bool is_get = topic->kind == JobTopicKind::kGet;
  const Answer answer = is_get ? get(*topic, message.payload) : update(*topic, message.payload);
  if (answer) {
    topic->kind = is_get ? JobTopicKind::kGetAccepted : JobTopicKind::kUpdateAccepted;
    link_.publish(topic->str(), *answer);
  } else {
    log::warn(kModule, "request rejected",
              {{"topic", message.topic},
               {"code", answer.error().code},
               {"reason", answer.error().message}});
    topic->kind = is_get ? JobTopicKind::kGetRejected : JobTopicKind::kUpdateRejected;
    link_.publish(topic->str(), formats::to_text(answer.error()));
  }
}

JobsService::Answer JobsService::get(const formats::JobTopic& topic, std::string_view payload) {
  const auto request = formats::parse_job_get_request(payload.empty() ? "{}" : payload);
  if (!request) return std::unexpected(rejection(request.error(), ""));
  const auto answer = [&]() -> Result<formats::NextJob> {
    formats::NextJob found{
        .timestamp = now_s(), .execution = {}, .client_token = request->client_token};
    std::optional<JobExecution> execution;
    if (topic.job == formats::kNextJob) {
      SKERRY_ASSIGN(execution, store_.next_pending(topic.thing));
    } else {
      SKERRY_ASSIGN(execution, store_.find_execution(JobId(topic.job), topic.thing));
    }
    if (execution && request->include_job_document) {
      SKERRY_ASSIGN(found.execution, with_document(*execution));
    } else if (execution) {
      found.execution = to_format(*execution);
    }
    return found;
  }();
  if (!answer) return std::unexpected(rejection(answer.error(), request->client_token));
  return formats::to_text(*answer);
}

JobsService::Answer JobsService::update(const formats::JobTopic& topic, std::string_view payload) {
  const auto request = formats::parse_job_update_request(payload);
  if (!request) return std::unexpected(rejection(request.error(), ""));
  const auto rejected = [&](std::string code, std::string message) {
    return std::unexpected(
        formats::JobRejected{now_s(), std::move(code), std::move(message), request->client_token});
  };
  const auto status = from_device(request->status);
  if (!status) {
    return rejected("InvalidRequest", "a device cannot set the status " +
                                          std::string(formats::name_of(request->status)));
  }
  const auto before = store_.find_execution(JobId(topic.job), topic.thing);
  if (!before) return std::unexpected(rejection(before.error(), request->client_token));
  // The same report again: the device did not get our answer.
  if (is_terminal(before->status) && before->status == *status) return accepted(*before, *request);
  if (is_terminal(before->status)) {
    return rejected("InvalidStateTransition",
                    "the execution has ended as " + std::string(to_string(before->status)));
  }
  if (request->expected_version && *request->expected_version != before->version_number) {
    return rejected("VersionMismatch",
                    "the execution is at version " + std::to_string(before->version_number));
  }
  Store::ExecutionChange change;
  change.status = *status;
  change.now_ms = env_.clock.wall_ms();
  if (!request->status_details.empty()) {
    change.status_details_json = formats::json_text(nlohmann::json(request->status_details));
  }
  const auto after = deployments_.update_execution(before->job_id, before->thing, change);
  if (!after) return std::unexpected(rejection(after.error(), request->client_token));
  log::info(kModule, "execution changed",
            {{"thing", after->thing.str()},
             {"job", after->job_id.str()},
             {"status", std::string(to_string(after->status))}});
  return accepted(*after, *request);
}

JobsService::Answer JobsService::accepted(const JobExecution& execution,
                                          const formats::JobUpdateRequest& request) const {
  formats::JobUpdateAccepted answer{now_s(), {}, request.client_token};
  if (request.include_job_execution_state) answer.execution_state = to_format(execution);
  return formats::to_text(answer);
}

formats::JobRejected JobsService::rejection(const Error& error, std::string client_token) const {
  std::string code = "InternalError";
  if (error.code() == Code::kNotFound) code = "ResourceNotFound";
  if (error.code() == Code::kInvalidArgument) code = "InvalidJson";
  return {now_s(), std::move(code), error.message(), std::move(client_token)};
}

// A stock Java nucleus that lost its session asks for its next job before it subscribes to the
// answer.
void JobsService::on_subscribed(const net::MqttMessage& message) {
  auto thing = formats::parse_thing_name(message.topic.substr(kSubscribedPrefix.size()));
  if (!thing) return;
  const auto next = store_.next_pending(*thing);
  if (!next || *next) job_changed(*thing);
}

void JobsService::job_changed(const ThingName& thing) {
  to_notify_.insert(thing);
  if (to_notify_.size() == 1) notify_timer_ = env_.loop.after(0, [this] { send_notifications(); });
}

void JobsService::notify_all() {
  auto things = store_.things_with_pending();
  if (!things) {
    log::error(kModule, "cannot find what devices have to do",
               {{"error", things.error().message()}});
    return;
  }
  to_notify_.insert(things->begin(), things->end());
  send_notifications();
}

void JobsService::send_notifications() {
  while (!to_notify_.empty() && link_.has_room()) {
    const ThingName thing = *to_notify_.begin();
    to_notify_.erase(to_notify_.begin());
    if (const auto notified = notify(thing); !notified) {
      log::error(kModule, "device not notified",
                 {{"thing", thing.str()}, {"error", notified.error().message()}});
    }
  }
  // Without a connection the next one sends them.
  if (!to_notify_.empty() && link_.connected()) {
    notify_timer_ = env_.loop.after(kBacklogRetryMs, [this] { send_notifications(); });
  }
}

Result<void> JobsService::notify(const ThingName& thing) {
  using formats::JobTopicKind;
  SKERRY_ASSIGN(const auto pending, store_.pending_executions(thing));
  formats::NextJob next{.timestamp = now_s(), .execution = {}, .client_token = {}};
  formats::JobsChanged changed{.timestamp = next.timestamp, .executions = {}};
  if (!pending.empty()) {
    SKERRY_ASSIGN(next.execution, with_document(pending.front()));
  }
  for (const JobExecution& execution : pending) changed.executions.push_back(to_format(execution));
  const std::string next_text = formats::to_text(next);
  if (next_text.size() > kLitePacketBytes) {
    log::warn(kModule,
              "job document is too long for the stock lite nucleus, which would not see it",
              {{"thing", thing.str()}, {"bytes", std::to_string(next_text.size())}});
  }
  link_.publish(formats::JobTopic{JobTopicKind::kNotifyNext, thing}.str(), next_text);
  link_.publish(formats::JobTopic{JobTopicKind::kNotify, thing}.str(), formats::to_text(changed));
  return {};
}

Result<formats::JobExecution> JobsService::with_document(const JobExecution& execution) {
  SKERRY_ASSIGN(const auto deployment, store_.find_deployment_of_job(execution.job_id));
  SKERRY_ASSIGN(auto document, formats::parse_json(deployment.document_json));
  formats::JobExecution result = to_format(execution);
  result.job_document = formats::share(std::move(document));
  return result;
}

}  // namespace skerry::fleet
