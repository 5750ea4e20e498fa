// Reading /proc and /sys, and the telemetry's payload.
#include "nucleus/health.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <sstream>

#include "formats/json_ptr.h"
#include "formats/thing_topic.h"
#include "io/cgroup.h"

namespace skerry::nucleus {
namespace {

using nlohmann::json;

constexpr const char* kSystem = "SystemMetrics";
constexpr const char* kComponents = "GreengrassComponents";
constexpr double kMegabyte = 1 << 20;
constexpr size_t kMaxClosed = 2 * 48;  // of two days; older ones make room
constexpr size_t kMaxZones = 8;

// The number behind "KEY:" of /proc/meminfo, in bytes; -1 where it is not there.
double meminfo(const std::string& text, std::string_view key) {
  const size_t at = text.find(std::string(key) + ":");
  double kibibytes = -1;
  if (at == std::string::npos) return -1;
  std::istringstream(text.substr(at + key.size() + 1)) >> kibibytes;
  return kibibytes * 1024;
}

}  // namespace

std::vector<Health::Value> Health::temperatures() const {
  std::vector<Value> values;
  for (size_t zone = 0; zone < kMaxZones; ++zone) {
    const std::string folder = kernel_.sys + "/class/thermal/thermal_zone" + std::to_string(zone);
    double millidegrees = 0;
    if (!(std::istringstream(io::read_group_file(folder, "temp")) >> millidegrees)) break;
    values.push_back(
        {kSystem, "Temperature" + std::to_string(zone), "CELSIUS", nullptr, millidegrees / 1000});
  }
  return values;
}

std::vector<Health::Value> Health::machine() {
  std::vector<Value> values = temperatures();
  // "cpu  user nice system idle iowait irq softirq steal …", in ticks since the start.
  std::istringstream cpu(io::read_group_file(kernel_.proc, "stat"));
  std::string word;
  cpu >> word;
  uint64_t all = 0, idle = 0, ticks = 0;
  for (int column = 0; column < 8 && cpu >> ticks; ++column) {
    all += ticks;
    if (column == 3 || column == 4) idle += ticks;
  }
  if (all_ticks_ > 0 && all > all_ticks_ && all - idle >= busy_ticks_) {
    const auto busy = static_cast<double>(all - idle - busy_ticks_);
    values.push_back({kSystem, "CpuUsage", "PERCENT", "Percent",
                      100 * busy / static_cast<double>(all - all_ticks_)});
  }
  all_ticks_ = all;
  busy_ticks_ = all - idle;
  const std::string memory = io::read_group_file(kernel_.proc, "meminfo");
  const double total = meminfo(memory, "MemTotal"), available = meminfo(memory, "MemAvailable");
  if (total >= 0 && available >= 0) {
    values.push_back(
        {kSystem, "SystemMemUsage", "MEGABYTES", "Megabytes", (total - available) / kMegabyte});
  }
  uint64_t files = 0;
  if (std::istringstream(io::read_group_file(kernel_.proc + "/sys/fs", "file-nr")) >> files) {
    values.push_back({kSystem, "TotalNumberOfFDs", "COUNT", "Count", static_cast<double>(files)});
  }
  if (const auto free = env_.files.free_bytes(info_.root)) {
    values.push_back(
        {kSystem, "DiskFree", "MEGABYTES", nullptr, static_cast<double>(*free) / kMegabyte});
  }
  return values;
}

void Health::sample(Metrics& metrics, const std::vector<ComponentStatus>& components) {
  constexpr std::array<const char*, 9> kStates = {"New",     "Installed", "Starting",
                                                  "Running", "Stopping",  "Errored",
                                                  "Broken",  "Finished",  "Stateless"};
  std::vector<Value> values = machine();
  for (const char* state : kStates) {
    const auto is_in = [&](const ComponentStatus& component) {
      return formats::equal_ignoring_case(name_of(component.state), state);
    };
    values.push_back({kComponents, std::string("NumberOfComponents") + state, "COUNT", "Count",
                      static_cast<double>(std::ranges::count_if(components, is_in))});
  }
  for (const Value& value : values)
    metrics.put_own(value.space, value.name, value.unit, value.value);
  if (info_.telemetry_publish_ms > 0) add_to_telemetry(values);
}

void Health::add_to_telemetry(const std::vector<Value>& values) {
  const int64_t now_ms = env_.clock.monotonic_ms();
  if (hour_.empty() && closed_.empty() && published_ms_ == 0) published_ms_ = now_ms;
  if (hour_.empty()) hour_since_ms_ = now_ms;
  for (const Value& value : values) {
    if (value.telemetry_unit == nullptr) continue;
    hour_[{value.space, value.name, value.telemetry_unit}].add(value.value, now_ms);
  }
  if (now_ms - hour_since_ms_ >= info_.telemetry_aggregate_ms)
    close_telemetry(env_.clock.wall_ms());
  if (now_ms - published_ms_ >= info_.telemetry_publish_ms) publish_telemetry(now_ms);
}

void Health::close_telemetry(int64_t now_ms) {
  for (const char* space : {kSystem, kComponents}) {
    json adp = {{"TS", now_ms}, {"NS", space}, {"M", json::array()}};
    for (const auto& [id, distribution] : hour_) {
      if (id.component != space) continue;
      adp["M"].push_back({{"N", id.name}, {"Average", distribution.mean()}, {"U", id.unit}});
    }
    closed_.push_back(formats::json_text(adp));
  }
  hour_.clear();
  if (closed_.size() > kMaxClosed) closed_.erase(closed_.begin(), closed_.begin() + 2);
}

void Health::publish_telemetry(int64_t now_ms) {
  if (!mqtt_.connected()) return;  // the next sample tries again
  if (!hour_.empty()) close_telemetry(env_.clock.wall_ms());
  std::string payload = R"({"Schema":"2022-06-30","ADP":[)";
  for (size_t i = 0; i < closed_.size(); ++i) payload += (i > 0 ? "," : "") + closed_[i];
  net::MqttMessage message{.topic = formats::thing_topic(info_.thing, "/greengrass/health/json"),
                           .payload = payload + "]}",
                           .qos = 1};
  // It need not be heard: this fleet has the metrics, others may want the telemetry.
  if (!mqtt_.publish(MqttRouter::Sender::kComponent, std::move(message))) return;
  closed_.clear();
  published_ms_ = now_ms;
}

}  // namespace skerry::nucleus
