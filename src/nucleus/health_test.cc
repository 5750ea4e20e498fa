// What the kernel shows becomes metrics, and the stock telemetry.
#include "nucleus/health.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "io/test_directory.h"
#include "nucleus/ipc/test_host.h"

namespace skerry::nucleus {
namespace {

using nlohmann::json;

class HealthTest : public testing::Test {
 protected:
  HealthTest() {
    info_.root = "/";
    info_.thing = ThingName("press");
    info_.telemetry_aggregate_ms = 0;
    info_.telemetry_publish_ms = 1;
    write("proc/meminfo", "MemTotal:  4096000 kB\nMemFree: 1 kB\nMemAvailable:  1024000 kB\n");
    write("proc/sys/fs/file-nr", "1234\t0\t99999\n");
    write("sys/class/thermal/thermal_zone0/temp", "48500\n");
    while (!host_.router.connected()) loop_.run_for(10);
  }
  void write(const std::string& name, const std::string& text) {
    const std::filesystem::path path = directory_.path() + "/" + name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  double last(const char* name, const char* unit, const char* space = "SystemMetrics") {
    const auto found = host_.device_metrics.current().find({space, name, unit});
    return found == host_.device_metrics.current().end()
               ? -1
               : static_cast<double>(found->second.last) / formats::Distribution::kUnit;
  }

  io::RealLoop loop_;
  FakeHost host_{loop_};
  io::ScratchDirectory directory_;
  NucleusInfo info_;
  Health health_{host_.environment,
                 host_.router,
                 info_,
                 {directory_.path() + "/proc", directory_.path() + "/sys"}};
};

TEST_F(HealthTest, WhatTheKernelShowsBecomesMetrics) {
  write("proc/stat", "cpu  100 0 100 800 0 0 0 0 0 0\n");
  health_.sample(host_.device_metrics, {});
  EXPECT_EQ(last("CpuUsage", "PERCENT"), -1);  // it takes two looks
  write("proc/stat", "cpu  130 0 130 840 0 0 0 0 0 0\n");
  health_.sample(host_.device_metrics,
                 {{.state = ComponentState::kRunning}, {.state = ComponentState::kBroken}});
  EXPECT_EQ(last("CpuUsage", "PERCENT"), 60);
  EXPECT_EQ(last("SystemMemUsage", "MEGABYTES"), 3000);
  EXPECT_EQ(last("TotalNumberOfFDs", "COUNT"), 1234);
  EXPECT_EQ(last("Temperature0", "CELSIUS"), 48.5);
  EXPECT_EQ(last("NumberOfComponentsRunning", "COUNT", "GreengrassComponents"), 1);
  EXPECT_EQ(last("NumberOfComponentsBroken", "COUNT", "GreengrassComponents"), 1);
  EXPECT_EQ(last("NumberOfComponentsErrored", "COUNT", "GreengrassComponents"), 0);
}

TEST_F(HealthTest, TheTelemetryIsTheStockNucleussPayload) {
  std::vector<json> heard;
  auto subscription = host_.router.subscribe(
      "$aws/things/press/greengrass/health/json", 1,
      [&](const net::MqttMessage& message) { heard.push_back(json::parse(message.payload)); });
  for (int i = 0; i < 200 && heard.empty(); ++i) {
    health_.sample(host_.device_metrics, {{.state = ComponentState::kRunning}});
    for (int j = 0; j < 10; ++j) loop_.run_for(2);
  }
  ASSERT_FALSE(heard.empty());
  EXPECT_EQ(heard[0]["Schema"], "2022-06-30");
  const json& system = heard[0]["ADP"][0];
  EXPECT_EQ(system["NS"], "SystemMetrics");
  EXPECT_TRUE(system["TS"].is_number_integer());
  const json expected = {{"N", "SystemMemUsage"}, {"Average", 3000.0}, {"U", "Megabytes"}};
  EXPECT_NE(std::ranges::find(system["M"], expected), system["M"].end()) << system;
  const json& components = heard[0]["ADP"][1];
  EXPECT_EQ(components["NS"], "GreengrassComponents");
  EXPECT_EQ(components["M"].size(), 9u);
  for (const json& metric : components["M"]) EXPECT_EQ(metric["U"], "Count");
}

TEST_F(HealthTest, AKernelThatShowsNothingIsFine) {
  Health blind(host_.environment, host_.router, info_, {"/nowhere", "/nowhere"});
  blind.sample(host_.device_metrics, {});
  blind.sample(host_.device_metrics, {});
  EXPECT_EQ(last("CpuUsage", "PERCENT"), -1);
}

}  // namespace
}  // namespace skerry::nucleus
