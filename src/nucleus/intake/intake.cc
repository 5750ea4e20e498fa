// The sockets of local metrics, and what becomes of what they hear.
#include "nucleus/intake/intake.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/log_limit.h"
#include "base/protobuf_writer.h"
#include "formats/json_ptr.h"
#include "nucleus/intake/prometheus_text.h"
#include "nucleus/intake/repeated.h"
#include "nucleus/intake/statsd.h"

namespace skerry::nucleus {
namespace {

using formats::Distribution;
using formats::SeriesMap;

constexpr std::string_view kIntakeModule = "metrics";
constexpr size_t kMaxDatagram = 64 << 10;
constexpr int kDatagramsAtOnce = 64;  // then others have a turn
constexpr size_t kMaxGauges = 256;
constexpr double kMostRepeats = 1e6;
constexpr const char* kPrometheusType = "text/plain; version=0.0.4; charset=utf-8";
constexpr const char* kProtobufType = "application/x-protobuf";

net::HttpLimits intake_limits() {
  net::HttpLimits limits;
  limits.header_bytes = 16 << 10;
  limits.body_bytes = 4 << 20;
  limits.max_connections = 64;
  return limits;
}

// google.rpc.Status of an error, or ExportMetricsServiceResponse with partial_success.
std::string otlp_protobuf(bool is_error, uint64_t rejected, std::string_view message) {
  ProtobufWriter writer;
  if (is_error) {
    writer.text(2, message);
  } else if (rejected > 0) {
    ProtobufWriter partial;
    partial.number(1, static_cast<int64_t>(rejected));
    partial.text(2, message);
    writer.message(1, std::move(partial));
  }
  std::string bytes;
  writer.for_each_part([&](std::string_view part) { bytes += part; });
  return bytes;
}

net::HttpResponse otlp_answer(bool as_json, int status, uint64_t rejected,
                              const std::string& message) {
  const bool is_error = status != 200;
  if (!as_json) {
    return net::text_response(status, otlp_protobuf(is_error, rejected, message), kProtobufType);
  }
  nlohmann::json body = nlohmann::json::object();
  if (is_error) {
    body["message"] = message;
  } else if (rejected > 0) {
    body["partialSuccess"] = {{"rejectedDataPoints", std::to_string(rejected)},
                              {"errorMessage", message}};
  }
  return net::json_response(status, formats::json_text(body));
}

}  // namespace

MetricIntake::MetricIntake(io::Env& env, Metrics& metrics)
    : env_(env),
      metrics_(metrics),
      deltas_(static_cast<uint64_t>(std::max<int64_t>(0, env.clock.wall_ms())) * 1'000'000) {}

MetricIntake::~MetricIntake() {
  server_.reset();
  watch_.reset();
}

Result<uint16_t> MetricIntake::listen_statsd(uint16_t port) {
  socket_ = io::Fd(::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (!socket_ || ::bind(socket_.get(), generic, size) != 0 ||
      ::getsockname(socket_.get(), generic, &size) != 0) {
    return fail(errno_error("listening for StatsD on", "127.0.0.1:" + std::to_string(port), errno));
  }
  watch_ = env_.loop.watch(socket_.get());
  watch_->when_readable([this] { receive(); });
  return ntohs(address.sin_port);
}

void MetricIntake::receive() {
  static thread_local char datagram[kMaxDatagram];
  for (int i = 0; i < kDatagramsAtOnce; ++i) {
    const ssize_t size = ::recv(socket_.get(), datagram, sizeof datagram, 0);
    if (size < 0) break;
    take_datagram({datagram, static_cast<size_t>(size)});
  }
  watch_->when_readable([this] { receive(); });
}

void MetricIntake::take_datagram(std::string_view datagram) {
  uint64_t refused = 0;
  std::string why;
  while (!datagram.empty()) {
    const size_t end = std::min(datagram.find('\n'), datagram.size());
    std::string_view line = datagram.substr(0, end);
    datagram.remove_prefix(std::min(end + 1, datagram.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    if (auto taken = take_line(line); !taken) {
      ++refused;
      why = taken.error().message();
    }
  }
  refuse(refused, why);
}

Result<void> MetricIntake::take_line(std::string_view line) {
  SKERRY_ASSIGN(StatsdSample sample, parse_statsd(line));
  const int64_t now_ms = env_.clock.wall_ms();
  const bool is_timing = sample.kind == StatsdSample::Kind::kTiming;
  Distribution all;
  if (sample.kind == StatsdSample::Kind::kGauge) {
    if (gauges_.size() >= kMaxGauges && !gauges_.contains(sample.name)) {
      return fail(Code::kResourceExhausted, "StatsD: there are more than 256 gauges");
    }
    Gauge& gauge = gauges_[sample.name];
    for (const double each : sample.values) {
      const double value = sample.is_change ? gauge.value + each : each;
      gauge.value = std::clamp(value, -Distribution::kMaxValue, Distribution::kMaxValue);
      // Of two in one millisecond the second is the last.
      gauge.last_ms = std::max(now_ms, gauge.last_ms + 1);
      all.add(gauge.value, gauge.last_ms);
    }
  } else if (sample.kind == StatsdSample::Kind::kCounter) {
    for (const double each : sample.values) all.add(each / sample.rate, now_ms);
  } else {
    const double repeats = std::min(std::round(1 / sample.rate), kMostRepeats);
    for (const double each : sample.values) {
      Distribution one;
      one.add(is_timing ? each / 1'000 : each, now_ms);
      all.merge(repeated(std::move(one), static_cast<uint64_t>(repeats)));
    }
  }
  SeriesMap series;
  series[{kStatsdComponent, sample.name, is_timing ? "SECONDS" : "COUNT"}] = std::move(all);
  return metrics_.merge(series);
}

Result<uint16_t> MetricIntake::listen_http(uint16_t port) {
  server_ = std::make_unique<net::HttpServer>(
      env_.loop,
      [this](net::HttpRequest request) -> io::Task<net::HttpResponse> {
        return [](MetricIntake& intake, net::HttpRequest asked) -> io::Task<net::HttpResponse> {
          co_return intake.answer(asked);
        }(*this, std::move(request));
      },
      intake_limits());
  metrics_.keep_totals();
  return server_->listen_tcp("127.0.0.1", port, nullptr);
}

net::HttpResponse MetricIntake::answer(const net::HttpRequest& request) {
  const std::string_view path = net::split_target(request.target).first;
  if (path == "/metrics" && net::routed_method(request) == "GET") {
    return net::text_response(200, prometheus_text(metrics_.totals()), kPrometheusType);
  }
  if (path == "/v1/metrics" && request.method == "POST") return take_otlp(request);
  return net::text_response(path == "/metrics" || path == "/v1/metrics" ? 405 : 404,
                            "GET /metrics and POST /v1/metrics are here\n");
}

net::HttpResponse MetricIntake::take_otlp(const net::HttpRequest& request) {
  const std::string_view type = request.headers.get("Content-Type");
  const bool as_json = type.starts_with("application/json");
  if (!as_json && !type.starts_with(kProtobufType)) {
    return net::text_response(415, "application/x-protobuf and application/json are understood\n");
  }
  auto points = as_json ? parse_otlp_json(request.body) : parse_otlp(request.body);
  if (!points) {
    refuse(1, points.error().message());
    return otlp_answer(as_json, 400, 0, points.error().message());
  }
  const int64_t now_ms = env_.clock.wall_ms();
  uint64_t rejected = 0;
  std::string why;
  for (const OtlpPoint& point : *points) {
    auto added = deltas_.take(point, now_ms);
    Result<void> merged;
    if (added && *added) {
      SeriesMap series;
      series[point.series] = std::move(**added);
      merged = metrics_.merge(series);
    }
    if (added && merged) continue;
    ++rejected;
    why = added ? merged.error().message() : added.error().message();
  }
  refuse(rejected, why);
  return otlp_answer(as_json, 200, rejected, why);
}

void MetricIntake::refuse(uint64_t count, const std::string& why) {
  if (count == 0) return;
  metrics_.put_own("SystemMetrics", "MetricsRefused", "COUNT", static_cast<double>(count));
  static log::Limit limit;
  limit.write(log::Level::kWarn, kIntakeModule, "local metrics are refused",
              {{"count", std::to_string(count)}, {"why", why}});
}

}  // namespace skerry::nucleus
