// AWS IoT Jobs over MQTT, the control plane's side: answers what devices ask for, takes their
// updates, and notifies them when what they have to do has changed. The store is the record; every
// message is made from it anew, so that a lost one is repaired by the next.
//
// Questions and notifications, too, go through the store's writer: so messages leave in the order
// of the changes they speak of, and no device hears of a job again that it has just ended.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/named_type.h"
#include "fleet/deployments.h"
#include "fleet/device_link.h"
#include "fleet/effects.h"
#include "fleet/store_pool.h"
#include "formats/jobs.h"
#include "io/env.h"
#include "io/task.h"

namespace skerry::fleet {

class JobsService : public EffectListener {
 public:
  // Registers its routes with `link`, and itself with `stores`, both of which must outlive it.
  JobsService(io::Env& env, StorePool& stores, const Deployments& deployments, DeviceLink& link);
  ~JobsService() override;
  JobsService(const JobsService&) = delete;
  JobsService& operator=(const JobsService&) = delete;

  // Sends the notifications from the loop, after the answer to whatever caused the change, and no
  // faster than the broker takes them.
  void committed(const Effects& effects) override;

 private:
  // What goes back on …/accepted, or on …/rejected.
  using Answer = std::expected<std::string, formats::JobRejected>;
  // What is due to one thing: its next job, and the list of all.
  struct Notification {
    std::string next;
    std::string list;
  };

  void on_request(const net::MqttMessage& message);
  io::Task<void> answer(formats::JobTopic topic, std::string payload);
  void on_subscribed(const net::MqttMessage& message);
  // Every thing with something to do, or something that changed since: after a connect, because the
  // broker may have lost messages, and where they are too many to be remembered by name.
  void notify_all(int64_t since_ms);
  void remember(const std::vector<ThingName>& things);
  // The next of them into to_notify_, a page at a time.
  io::Task<void> read_on();
  void notify_soon();
  io::Task<void> send_notifications();
  void send(const Result<Notification>& notification, const ThingName& thing);

  // Within units of work, on the writer's thread.
  Answer get(Store& store, const formats::JobTopic& topic, std::string_view payload) const;
  Answer update(Store& store, const formats::JobTopic& topic, std::string_view payload) const;
  Answer accepted(const JobExecution& execution, const formats::JobUpdateRequest& request) const;
  formats::JobRejected rejection(const Error& error, std::string client_token) const;
  Result<Notification> notification(Store& store, const ThingName& thing) const;
  int64_t now_s() const { return env_.clock.wall_ms() / 1000; }

  io::Env& env_;
  StorePool& stores_;
  const Deployments& deployments_;
  DeviceLink& link_;
  static constexpr size_t kMostByName = 20'000;
  struct Sweep {
    int64_t since_ms = 0;
    ThingName after;  // of the order in the store; "" at the beginning
  };
  std::set<ThingName> to_notify_;
  int64_t remembered_since_ms_ = 0;
  std::optional<Sweep> sweep_;
  bool is_sending_ = false;  // one after the other, so that an older state never comes last
  io::TaskScope tasks_;
};

}  // namespace skerry::fleet
