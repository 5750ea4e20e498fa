// AWS IoT Jobs over MQTT, the control plane's side: answers what devices ask for, takes their
// updates, and notifies them when what they have to do has changed. The store is the record; every
// message is made from it anew, so that a lost one is repaired by the next.
#pragma once

#include <expected>
#include <set>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/named_type.h"
#include "fleet/deployments.h"
#include "fleet/device_link.h"
#include "fleet/job_notifier.h"
#include "fleet/store.h"
#include "formats/jobs.h"
#include "io/env.h"

namespace skerry::fleet {

class JobsService : public JobNotifier {
 public:
  // Registers its routes with `link`, and itself with `deployments`, both of which must outlive it.
  JobsService(io::Env& env, Store& store, Deployments& deployments, DeviceLink& link);
  ~JobsService() override;
  JobsService(const JobsService&) = delete;
  JobsService& operator=(const JobsService&) = delete;

  // Sends the notifications from the loop, after the answer to whatever caused the change, and no
  // faster than the broker takes them.
  void job_changed(const ThingName& thing) override;

 private:
  // What goes back on …/accepted, or on …/rejected.
  using Answer = std::expected<std::string, formats::JobRejected>;

  void on_request(const net::MqttMessage& message);
  Answer get(const formats::JobTopic& topic, std::string_view payload);
  Answer update(const formats::JobTopic& topic, std::string_view payload);
  Answer accepted(const JobExecution& execution, const formats::JobUpdateRequest& request) const;
  formats::JobRejected rejection(const Error& error, std::string client_token) const;
  void on_subscribed(const net::MqttMessage& message);

  // Every thing with something to do: after a connect, because the broker may have lost messages.
  void notify_all();
  void send_notifications();
  Result<void> notify(const ThingName& thing);
  Result<formats::JobExecution> with_document(const JobExecution& execution);
  int64_t now_s() const { return env_.clock.wall_ms() / 1000; }

  io::Env& env_;
  Store& store_;
  Deployments& deployments_;
  DeviceLink& link_;
  std::set<ThingName> to_notify_;
  io::Timer notify_timer_;
};

}  // namespace skerry::fleet
