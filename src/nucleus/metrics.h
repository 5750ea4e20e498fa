// The device's metrics: what components put in (PutComponentMetric) and what the nucleus sees of
// the machine, added up for a minute, kept in the ring (nucleus/metric_store.h), and brought to the
// fleet from there, oldest first, when the broker is there. All of it belongs to the loop's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "formats/metric_summary.h"
#include "io/env.h"
#include "io/task.h"
#include "nucleus/metric_store.h"
#include "nucleus/mqtt_router.h"

namespace skerry::nucleus {

struct MetricsLimits {
  size_t series = formats::kMaxSeries - 64;  // of components, in all; the rest is the nucleus's
  size_t series_of_component = 64;
  int64_t interval_ms = 60'000;
};

class Metrics {
 public:
  using Limits = MetricsLimits;
  // Called before each summary is closed: puts in what it sees of the machine.
  using Sampler = std::function<void(Metrics&)>;

  Metrics(io::Env& env, MqttRouter& mqtt, ThingName thing, std::string directory,
          Limits limits = {})
      : env_(env),
        mqtt_(mqtt),
        thing_(std::move(thing)),
        directory_(std::move(directory)),
        limits_(limits) {}

  // A value of a component's, all of a request or none: kResourceExhausted where there are too many
  // series, with what to do.
  struct Value {
    std::string name;
    std::string unit;
    double value;
  };
  Result<void> put(const std::string& component, const std::vector<Value>& values);
  // The same, of values that are added up already.
  Result<void> merge(const formats::SeriesMap& series);
  // The nucleus's own.
  void put_own(const char* space, std::string name, const char* unit, double value);

  // From now on each interval is closed, kept and sent. Until then values only add up.
  void start(Sampler sampler = {});
  // What is there now is kept, as far as it goes: before the program ends.
  io::Task<void> flush();
  // The broker is there.
  void on_connected();

  const formats::SeriesMap& current() const { return current_; }
  // From now on everything is added up for totals(), too: of at most kMaxSeries series.
  void keep_totals() { keeps_totals_ = true; }
  const formats::SeriesMap& totals() const { return totals_; }

 private:
  void take(const formats::SeriesId& id, const formats::Distribution& values);
  io::Task<void> run();
  io::Task<Result<void>> open();
  io::Task<void> close_period();
  io::Task<void> send();
  void complain(const Error& error);
  template <class Work>
  auto on_disk(Work work);

  io::Env& env_;
  MqttRouter& mqtt_;
  const ThingName thing_;
  const std::string directory_;
  const Limits limits_;
  Sampler sampler_;
  formats::SeriesMap current_;
  formats::SeriesMap totals_;  // since keep_totals()
  bool keeps_totals_ = false;
  int64_t since_ms_ = 0;
  std::optional<std::string> unwritten_;  // closed, and the disk has not taken it
  std::shared_ptr<MetricStore> store_;    // shared with the pool's work
  bool busy_ = false;                     // with the store
  bool sending_ = false;
  bool failing_ = false;
  io::TaskScope tasks_;
};

}  // namespace skerry::nucleus
