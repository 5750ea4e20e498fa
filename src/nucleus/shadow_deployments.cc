// From the shadow to the engine, and back.
#include "nucleus/shadow_deployments.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "formats/jobs.h"
#include "formats/json_ptr.h"
#include "formats/limits.h"
#include "formats/shadow.h"

namespace skerry::nucleus {
namespace {

constexpr std::string_view kModule = "shadow-deployment";
constexpr int64_t kSayAgainMs = 10'000;
constexpr std::string_view kInProgress = "IN_PROGRESS", kCanceled = "CANCELED";

}  // namespace

void ShadowDeployments::start() {
  if (!info_.has_fleet) return;
  for (const char* below : {"update/accepted", "update/rejected", "get/accepted"}) listen(below);
  if (state_.phase() == Phase::kIdle || !is_of_shadow(state_.pending_job().job)) return;
  running_ = state_.pending_job().job.str();
  is_resumed_ = true;
}

void ShadowDeployments::listen(const std::string& below) {
  const std::string filter =
      formats::shadow_topic(info_.thing.str(), formats::kDeploymentShadow) + "/" + below;
  auto subscription = mqtt_.subscribe(
      filter, 1, [this](const net::MqttMessage& message) { receive(message); },
      [filter](const Error* error) {
        if (error) log::error(kModule, error->message(), {{"filter", filter}});
      });
  if (!subscription) return hooks_.on_fatal(subscription.error());
  subscriptions_.push_back(*std::move(subscription));
}

void ShadowDeployments::on_connected() {
  if (!info_.has_fleet) return;
  reported_token_.clear();
  ask();
}

// What the shadow is now; results are reported once its version is known.
void ShadowDeployments::ask() {
  asked_token_ = "skerry-get-" + std::to_string(++asked_);
  version_when_asked_ = version_;
  auto sent = mqtt_.publish(
      MqttRouter::Sender::kNucleus,
      {.topic = formats::shadow_topic(info_.thing.str(), formats::kDeploymentShadow) + "/get",
       .payload = R"({"clientToken":")" + asked_token_ + R"("})",
       .qos = 1});
  if (!sent) log::warn(kModule, "not asked", {{"reason", sent.error().message()}});
  report_again_ = {};
  if (next_report()) report_again_ = env_.loop.after(kSayAgainMs, [this] { report_results(); });
}

void ShadowDeployments::receive(const net::MqttMessage& message) {
  const auto topic = formats::parse_shadow_topic(message.topic);
  if (!topic) return;
  if (topic->below == "update/rejected") return on_answer(message, false);
  auto word = formats::parse_shadow_word(message.payload);
  if (!word) {
    log::warn(kModule, "unusable message",
              {{"topic", message.topic}, {"reason", word.error().message()}});
    return;
  }
  // A shadow that was deleted for long begins anew: the answer to our question may go back, unless
  // something newer has overtaken it.
  const bool is_answer = !asked_token_.empty() && word->client_token == asked_token_;
  const bool may_go_back = is_answer && version_ == version_when_asked_;
  if (word->version < version_ && !may_go_back) return;
  version_ = word->version;
  if (topic->below == "update/accepted") {
    on_answer(message, true);
    // Whoever changes one of the two leaves the other as it is.
    if (word->has_desired && !word->wanted) return ask();
    return take(*std::move(word));
  }
  if (is_answer) asked_token_.clear();
  if (word->has_desired && !word->wanted) {
    log::error(kModule, "the shadow has a deployment that cannot be read",
               {{"shadow", std::string(formats::kDeploymentShadow)}});
  }
  take(*std::move(word));
  report_results();
}

void ShadowDeployments::take(formats::ShadowWord word) {
  if (!word.wanted) return;
  const bool is_first = !std::exchange(knows_shadow_, true);
  const std::string arn = word.wanted->configuration_arn;
  if (word.wanted->cancelled) {
    seen_.clear();
    return cancel(arn);
  }
  if (seen_ == arn) return;
  seen_ = arn;
  if (running_ == arn) return;
  if (is_first && is_done(word)) return;
  want(*std::move(word.wanted));
}

// Whether what the shadow wants has ended before this start. A device that lost its records does it
// once more.
bool ShadowDeployments::is_done(const formats::ShadowWord& word) const {
  const std::string& arn = word.wanted->configuration_arn;
  const bool waits = std::ranges::any_of(
      state_.unreported(), [&](const JobResult& result) { return result.job.str() == arn; });
  if (waits) return true;
  return word.reported_arn == arn && !word.reported_status.empty() &&
         word.reported_status != kInProgress && state_.needs_repair().empty();
}

void ShadowDeployments::want(Wanted wanted) {
  log::info(kModule, "deployment", {{"for", wanted.configuration_arn}});
  const std::string arn = wanted.configuration_arn;
  waiting_ = std::move(wanted);
  if (!running_) return run_next();
  if (is_past_switch(*running_)) return engine_.cancel("replaced by " + arn);
  if (is_resumed_) return;
  log::info(kModule, "replaced before the switch", {{"was", *running_}});
  drop_running();
  work_.spawn(run(*std::exchange(waiting_, {})));
}

void ShadowDeployments::drop_running() {
  work_.cancel_all();
  running_.reset();
}

bool ShadowDeployments::is_past_switch(const std::string& arn) const {
  return state_.phase() != Phase::kIdle && state_.pending_job().job.str() == arn;
}

void ShadowDeployments::cancel(const std::string& arn) {
  if (running_ == arn && is_past_switch(arn)) return engine_.cancel("cancelled");
  const bool was_running = running_ == arn && !is_resumed_;
  const bool was_waiting = waiting_ && waiting_->configuration_arn == arn;
  if (!was_running && !was_waiting) return;
  log::info(kModule, "cancelled before the switch", {{"was", arn}});
  const Error error(Code::kCancelled, "cancelled");
  auto recorded = state_.record_result({JobId(arn), DeploymentId(""), own_target(), arn,
                                        std::string(kCanceled), "FAILED_NO_STATE_CHANGE",
                                        error.message(), codes_of({Cause::kCancelled, error})});
  if (!recorded) return hooks_.on_fatal(recorded.error());
  if (was_waiting) {
    waiting_.reset();
    return report_results();
  }
  drop_running();
  ended();
}

void ShadowDeployments::run_next() {
  if (is_resumed_ && state_.phase() == Phase::kIdle) {
    is_resumed_ = false;
    running_.reset();
    report_results();
  }
  if (running_ || !waiting_ || !hooks_.take_turn()) return;
  work_.spawn(run(*std::exchange(waiting_, {})));
}

io::Task<void> ShadowDeployments::run(Wanted wanted) {
  running_ = wanted.configuration_arn;
  say({.configuration_arn = wanted.configuration_arn, .status = std::string(kInProgress)}, "");
  auto done = co_await deploy(&wanted);
  if (!done) {
    hooks_.on_fatal(done.error());
    co_return;
  }
  running_.reset();
  ended();
}

io::Task<Result<void>> ShadowDeployments::deploy(const Wanted* wanted) {
  const JobId job(wanted->configuration_arn);
  auto usable = wanted->document ? check_target(*wanted->document) : fail(wanted->document.error());
  if (!usable) {
    co_return co_await engine_.end_without_change(
        {job, DeploymentId(""), own_target(), wanted->configuration_arn,
         std::string(name_of(formats::JobStatus::kRejected)), "REJECTED", usable.error().message(),
         codes_of({Cause::kDocument, usable.error()})});
  }
  formats::Deployment document = *wanted->document;
  if (document.id.str().empty()) document.id = DeploymentId(wanted->configuration_arn);
  engine_.keep_downloads(false);
  co_return co_await engine_.deploy({job, std::move(document), "", {}});
}

// A shadow is its thing's: what stands there for others is a mistake.
Result<void> ShadowDeployments::check_target(const formats::Deployment& document) const {
  SKERRY_ASSIGN(const std::string target, target_of(document));
  if (target == own_target()) return {};
  return fail(Code::kInvalidArgument, "configurationArn: the deployment is for " + target +
                                          ", and stands in the shadow of " + own_target());
}

void ShadowDeployments::ended() {
  const JobResult& result = state_.unreported().back();
  log::info(kModule, "deployment ended", {{"for", result.job.str()}, {"status", result.status}});
  hooks_.on_finished(result);
  report_results();
  hooks_.give_back();
  run_next();
}

// --- What the shadow is told --------------------------------------------------------------------

const JobResult* ShadowDeployments::next_report() const {
  const auto found = std::ranges::find_if(
      state_.unreported(), [](const JobResult& each) { return is_of_shadow(each.job); });
  return found == state_.unreported().end() ? nullptr : &*found;
}

// One after the other: the shadow has room for one.
void ShadowDeployments::report_results() {
  const JobResult* result = next_report();
  report_again_ = {};
  if (!result || !mqtt_.connected()) return;
  report(*result);
  report_again_ = env_.loop.after(kSayAgainMs, [this] { report_results(); });
}

void ShadowDeployments::report(const JobResult& result) {
  formats::ShadowReport report{.configuration_arn = result.job.str(),
                               .status = result.status,
                               .detailed_status = result.detailed_status};
  if (!is_terse_) {
    report.failure_cause = result.reason;
    report.error_stack = result.codes.stack;
    report.error_types = result.codes.types;
  }
  reported_token_ = "skerry-result-" + std::to_string(++asked_);
  reported_ = result.job;
  say(std::move(report), reported_token_);
}

void ShadowDeployments::say(formats::ShadowReport report, std::string token) {
  report.nucleus_version = kNucleusVersion;
  if (token.empty()) token = "skerry-progress-" + std::to_string(++asked_);
  const auto version = version_ > 0 ? std::optional(version_) : std::nullopt;
  auto sent = mqtt_.publish(
      MqttRouter::Sender::kNucleus,
      {.topic = formats::shadow_topic(info_.thing.str(), formats::kDeploymentShadow) + "/update",
       .payload = formats::to_text(report, version, token),
       .qos = 1});
  if (!sent) log::warn(kModule, "not reported", {{"reason", sent.error().message()}});
}

void ShadowDeployments::on_answer(const net::MqttMessage& message, bool is_accepted) {
  const auto token = formats::shadow_client_token(message.payload);
  if (!token || reported_token_.empty() || *token != reported_token_) return;
  if (!is_accepted) {
    const auto answer =
        formats::parse_json(message.payload, {.size_bytes = formats::kMaxPacketBytes});
    const int64_t code = answer ? answer->value("code", int64_t{0}) : 0;
    // Somebody has changed the shadow since: its version first.
    if (code == 409) return ask();
    if (code == 429 || code >= 500) return;  // the timer says it again
    if (code == 413 && !std::exchange(is_terse_, true)) return report_results();
    log::warn(kModule, "the result was refused",
              {{"for", reported_->str()}, {"answer", message.payload.substr(0, 300)}});
  }
  reported_token_.clear();
  is_terse_ = false;
  if (auto forgotten = state_.forget_result(*reported_); !forgotten) {
    // The timer reports again, and the next answer may find the disk well.
    log::warn(kModule, "a reported result could not be forgotten",
              {{"reason", forgotten.error().message()}});
    return;
  }
  report_results();
}

}  // namespace skerry::nucleus
