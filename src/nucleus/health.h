// What the nucleus sees of the machine and of the components: as metrics of its own, and as the
// system health telemetry of the stock nucleus ("$aws/things/T/greengrass/health/json"). What the
// kernel does not show is left out.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "formats/distribution.h"
#include "io/env.h"
#include "nucleus/component_state.h"
#include "nucleus/metrics.h"
#include "nucleus/mqtt_router.h"
#include "nucleus/nucleus_info.h"

namespace skerry::nucleus {

class Health {
 public:
  // Where the kernel shows its numbers; for tests somewhere else.
  struct Kernel {
    std::string proc = "/proc";
    std::string sys = "/sys";
  };
  Health(io::Env& env, MqttRouter& mqtt, const NucleusInfo& info)
      : Health(env, mqtt, info, Kernel()) {}
  Health(io::Env& env, MqttRouter& mqtt, const NucleusInfo& info, Kernel kernel)
      : env_(env), mqtt_(mqtt), info_(info), kernel_(std::move(kernel)) {}

  // Once an interval. Publishes the telemetry when its time has come.
  void sample(Metrics& metrics, const std::vector<ComponentStatus>& components);

 private:
  struct Value {
    const char* space;
    std::string name;
    const char* unit;            // of our metrics
    const char* telemetry_unit;  // of the telemetry; null: it has no such metric
    double value;
  };
  std::vector<Value> machine();
  std::vector<Value> temperatures() const;
  void add_to_telemetry(const std::vector<Value>& values);
  void close_telemetry(int64_t now_ms);
  void publish_telemetry(int64_t now_ms);

  io::Env& env_;
  MqttRouter& mqtt_;
  const NucleusInfo& info_;
  const Kernel kernel_;
  uint64_t busy_ticks_ = 0, all_ticks_ = 0;  // at the last sample
  // Of the telemetry: what adds up now, by namespace, name and unit; what waits to be published.
  std::map<formats::SeriesId, formats::Distribution> hour_;
  int64_t hour_since_ms_ = 0, published_ms_ = 0;
  std::vector<std::string> closed_;  // ADP objects
};

}  // namespace skerry::nucleus
