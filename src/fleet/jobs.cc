// Job requests of devices, and notifications to them.
#include "fleet/jobs.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/log_limit.h"
#include "formats/json_ptr.h"
#include "formats/limits.h"
#include "formats/names.h"

namespace skerry::fleet {
namespace {

constexpr std::string_view kJobsModule = "jobs";
constexpr std::string_view kSubscribedPrefix = "$skerry/subscribed/";  // from the broker's plugin
constexpr int64_t kBacklogRetryMs = 20;
constexpr int64_t kFailureRetryMs = 1'000;
// Of one unit of work: others get their turn in between.
constexpr size_t kNotificationsAtOnce = 64;
constexpr size_t kMessagesOfNotification = 2;
constexpr size_t kPageOfThings = 1'000;
// The clock may have gone back since: some are told once more.
constexpr int64_t kClockMarginMs = 60'000;
// As AWS has it: the notification of all jobs names the first of them.
constexpr size_t kMaxListed = 15;
constexpr size_t kMaxNotificationBytes = formats::kMaxPacketBytes - 1024;  // beside the topic
// The stock lite nucleus drops a longer packet without a word.
constexpr size_t kLitePacketBytes = 4'500;

// What only reads goes through the writer for its order alone.
constexpr auto kOnAnyDisk = StorePool::Need::kRelief;

// Devices cause it.
void log_limited(std::string_view message, log::Fields fields) {
  static log::Limit limit;
  limit.write(log::Level::kWarn, kJobsModule, message, fields);
}

// What a device may say; the other statuses are the control plane's.
bool is_of_devices(formats::JobStatus status) {
  using enum formats::JobStatus;
  return status == kInProgress || status == kSucceeded || status == kFailed || status == kRejected;
}

formats::JobExecution to_format(const JobExecution& execution) {
  formats::JobExecution result;
  result.job_id = execution.job_id;
  result.thing = execution.thing;
  result.status = execution.status;
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

Result<formats::JobExecution> with_document(Store& store, const JobExecution& execution) {
  SKERRY_ASSIGN(const auto deployment, store.find_deployment_of_job(execution.job_id));
  SKERRY_ASSIGN(auto document, formats::parse_json(deployment.document_json));
  formats::JobExecution result = to_format(execution);
  result.job_document = formats::share(std::move(document));
  return result;
}

}  // namespace

JobsService::JobsService(io::Env& env, StorePool& stores, const Deployments& deployments,
                         DeviceLink& link)
    : env_(env), stores_(stores), deployments_(deployments), link_(link) {
  const auto on_job_request = [this](const net::MqttMessage& message) { on_request(message); };
  link_.route("$aws/things/+/jobs/+/namespace-aws-gg-deployment/get", on_job_request);
  link_.route("$aws/things/+/jobs/+/namespace-aws-gg-deployment/update", on_job_request);
  link_.route(std::string(kSubscribedPrefix) + "+",
              [this](const net::MqttMessage& message) { on_subscribed(message); });
  link_.on_connected([this] { notify_all(INT64_MAX); });
  stores_.add_listener(*this);
}

JobsService::~JobsService() {
  stores_.remove_listener(*this);
}

void JobsService::on_request(const net::MqttMessage& message) {
  auto topic = formats::parse_job_topic(message.topic);
  if (!topic) {
    log_limited("request on a topic with an invalid name", {{"topic", message.topic}});
    return;
  }
  tasks_.spawn(answer(std::move(*topic), message.payload));
}

io::Task<void> JobsService::answer(formats::JobTopic topic, std::string payload) {
  using formats::JobTopicKind;
  const bool is_get = topic.kind == JobTopicKind::kGet;
  auto answered = co_await stores_.write([=, this](Store& store) -> Result<Answer> {
    return is_get ? get(store, topic, payload) : update(store, topic, payload);
  });
  const Answer answer =
      answered ? std::move(*answered) : std::unexpected(rejection(answered.error(), ""));
  if (answer) {
    topic.kind = is_get ? JobTopicKind::kGetAccepted : JobTopicKind::kUpdateAccepted;
    link_.publish(topic.str(), *answer);
  } else {
    log_limited("request rejected", {{"topic", topic.str()},
                                     {"code", answer.error().code},
                                     {"reason", answer.error().message}});
    topic.kind = is_get ? JobTopicKind::kGetRejected : JobTopicKind::kUpdateRejected;
    link_.publish(topic.str(), formats::to_text(answer.error()));
  }
}

JobsService::Answer JobsService::get(Store& store, const formats::JobTopic& topic,
                                     std::string_view payload) const {
  const auto request = formats::parse_job_get_request(payload.empty() ? "{}" : payload);
  if (!request) return std::unexpected(rejection(request.error(), ""));
  const auto answer = [&]() -> Result<formats::NextJob> {
    formats::NextJob found{
        .timestamp = now_s(), .execution = {}, .client_token = request->client_token};
    std::optional<JobExecution> execution;
    if (topic.job == formats::kNextJob &&
        request->client_token.starts_with(formats::kRepairToken)) {
      SKERRY_ASSIGN(found.redeployed, deployments_.redeploy(store, topic.thing));
      log_limited(
          "a device lost its records",
          {{"thing", topic.thing.str()}, {"deployed_again", std::to_string(*found.redeployed)}});
    }
    if (topic.job == formats::kNextJob) {
      SKERRY_ASSIGN(execution, store.next_pending(topic.thing));
    } else {
      SKERRY_ASSIGN(execution, store.find_execution(JobId(topic.job), topic.thing));
    }
    if (execution && request->include_job_document) {
      SKERRY_ASSIGN(found.execution, with_document(store, *execution));
    } else if (execution) {
      found.execution = to_format(*execution);
    }
    return found;
  }();
  if (!answer) return std::unexpected(rejection(answer.error(), request->client_token));
  return formats::to_text(*answer);
}

JobsService::Answer JobsService::update(Store& store, const formats::JobTopic& topic,
                                        std::string_view payload) const {
  const auto request = formats::parse_job_update_request(payload);
  if (!request) return std::unexpected(rejection(request.error(), ""));
  const auto rejected = [&](std::string code, std::string message) {
    return std::unexpected(
        formats::JobRejected{now_s(), std::move(code), std::move(message), request->client_token});
  };
  const formats::JobStatus status = request->status;
  if (!is_of_devices(status)) {
    return rejected("InvalidRequest",
                    "a device cannot set the status " + std::string(formats::name_of(status)));
  }
  const std::string details = formats::json_text(nlohmann::json(request->status_details));
  if (details.size() > formats::kMaxStatusDetailsBytes) {
    return rejected("InvalidRequest",
                    "statusDetails has " + std::to_string(details.size()) + " bytes, at most " +
                        std::to_string(formats::kMaxStatusDetailsBytes) + " are possible");
  }
  const auto before = store.find_execution(JobId(topic.job), topic.thing);
  if (!before) return std::unexpected(rejection(before.error(), request->client_token));
  // The same report again: the device did not get our answer.
  if (is_terminal(before->status) && before->status == status) return accepted(*before, *request);
  if (is_terminal(before->status)) {
    return rejected("InvalidStateTransition",
                    "the execution has ended as " + std::string(to_string(before->status)));
  }
  if (request->expected_version && *request->expected_version != before->version_number) {
    return rejected("VersionMismatch",
                    "the execution is at version " + std::to_string(before->version_number));
  }
  Store::ExecutionChange change;
  change.status = status;
  change.now_ms = env_.clock.wall_ms();
  if (!request->status_details.empty()) change.status_details_json = details;
  const auto after = deployments_.update_execution(store, before->job_id, before->thing, change);
  if (!after) return std::unexpected(rejection(after.error(), request->client_token));
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
  tasks_.spawn([](JobsService& self, ThingName name) -> io::Task<void> {
    const auto next = co_await self.stores_.write(
        [name](Store& store) { return store.next_pending(name); }, kOnAnyDisk);
    if (next && !*next) co_return;
    self.remember({name});
  }(*this, *thing));
}

void JobsService::committed(const Effects& effects) {
  if (!effects.jobs.empty()) remember(effects.jobs);
}

void JobsService::remember(const std::vector<ThingName>& things) {
  if (to_notify_.empty()) remembered_since_ms_ = env_.clock.wall_ms();
  // Their executions say which they are.
  if (to_notify_.size() + things.size() > kMostByName) {
    return notify_all(remembered_since_ms_ - kClockMarginMs);
  }
  to_notify_.insert(things.begin(), things.end());
  notify_soon();
}

void JobsService::notify_all(int64_t since_ms) {
  if (since_ms < INT64_MAX) to_notify_.clear();
  sweep_ = Sweep{sweep_ ? std::min(sweep_->since_ms, since_ms) : since_ms, ThingName()};
  notify_soon();
}

io::Task<void> JobsService::read_on() {
  const Sweep from = *sweep_;
  auto page = co_await stores_.write(
      [from](Store& store) {
        return store.things_to_notify(from.since_ms, from.after, kPageOfThings);
      },
      kOnAnyDisk);
  if (!page) {
    log::error(kJobsModule, "cannot find what devices have to do; trying again",
               {{"error", page.error().message()}});
    co_await io::sleep(env_.loop, kFailureRetryMs);
    co_return;
  }
  to_notify_.insert(page->begin(), page->end());
  // It may have begun anew meanwhile.
  if (!sweep_ || sweep_->after != from.after || sweep_->since_ms != from.since_ms) co_return;
  if (page->empty()) {
    sweep_.reset();
  } else {
    sweep_->after = page->back();
  }
}

void JobsService::notify_soon() {
  const bool has_any = !to_notify_.empty() || sweep_;
  if (has_any && !is_sending_) tasks_.spawn(send_notifications());
}

io::Task<void> JobsService::send_notifications() {
  is_sending_ = true;
  co_await io::sleep(env_.loop, 0);
  // Without a connection the next one sends them.
  while ((!to_notify_.empty() || sweep_) && link_.connected()) {
    if (to_notify_.empty()) {
      co_await read_on();
      continue;
    }
    const size_t room = link_.room() / kMessagesOfNotification;
    if (room == 0) {
      co_await io::sleep(env_.loop, kBacklogRetryMs);
      continue;
    }
    std::vector<ThingName> things;
    while (!to_notify_.empty() && things.size() < std::min(room, kNotificationsAtOnce)) {
      things.push_back(to_notify_.extract(to_notify_.begin()).value());
    }
    auto notifications = co_await stores_.write(
        [this, things](Store& store) -> Result<std::vector<Result<Notification>>> {
          std::vector<Result<Notification>> made;
          for (const ThingName& thing : things) made.push_back(notification(store, thing));
          return made;
        },
        kOnAnyDisk);
    if (!notifications) {
      log::error(kJobsModule, "devices not notified yet; trying again",
                 {{"error", notifications.error().message()}});
      to_notify_.insert(things.begin(), things.end());
      co_await io::sleep(env_.loop, kFailureRetryMs);
      continue;
    }
    for (size_t i = 0; i < notifications->size(); ++i) send((*notifications)[i], things[i]);
  }
  is_sending_ = false;
}

void JobsService::send(const Result<Notification>& notification, const ThingName& thing) {
  using formats::JobTopicKind;
  if (!notification) {
    log::error(kJobsModule, "device not notified",
               {{"thing", thing.str()}, {"error", notification.error().message()}});
    return;
  }
  if (notification->next.size() > kLitePacketBytes) {
    log::warn(kJobsModule,
              "job document is too long for the stock lite nucleus, which would not see it",
              {{"thing", thing.str()}, {"bytes", std::to_string(notification->next.size())}});
  }
  link_.publish(formats::JobTopic{JobTopicKind::kNotifyNext, thing}.str(), notification->next);
  link_.publish(formats::JobTopic{JobTopicKind::kNotify, thing}.str(), notification->list);
}

Result<JobsService::Notification> JobsService::notification(Store& store,
                                                            const ThingName& thing) const {
  SKERRY_ASSIGN(auto pending, store.pending_executions(thing));
  formats::NextJob next{.timestamp = now_s(), .execution = {}, .client_token = {}};
  std::string text = formats::to_text(next);
  while (!pending.empty()) {
    SKERRY_ASSIGN(next.execution, with_document(store, pending.front()));
    text = formats::to_text(next);
    if (text.size() <= kMaxNotificationBytes) break;
    // An earlier version took a document that no packet carries: it must not block what follows.
    Store::ExecutionChange change;
    change.status = ExecutionStatus::kFailed;
    change.status_details_json =
        R"({"deployment-failure-cause":"the document is too long to send"})";
    change.now_ms = env_.clock.wall_ms();
    SKERRY_TRY(deployments_.update_execution(store, pending.front().job_id, thing, change));
    pending.erase(pending.begin());
    next.execution.reset();
    text = formats::to_text(next);
  }
  if (pending.size() > kMaxListed) pending.resize(kMaxListed);
  formats::JobsChanged changed{.timestamp = next.timestamp, .executions = {}};
  for (const JobExecution& execution : pending) changed.executions.push_back(to_format(execution));
  return Notification{std::move(text), formats::to_text(changed)};
}

}  // namespace skerry::fleet
