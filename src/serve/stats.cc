// Histograms, and the two ways out: the protocol's statistics and Prometheus.
#include "serve/stats.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>

namespace skerry::serve {
namespace {

using nlohmann::json;

json duration(uint64_t count, int64_t total_ns) {
  return {{"count", count}, {"ns", total_ns}};
}

json quantiles(const LatencyHistogram& histogram) {
  return {{"p50", histogram.quantile(0.5)},
          {"p90", histogram.quantile(0.9)},
          {"p99", histogram.quantile(0.99)}};
}

// A label's value between its quotes.
std::string label(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c == '\n' ? std::string_view("\\n") : std::string_view(&c, 1);
  }
  return out;
}

}  // namespace

int64_t now_ns() {
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(since).count();
}

void LatencyHistogram::add(int64_t value_ns) {
  const auto value = static_cast<uint64_t>(std::max<int64_t>(value_ns, 0));
  ++counts_[Buckets::bucket_of(value)];
  ++count_;
  sum_ns_ += static_cast<int64_t>(value);
}

int64_t LatencyHistogram::quantile(double q) const {
  if (count_ == 0) return 0;
  const auto wanted =
      std::max<uint64_t>(1, static_cast<uint64_t>(std::ceil(q * static_cast<double>(count_))));
  uint64_t seen = 0;
  for (size_t i = 0; i < counts_.size(); ++i) {
    seen += counts_[i];
    if (seen >= wanted) return static_cast<int64_t>(Buckets::last_of(i));
  }
  return static_cast<int64_t>(Buckets::last_of(Buckets::kBuckets - 1));
}

void ModelStats::add_success(const RequestTimes& times, int64_t wall_ms) {
  total_.add(times.total_ns());
  queue_.add(times.queue_ns);
  infer_.add(times.infer_ns);
  input_ns_ += times.input_ns;
  output_ns_ += times.output_ns;
  last_inference_ms_ = wall_ms;
}

void ModelStats::add_failure(int64_t total_ns) {
  ++failures_;
  failure_ns_ += total_ns;
}

void ModelStats::add_execution(size_t requests, int64_t infer_ns) {
  Executions& executions = together_[requests];
  ++executions.count;
  executions.infer_ns += infer_ns;
}

uint64_t ModelStats::executions() const {
  uint64_t saved = 0;
  for (const auto& [requests, executions] : together_) saved += (requests - 1) * executions.count;
  return successes() > saved ? successes() - saved : 0;
}

std::string ModelStats::to_json(std::string_view model, std::string_view version) const {
  const uint64_t count = successes();
  const json inference = {{"success", duration(count, total_.sum_ns())},
                          {"fail", duration(failures_, failure_ns_)},
                          {"queue", duration(count, queue_.sum_ns())},
                          {"compute_input", duration(count, input_ns_)},
                          {"compute_infer", duration(count, infer_.sum_ns())},
                          {"compute_output", duration(count, output_ns_)},
                          {"cache_hit", duration(0, 0)},
                          {"cache_miss", duration(0, 0)}};
  json memory = json::array();
  if (memory_bytes_ > 0) {
    memory.push_back({{"type", "CPU"}, {"id", 0}, {"byte_size", memory_bytes_}});
  }
  json batches = json::array();
  for (const auto& [requests, executions] : together_) {
    batches.push_back({{"batch_size", requests},
                       {"compute_infer", duration(executions.count, executions.infer_ns)}});
  }
  const json entry = {{"name", model},
                      {"version", version},
                      {"last_inference", last_inference_ms_},
                      {"inference_count", count},
                      {"execution_count", executions()},
                      {"inference_stats", inference},
                      {"batch_stats", batches},
                      {"memory_usage", memory},
                      {"counted_memory_bytes", counted_memory()},
                      {"latency_ns",
                       {{"total", quantiles(total_)},
                        {"queue", quantiles(queue_)},
                        {"compute_infer", quantiles(infer_)}}}};
  return entry.dump();
}

namespace {

void append_counters(std::string& out, std::span<const StatsRow> rows) {
  struct Counter {
    const char* name;
    const char* help;
    uint64_t (ModelStats::*of)() const;
  };
  constexpr std::array<Counter, 2> kCounters = {{
      {"skerry_inference_executions_total", "Runs of the model that gave the successes.",
       &ModelStats::executions},
      {"skerry_inference_not_finite_total",
       "Runs that gave NaN or infinity in an output that must be finite.", &ModelStats::not_finite},
  }};
  for (const Counter& counter : kCounters) {
    fmt::format_to(std::back_inserter(out), "# HELP {0} {1}\n# TYPE {0} counter\n", counter.name,
                   counter.help);
    for (const StatsRow& row : rows) {
      fmt::format_to(std::back_inserter(out), "{}{{model=\"{}\",version=\"{}\"}} {}\n",
                     counter.name, label(row.model), label(row.version),
                     (row.stats->*counter.of)());
    }
  }
}

void append_alarms(std::string& out, std::span<const StatsRow> rows) {
  const auto to = std::back_inserter(out);
  const auto line = [&](const char* name, const StatsRow& row, uint64_t value) {
    fmt::format_to(to, "{}{{model=\"{}\",version=\"{}\"}} {}\n", name, label(row.model),
                   label(row.version), value);
  };
  struct Counter {
    const char* name;
    const char* help;
    uint64_t Alarms::* of;
  };
  constexpr std::array<Counter, 2> kCounters = {{
      {"skerry_inference_hangs_total", "Runs that did not end within their limit.", &Alarms::hangs},
      {"skerry_inference_slow_total", "Runs that took ten times what is normal for their shapes.",
       &Alarms::slow},
  }};
  for (const Counter& counter : kCounters) {
    fmt::format_to(to, "# HELP {0} {1}\n# TYPE {0} counter\n", counter.name, counter.help);
    for (const StatsRow& row : rows) line(counter.name, row, row.watchdog->alarms().*counter.of);
  }
  out +=
      "# HELP skerry_model_fault Whether the watchdog has found the version at fault.\n"
      "# TYPE skerry_model_fault gauge\n";
  for (const StatsRow& row : rows) {
    line("skerry_model_fault", row, row.watchdog->fault().empty() ? 0 : 1);
  }
}

// What models and runtimes hold in memory; only what is known.
void append_memory(std::string& out, std::span<const StatsRow> rows,
                   std::span<const RuntimeRow> runtimes) {
  const auto to = std::back_inserter(out);
  struct Gauge {
    const char* name;
    const char* help;
    uint64_t (ModelStats::*of)() const;
  };
  constexpr std::array<Gauge, 2> kGauges = {{
      {"skerry_model_memory_bytes", "What the model holds in memory, as its trial measured it.",
       &ModelStats::memory_bytes},
      {"skerry_model_counted_memory_bytes",
       "What the model holds in memory now, as its runtime counts it.",
       &ModelStats::counted_memory},
  }};
  for (const Gauge& gauge : kGauges) {
    fmt::format_to(to, "# HELP {0} {1}\n# TYPE {0} gauge\n", gauge.name, gauge.help);
    for (const StatsRow& row : rows) {
      const uint64_t bytes = (row.stats->*gauge.of)();
      if (bytes == 0) continue;
      fmt::format_to(to, "{}{{model=\"{}\",version=\"{}\"}} {}\n", gauge.name, label(row.model),
                     label(row.version), bytes);
    }
  }
  out +=
      "# HELP skerry_runtime_memory_bytes What a runtime's library takes before its first model.\n"
      "# TYPE skerry_runtime_memory_bytes gauge\n";
  for (const RuntimeRow& row : runtimes) {
    if (row.memory_bytes == 0) continue;
    fmt::format_to(to, "skerry_runtime_memory_bytes{{runtime=\"{}\",version=\"{}\"}} {}\n",
                   label(row.runtime), label(row.version), row.memory_bytes);
  }
}

}  // namespace

std::string to_prometheus(std::span<const StatsRow> rows, std::span<const RuntimeRow> runtimes) {
  std::string out;
  const auto to = std::back_inserter(out);
  out +=
      "# HELP skerry_inference_requests_total Inference requests by outcome.\n"
      "# TYPE skerry_inference_requests_total counter\n";
  for (const StatsRow& row : rows) {
    for (const auto& [outcome, count] : {std::pair("success", row.stats->successes()),
                                         std::pair("failure", row.stats->failures())}) {
      fmt::format_to(
          to, "skerry_inference_requests_total{{model=\"{}\",version=\"{}\",outcome=\"{}\"}} {}\n",
          label(row.model), label(row.version), outcome, count);
    }
  }
  append_counters(out, rows);
  append_alarms(out, rows);
  append_memory(out, rows, runtimes);
  struct Summary {
    const char* name;
    const char* help;
    const LatencyHistogram& (ModelStats::*of)() const;
  };
  constexpr std::array<Summary, 3> kSummaries = {{
      {"skerry_inference_duration_seconds", "Request decoded to answer encoded.",
       &ModelStats::total},
      {"skerry_inference_queue_seconds", "Waiting for a thread.", &ModelStats::queue},
      {"skerry_inference_compute_seconds", "Inside the runtime.", &ModelStats::infer},
  }};
  for (const Summary& summary : kSummaries) {
    fmt::format_to(to, "# HELP {0} {1}\n# TYPE {0} summary\n", summary.name, summary.help);
    for (const StatsRow& row : rows) {
      const LatencyHistogram& histogram = (row.stats->*summary.of)();
      const auto labels =
          fmt::format("model=\"{}\",version=\"{}\"", label(row.model), label(row.version));
      for (const double q : {0.5, 0.9, 0.99}) {
        fmt::format_to(to, "{}{{{},quantile=\"{}\"}} {}\n", summary.name, labels, q,
                       static_cast<double>(histogram.quantile(q)) / 1e9);
      }
      fmt::format_to(to, "{}_sum{{{}}} {}\n", summary.name, labels,
                     static_cast<double>(histogram.sum_ns()) / 1e9);
      fmt::format_to(to, "{}_count{{{}}} {}\n", summary.name, labels, histogram.count());
    }
  }
  return out;
}

}  // namespace skerry::serve
