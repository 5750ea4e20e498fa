// One shadow after the other, each from reading to what is agreed.
#include "nucleus/shadow_sync.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "formats/json_ptr.h"
#include "formats/limits.h"

namespace skerry::nucleus {
namespace {

using formats::Shadow;
using formats::ShadowError;
using nlohmann::json;
using Act = ShadowPlan::Act;

constexpr std::string_view kShadowsModule = "shadows";
constexpr const char* kManager = "aws.greengrass.ShadowManager";
constexpr std::string_view kTokenPrefix = "skerry-sync-";
constexpr size_t kClientTokenCharacters = 16;
constexpr int64_t kAnswerTimeoutMs = 10'000;
constexpr int64_t kRetryMinMs = 1'000, kRetryMaxMs = 300'000;
// Copies that change faster than they are read get their turn again later.
constexpr int kAttempts = 5;

std::string name_of(const ShadowKey& key) {
  return key.thing.str() + (key.name.empty() ? "" : "/" + key.name);
}

std::unexpected<Error> later(const ShadowError& error) {
  return fail(Code::kUnavailable, std::to_string(error.code) + " " + error.message);
}

// Of one that was not there the version is not known, as of the reference's shadow manager: where
// both sides make it at the same moment, the later one's values count.
json update_of(const ShadowPlan::Change& change, const Shadow& read) {
  json update = {{"state", *change.state}};
  if (read.exists()) update["version"] = read.version;
  return update;
}

// False: the copy is another one by now. kInvalidArgument: the change cannot be made, however often
// it is asked for.
Result<bool> outcome(const ShadowError& error) {
  if (error.code == 409 || error.code == 404) return false;
  if (error.code >= 500 || error.code == 429) return later(error);
  return fail(Code::kInvalidArgument, std::to_string(error.code) + " " + error.message);
}

}  // namespace

ShadowSync::ShadowSync(io::Env& env, MqttRouter& mqtt, ConfigStore& config, LocalShadows& shadows,
                       ThingName core)
    : env_(env),
      mqtt_(mqtt),
      config_(config),
      local_(shadows),
      core_(std::move(core)),
      retry_ms_(kRetryMinMs) {
  connection_ = mqtt_.watch_connection([this](bool connected) {
    if (connected) return mark_all();
    for (auto& [token, waiting] : std::map(waiting_)) {
      waiting.complete(fail(Code::kUnavailable, "the connection was lost"));
    }
  });
  configuration_ = config_.watch(ComponentName(kManager), {},
                                 [this](const ComponentName&, const KeyPath&) { configure(); });
  local_.on_change([this](const ShadowKey& key) { mark(key); });
  configure();
}

void ShadowSync::configure() {
  const auto found = config_.tree().get(ComponentName(kManager), {});
  auto how = parse_shadow_sync_config(found ? *found : json(), core_);
  if (!how) {
    log::error(kShadowsModule, "shadows stay as they were synchronised: the configuration is wrong",
               {{"reason", how.error().message()}});
    return;
  }
  how_ = *std::move(how);
  for (auto it = shadows_.begin(); it != shadows_.end();) {
    const ShadowKey key = (it++)->first;
    if (!how_.shadows.contains(key)) forget(key);
  }
  for (const ShadowKey& key : how_.shadows) {
    if (!shadows_.contains(key)) add(key);
  }
  period_ = {};
  if (how_.period_ms > 0) period_ = env_.loop.after(how_.period_ms, [this] { tick(); });
  mark_all();
}

void ShadowSync::add(const ShadowKey& key) {
  Synced& synced = shadows_[key];
  const std::string topic = formats::shadow_topic(key.thing.str(), key.name);
  for (const char* answers : {"/+/accepted", "/+/rejected"}) {
    auto subscription = mqtt_.subscribe(
        topic + answers, 1, [this](const net::MqttMessage& message) { receive(message); },
        [this, key](const Error* error) {
          const auto found = shadows_.find(key);
          if (!error || found == shadows_.end()) return;
          found->second.is_refused = true;
          log::error(kShadowsModule, "a shadow is not synchronised: the broker refuses its topics",
                     {{"shadow", name_of(key)}, {"reason", error->message()}});
        });
    if (subscription) {
      synced.subscriptions.push_back(*std::move(subscription));
    } else {
      synced.is_refused = true;
      log::error(kShadowsModule, "a shadow is not synchronised",
                 {{"shadow", name_of(key)}, {"reason", subscription.error().message()}});
    }
  }
}

// Where it is synchronised again one day, it begins as at the first time.
void ShadowSync::forget(const ShadowKey& key) {
  shadows_.erase(key);
  due_.erase(key);
  failed_.erase(key);
  tasks_.spawn(forget_agreed(key));
}

io::Task<void> ShadowSync::forget_agreed(ShadowKey key) {
  const auto forgotten =
      co_await local_.on_disk([key](ShadowFiles& files) { return files.set_agreed(key, {}); });
  if (!forgotten) {
    log::warn(kShadowsModule, "what was agreed on a shadow stays",
              {{"shadow", name_of(key)}, {"reason", forgotten.error().message()}});
  }
}

void ShadowSync::receive(const net::MqttMessage& message) {
  const auto topic = formats::parse_shadow_topic(message.topic);
  auto document = formats::parse_json(message.payload, {.size_bytes = formats::kMaxPacketBytes});
  if (!topic || !document || !document->is_object()) return;
  const auto token = document->find("clientToken");
  const std::string sender =
      token != document->end() && token->is_string() ? token->get<std::string>() : "";
  if (!sender.starts_with(kTokenPrefix)) {
    if (topic->below == "update/accepted" || topic->below == "delete/accepted") mark(topic->key);
    return;
  }
  const auto found = waiting_.find(sender);
  if (found == waiting_.end()) return;
  if (topic->below.ends_with("/accepted")) {
    return found->second.complete(Answer(formats::share(*std::move(document))));
  }
  ShadowError error{500, "rejected"};
  if (const auto code = document->find("code");
      code != document->end() && code->is_number_integer()) {
    error.code = code->get<int>();
  }
  if (const auto text = document->find("message"); text != document->end() && text->is_string()) {
    error.message = text->get<std::string>();
  }
  found->second.complete(Answer(std::unexpected(std::move(error))));
}

void ShadowSync::mark(const ShadowKey& key) {
  if (!shadows_.contains(key)) return;
  due_.insert(key);
  if (how_.period_ms == 0) wake();
}

void ShadowSync::mark_all() {
  for (const auto& [key, synced] : shadows_) due_.insert(key);
  wake();
}

void ShadowSync::tick() {
  period_ = env_.loop.after(how_.period_ms, [this] { tick(); });
  wake();
}

void ShadowSync::wake() {
  if (is_running_ || due_.empty() || !mqtt_.connected()) return;
  is_running_ = true;
  tasks_.spawn(run());
}

io::Task<void> ShadowSync::run() {
  while (!due_.empty() && mqtt_.connected()) {
    const ShadowKey key = *due_.begin();
    due_.erase(due_.begin());
    const auto done = co_await synchronise(key);
    if (done || !shadows_.contains(key)) continue;
    log::warn(kShadowsModule, "a shadow is synchronised later",
              {{"shadow", name_of(key)}, {"reason", done.error().message()}});
    failed_.insert(key);
  }
  is_running_ = false;
  if (failed_.empty()) {
    retry_ms_ = kRetryMinMs;
    co_return;
  }
  retry_ = env_.loop.after(retry_ms_, [this] {
    due_.merge(failed_);
    failed_.clear();
    wake();
  });
  retry_ms_ = std::min(2 * retry_ms_, kRetryMaxMs);
}

io::Task<Result<void>> ShadowSync::synchronise(ShadowKey key) {
  for (int i = 0; i < kAttempts; ++i) {
    const auto found = shadows_.find(key);
    if (found == shadows_.end() || found->second.is_refused) co_return Result<void>();
    const auto done = co_await attempt(key);
    if (!done && done.error().code() == Code::kInvalidArgument) {
      log::error(kShadowsModule, "a shadow is not synchronised until it changes",
                 {{"shadow", name_of(key)}, {"reason", done.error().message()}});
      co_return Result<void>();
    }
    if (!done) co_return fail(done.error());
    if (*done) co_return Result<void>();
  }
  co_return fail(Code::kUnavailable, "it changes faster than it is read");
}

// 1. Read. 2. The fleet's copy, then the device's: each only as it was read. 3. What is agreed. A
// crash in between is found by the next plan, which comes to the same end.
io::Task<Result<bool>> ShadowSync::attempt(ShadowKey key) {
  SKERRY_CO_ASSIGN(const Shadow cloud, co_await ask_for(key));
  const auto agreed =
      co_await local_.on_disk([key](ShadowFiles& files) { return files.agreed(key); });
  if (!agreed) co_return fail(agreed.error());
  const auto device = co_await local_.on_disk([key](ShadowFiles& files) { return files.get(key); });
  if (!device && device.error().code != 404) co_return later(device.error());
  const Shadow of_device = device.value_or(Shadow());
  const ShadowPlan plan = plan_shadow(how_.direction, *agreed, of_device, cloud);
  if (plan.cloud.act != Act::kNothing) {
    SKERRY_CO_ASSIGN(const bool done, co_await change_cloud(key, plan.cloud, cloud));
    if (!done) co_return false;
  }
  if (plan.device.act != Act::kNothing) {
    SKERRY_CO_ASSIGN(const bool done, co_await change_device(key, plan.device, of_device));
    if (!done) co_return false;
  }
  if (!shadows_.contains(key)) co_return true;
  const auto noted = co_await local_.on_disk(
      [key, next = plan.agreed](ShadowFiles& files) { return files.set_agreed(key, next); });
  if (!noted) co_return fail(noted.error());
  co_return true;
}

io::Task<Result<bool>> ShadowSync::change_cloud(const ShadowKey& key,
                                                const ShadowPlan::Change& change,
                                                const Shadow& read) {
  const bool deletes = change.act == Act::kDelete;
  SKERRY_CO_ASSIGN(const Answer answer,
                   co_await ask(key, deletes ? "delete" : "update",
                                deletes ? json::object() : update_of(change, read)));
  if (answer) co_return true;
  co_return outcome(answer.error());
}

io::Task<Result<bool>> ShadowSync::change_device(const ShadowKey& key,
                                                 const ShadowPlan::Change& change,
                                                 const Shadow& read) {
  using Who = LocalShadows::Who;
  const auto answer =
      change.act == Act::kDelete
          ? co_await local_.remove(key, Who::kFleet, read.version)
          : co_await local_.update(key, formats::json_text(update_of(change, read)), Who::kFleet);
  if (answer) co_return true;
  co_return outcome(answer.error());
}

// One that the fleet does not have has version 0.
io::Task<Result<Shadow>> ShadowSync::ask_for(const ShadowKey& key) {
  SKERRY_CO_ASSIGN(const Answer answer, co_await ask(key, "get", json::object()));
  if (answer) co_return parse_shadow_document(**answer);
  if (answer.error().code == 404) co_return Shadow();
  co_return later(answer.error());
}

io::Task<Result<ShadowSync::Answer>> ShadowSync::ask(const ShadowKey& key, std::string request,
                                                     json payload) {
  const std::string token = std::string(kTokenPrefix) + env_.random.token(kClientTokenCharacters);
  payload["clientToken"] = token;
  const std::string topic = formats::shadow_topic(key.thing.str(), key.name) + "/" + request;
  const auto waiting = waiting_.emplace(token, Waiting(env_.loop)).first;
  auto sent = mqtt_.publish(MqttRouter::Sender::kNucleus,
                            {.topic = topic, .payload = formats::json_text(payload), .qos = 1});
  if (!sent) {
    waiting_.erase(waiting);
    co_return fail(sent.error());
  }
  auto answer = co_await io::with_timeout(env_.loop, kAnswerTimeoutMs, waiting->second, request);
  waiting_.erase(token);
  co_return answer;
}

}  // namespace skerry::nucleus
