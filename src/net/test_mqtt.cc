// The broker in memory. Every packet takes a turn of the loop each way.
#include "net/test_mqtt.h"

#include <algorithm>
#include <deque>
#include <utility>

#include "base/check.h"
#include "net/mqtt_outbox.h"

namespace skerry::net {

// One client: the same queue and checks as the real one, a broker that is called instead of a
// socket.
class FakeMqttClient : public MqttClient {
 public:
  FakeMqttClient(FakeBroker& broker, MqttOptions options)
      : broker_(broker),
        options_(std::move(options)),
        outbox_(options_.max_queued, options_.max_queued_bytes) {}
  ~FakeMqttClient() override {
    *alive_ = false;
    const auto online = broker_.online_.find(options_.client_id);
    if (online != broker_.online_.end() && online->second == this) broker_.online_.erase(online);
  }

  void start(Events events) override {
    events_ = std::make_shared<const Events>(std::move(events));
    connect_after(1);
  }
  bool connected() const override { return connected_; }
  MqttBacklog backlog() const override { return outbox_.backlog(); }

  Result<void> publish(MqttMessage message, Done done) override {
    SKERRY_TRY(check_mqtt_message(message, options_.max_packet_bytes));
    if (message.qos == 1) {
      SKERRY_TRY(outbox_.add(std::move(message), std::move(done)));
      send_queued();
      return {};
    }
    if (!connected_) return fail(Code::kUnavailable, "not connected to the broker");
    broker_.arrive_later(
        *this, [this, message = std::move(message)] { broker_.publish_from(*this, message, 0); });
    answer(std::move(done), std::nullopt);
    return {};
  }

  Result<void> subscribe(MqttSubscription wanted, Done done) override {
    SKERRY_TRY(check_mqtt_filter(wanted.filter));
    std::erase(unsubscribing_, wanted.filter);
    Subscription& subscription = subscriptions_[wanted.filter];
    subscription.wanted = std::move(wanted);
    subscription.acknowledged = false;
    if (done) subscription.waiting.push_back(std::move(done));
    if (connected_) send_subscribe(subscription.wanted);
    return {};
  }

  void unsubscribe(const std::string& filter) override {
    if (subscriptions_.erase(filter) == 0) return;
    unsubscribing_.push_back(filter);
    if (connected_) send_unsubscribe(filter);
  }

 private:
  friend class FakeBroker;
  struct Subscription {
    MqttSubscription wanted;
    bool acknowledged = false;
    std::vector<Done> waiting;
  };

  void connect_after(int64_t delay_ms) {
    timer_ = broker_.loop_.after(delay_ms, [this] {
      if (broker_.running_ && (!broker_.reachable || broker_.reachable(options_.client_id))) {
        ++unanswered_;
        session_present_ = broker_.connect(*this);
        linked_ = true;
        // The broker's answer takes its time as well.
        return broker_.arrive_later(*this, [this] { on_connack(); });
      }
      lost(Error(Code::kUnavailable, "connecting to the broker: Connection refused"));
    });
  }

  void on_connack() {
    connected_ = true;
    // As the real one: a session may have begun with a connection whose answer was lost.
    session_present_ &= std::exchange(unanswered_, 0) <= 1;
    for (auto& [filter, subscription] : subscriptions_) {
      if (!session_present_) subscription.acknowledged = false;
      if (!subscription.acknowledged) send_subscribe(subscription.wanted);
    }
    if (!session_present_) unsubscribing_.clear();
    for (const std::string& filter : unsubscribing_) send_unsubscribe(filter);
    was_connected_ = true;
    send_queued();
    broker_.send_outgoing(*this);
    const auto events = events_;
    if (events->on_connected) events->on_connected(session_present_);
  }

  // Whichever timer is first delivers the first packet: delays differ, the order stays.
  void arrive_after(int64_t delay_ms, std::function<void()> packet) {
    under_way_.push_back(std::move(packet));
    const uint64_t id = ++last_arrival_;
    arrivals_[id] = broker_.loop_.after(delay_ms, [this, id] {
      arrivals_.erase(id);
      const auto first = std::move(under_way_.front());
      under_way_.pop_front();
      first();  // may destroy this
    });
  }

  void lost(Error reason) {
    linked_ = connected_ = false;
    if (auto refused = outbox_.connection_lost(false)) answer(std::move(*refused), reason);
    connect_after(options_.reconnect_min_ms);
    const auto events = events_;
    if (events->on_disconnected) events->on_disconnected(reason);
  }

  void answer(Done done, std::optional<Error> error) {
    if (!done) return;
    broker_.loop_.post([done = std::move(done), error = std::move(error), alive = alive_] {
      if (*alive) done(error ? &*error : nullptr);
    });
  }

  void send_queued() {
    while (const MqttMessage* message = connected_ ? outbox_.next() : nullptr) {
      const int id = ++last_packet_id_;
      broker_.arrive_later(
          *this, [this, message = *message, id] { broker_.publish_from(*this, message, id); });
      outbox_.sent(id);
    }
  }

  void on_puback(int id, std::optional<Error> error, bool heard) {
    if (auto answered = outbox_.answered(id)) {
      if (!error && !heard && answered->must_be_heard) error = nobody_heard();
      answer(std::move(answered->done), std::move(error));
    }
    send_queued();
  }

  void send_subscribe(const MqttSubscription& wanted) {
    broker_.arrive_later(*this, [this, wanted] { broker_.subscribe_from(*this, wanted); });
  }

  void send_unsubscribe(const std::string& filter) {
    broker_.arrive_later(*this, [this, filter] { broker_.unsubscribe_from(*this, filter); });
  }

  void on_unsuback(const std::string& filter) { std::erase(unsubscribing_, filter); }

  void on_suback(const std::string& filter, const std::optional<Error>& error) {
    const auto entry = subscriptions_.find(filter);
    if (entry == subscriptions_.end()) return;
    entry->second.acknowledged = true;
    for (Done& done : std::exchange(entry->second.waiting, {})) answer(std::move(done), error);
    if (error) subscriptions_.erase(entry);
  }

  void on_publish(const MqttMessage& message) {
    const auto events = events_;
    if (events->on_message) events->on_message(message);
  }

  FakeBroker& broker_;
  const MqttOptions options_;
  MqttOutbox outbox_;
  std::shared_ptr<const Events> events_;
  std::map<std::string, Subscription> subscriptions_;
  std::vector<std::string> unsubscribing_;  // until the broker has answered
  bool linked_ = false;                     // packets pass
  bool connected_ = false;                  // the broker has accepted it
  bool was_connected_ = false;
  bool session_present_ = false;
  int unanswered_ = 0;       // connections since the last whose answer came
  uint64_t connection_ = 0;  // which one it is: a packet of an earlier one is lost
  std::deque<std::function<void()>> under_way_;  // where packets are delayed
  std::map<uint64_t, io::Timer> arrivals_;       // as many
  uint64_t last_arrival_ = 0;
  int last_packet_id_ = 0;
  io::Timer timer_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

FakeBroker::~FakeBroker() {
  SKERRY_CHECK(online_.empty(), "a broker must outlive its clients");
  *alive_ = false;
}

std::unique_ptr<MqttClient> FakeBroker::client(MqttOptions options) {
  return std::make_unique<FakeMqttClient>(*this, std::move(options));
}

void FakeBroker::start() {
  running_ = true;
}

void FakeBroker::stop() {
  running_ = false;
  while (!online_.empty()) cut(online_.begin()->first);
}

void FakeBroker::cut(const std::string& client_id) {
  disconnect(client_id, Error(Code::kUnavailable, "the broker closed the connection"));
}

void FakeBroker::hold(bool hold) {
  hold_ = hold;
  if (hold) return;
  for (auto& packet : std::exchange(held_, {})) loop_.post(std::move(packet));
}

void FakeBroker::arrive_later(FakeMqttClient& client, std::function<void()> handle) {
  std::function<void()> packet = [this, &client, alive = client.alive_,
                                  connection = client.connection_, handle = std::move(handle)] {
    if (!*alive || !client.linked_ || client.connection_ != connection) return;
    if (breaks && breaks()) return cut(client.options_.client_id);
    handle();
  };
  auto arrival = [this, alive = alive_, packet = std::move(packet)] {
    if (!*alive) return;
    if (hold_) return held_.push_back(packet);
    packet();
  };
  if (delay_ms) return client.arrive_after(delay_ms(), std::move(arrival));
  loop_.post(std::move(arrival));
}

// Whether it finds its session.
bool FakeBroker::connect(FakeMqttClient& client) {
  const std::string& id = client.options_.client_id;
  disconnect(id, Error(Code::kUnavailable,
                       "the session was taken over: another client has connected"
                       " as '" +
                           id + "'"));
  online_[id] = &client;
  client.connection_ = ++connections_;
  if (client.options_.clean_start && !client.was_connected_) sessions_.erase(id);
  return !sessions_.try_emplace(id).second;
}

void FakeBroker::disconnect(const std::string& client_id, const Error& reason) {
  auto node = online_.extract(client_id);
  if (node) node.mapped()->lost(reason);
}

bool FakeBroker::allows(const FakeMqttClient& client, const std::string& topic,
                        bool publishes) const {
  return !allow || allow(client.options_.client_id, topic, publishes);
}

void FakeBroker::publish_from(FakeMqttClient& client, MqttMessage message, int packet_id) {
  std::optional<Error> error;
  bool heard = false;
  if (allows(client, message.topic, true)) {
    heard = publish(message);
  } else {
    error = Error(Code::kPermissionDenied, "the broker refuses the message: Not authorized");
  }
  if (message.qos == 0) return;
  arrive_later(client,
               [&client, packet_id, error, heard] { client.on_puback(packet_id, error, heard); });
}

bool FakeBroker::publish(MqttMessage message) {
  published.push_back(message);
  if (message.retain) {
    retained_.erase(message.topic);
    if (!message.payload.empty()) retained_.emplace(message.topic, message);
  }
  message.retain = false;
  return route(message);
}

bool FakeBroker::route(const MqttMessage& message) {
  bool heard = false;
  for (auto& [client_id, session] : sessions_) {
    for (const auto& [filter, subscription] : session.subscriptions) {
      if (!mqtt_matches(unshared_filter(filter), message.topic)) continue;
      MqttMessage copy = message;
      copy.qos = std::min(message.qos, subscription.qos);
      if (identifiers && subscription.id != 0) copy.subscription_ids = {subscription.id};
      deliver(client_id, session, std::move(copy));
      heard = true;
    }
  }
  return heard;
}

void FakeBroker::deliver(const std::string& client_id, Session& session, MqttMessage message) {
  const auto online = online_.find(client_id);
  if (message.qos > 0) {
    session.outgoing.push_back({++last_outgoing_, std::move(message)});
    if (online != online_.end() && online->second->connected_) send_outgoing(*online->second);
  } else if (online != online_.end()) {
    FakeMqttClient& client = *online->second;
    arrive_later(client, [&client, message = std::move(message)] { client.on_publish(message); });
  }
}

// Whatever this connection was not sent yet.
void FakeBroker::send_outgoing(FakeMqttClient& client) {
  for (Outgoing& outgoing : sessions_[client.options_.client_id].outgoing) {
    if (std::exchange(outgoing.sent_on, client.connection_) == client.connection_) continue;
    arrive_later(client, [this, &client, id = outgoing.id, message = outgoing.message] {
      arrive_later(client, [this, &client, id] { acknowledge(client.options_.client_id, id); });
      client.on_publish(message);
    });
  }
}

void FakeBroker::acknowledge(const std::string& client_id, uint64_t id) {
  std::erase_if(sessions_[client_id].outgoing,
                [&](const Outgoing& outgoing) { return outgoing.id == id; });
}

void FakeBroker::subscribe_from(FakeMqttClient& client, MqttSubscription subscription) {
  const std::string filter = subscription.filter;
  std::optional<Error> error;
  if (allows(client, filter, false)) {
    Session& session = sessions_[client.options_.client_id];
    session.subscriptions.insert_or_assign(filter, subscription);
    for (const auto& [topic, message] : retained_) {
      if (!subscription.retained || filter.starts_with("$share/") || !mqtt_matches(filter, topic)) {
        continue;
      }
      MqttMessage copy = message;
      copy.qos = std::min(message.qos, subscription.qos);
      if (identifiers && subscription.id != 0) copy.subscription_ids = {subscription.id};
      deliver(client.options_.client_id, session, std::move(copy));
    }
  } else {
    error = Error(Code::kPermissionDenied,
                  "the broker refuses the subscription to " + filter + ": Not authorized");
  }
  arrive_later(client, [&client, filter, error] { client.on_suback(filter, error); });
}

void FakeBroker::unsubscribe_from(FakeMqttClient& client, const std::string& filter) {
  sessions_[client.options_.client_id].subscriptions.erase(filter);
  arrive_later(client, [&client, filter] { client.on_unsuback(filter); });
}

std::map<std::string, uint8_t> FakeBroker::filters(const std::string& client_id) const {
  std::map<std::string, uint8_t> filters;
  const auto session = sessions_.find(client_id);
  if (session == sessions_.end()) return filters;
  for (const auto& [filter, subscription] : session->second.subscriptions) {
    filters[filter] = subscription.qos;
  }
  return filters;
}

}  // namespace skerry::net
