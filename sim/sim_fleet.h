// A control plane in memory for simulated devices: component versions, one queue of jobs per
// device, the jobs protocol over a network that loses, doubles and delays messages.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "formats/jobs.h"
#include "io/loop.h"
#include "io/random.h"
#include "io/task.h"
#include "net/mqtt.h"
#include "nucleus/cloud.h"

namespace skerry::sim {

// What goes wrong between a device and the fleet, in chances of 0 to 1 per message or call.
struct NetworkFaults {
  double lose = 0;
  double duplicate = 0;
  double cut_download = 0;      // per piece of 256 bytes
  double corrupt_download = 0;  // per download: one byte is wrong
  int64_t max_delay_ms = 20;
};

struct SimJob {
  JobId id;
  std::string document;
  int revision = 0;
  formats::JobStatus status = formats::JobStatus::kQueued;
  formats::StatusDetails details;
  int64_t version = 1;
  int64_t queued_at = 0;
};

class SimFleet {
 public:
  SimFleet(io::Loop& loop, io::Random& random, NetworkFaults& faults)
      : loop_(loop), random_(random), faults_(faults) {}

  // `recipe` with {digest:FILE} replaced by the artifact's digest and its URI by greengrass:FILE.
  void publish(const std::string& name, const std::string& version, std::string recipe,
               std::map<std::string, std::string> artifacts);
  // Queues a deployment for `thing`; an earlier one that has not ended is cancelled, as AWS does.
  void deploy(const ThingName& thing, const std::map<std::string, std::string>& components);
  const std::vector<SimJob>& jobs(const ThingName& thing) const { return jobs_.at(thing); }

  // From a device's MQTT client; answers arrive through `deliver` after a delay.
  void receive(const ThingName& thing, const net::MqttMessage& message);
  std::function<void(const ThingName&, const net::MqttMessage&)> deliver;

  Result<nucleus::Candidate> resolve(const ComponentName& name,
                                     const std::map<std::string, std::string>& wants);
  // The bytes behind a URL that artifact_url() gave, or null.
  const std::string* artifact(const std::string& url) const;

  io::Loop& loop() { return loop_; }
  io::Random& random() { return random_; }
  NetworkFaults& faults() { return faults_; }
  bool chance(double probability);

 private:
  void notify(const ThingName& thing);
  void send(const ThingName& thing, std::string topic, std::string payload);
  const SimJob* next_of(const ThingName& thing) const;
  formats::NextJob next_message(const ThingName& thing, std::string token) const;
  static io::Task<void> deliver_later(SimFleet* fleet, ThingName thing, net::MqttMessage message,
                                      int64_t delay_ms);
  void update(const ThingName& thing, const formats::JobTopic& topic,
              const net::MqttMessage& message);

  io::Loop& loop_;
  io::Random& random_;
  NetworkFaults& faults_;
  struct Published {
    std::string recipe;
    std::map<std::string, std::string> artifacts;
  };
  std::map<std::string, std::map<std::string, Published>> components_;
  std::map<ThingName, std::vector<SimJob>> jobs_;
  io::TaskScope in_flight_;
};

// The data plane of a SimFleet as one device sees it.
class SimCloud : public nucleus::Cloud {
 public:
  explicit SimCloud(SimFleet& fleet) : fleet_(fleet) {}
  io::Task<Result<std::vector<std::string>>> thing_groups() override;
  io::Task<Result<nucleus::Candidate>> resolve(
      ComponentName name, std::map<std::string, std::string> requirements) override;
  io::Task<Result<std::string>> artifact_url(std::string component_arn,
                                             std::string artifact) override;
  io::Task<Result<void>> download(std::string url, uint64_t offset,
                                  nucleus::DownloadSink* sink) override;

 private:
  io::Task<Result<void>> travel();
  SimFleet& fleet_;
};

// One device's MQTT connection. Up until cut(); comes back by itself.
class SimMqtt : public net::MqttClient {
 public:
  SimMqtt(SimFleet& fleet, ThingName thing) : fleet_(fleet), thing_(std::move(thing)) {}
  void start(Events events) override;
  bool connected() const override { return connected_; }
  Result<void> publish(net::MqttMessage message, Done done) override;
  net::MqttBacklog backlog() const override { return {queued_.size(), 0}; }
  Result<void> subscribe(net::MqttSubscription subscription, Done done) override;
  void unsubscribe(const std::string& filter) override;

  void cut(int64_t for_ms);
  // A power cut: nothing leaves or arrives any more.
  void kill() { dead_ = true; }
  void arrive(const net::MqttMessage& message);

 private:
  void connect_after(int64_t delay_ms);
  SimFleet& fleet_;
  ThingName thing_;
  Events events_;
  bool connected_ = false;
  bool dead_ = false;
  std::vector<std::string> filters_;
  std::vector<net::MqttMessage> queued_;
  io::Timer timer_;
};

}  // namespace skerry::sim
