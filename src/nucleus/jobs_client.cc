// AWS IoT Jobs in the deployment namespace, device side.
#include "nucleus/jobs_client.h"

#include <nlohmann/json.hpp>

#include "base/log.h"

namespace skerry::nucleus {
namespace {

using formats::JobTopicKind;

constexpr int64_t kReportAgainMs = 10'000;
constexpr int64_t kRepairAgainMs = 60'000;
constexpr int64_t kAnswerIsFreshMs = 60'000;
// How the client token of an update starts: its answer says by it what was answered.
constexpr std::string_view kProgress = "progress-";
constexpr std::string_view kResult = "result-";

// As the stock nuclei: the last two are JSON lists inside strings.
formats::StatusDetails details_of(const JobResult& result) {
  formats::StatusDetails details = {{"detailed-deployment-status", result.detailed_status}};
  if (!result.reason.empty()) {
    details["deployment-failure-cause"] = result.reason;
    details["deployment-error-stack"] = nlohmann::json(result.codes.stack).dump();
    details["deployment-error-types"] = nlohmann::json(result.codes.types).dump();
  }
  return details;
}

}  // namespace

JobsClient::JobsClient(io::Env& env, const NucleusInfo& info, DeviceState& state,
                       DeploymentEngine& engine, MqttRouter& mqtt, Hooks hooks)
    : env_(env),
      info_(info),
      state_(state),
      engine_(engine),
      mqtt_(mqtt),
      hooks_(std::move(hooks)) {}

std::string JobsClient::topic(JobTopicKind kind, std::string job) const {
  return formats::JobTopic{kind, info_.thing, std::move(job)}.str();
}

void JobsClient::start() {
  const std::string next(formats::kNextJob);
  listen(JobTopicKind::kNotifyNext, next);
  listen(JobTopicKind::kGetAccepted, next);
  listen(JobTopicKind::kGetRejected, next);
  listen(JobTopicKind::kUpdateAccepted, "+");
  listen(JobTopicKind::kUpdateRejected, "+");
  if (state_.phase() != Phase::kIdle) {
    const JobId& pending = state_.pending_job().job;
    if (!state_.find_local(DeploymentId(pending.str())) && !is_of_shadow(pending))
      running_ = pending;
  }
  work_.spawn(resume());
}

void JobsClient::listen(JobTopicKind kind, std::string job) {
  const std::string filter = topic(kind, std::move(job));
  auto subscription = mqtt_.subscribe(
      filter, 1, [this](const net::MqttMessage& message) { on_message(message); },
      [filter](const Error* error) {
        if (error) log::error("jobs", error->message(), {{"filter", filter}});
      });
  if (!subscription) return hooks_.on_fatal(subscription.error());
  subscriptions_.push_back(std::move(*subscription));
}

bool JobsClient::publish(JobTopicKind kind, std::string job, std::string payload) {
  auto accepted = mqtt_.publish(
      MqttRouter::Sender::kNucleus,
      {.topic = topic(kind, std::move(job)), .payload = std::move(payload), .qos = 1});
  if (!accepted) log::warn("jobs", "not sent", {{"reason", accepted.error().message()}});
  return accepted.has_value();
}

io::Task<void> JobsClient::resume() {
  auto resumed = co_await engine_.resume();
  if (!resumed) {
    hooks_.on_fatal(resumed.error());
    co_return;
  }
  ready_ = true;
  finished();
}

bool JobsClient::pause_jobs() {
  if (!ready_ || state_.phase() != Phase::kIdle) return false;
  ready_ = false;
  if (running_) {
    log::info("jobs", "put off for a deployment that goes before", {{"job", running_->str()}});
    work_.cancel_all();
    running_.reset();
    engine_.keep_downloads(true);
  }
  return true;
}

void JobsClient::resume_jobs() {
  ready_ = true;
  ask_for_next();
}

void JobsClient::on_connected() {
  report_results();
  doubt_token_ = ask_for_next();
}

std::string JobsClient::ask_for_next() {
  if ((!ready_ && !running_) || !mqtt_.connected()) return "";
  formats::JobGetRequest request;
  request.thing = info_.thing;
  request.client_token = env_.random.token(12);
  if (!state_.needs_repair().empty() && !repair_answered_) {
    request.client_token.insert(0, formats::kRepairToken);
    ask_again_ = env_.loop.after(kRepairAgainMs, [this] { (void)ask_for_next(); });
  }
  asked_token_ = request.client_token;
  asked_ms_ = env_.clock.monotonic_ms();
  if (publish(JobTopicKind::kGet, std::string(formats::kNextJob), formats::to_text(request))) {
    return request.client_token;
  }
  ask_again_ = env_.loop.after(kReportAgainMs, [this] { (void)ask_for_next(); });
  return "";
}

void JobsClient::on_message(const net::MqttMessage& message) {
  auto job_topic = formats::parse_job_topic(message.topic);
  if (!job_topic || job_topic->thing != info_.thing) return;
  if (job_topic->kind == JobTopicKind::kUpdateAccepted ||
      job_topic->kind == JobTopicKind::kUpdateRejected) {
    on_update_answer(*job_topic, message);
  } else if (job_topic->kind == JobTopicKind::kGetAccepted ||
             job_topic->kind == JobTopicKind::kNotifyNext) {
    auto next = formats::parse_next_job(message.payload);
    if (next) {
      if (next->client_token.starts_with(formats::kRepairToken)) on_repair_answer(*next);
      take_time(*next);
      on_next(*next);
    } else {
      log::warn("jobs", "unusable message",
                {{"topic", message.topic}, {"reason", next.error().message()}});
    }
  } else if (job_topic->kind == JobTopicKind::kGetRejected) {
    log::warn("jobs", "the control plane refused to name the next job",
              {{"answer", message.payload.substr(0, 300)}});
  }
}

// Only an answer to a question of now: other messages may have lain in the session for days.
void JobsClient::take_time(const formats::NextJob& answer) {
  if (answer.client_token.empty() || answer.client_token != asked_token_) return;
  asked_token_.clear();
  if (env_.clock.monotonic_ms() - asked_ms_ > kAnswerIsFreshMs) return;
  if (hooks_.on_time) hooks_.on_time(answer.timestamp * 1000);
}

void JobsClient::on_repair_answer(const formats::NextJob& next) {
  ask_again_.cancel();
  if (state_.needs_repair().empty() || std::exchange(repair_answered_, true)) return;
  if (!next.redeployed) {
    log::warn("jobs",
              "the control plane does not deploy again by itself; deploy again what is "
              "missing");
    return;
  }
  log::info("jobs", "the control plane deploys again what was lost",
            {{"deployments", std::to_string(*next.redeployed)}});
  if (*next.redeployed == 0) note_repaired();
}

// Where something failed the control plane is asked again: it then deploys what worked before that,
// until all is well or nothing is left.
void JobsClient::repair_ended() {
  if (!repair_failed_) return note_repaired();
  repair_failed_ = repair_answered_ = false;
  ask_again_ = env_.loop.after(kRepairAgainMs, [this] { (void)ask_for_next(); });
}

void JobsClient::note_repaired() {
  if (auto noted = state_.note_repaired(); !noted) {
    log::warn("jobs", "nothing is to be repaired; asked again after a restart",
              {{"reason", noted.error().message()}});
    return;
  }
  log::info("jobs", "nothing is left to repair");
  hooks_.on_repaired();
}

void JobsClient::on_next(const formats::NextJob& next) {
  const auto& execution = next.execution;
  if (running_ && execution && execution->job_id == *running_) return;
  if (running_ && state_.phase() != Phase::kIdle) return doubt(next);
  if (!ready_) return;
  if (running_) {
    log::info("jobs", "cancelled before the switch", {{"job", running_->str()}});
    work_.cancel_all();
    running_.reset();
    // "None" may be an old message, overtaken by the one that brought the job.
    if (!execution) return void(ask_for_next());
  }
  if (!execution) {
    // All that was to be repaired has run, where the question is newer than the last result.
    if (repair_answered_ && !state_.needs_repair().empty() && state_.last_result()) {
      next.client_token.empty() ? void(ask_for_next()) : repair_ended();
    }
    // Nothing is to come: what a cancelled or interrupted job has downloaded is not needed.
    engine_.keep_downloads(false);
    return engine_.tend();
  }
  // Ended already: the report was lost, or this message overtaken by it. Never run a job twice.
  if (const auto& last = state_.last_result(); last && last->job == execution->job_id) {
    return report(*last);
  }
  for (const JobResult& result : state_.unreported()) {
    if (result.job == execution->job_id) return report(result);
  }
  if (!execution->job_document) return void(ask_for_next());
  begin(*execution);
}

// Another job, or none, while one is past its switch: it was cancelled or replaced, unless the
// message is an old one. Only the answer to a question asked since ends what runs.
void JobsClient::doubt(const formats::NextJob& next) {
  if (doubt_token_.empty() || next.client_token != doubt_token_) {
    doubt_token_ = ask_for_next();
    return;
  }
  doubt_token_.clear();
  engine_.cancel(next.execution ? "replaced by " + next.execution->job_id.str() : "cancelled");
}

void JobsClient::begin(const formats::JobExecution& execution) {
  auto document = formats::parse_deployment(*execution.job_document);
  if (!document) {
    running_ = execution.job_id;
    repair_failed_ = true;
    work_.spawn(reject(execution.job_id, document.error()));
    return;
  }
  log::info("jobs", "deployment",
            {{"job", execution.job_id.str()}, {"for", document->configuration_arn}});
  running_ = execution.job_id;
  engine_.keep_downloads(false);
  update(execution.job_id, formats::JobStatus::kInProgress, {}, kProgress);
  work_.spawn(run(execution.job_id, std::move(*document)));
}

// A document that cannot be read: reported without being tried.
io::Task<void> JobsClient::reject(JobId job, Error error) {
  JobResult result{std::move(job),
                   DeploymentId(""),
                   "",
                   "",
                   std::string(name_of(formats::JobStatus::kRejected)),
                   "REJECTED",
                   error.message(),
                   codes_of({Cause::kDocument, error})};
  auto recorded = co_await engine_.end_without_change(std::move(result));
  if (!recorded) {
    hooks_.on_fatal(recorded.error());
    co_return;
  }
  finished();
}

io::Task<void> JobsClient::run(JobId job, formats::Deployment document) {
  auto done = co_await engine_.deploy({std::move(job), std::move(document), "", {}});
  if (!done) {
    hooks_.on_fatal(done.error());
    co_return;
  }
  finished();
}

void JobsClient::finished() {
  repair_failed_ |=
      state_.last_result() && state_.last_result()->status == name_of(formats::JobStatus::kFailed);
  running_.reset();
  doubt_token_.clear();
  if (!state_.unreported().empty()) hooks_.on_finished(state_.unreported().back());
  report_results();
  ask_for_next();
  if (hooks_.on_idle) hooks_.on_idle();
}

void JobsClient::report_results() {
  if (!mqtt_.connected() || state_.unreported().empty()) return;
  for (const JobResult& result : state_.unreported()) {
    if (!is_of_shadow(result.job)) report(result);
  }
  report_again_ = env_.loop.after(kReportAgainMs, [this] { report_results(); });
}

void JobsClient::report(const JobResult& result) {
  update(result.job, formats::parse_job_status(result.status).value_or(formats::JobStatus::kFailed),
         details_of(result), kResult);
}

void JobsClient::update(const JobId& job, formats::JobStatus status, formats::StatusDetails details,
                        std::string_view purpose) {
  formats::JobUpdateRequest request;
  request.status = status;
  request.status_details = std::move(details);
  request.client_token = std::string(purpose) + env_.random.token(12);
  publish(JobTopicKind::kUpdate, job.str(), formats::to_text(request));
}

void JobsClient::on_update_answer(const formats::JobTopic& answered,
                                  const net::MqttMessage& message) {
  JobId job(answered.job);
  auto known = std::find_if(state_.unreported().begin(), state_.unreported().end(),
                            [&](const JobResult& result) { return result.job == job; });
  if (known == state_.unreported().end() || running_ == job) return;
  if (answered.kind == JobTopicKind::kUpdateRejected) {
    auto rejected = formats::parse_job_rejected(message.payload);
    if (rejected && rejected->client_token.starts_with(kProgress)) return;
    // Busy or broken for the moment: the timer reports again. Everything else is final: the job is
    // gone or ended without us.
    if (rejected && (rejected->code == "InternalError" || rejected->code == "RequestThrottled"))
      return;
    log::warn("jobs", "the result was refused",
              {{"job", job.str()}, {"answer", message.payload.substr(0, 300)}});
  } else {
    auto accepted = formats::parse_job_update_accepted(message.payload);
    if (accepted && accepted->client_token.starts_with(kProgress)) return;
  }
  if (auto forgotten = state_.forget_result(job); !forgotten) {
    // The disk is full or fails: the timer reports again, and the next answer may find it well.
    log::warn("jobs", "a reported result could not be forgotten",
              {{"reason", forgotten.error().message()}});
    return;
  }
  if (state_.unreported().empty()) report_again_.cancel();
  ask_for_next();
}

}  // namespace skerry::nucleus
