// What local programs send, against what it adds up to; tests/e2e/local_metrics_test.py has the
// stock clients.
#include "nucleus/intake/intake.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <bit>
#include <nlohmann/json.hpp>

#include "nucleus/intake/prometheus_text.h"
#include "nucleus/intake/statsd.h"
#include "nucleus/ipc/test_host.h"

namespace skerry::nucleus {
namespace {

using Kind = StatsdSample::Kind;

TEST(Statsd, Lines) {
  EXPECT_EQ(parse_statsd("api.hits:3|c").value(), (StatsdSample{"api.hits", Kind::kCounter, {3}}));
  EXPECT_EQ(parse_statsd("a:1|c|@0.1|#env:prod,x").value(),
            (StatsdSample{"a", Kind::kCounter, {1}, false, 0.1}));
  EXPECT_EQ(parse_statsd("a:-2.5|g").value(), (StatsdSample{"a", Kind::kGauge, {-2.5}, true}));
  EXPECT_EQ(parse_statsd("a:+2|g").value(), (StatsdSample{"a", Kind::kGauge, {2}, true}));
  EXPECT_EQ(parse_statsd("a:1:2:3|ms").value(), (StatsdSample{"a", Kind::kTiming, {1, 2, 3}}));
  EXPECT_EQ(parse_statsd("a:1e3|h|T1656581400").value(),
            (StatsdSample{"a", Kind::kDistribution, {1000}}));
  for (const char* wrong :
       {"", "a", "a:", "a:1", ":1|c", "a:x|c", "a:1|", "a:nan|c", "a:inf|g", "a:1|c|@0", "a:1|c|@2",
        "a:1|c|@x", "a:1::2|ms", "a\tb:1|c", "a name that is longer than 32 bytes:1|c"}) {
    EXPECT_FALSE(parse_statsd(wrong)) << wrong;
  }
  EXPECT_EQ(parse_statsd("a:u1|s").error().code(), Code::kUnsupported);
}

class IntakeTest : public testing::Test {
 protected:
  IntakeTest() : intake_(host_.environment, metrics_) {}
  const formats::Distribution& series(const std::string& component, const std::string& name,
                                      const std::string& unit = "COUNT") {
    static const formats::Distribution kNone;
    const auto found = metrics_.current().find({component, name, unit});
    return found == metrics_.current().end() ? kNone : found->second;
  }
  double last(const std::string& name) {
    return static_cast<double>(series("StatsD", name).last) / 1e6;
  }
  static nlohmann::json otlp(nlohmann::json metric) {
    return {
        {"resourceMetrics",
         {{{"resource",
            {{"attributes", {{{"key", "service.name"}, {"value", {{"stringValue", "vision"}}}}}}}},
           {"scopeMetrics", {{{"metrics", {std::move(metric)}}}}}}}}};
  }
  nlohmann::json post(const nlohmann::json& body, int status = 200) {
    net::HttpRequest request;
    request.method = "POST";
    request.target = "/v1/metrics";
    request.headers.add("Content-Type", "application/json");
    request.body = body.dump();
    const auto answer = intake_.answer(request);
    EXPECT_EQ(answer.status, status) << answer.body;
    return nlohmann::json::parse(answer.body);
  }

  io::RealLoop loop_;
  FakeHost host_{loop_};
  Metrics metrics_{host_.environment, host_.router, ThingName("press"), "/state/metrics",
                   MetricsLimits{.series = 40, .series_of_component = 8, .interval_ms = 1'000'000}};
  MetricIntake intake_;
};

TEST_F(IntakeTest, StatsdAddsUp) {
  intake_.take_datagram("hits:1|c\nhits:4|c\r\nhits:1|c|@0.1\n\n");
  EXPECT_EQ(series("StatsD", "hits").total(), 15);
  intake_.take_datagram("wait:250|ms|@0.5\nwait:750|ms");
  EXPECT_EQ(series("StatsD", "wait", "SECONDS").count, 3u);
  EXPECT_NEAR(series("StatsD", "wait", "SECONDS").total(), 1.25, 1e-9);
  intake_.take_datagram("level:10|g\nlevel:-3|g\nlevel:+1|g");
  EXPECT_EQ(last("level"), 8);
  intake_.take_datagram("level:2|g");
  EXPECT_EQ(last("level"), 2);
}

TEST_F(IntakeTest, WhatIsRefusedIsCountedAndTheRestTaken) {
  intake_.take_datagram("hits:1|c\nnonsense\nusers:42|s\nhits:1|c");
  EXPECT_EQ(series("StatsD", "hits").total(), 2);
  EXPECT_EQ(series("SystemMetrics", "MetricsRefused").total(), 2);
  for (int i = 0; i < 100; ++i) intake_.take_datagram("n" + std::to_string(i) + ":1|c");
  EXPECT_EQ(metrics_.current().size(), 9u);  // 8 of StatsD, and how many were refused
  EXPECT_EQ(series("SystemMetrics", "MetricsRefused").total(), 2 + 93);
}

TEST_F(IntakeTest, StatsdIsHeardOnTheLoopback) {
  const auto port = intake_.listen_statsd(0);
  ASSERT_TRUE(port);
  EXPECT_FALSE(MetricIntake(host_.environment, metrics_).listen_statsd(*port));  // it is taken
  const io::Fd socket(::socket(AF_INET, SOCK_DGRAM, 0));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(*port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  for (int i = 0; i < 200; ++i) {
    ::sendto(socket.get(), "hits:1|c", 8, 0, reinterpret_cast<sockaddr*>(&to), sizeof to);
  }
  for (int i = 0; i < 500 && series("StatsD", "hits").total() < 200; ++i) loop_.run_for(2);
  EXPECT_EQ(series("StatsD", "hits").total(), 200);
}

// Cumulative sums of a program that began after us count from its start, and again from its next.
TEST_F(IntakeTest, OtlpSumsCountWhatIsNew) {
  const std::string start = std::to_string((host_.clock.wall_ms() + 1'000) * 1'000'000);
  const std::string later = std::to_string((host_.clock.wall_ms() + 9'000) * 1'000'000);
  const auto say = [&](const std::string& since, int value, const char* camera = "left") {
    post(otlp(
        {{"name", "frames"},
         {"sum",
          {{"aggregationTemporality", 2},
           {"isMonotonic", true},
           {"dataPoints",
            {{{"startTimeUnixNano", since},
              {"asInt", std::to_string(value)},
              {"attributes", {{{"key", "camera"}, {"value", {{"stringValue", camera}}}}}}}}}}}}));
  };
  say(start, 5);
  say(start, 7);
  say(start, 7);
  EXPECT_EQ(series("vision", "frames").total(), 7);
  EXPECT_EQ(series("vision", "frames").count, 2u);
  say(later, 3);  // it has begun anew
  say(start, 100, "right");
  EXPECT_EQ(series("vision", "frames").total(), 110);
  // Of one that began before us an earlier run may have counted.
  say("1000", 50, "third");
  say("1000", 51, "third");
  EXPECT_EQ(series("vision", "frames").total(), 111);
}

TEST_F(IntakeTest, OtlpHistogramsKeepCountAndSum) {
  const auto histogram = [](std::vector<int> counts, double sum, int temporality) {
    int count = 0;
    for (const int each : counts) count += each;
    return otlp({{"name", "latency"},
                 {"unit", "ms"},
                 {"histogram",
                  {{"aggregationTemporality", temporality},
                   {"dataPoints",
                    {{{"startTimeUnixNano", "9000000000000000000"},
                      {"count", count},
                      {"sum", sum},
                      {"bucketCounts", counts},
                      {"explicitBounds", {10, 100, 1000}}}}}}}});
  };
  post(histogram({2, 3, 1, 0}, 700, 2));
  const auto& latency = series("vision", "latency", "SECONDS");
  EXPECT_EQ(latency.count, 6u);
  EXPECT_NEAR(latency.total(), 0.7, 1e-6);
  EXPECT_NEAR(latency.quantile(0.5), 0.055, 0.055 / 8);  // the middle of 10 to 100
  post(histogram({2, 3, 2, 1}, 2'200, 2));
  EXPECT_EQ(latency.count, 8u);
  EXPECT_NEAR(latency.total(), 2.2, 1e-6);
  post(histogram({1, 0, 0, 0}, 5, 1));
  EXPECT_EQ(latency.count, 9u);
  // All in one bucket, and not in its middle.
  post(histogram({0, 3, 0, 0}, 290, 1));
  EXPECT_EQ(latency.count, 12u);
  EXPECT_NEAR(latency.total(), 2.2 + 0.005 + 0.290, 1e-6);
  // What the ring and the fleet take.
  formats::SeriesMap all;
  all[{"vision", "latency", "SECONDS"}] = latency;
  const formats::MetricSummary summary{"run00000", 1, 0, 1, all};
  EXPECT_EQ(formats::parse_metric_summary(to_text(summary)).value(), summary);
}

TEST_F(IntakeTest, OtlpSaysWhatItDidNotTake) {
  const auto partial = post(otlp({{"name", "x"}, {"summary", {{"dataPoints", {{{"count", 1}}}}}}}));
  EXPECT_EQ(partial["partialSuccess"]["rejectedDataPoints"], "1");
  const auto wrong =
      post(otlp({{"name", "x"}, {"gauge", {{"dataPoints", {{{"asDouble", "much"}}}}}}}), 400);
  EXPECT_NE(wrong["message"].get<std::string>().find("asDouble"), std::string::npos);
  const auto uneven = post(otlp(
      {{"name", "x"},
       {"histogram",
        {{"aggregationTemporality", 1},
         {"dataPoints", {{{"count", 1}, {"bucketCounts", {1}}, {"explicitBounds", {1, 2}}}}}}}}));
  EXPECT_EQ(uneven["partialSuccess"]["rejectedDataPoints"], "1");
  EXPECT_EQ(series("SystemMetrics", "MetricsRefused").total(), 3);
}

// By hand: ExportMetricsServiceRequest { resource_metrics { resource { service.name = "a" },
// scope_metrics { metrics { name "t", unit "s", gauge { data_points { as_double 1.5 } } } } } }
TEST(Otlp, ProtobufByHand) {
  const auto field = [](int number, const std::string& bytes) {
    return std::string(1, static_cast<char>(number << 3 | 2)) + static_cast<char>(bytes.size()) +
           bytes;
  };
  const auto bits = std::bit_cast<uint64_t>(1.5);
  std::string fixed(1, 4 << 3 | 1);
  for (int i = 0; i < 8; ++i) fixed += static_cast<char>(bits >> (8 * i));
  const std::string metric = field(1, "t") + field(3, "s") + field(5, field(1, fixed));
  const std::string service = field(1, field(1, "service.name") + field(2, field(1, "a")));
  const std::string request = field(1, field(1, service) + field(2, field(2, metric)));
  const auto points = parse_otlp(request);
  ASSERT_TRUE(points);
  ASSERT_EQ(points->size(), 1u);
  EXPECT_EQ(points->front().series, (formats::SeriesId{"a", "t", "SECONDS"}));
  EXPECT_EQ(points->front().kind, OtlpPoint::Kind::kGauge);
  EXPECT_EQ(points->front().value, 1.5);
  for (size_t cut = 1; cut < request.size(); ++cut) {
    (void)parse_otlp(request.substr(0, cut));  // ends
  }
  EXPECT_FALSE(parse_otlp(request.substr(0, request.size() - 1)));
}

TEST(PrometheusText, SummariesWithEscapedLabels) {
  formats::SeriesMap totals;
  auto& one = totals[{"a\"b\\c\nd", "Wait", "SECONDS"}];
  one.add(1, 1);
  one.add(3, 2);
  const std::string text = prometheus_text(totals);
  const std::string labels = R"(component="a\"b\\c\nd",metric="Wait",unit="SECONDS")";
  EXPECT_NE(text.find("skerry_metric_sum{" + labels + "} 4\n"), std::string::npos) << text;
  EXPECT_NE(text.find("skerry_metric_count{" + labels + "} 2\n"), std::string::npos);
  EXPECT_NE(text.find("skerry_metric_last{" + labels + "} 3\n"), std::string::npos);
  EXPECT_NE(text.find("skerry_metric{" + labels + ",quantile=\"0.5\"} 1"), std::string::npos);
}

TEST_F(IntakeTest, AScrapeHasWhatTheMinutesForgot) {
  ASSERT_TRUE(intake_.listen_http(0));
  intake_.take_datagram("hits:3|c");
  net::HttpRequest request;
  request.target = "/metrics";
  const auto answer = intake_.answer(request);
  EXPECT_EQ(answer.status, 200);
  EXPECT_NE(answer.body.find("metric=\"hits\",unit=\"COUNT\"} 3\n"), std::string::npos)
      << answer.body;
  request.target = "/else";
  EXPECT_EQ(intake_.answer(request).status, 404);
}

}  // namespace
}  // namespace skerry::nucleus
