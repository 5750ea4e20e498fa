// For tests and the simulator: a broker in memory with its clients, as unkind as a real one. It
// keeps sessions, retains messages, sends one copy for each overlapping subscription, answers late,
// loses what is under way when a connection is cut, sends again what was not acknowledged by then,
// and lets one client of a name take over from another. mqtt_conformance_test.cc holds it to what
// mosquitto does.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "net/mqtt.h"

namespace skerry::net {

class FakeMqttClient;

class FakeBroker {
 public:
  explicit FakeBroker(io::Loop& loop) : loop_(loop) {}
  ~FakeBroker();
  FakeBroker(const FakeBroker&) = delete;
  FakeBroker& operator=(const FakeBroker&) = delete;

  // Of `options` it honours client_id, clean_start, the reconnect times and the limits. The broker
  // must outlive its clients.
  std::unique_ptr<MqttClient> client(MqttOptions options);

  void start();  // it is stopped at first
  void stop();   // connections end; sessions and retained messages stay
  // Ends that client's connection; it comes back by itself.
  void cut(const std::string& client_id);
  void forget_sessions() { sessions_.clear(); }
  bool connected(const std::string& client_id) const { return online_.contains(client_id); }

  // Answers nothing and delivers nothing while set; what came meanwhile is handled afterwards.
  void hold(bool hold);
  // Whether a client may publish to a topic or subscribe to a filter; everything where empty.
  std::function<bool(const std::string& client_id, const std::string& topic, bool publishes)> allow;
  // How long a packet is under way, in either direction; a turn of the loop where empty. Those of
  // one connection stay in their order.
  std::function<int64_t()> delay_ms;
  // Whether a connection breaks just before it delivers a packet; never where empty.
  std::function<bool()> breaks;
  // Whether a client finds the broker; always where empty.
  std::function<bool(const std::string& client_id)> reachable;
  bool identifiers = true;  // false: a broker that knows no subscription identifiers
  // Everything that was published, as it came.
  std::vector<MqttMessage> published;
  // The filters of a client with their QoS, as the broker has them now.
  std::map<std::string, uint8_t> filters(const std::string& client_id) const;
  // As if another client had published it. Whether anybody has subscribed to it.
  bool publish(MqttMessage message);

 private:
  friend class FakeMqttClient;
  // A message of QoS 1 until its client has acknowledged it.
  struct Outgoing {
    uint64_t id;
    MqttMessage message;
    uint64_t sent_on = 0;  // which connection; 0: none yet
  };
  struct Session {
    std::map<std::string, MqttSubscription> subscriptions;
    std::deque<Outgoing> outgoing;
  };
  // What a packet does when it arrives, unless the connection has ended by then.
  void arrive_later(FakeMqttClient& client, std::function<void()> handle);
  bool connect(FakeMqttClient& client);
  void disconnect(const std::string& client_id, const Error& reason);
  void publish_from(FakeMqttClient& client, MqttMessage message, int packet_id);
  void subscribe_from(FakeMqttClient& client, MqttSubscription subscription);
  void unsubscribe_from(FakeMqttClient& client, const std::string& filter);
  bool route(const MqttMessage& message);
  void deliver(const std::string& client_id, Session& session, MqttMessage message);
  void send_outgoing(FakeMqttClient& client);
  void acknowledge(const std::string& client_id, uint64_t id);
  bool allows(const FakeMqttClient& client, const std::string& topic, bool publishes) const;

  io::Loop& loop_;
  bool running_ = false;
  uint64_t connections_ = 0;  // ever made
  uint64_t last_outgoing_ = 0;
  bool hold_ = false;
  std::deque<std::function<void()>> held_;
  std::map<std::string, FakeMqttClient*> online_;
  std::map<std::string, Session> sessions_;
  std::map<std::string, MqttMessage> retained_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace skerry::net
