// Questions to components and their answers.
#include "nucleus/update_consent.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/check.h"
#include "base/log.h"

namespace skerry::nucleus {
namespace {

using nlohmann::json;

constexpr int64_t kLongestDeferralMs = int64_t{365} * 86'400'000;  // asked again after that

}  // namespace

UpdateConsent::Question::Question(UpdateConsent& asking, Topic about, std::string for_deployment)
    : consent(asking), topic(about), deployment(std::move(for_deployment)) {
  const bool is_only_one = consent.questions_.emplace(topic, this).second;
  SKERRY_CHECK(is_only_one, "one deployment at a time asks components");
}

io::Task<void> UpdateConsent::Question::wait(int64_t deadline_ms) {
  while (!open.empty() && !rejection) {
    const int64_t left_ms = deadline_ms - consent.clock_.monotonic_ms();
    if (left_ms <= 0) co_return;
    wake.emplace(consent.loop_);
    const io::Timer timer =
        consent.loop_.after(left_ms, [wake = *wake]() mutable { wake.complete(false); });
    co_await *wake;
    wake.reset();
  }
}

void UpdateConsent::Question::changed() {
  if (wake) wake->complete(true);
}

UpdateConsent::Subscription UpdateConsent::subscribe(Topic topic, ComponentName component,
                                                     Send send) {
  listeners_.emplace(next_id_, Listener{topic, std::move(component), std::move(send)});
  return Subscription(this, next_id_++);
}

// One that does not listen any more does not object either; whether its configuration is good is
// still not known.
void UpdateConsent::unsubscribe(uint64_t id) {
  const auto gone = listeners_.extract(id);
  if (gone.empty() || gone.mapped().topic != Topic::kUpdates) return;
  const ComponentName& component = gone.mapped().component;
  const auto question = questions_.find(Topic::kUpdates);
  if (question == questions_.end() || listeners(Topic::kUpdates).contains(component)) return;
  if (question->second->open.erase(component) > 0) question->second->changed();
}

std::set<ComponentName> UpdateConsent::listeners(Topic topic) const {
  std::set<ComponentName> names;
  for (const auto& [id, listener] : listeners_) {
    if (listener.topic == topic) names.insert(listener.component);
  }
  return names;
}

void UpdateConsent::send(Topic topic, const std::optional<ComponentName>& component,
                         const std::string& event) {
  std::vector<uint64_t> ids;  // a send may end a stream, and with it a subscription
  for (const auto& [id, listener] : listeners_) {
    if (listener.topic == topic && (!component || listener.component == *component))
      ids.push_back(id);
  }
  for (const uint64_t id : ids) {
    const auto found = listeners_.find(id);
    if (found == listeners_.end()) continue;
    const Send to = found->second.send;
    to(event);
  }
}

Result<UpdateConsent::Question*> UpdateConsent::question_for(Topic topic,
                                                             const ComponentName& component,
                                                             const std::string& deployment) {
  const auto found = questions_.find(topic);
  if (found == questions_.end() || !found->second->open.contains(component) ||
      found->second->deployment != deployment) {
    return fail(Code::kFailedPrecondition,
                "nothing is asked of " + component.str() + " about deployment '" + deployment +
                    "': the time to answer is over, or it was never asked");
  }
  return found->second;
}

Result<void> UpdateConsent::defer(const ComponentName& component, const std::string& deployment,
                                  int64_t recheck_ms, const std::string& why) {
  SKERRY_ASSIGN(Question * question, question_for(Topic::kUpdates, component, deployment));
  if (recheck_ms > 0) {
    log::info("deployment", "a component asks to wait",
              {{"component", component.str()}, {"ms", std::to_string(recheck_ms)}, {"why", why}});
    question->ask_again_at_ms =
        std::max(question->ask_again_at_ms,
                 clock_.monotonic_ms() + std::min(recheck_ms, kLongestDeferralMs));
  }
  question->open.erase(component);
  question->changed();
  return {};
}

Result<void> UpdateConsent::report(const ComponentName& component, const std::string& deployment,
                                   std::optional<std::string> rejection) {
  SKERRY_ASSIGN(Question * question, question_for(Topic::kValidation, component, deployment));
  if (rejection) {
    question->rejection = "component " + component.str() + " rejects its new configuration";
    if (!rejection->empty()) *question->rejection += ": " + *rejection;
  }
  question->open.erase(component);
  question->changed();
  return {};
}

io::Task<Result<void>> UpdateConsent::validate(std::string deployment,
                                               std::map<ComponentName, std::string> configurations,
                                               int64_t timeout_ms) {
  Question question(*this, Topic::kValidation, deployment);
  const auto listening = listeners(Topic::kValidation);
  std::erase_if(configurations, [&](const auto& one) { return !listening.contains(one.first); });
  for (const auto& [component, configuration] : configurations) question.open.insert(component);
  for (const auto& [component, configuration] : configurations) {
    send(Topic::kValidation, component,
         R"({"validateConfigurationUpdateEvent":{"configuration":)" + configuration +
             R"(,"deploymentId":)" + json(deployment).dump() + "}}");
  }
  co_await question.wait(clock_.monotonic_ms() + timeout_ms);
  if (question.rejection) co_return fail(Code::kFailedPrecondition, *question.rejection);
  if (question.open.empty()) co_return Result<void>();
  std::string silent;
  for (const ComponentName& component : question.open)
    silent += (silent.empty() ? "" : ", ") + component.str();
  co_return fail(Code::kTimeout, silent + " did not say within " +
                                     std::to_string(timeout_ms / 1000) +
                                     " s whether the new configuration is valid");
}

io::Task<void> UpdateConsent::ask(std::string deployment, int64_t timeout_ms) {
  asked_ = deployment;
  const json event = {
      {"preUpdateEvent", {{"deploymentId", deployment}, {"isGgcRestarting", false}}}};
  for (;;) {
    Question question(*this, Topic::kUpdates, deployment);
    question.open = listeners(Topic::kUpdates);
    send(Topic::kUpdates, std::nullopt, event.dump());
    co_await question.wait(clock_.monotonic_ms() + timeout_ms);
    for (const ComponentName& component : question.open) {
      log::warn("deployment", "a component did not say whether to wait: it goes on",
                {{"component", component.str()}});
    }
    const int64_t wait_ms = question.ask_again_at_ms - clock_.monotonic_ms();
    if (wait_ms <= 0) co_return;
    question.open.clear();
    co_await io::sleep(loop_, wait_ms);
  }
}

void UpdateConsent::tell_done(const std::string& deployment) {
  if (asked_.empty() || asked_ != deployment) return;
  asked_.clear();
  send(Topic::kUpdates, std::nullopt,
       json({{"postUpdateEvent", {{"deploymentId", deployment}}}}).dump());
}

}  // namespace skerry::nucleus
