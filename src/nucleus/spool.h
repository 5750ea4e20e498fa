// Messages of components on their way to the broker, kept while it is away (mqtt.spooler in
// config.yaml, as the stock nucleus names it). One thread.
//
// On the disk: a message of QoS 1 is acknowledged when the broker has it or when it is durable
// here, whichever is first, so that nothing is written while the connection is well. What is kept
// goes in its order when the connection is back, each at least once: a message may come twice where
// the connection breaks before the broker's answer, and after the end of the program at most
// kUnmarked of them do. In memory: it is acknowledged as MqttRouter::publish() does.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/log_limit.h"
#include "io/env.h"
#include "io/task.h"
#include "nucleus/mqtt_router.h"
#include "nucleus/spool_options.h"
#include "nucleus/spool_store.h"

namespace skerry::nucleus {

class Spool {
 public:
  using Done = MqttRouter::Done;
  // Messages that were sent and are not known to have arrived, as far as the disk knows.
  static constexpr int64_t kUnmarked = 64;

  // `env` and `mqtt` must outlive it.
  Spool(io::Env& env, MqttRouter& mqtt, std::string directory, SpoolOptions options);
  ~Spool() { *alive_ = false; }
  Spool(const Spool&) = delete;
  Spool& operator=(const Spool&) = delete;

  // What an earlier process has kept is sent from now on, or once the disk lets it be read.
  void start();
  // Success: `settled` hears once, with an error where the message is not kept. An error: refused
  // at once. kResourceExhausted: no room; kUnavailable: QoS 0 while offline, which is not kept.
  Result<void> publish(net::MqttMessage message, Done settled);
  // What the broker has not acknowledged is durable, as far as it goes: before the program ends.
  io::Task<void> flush();
  // Messages of QoS 1 that the broker has not acknowledged.
  size_t waiting() const {
    return direct_.size() + pending_.size() + static_cast<size_t>(end_ - acknowledged());
  }

 private:
  // One message on its way.
  struct Flight {
    net::MqttMessage message;
    Done settled;  // whoever waits for it; empty once it has heard
    int64_t since_ms = 0;
    bool handed = false;    // the client has it
    bool answered = false;  // the broker has answered
    int64_t sequence = -1;  // in the store
  };
  using FlightPtr = std::shared_ptr<Flight>;  // shared with the client's callback

  Result<void> publish_unkept(net::MqttMessage message, Done settled);
  bool may_go_directly() const;
  bool cannot_open() const;
  Result<void> hand(const FlightPtr& flight);
  void on_answer(const FlightPtr& flight, const Error* error);
  static void settle(Flight& flight, const Error* error);
  void spill();
  void watch_direct();
  void on_connection(bool connected);
  void send_unkept();
  void trim();
  int64_t acknowledged() const;
  io::Task<bool> open();
  io::Task<void> write();
  io::Task<void> pump();
  io::Task<void> mark();
  void drop(const char* why, const Error& error);
  template <class Work>
  auto on_disk(Work work);

  io::Env& env_;
  MqttRouter& mqtt_;
  const std::string directory_;
  const SpoolOptions options_;
  MqttRouter::Watch watch_;
  std::shared_ptr<SpoolStore> store_;  // shared with the pool's work; null until it is open
  int failed_opens_ = 0;
  // In the order of messages: what the store has and was handed to the client; what it has besides
  // (numbers from next_to_hand_ to end_); what is to be written, or is being written. Only where
  // all these are empty, messages go to the client directly.
  std::deque<FlightPtr> handed_, pending_, direct_;
  int64_t next_to_hand_ = 0, end_ = 0;
  int64_t marked_ = 0;  // the disk knows that all below have arrived
  int64_t stored_bytes_ = 0;
  size_t pending_bytes_ = 0, direct_bytes_ = 0;
  std::deque<net::MqttMessage> unkept_;  // of QoS 0, while offline
  size_t unkept_bytes_ = 0;
  bool writing_ = false, pumping_ = false, marking_ = false, watches_direct_ = false;
  io::Timer direct_timer_, retry_, open_timer_;
  log::Limit dropped_, failures_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  io::TaskScope tasks_;
};

}  // namespace skerry::nucleus
