// Metrics from programs on this machine that speak StatsD (UDP) or OTLP over HTTP, and a scrape for
// Prometheus: on 127.0.0.1, each where the configuration asks for it. Whoever can reach the
// loopback address may send; the limits of Metrics hold for all of them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "io/env.h"
#include "io/fd.h"
#include "net/http_server.h"
#include "nucleus/intake/otlp.h"
#include "nucleus/metrics.h"

namespace skerry::nucleus {

class MetricIntake {
 public:
  static constexpr const char* kStatsdComponent = "StatsD";

  // Both outlive it.
  MetricIntake(io::Env& env, Metrics& metrics);
  ~MetricIntake();

  // A port of 0 is a free one; what was taken. kUnavailable where somebody else has it.
  Result<uint16_t> listen_statsd(uint16_t port);
  // POST /v1/metrics (OTLP) and GET /metrics (Prometheus).
  Result<uint16_t> listen_http(uint16_t port);

  // One datagram: lines of StatsD. What is no line is counted as MetricsRefused.
  void take_datagram(std::string_view datagram);
  net::HttpResponse answer(const net::HttpRequest& request);

 private:
  void receive();
  Result<void> take_line(std::string_view line);
  net::HttpResponse take_otlp(const net::HttpRequest& request);
  void refuse(uint64_t count, const std::string& why);

  io::Env& env_;
  Metrics& metrics_;
  OtlpDeltas deltas_;
  struct Gauge {
    double value = 0;
    int64_t last_ms = 0;
  };
  std::map<std::string, Gauge> gauges_;  // of StatsD, for "+1" and "-1"
  io::Fd socket_;
  std::unique_ptr<io::FdWatch> watch_;
  std::unique_ptr<net::HttpServer> server_;  // goes first
};

}  // namespace skerry::nucleus
