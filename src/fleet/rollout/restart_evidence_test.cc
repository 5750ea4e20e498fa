// The gate on restarts, and the gates on health where nobody is left who was not asked: from what
// devices say over MQTT to the whole target on its way back, with the real store and engine.
#include "fleet/rollout/restart_evidence.h"

#include <gtest/gtest.h>

#include <map>

#include "fleet/fleet_status.h"
#include "fleet/rollout/rollout_fixture.h"
#include "fleet/store_presence.h"

namespace skerry::fleet::rollout {
namespace {

using nlohmann::json;

constexpr int64_t kRestartHourMs = 3'600'000;

const std::string kRestarts = R"({"evidenceTimeoutSeconds": 600, "stages": [
    {"percent": 10, "bakeSeconds": 3600, "gates": [{"metric": "componentRestarts"}]},
    {"percent": 100, "bakeSeconds": 3600}]})";

class RestartGate : public RolloutTest {
 protected:
  RestartGate() : service_(fleet_.env, fleet_.stores, fleet_.link) {
    fleet_.link.start();
    fleet_.mqtt.connect();
    fleet_.clock.wall += 100 * kRestartHourMs;
    for (const std::string& device : in_order_) {
      says(device);
      set_connected(device, true);
    }
    fleet_.clock.wall += 24 * kRestartHourMs;
  }
  // Says how it is; its component was started again so many times more.
  void says(const std::string& device, int64_t restarts = 0, bool healthy = true) {
    formats::FleetStatus status;
    status.thing = ThingName(device);
    status.healthy = healthy;
    const int64_t all = counted_[device] += restarts;
    status.history = {"run-of-" + device, {{ComponentName("a"), all, all}}, std::nullopt};
    formats::ComponentStatus component;
    component.name = ComponentName("a");
    component.status = healthy ? "RUNNING" : "BROKEN";
    status.components = {component};
    fleet_.mqtt.receive(formats::fleet_status_topic(status.thing), to_text(status));
    fleet_.settle();
  }
  void set_connected(const std::string& device, bool connected) {
    using What = PresenceChange::What;
    ASSERT_TRUE(record_presence(
        *fleet_.store, {{ThingName(device), connected ? What::kConnected : What::kDisconnected,
                         fleet_.clock.wall, fleet_.clock.wall, false}}));
  }
  void take(const Deployment& release) {
    tick(release);
    answer_all(release.job_id, ExecutionStatus::kSucceeded);
  }
  json finding(const Deployment& release, const std::string& metric) {
    for (const json& each : json::parse(record(release).findings_json)) {
      if (each["metric"] == metric) return each;
    }
    return {};
  }

  FleetStatusService service_;
  std::map<std::string, int64_t> counted_;
};

TEST_F(RestartGate, AReleaseWhoseComponentsStartAgainAndAgainGoesBack) {
  const auto release = start(kRestarts);
  take(release);
  for (int minute = 0; minute < 20; ++minute) {
    fleet_.clock.wall += 60'000;
    for (int i = 0; i < 4; ++i) says(in_order_[static_cast<size_t>(i)], 1);
  }
  tick(release);
  EXPECT_EQ(record(release).state.phase, Phase::kRollingBack) << record(release).findings_json;
  EXPECT_NE(record(release).state.reason.find("gate componentRestarts"), std::string::npos);
  EXPECT_EQ(with(release.job_id), first(4));
}

TEST_F(RestartGate, AReleaseThatIsNoWorseReachesEverybody) {
  // Both before and after, each device's component is started again every other hour.
  for (const std::string& device : in_order_) says(device, 12);
  const auto release = start(kRestarts);
  for (int stage = 0; stage < 2; ++stage) {
    take(release);
    fleet_.clock.wall += kRestartHourMs / 2;
    for (size_t i = 0; i < in_order_.size(); i += 2) says(in_order_[i], 1);
    tick(release);
    tick(release, 3'600);
  }
  EXPECT_EQ(record(release).state.phase, Phase::kCompleted) << record(release).state.reason;
  EXPECT_EQ(finding(release, "componentRestarts")["verdict"], "fine");
}

TEST_F(RestartGate, OneDeviceThatIsBrokenIsNotTheRelease) {
  const auto release = start(kRestarts);
  take(release);
  fleet_.clock.wall += kRestartHourMs / 2;
  says(in_order_[2], 60);
  tick(release);
  EXPECT_EQ(record(release).state.phase, Phase::kBaking) << record(release).state.reason;
  tick(release, 3'600);
  EXPECT_EQ(with(release.job_id), first(40));
}

TEST_F(RestartGate, TheOnlyDeviceWithTheReleaseIsTooLittleToTell) {
  const auto release = start(R"({"evidenceTimeoutSeconds": 60, "stages": [
      {"devices": 1, "gates": [{"metric": "componentRestarts"}]}, {"percent": 100}]})");
  take(release);
  fleet_.clock.wall += kRestartHourMs / 2;
  says(in_order_[0], 60);
  tick(release);
  tick(release, 61);
  EXPECT_EQ(record(release).state.phase, Phase::kPaused);
  EXPECT_NE(record(release).state.reason.find("too little to tell"), std::string::npos)
      << record(release).state.reason;
}

TEST_F(RestartGate, TimeInWhichADeviceIsAwayIsNotWatched) {
  const auto release = start(kRestarts);
  take(release);
  for (int i = 0; i < 4; ++i) set_connected(in_order_[static_cast<size_t>(i)], false);
  fleet_.clock.wall += 10 * kRestartHourMs;
  const auto evidence = restart_evidence(*fleet_.store, record(release), fleet_.clock.wall);
  ASSERT_TRUE(evidence) << evidence.error().message();
  EXPECT_LT(evidence->release.device_hours, 0.1);
  // A day before it began, and 36 that were not asked for ten hours more.
  EXPECT_NEAR(evidence->control.device_hours, 40 * 24 + 36 * 10, 1);
}

TEST_F(RestartGate, DevicesThatSayNothingOfRestartsDoNotCount) {
  for (int i = 0; i < 5; ++i) {
    const std::string name = "stock" + std::to_string(i);
    fleet_.add_thing(name);
    ASSERT_TRUE(join(name));
    formats::FleetStatus status;
    status.thing = ThingName(name);
    fleet_.mqtt.receive(formats::fleet_status_topic(status.thing), to_text(status));
    fleet_.settle();
  }
  const auto release = start(kRestarts);
  tick(release);
  const auto evidence = restart_evidence(*fleet_.store, record(release), fleet_.clock.wall);
  ASSERT_TRUE(evidence) << evidence.error().message();
  EXPECT_EQ(evidence->control.devices, 40);
}

// Of those that were not asked there is nobody in the last stage: it must end all the same.
TEST_F(RestartGate, GatesOnHealthAreJudgedInTheLastStageToo) {
  const auto release = start(R"({"evidenceTimeoutSeconds": 60, "stages": [
      {"percent": 10, "gates": [{"metric": "unhealthyDevices"}, {"metric": "componentErrors"}]},
      {"percent": 100}]})");
  take(release);
  tick(release);
  answer_all(release.job_id, ExecutionStatus::kSucceeded);
  tick(release);
  tick(release, 61);
  EXPECT_EQ(record(release).state.phase, Phase::kCompleted) << record(release).state.reason;
}

TEST_F(RestartGate, DevicesThatAreUnwellInTheLastStageTakeItBack) {
  const auto release = start(R"({"stages": [{"percent": 100, "bakeSeconds": 600,
      "gates": [{"metric": "unhealthyDevices"}]}]})");
  take(release);
  for (const std::string& device : in_order_) says(device, 0, false);
  tick(release);
  EXPECT_EQ(record(release).state.phase, Phase::kRollingBack) << record(release).state.reason;
}

}  // namespace
}  // namespace skerry::fleet::rollout
