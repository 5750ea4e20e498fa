// Subscription identifiers carry a filter's number and a count of its subscriptions so far:
// a message finds its filter by the number, and what the broker retains finds the one subscriber
// whose joining made the broker send it.
#include "nucleus/mqtt_router.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/check.h"

namespace skerry::nucleus {
namespace {

constexpr uint32_t kJoinBits = 12;
constexpr uint32_t kJoinMask = (1U << kJoinBits) - 1;
constexpr uint32_t kMaxNumber = (1U << (28 - kJoinBits)) - 1;  // identifiers have 28 bits

}  // namespace

// --- Subscriptions ------------------------------------------------------------------------------

MqttRouter::Subscription::Subscription(Subscription&& other) noexcept
    : router_(std::exchange(other.router_, nullptr)),
      filter_(std::move(other.filter_)),
      id_(other.id_) {}

MqttRouter::Subscription& MqttRouter::Subscription::operator=(Subscription&& other) noexcept {
  if (this != &other) {
    end();
    router_ = std::exchange(other.router_, nullptr);
    filter_ = std::move(other.filter_);
    id_ = other.id_;
  }
  return *this;
}

void MqttRouter::Subscription::end() {
  if (router_) std::exchange(router_, nullptr)->end(filter_, id_);
}

MqttRouter::MqttRouter(io::Loop& loop, net::MqttClient& client)
    : MqttRouter(loop, client, Limits()) {}

MqttRouter::MqttRouter(io::Loop& loop, net::MqttClient& client, Limits limits)
    : loop_(loop), client_(client), limits_(limits), say_again_ms_(limits.say_again_min_ms) {}

uint32_t MqttRouter::identifier_of(const Filter& filter) const {
  return filter.number << kJoinBits | (filter.joins & kJoinMask);
}

uint32_t MqttRouter::new_number() {
  SKERRY_CHECK(names_.size() < kMaxNumber, "more filters than numbers for them");
  do {
    last_number_ = last_number_ % kMaxNumber + 1;
  } while (names_.contains(last_number_));
  return last_number_;
}

Result<MqttRouter::Subscription> MqttRouter::subscribe(std::string filter, uint8_t qos,
                                                       Deliver deliver, Done settled) {
  SKERRY_TRY(net::check_mqtt_filter(filter));
  auto found = filters_.find(filter);
  if (found == filters_.end()) {
    if (filters_.size() >= limits_.filters) {
      return fail(Code::kResourceExhausted, "this device subscribes to " +
                                                std::to_string(limits_.filters) +
                                                " topic filters already, which is the limit");
    }
    found = filters_.try_emplace(filter, Filter{.number = new_number()}).first;
    names_[found->second.number] = filter;
  }
  Filter& shared = found->second;
  ++shared.joins;
  shared.qos = std::max(shared.qos, qos);
  const uint64_t id = next_id_++;
  const uint32_t identifier = identifier_of(shared);
  shared.subscribers.emplace(
      id, Subscriber{qos, identifier, std::make_shared<Deliver>(std::move(deliver))});
  Subscription subscription(this, filter, id);
  // Each joining is told to the broker: its answer is the new subscriber's answer, and what it
  // retains comes with the new identifier.
  SKERRY_TRY(client_.subscribe({.filter = filter, .qos = shared.qos, .id = identifier},
                               answer_to(id, "subscription to " + filter)));
  await_answer(id, std::move(settled));
  return subscription;
}

void MqttRouter::end(const std::string& filter, uint64_t id) {
  const auto found = filters_.find(filter);
  if (found == filters_.end()) return;
  Filter& shared = found->second;
  shared.subscribers.erase(id);
  if (shared.subscribers.empty()) {
    names_.erase(shared.number);
    filters_.erase(found);
    return client_.unsubscribe(filter);
  }
  uint8_t qos = 0;
  for (const auto& [other, subscriber] : shared.subscribers) qos = std::max(qos, subscriber.qos);
  if (qos == std::exchange(shared.qos, qos)) return;
  const Result<void> asked = client_.subscribe(
      {.filter = filter, .qos = qos, .id = identifier_of(shared), .retained = false});
  SKERRY_CHECK(asked.has_value(), "a filter that was subscribed is a filter");
}

// --- Messages in --------------------------------------------------------------------------------

void MqttRouter::start(net::MqttClient::Events events, std::function<void()> on_unheard) {
  on_unheard_ = std::move(on_unheard);
  net::MqttClient::Events own;
  own.on_connected = [this, then = std::move(events.on_connected)](bool session_present) {
    on_connected(session_present);
    tell_watchers(true);
    if (then) then(session_present);
  };
  own.on_disconnected = [this, then = std::move(events.on_disconnected)](const Error& reason) {
    // What was published is kept: nobody is to wait for the next connection.
    while (!waiting_.empty()) settle(waiting_.begin()->first, "", nullptr);
    tell_watchers(false);
    if (then) then(reason);
  };
  own.on_message = [this](const net::MqttMessage& message) { dispatch(message); };
  client_.start(std::move(own));
}

// A new session: the client has subscribed again, and what is retained is for everyone.
void MqttRouter::on_connected(bool session_present) {
  if (session_present) return;
  for (auto& [name, filter] : filters_) {
    for (auto& [id, subscriber] : filter.subscribers) {
      subscriber.joined_with = identifier_of(filter);
    }
  }
}

MqttRouter::Watch MqttRouter::watch_connection(std::function<void(bool)> changed) {
  std::erase_if(watchers_, [](const auto& watcher) { return watcher.expired(); });
  auto watch = std::make_shared<const std::function<void(bool)>>(std::move(changed));
  watchers_.push_back(watch);
  return watch;
}

// Each failed attempt to connect ends with a disconnection, too.
void MqttRouter::tell_watchers(bool connected) {
  if (std::exchange(told_connected_, connected) == connected) return;
  for (const auto& watcher : std::vector(watchers_)) {
    if (const auto changed = watcher.lock()) (*changed)(connected);
  }
}

void MqttRouter::dispatch(const net::MqttMessage& message) {
  std::vector<std::pair<std::string, uint32_t>> targets;
  if (message.subscription_ids.empty()) {
    for (const auto& [name, filter] : filters_) targets.emplace_back(name, 0);
  }
  for (const uint32_t identifier : message.subscription_ids) {
    const auto name = names_.find(identifier >> kJoinBits);
    if (name != names_.end()) targets.emplace_back(name->second, identifier);
  }
  for (const auto& [name, identifier] : targets) {
    if (net::mqtt_matches(net::unshared_filter(name), message.topic)) {
      deliver(name, identifier, message);
    }
  }
}

void MqttRouter::deliver(const std::string& name, uint32_t identifier,
                         const net::MqttMessage& message) {
  // Deliveries may subscribe and unsubscribe: only those that stood before are made, if they still
  // do.
  std::vector<uint64_t> ids;
  const auto stood = filters_.find(name);
  if (stood == filters_.end()) return;
  for (const auto& [id, subscriber] : stood->second.subscribers) {
    const bool has_it = message.retain && identifier != 0 && subscriber.joined_with != identifier;
    if (!has_it) ids.push_back(id);
  }
  for (const uint64_t id : ids) {
    const auto filter = filters_.find(name);
    if (filter == filters_.end()) return;
    const auto subscriber = filter->second.subscribers.find(id);
    if (subscriber == filter->second.subscribers.end()) continue;
    const std::shared_ptr<Deliver> deliver = subscriber->second.deliver;
    (*deliver)(message);
  }
}

// --- Messages out -------------------------------------------------------------------------------

Result<void> MqttRouter::publish(Sender sender, net::MqttMessage message, Done settled) {
  const net::MqttBacklog backlog = client_.backlog();
  if (sender == Sender::kComponent && message.qos > 0 &&
      (backlog.messages >= limits_.component_messages ||
       backlog.bytes + message.payload.size() > limits_.component_bytes)) {
    return fail(Code::kResourceExhausted, std::to_string(backlog.messages) + " messages of " +
                                              std::to_string(backlog.bytes) +
                                              " bytes wait for the broker already");
  }
  const uint64_t id = next_id_++;
  Done on_answer = answer_to(id, "message on " + message.topic);
  message.must_be_heard = sender == Sender::kNucleus;
  if (message.must_be_heard) {
    on_answer = [this, alive = alive_, then = std::move(on_answer)](const Error* error) {
      if (!*alive) return;
      note_hearing(error);
      then(error);
    };
  }
  SKERRY_TRY(client_.publish(std::move(message), std::move(on_answer)));
  await_answer(id, std::move(settled));
  return {};
}

Result<void> MqttRouter::deliver(net::MqttMessage message, Done answered) {
  message.must_be_heard = true;
  return client_.publish(std::move(message),
                         [this, alive = alive_, then = std::move(answered)](const Error* error) {
                           if (!*alive) return;
                           note_hearing(error);
                           then(error);
                         });
}

void MqttRouter::note_hearing(const Error* error) {
  if (!error) say_again_ms_ = limits_.say_again_min_ms;
  if (!error || error->code() != Code::kNotFound || std::exchange(is_unheard_, true)) return;
  say_again_ = loop_.after(say_again_ms_, [this] {
    is_unheard_ = false;
    if (connected() && on_unheard_) on_unheard_();  // else the next connection says everything
  });
  say_again_ms_ = std::min(say_again_ms_ * 2, limits_.say_again_max_ms);
}

// --- Answers ------------------------------------------------------------------------------------

MqttRouter::Done MqttRouter::answer_to(uint64_t id, std::string what) {
  return [this, alive = alive_, id, what = std::move(what)](const Error* error) {
    if (*alive) settle(id, what, error);
  };
}

void MqttRouter::await_answer(uint64_t id, Done settled) {
  if (!settled) return;
  auto timer = loop_.after(client_.connected() ? limits_.settle_ms : 0,
                           [this, id] { settle(id, "", nullptr); });
  waiting_.emplace(id, Waiting{std::move(settled), std::move(timer)});
}

void MqttRouter::settle(uint64_t id, const std::string& what, const Error* error) {
  auto node = waiting_.extract(id);
  if (node) return node.mapped().settled(error);
  if (!error) return;
  refusals_.write(log::Level::kWarn, "mqtt", "the broker refuses what was accepted: " + what,
                  {{"reason", error->message()}});
}

}  // namespace skerry::nucleus
