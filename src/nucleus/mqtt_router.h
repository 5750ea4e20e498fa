// The device's one MQTT connection, shared: by the nucleus (jobs, fleet status) and by components
// over IPC. Every subscriber gets a message once, whatever other filters overlap with its own; the
// broker sees a filter from its first subscriber to its last, with the highest QoS that one of them
// wants, so nobody can take away what another needs. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/log_limit.h"
#include "io/loop.h"
#include "net/mqtt.h"

namespace skerry::nucleus {

class MqttRouter {
 public:
  enum class Sender { kNucleus, kComponent };
  struct Limits {
    // What components may have waiting for the broker; the client's own limits are higher, so that
    // the nucleus is heard whatever they do.
    size_t component_messages = 10'000;
    size_t component_bytes = 4 << 20;
    size_t filters = 1'000;
    int64_t settle_ms = 5'000;
    // From a message that nobody hears to on_unheard; doubles.
    int64_t say_again_min_ms = 1'000;
    int64_t say_again_max_ms = 300'000;
  };
  using Deliver = std::function<void(const net::MqttMessage&)>;
  using Done = net::MqttClient::Done;

  // Ends when it is destroyed, at once: nothing is delivered after that. Not to outlive the router.
  class Subscription {
   public:
    Subscription() = default;
    Subscription(Subscription&& other) noexcept;
    Subscription& operator=(Subscription&& other) noexcept;
    ~Subscription() { end(); }
    void end();

   private:
    friend class MqttRouter;
    Subscription(MqttRouter* router, std::string filter, uint64_t id)
        : router_(router), filter_(std::move(filter)), id_(id) {}
    MqttRouter* router_ = nullptr;
    std::string filter_;
    uint64_t id_ = 0;
  };

  // `client` must outlive it and be started by it alone.
  MqttRouter(io::Loop& loop, net::MqttClient& client);
  MqttRouter(io::Loop& loop, net::MqttClient& client, Limits limits);
  ~MqttRouter() { *alive_ = false; }
  MqttRouter(const MqttRouter&) = delete;
  MqttRouter& operator=(const MqttRouter&) = delete;

  // Connects. Messages are the router's; `events.on_message` is not used. `on_unheard`: something
  // that the nucleus has published reached nobody, some time ago: the control plane was not there,
  // and its broker had lost what it had subscribed to. What matters is to be said again.
  void start(net::MqttClient::Events events, std::function<void()> on_unheard = {});
  bool connected() const { return client_.connected(); }
  // `changed` hears of the connection's coming and going until what is returned is dropped, which
  // it may do itself.
  using Watch = std::shared_ptr<const std::function<void(bool connected)>>;
  [[nodiscard]] Watch watch_connection(std::function<void(bool connected)> changed);

  // Success: accepted. A message of QoS 1 is then kept until the broker has answered, over lost
  // connections too (in memory). `settled` hears once: of an error where the broker refuses the
  // message, else of success as soon as the broker has it, the connection is lost, or the broker
  // has not answered for a while. An error: not accepted, and `settled` is not called; codes as of
  // net::MqttClient::publish.
  Result<void> publish(Sender sender, net::MqttMessage message, Done settled = {});

  // A message of the nucleus that is to arrive: `answered` hears once, when the broker has
  // answered, however many connections later; kNotFound where nobody has subscribed to it.
  Result<void> deliver(net::MqttMessage message, Done answered);

  // A message of a component, whose limits are the caller's: `answered` hears once, as of
  // deliver(). Errors as of MqttClient::publish().
  Result<void> send(net::MqttMessage message, Done answered) {
    return client_.publish(std::move(message), std::move(answered));
  }

  // `deliver` gets messages from now on, and those that the broker retains. `settled` hears once:
  // of an error where the broker refuses (the subscription is dead then, and still to be ended),
  // else of success, as of publish(). An error at once: no filter, or too many of them.
  Result<Subscription> subscribe(std::string filter, uint8_t qos, Deliver deliver,
                                 Done settled = {});
  size_t filters() const { return filters_.size(); }

 private:
  struct Subscriber {
    uint8_t qos;
    uint32_t joined_with;              // the identifier with which retained messages come for it
    std::shared_ptr<Deliver> deliver;  // shared: a delivery may end its own subscription
  };
  struct Filter {
    uint32_t number;
    uint32_t joins = 0;
    uint8_t qos = 0;  // as the broker was asked
    std::map<uint64_t, Subscriber> subscribers;
  };
  struct Waiting {
    Done settled;
    io::Timer timer;
  };
  uint32_t identifier_of(const Filter& filter) const;
  uint32_t new_number();
  void end(const std::string& filter, uint64_t id);
  void dispatch(const net::MqttMessage& message);
  // To the subscribers of `name`; `identifier` 0: the broker tells none.
  void deliver(const std::string& name, uint32_t identifier, const net::MqttMessage& message);
  // What the client is to call when the broker has answered.
  Done answer_to(uint64_t id, std::string what);
  void await_answer(uint64_t id, Done settled);
  void settle(uint64_t id, const std::string& what, const Error* error);
  void on_connected(bool session_present);
  void note_hearing(const Error* error);
  void tell_watchers(bool connected);

  io::Loop& loop_;
  net::MqttClient& client_;
  const Limits limits_;
  uint64_t next_id_ = 1;
  uint32_t last_number_ = 0;
  std::map<std::string, Filter> filters_;
  std::unordered_map<uint32_t, std::string> names_;  // of filters, by number
  std::map<uint64_t, Waiting> waiting_;
  std::vector<std::weak_ptr<const std::function<void(bool)>>> watchers_;
  bool told_connected_ = false;  // what the watchers know
  std::function<void()> on_unheard_;
  bool is_unheard_ = false;  // say_again_ runs
  int64_t say_again_ms_;
  io::Timer say_again_;
  log::Limit refusals_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace skerry::nucleus
