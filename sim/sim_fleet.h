// The real control plane for simulated devices, in virtual time: its store (a database in memory),
// deployments, jobs, fleet status and data plane, and a broker in memory (net::FakeBroker). Its
// process can end at any moment and start again later.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/check.h"
#include "fleet/deployments.h"
#include "fleet/store_pool.h"
#include "io/fault_files.h"
#include "net/http.h"
#include "net/test_mqtt.h"
#include "sim/sim_clock.h"
#include "sim/sim_loop.h"
#include "sim/sim_processes.h"

namespace skerry::sim {

// What goes wrong between devices and the fleet, in chances of 0 to 1.
struct NetworkFaults {
  double cut_mqtt = 0;          // per packet: its connection breaks
  double lose_call = 0;         // per HTTP request, and per answer
  double cut_download = 0;      // per piece of 256 bytes
  double corrupt_download = 0;  // per download: one byte is wrong
  int64_t max_delay_ms = 20;    // per packet or call
};

// A device's job as the fleet knows it.
struct SimJob {
  JobId id;
  fleet::ExecutionStatus status = fleet::ExecutionStatus::kQueued;
  fleet::Deployment deployment;
  std::string target;  // "thing/T" or "thinggroup/G"
};

class SimFleet {
 public:
  static constexpr std::string_view kDataPlaneUrl = "https://fleet";
  static constexpr std::string_view kArtifactUrl = "https://artifacts/";

  SimFleet(SimLoop& loop, io::Random& random, NetworkFaults& faults);
  ~SimFleet();

  // --- What an operator does ---
  // {sha256:FILE} and {digest:FILE} in `recipe` become the artifact's.
  void publish(const std::string& name, const std::string& version, std::string recipe,
               const std::map<std::string, std::string>& artifacts);
  void unpublish(const std::string& name, const std::string& version);
  // With a certificate; one that was removed may come back.
  void add_thing(const ThingName& thing);
  void remove_thing(const ThingName& thing);
  bool has_thing(const ThingName& thing) const { return things_.contains(thing); }
  void add_group(const std::string& group);
  void join(const ThingName& thing, const std::string& group);
  void leave(const ThingName& thing, const std::string& group);
  bool is_member(const ThingName& thing, const std::string& group);
  Result<fleet::Deployment> deploy(const std::string& target,
                                   const std::map<std::string, std::string>& components);
  Result<void> cancel(const DeploymentId& id, fleet::Deployments::Begun begun);
  Result<void> remove(const fleet::Deployment& deployment);
  // In the order in which their deployments were made.
  std::vector<SimJob> jobs(const ThingName& thing);
  // What its groups have that it was never given.
  std::string not_given(const ThingName& thing);
  // The payloads that were ever published to a topic, as they came.
  std::vector<std::string> arrived(const std::string& topic) const;
  // {name: version} of what it last reported.
  std::map<std::string, std::string> reported(const ThingName& thing);

  // --- What happens to its process ---
  // It and its broker end, and come back after `down_ms`. Where the broker was killed it has
  // forgotten all sessions, the fleet's own too.
  void restart(int64_t down_ms, bool broker_forgets);
  bool is_up() const { return services_ != nullptr; }

  // --- The network ---
  std::unique_ptr<net::MqttClient> mqtt_client(const ThingName& thing);
  // The answer of the data plane.
  io::Task<net::HttpResponse> answer(net::HttpRequest request);
  static std::string certificate_of(const ThingName& thing);
  // Whatever was ever published, by its digest in hexadecimal; null where there is none.
  const std::string* content(const std::string& sha256) const;
  // Whether that was ever an artifact of that version.
  bool was_published(const std::string& name, const std::string& version,
                     const std::string& content) const;
  void take_offline(const ThingName& thing, int64_t for_ms);
  bool reaches_us(const ThingName& thing) const;
  bool chance(double probability);
  int64_t draw_delay_ms();

  io::Loop& loop() { return loop_; }
  NetworkFaults& faults() { return faults_; }
  const fleet::Deployments& deployments() const { return deployments_; }
  // What `work(store)` returned, as a unit of work of the running server (it must be up), whose
  // listeners hear of it.
  template <class Work, class Answer = std::invoke_result_t<Work&, fleet::Store&>>
  Answer write(Work work) {
    SKERRY_CHECK(is_up(), "an operator waits for the fleet to be up");
    std::optional<Answer> answer;
    io::TaskScope scope;
    scope.spawn([](fleet::StorePool& stores, Work run, auto& result) -> io::Task<void> {
      result.emplace(co_await stores.write(std::move(run)));
    }(stores(), std::move(work), answer));
    SKERRY_CHECK(answer.has_value(), "an inline store answers at once");
    return std::move(*answer);
  }

 private:
  struct Services;  // what ends with the server's process: a further service goes there
  fleet::StorePool& stores();
  void start();

  SimLoop& loop_;
  io::Random& random_;
  NetworkFaults& faults_;
  SimClock clock_;
  io::FaultFiles files_;
  SimProcesses processes_;
  io::InlinePool pool_;
  io::Env env_;
  net::FakeBroker broker_;
  std::unique_ptr<fleet::Store> store_;
  const fleet::Deployments deployments_;
  std::unique_ptr<Services> services_;  // null while it is down
  io::Timer comes_back_;
  std::map<std::string, std::string> contents_;             // by digest
  std::map<std::string, std::set<std::string>> published_;  // "NAME VERSION" → contents
  std::set<ThingName> things_;                              // that are registered
  std::map<ThingName, int64_t> offline_until_ms_;
};

}  // namespace skerry::sim
