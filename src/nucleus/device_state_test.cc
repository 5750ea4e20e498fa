// Every record of the device state: what it changes, and that a reopened state equals the live one.
#include "nucleus/device_state.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "io/test_env.h"

namespace skerry::nucleus {
namespace {

using nlohmann::json;

const ComponentName kApp("app");

// All that can be read from the state, as text.
std::string text_of(const JobResult& result) {
  return result.job.str() + "," + result.deployment.str() + "," + result.target + "," +
         result.configuration_arn + "," + result.status + "," + result.detailed_status + "," +
         result.reason;
}
std::string text_of(const ComponentSet& components) {
  std::string text;
  for (const auto& [name, component] : components) {
    text += " " + name.str() + "=" + component.package() + "," + component.arn + "," +
            component.posix_user + "," + (component.is_root ? "root" : "") + "," +
            std::to_string(component.limits.memory_kb.value_or(0)) + "," +
            std::to_string(component.limits.cpus.value_or(0));
    for (const auto& arn : component.configuration_arns) text += "," + arn;
  }
  return text;
}
std::string text_of(const DeviceState& state) {
  std::string text = "phase " + std::to_string(static_cast<int>(state.phase())) + " boots " +
                     std::to_string(state.boots_in_phase());
  text += "\ncomponents" + text_of(state.components());
  text += "\ntargets";
  for (const auto& [target, deployment] : state.targets()) {
    text += " " + target + "=" + deployment.deployment_id + "," + deployment.configuration_arn +
            "," + std::to_string(deployment.revision);
    for (const auto& [name, range] : deployment.roots) text += "," + name.str() + range;
  }
  text += "\nconfig " + state.config().tree().to_json().dump();
  if (state.phase() != Phase::kIdle) {
    text += "\nprevious" + text_of(state.previous()) + "\njob " + text_of(state.pending_job()) +
            (state.roll_back_on_failure() ? " ROLLBACK" : " DO_NOTHING");
  }
  for (const JobResult& result : state.unreported()) text += "\nunreported " + text_of(result);
  if (state.last_result()) text += "\nlast " + text_of(*state.last_result());
  for (const char* name : {"app", "lib", "tool"}) {
    for (const char* version : {"1.0.0@digest1", "2.0.0@digest2", "3.0.0@digest3", "1.0.0"}) {
      if (state.is_installed(ComponentName(name), version))
        text += std::string("\ninstalled ") + name + " " + version;
    }
  }
  return text;
}

std::string digest_of(const std::string& version) {
  return "digest" + version.substr(0, 1);
}

Generation generation(const std::string& version, const std::string& value = "v") {
  Generation made;
  const std::string digest = digest_of(version);
  made.components[kApp] = {version,      digest, "arn:" + version, "user:group",
                           {65536, 1.5}, true,   {"c1", "c2"}};
  made.components[ComponentName("lib")] = {version, digest, "arn:lib", "", {}, false, {}};
  made.targets["thinggroup/G"] = {"d-" + version, "arn:config", 7, {{kApp, "=" + version}}};
  EXPECT_TRUE(made.config.merge(kApp, {}, {{"key", value}, {"map", {{"a", 1}}}}, 100));
  return made;
}

JobResult job(const std::string& id, const std::string& status = "") {
  return {JobId(id),
          DeploymentId("d-" + id),
          "thinggroup/G",
          "arn:config",
          status,
          status.empty() ? "" : "DETAILED_" + status,
          status == "FAILED" ? "because" : ""};
}

class DeviceStateTest : public ::testing::Test, protected io::TestEnv {
 protected:
  DeviceStateTest() { open(); }
  void open() {
    state_.reset();
    auto opened = DeviceState::open(env, "/state");
    ASSERT_TRUE(opened) << opened.error().message();
    state_ = std::move(*opened);
  }
  void expect_same_after_reopening() {
    const std::string live = text_of(*state_);
    open();
    ASSERT_TRUE(state_);
    EXPECT_EQ(text_of(*state_), live);
  }
  void write_records(const std::vector<json>& records) {
    state_.reset();
    auto journal =
        io::Journal::open(files, "/state", [](std::string_view) -> Result<void> { return {}; });
    ASSERT_TRUE(journal);
    for (const json& record : records) ASSERT_TRUE(journal->append(record.dump()));
  }
  std::string problem() {
    auto opened = DeviceState::open(env, "/state");
    return opened ? "none" : opened.error().message();
  }

  std::unique_ptr<DeviceState> state_;
};

TEST_F(DeviceStateTest, ADeploymentThatSucceeds) {
  EXPECT_EQ(state_->phase(), Phase::kIdle);
  ASSERT_TRUE(state_->switch_to(generation("1.0.0"), job("j1"), true));
  EXPECT_EQ(state_->phase(), Phase::kActivating);
  EXPECT_EQ(state_->pending_job().job, JobId("j1"));
  EXPECT_EQ(state_->components().at(kApp).version, "1.0.0");
  expect_same_after_reopening();
  ASSERT_TRUE(state_->note_boot());
  ASSERT_TRUE(state_->mark_installed(kApp, "1.0.0@digest1"));
  EXPECT_EQ(state_->boots_in_phase(), 1);
  expect_same_after_reopening();
  ASSERT_TRUE(state_->commit(job("j1", "SUCCEEDED")));
  EXPECT_EQ(state_->phase(), Phase::kIdle);
  EXPECT_TRUE(state_->is_installed(kApp, "1.0.0@digest1"));
  EXPECT_EQ(state_->unreported().size(), 1u);
  EXPECT_EQ(state_->last_result()->status, "SUCCEEDED");
  expect_same_after_reopening();
  ASSERT_TRUE(state_->forget_result(JobId("j1")));
  EXPECT_TRUE(state_->unreported().empty());
  EXPECT_EQ(state_->last_result()->job, JobId("j1"));
  expect_same_after_reopening();
}

TEST_F(DeviceStateTest, AnotherPackageOfTheSameVersionIsNotInstalledYet) {
  ASSERT_TRUE(state_->switch_to(generation("1.0.0"), job("j1"), true));
  ASSERT_TRUE(state_->mark_installed(kApp, "1.0.0@digest1"));
  ASSERT_TRUE(state_->commit(job("j1", "SUCCEEDED")));
  Generation again = generation("1.0.0");
  again.components[kApp].digest = "other";
  ASSERT_TRUE(state_->switch_to(again, job("j2"), true));
  EXPECT_FALSE(state_->is_installed(kApp, "1.0.0@other"));
  EXPECT_TRUE(state_->is_installed(kApp, "1.0.0@digest1"));  // a roll-back may need it
  ASSERT_TRUE(state_->commit(job("j2", "SUCCEEDED")));
  EXPECT_FALSE(state_->is_installed(kApp, "1.0.0@digest1"));
  expect_same_after_reopening();
}

TEST_F(DeviceStateTest, ARecordOfAnEarlierReleaseGetsItsDigestLater) {
  const json components = {{"app",
                            {{"version", "1.0.0"},
                             {"arn", "a"},
                             {"user", ""},
                             {"root", true},
                             {"arns", json::array()}}}};
  const json result = {{"job", "j"},   {"deployment", "d"}, {"target", "t"}, {"arn", "a"},
                       {"status", ""}, {"detailed", ""},    {"reason", ""}};
  write_records({{{"t", "switch"},
                  {"next",
                   {{"components", components},
                    {"targets", json::object()},
                    {"config", ConfigTree().to_json()}}},
                  {"job", result},
                  {"roll_back", true}},
                 {{"t", "installed"}, {"name", "app"}, {"version", "1.0.0"}},
                 {{"t", "commit"}, {"result", result}}});
  open();
  ASSERT_TRUE(state_);
  EXPECT_EQ(state_->components().at(kApp).digest, "");
  ASSERT_TRUE(state_->set_digest(kApp, "1.0.0", "digest1"));
  EXPECT_EQ(state_->components().at(kApp).package(), "1.0.0@digest1");
  EXPECT_TRUE(state_->is_installed(kApp, "1.0.0@digest1"));  // its Install does not run again
  expect_same_after_reopening();
}

TEST_F(DeviceStateTest, ADeploymentThatIsRolledBack) {
  ASSERT_TRUE(state_->switch_to(generation("1.0.0", "old"), job("j1"), true));
  ASSERT_TRUE(state_->commit(job("j1", "SUCCEEDED")));
  ASSERT_TRUE(state_->mark_installed(kApp, "1.0.0@digest1"));
  ASSERT_TRUE(state_->switch_to(generation("2.0.0", "new"), job("j2"), true));
  ASSERT_TRUE(state_->mark_installed(kApp, "2.0.0@digest2"));
  EXPECT_EQ(state_->previous().at(kApp).version, "1.0.0");
  ASSERT_TRUE(state_->note_boot());
  ASSERT_TRUE(state_->begin_rollback("it is broken"));
  EXPECT_EQ(state_->phase(), Phase::kRollingBack);
  EXPECT_EQ(state_->boots_in_phase(), 0);
  EXPECT_EQ(state_->components().at(kApp).version, "1.0.0");
  EXPECT_EQ(state_->config().tree().get(kApp, {"key"}).value(), "old");
  EXPECT_EQ(state_->pending_job().reason, "it is broken");
  expect_same_after_reopening();
  ASSERT_TRUE(state_->finish_rollback(job("j2", "FAILED")));
  // An Install of the version that did not stay counts no more; that of the old one does.
  EXPECT_FALSE(state_->is_installed(kApp, "2.0.0@digest2"));
  EXPECT_TRUE(state_->is_installed(kApp, "1.0.0@digest1"));
  expect_same_after_reopening();
  ASSERT_TRUE(state_->forget_result(JobId("j2")));
  EXPECT_EQ(text_of(state_->components()), text_of(generation("1.0.0").components));
}

TEST_F(DeviceStateTest, ResultsWaitUntilTheyAreReported) {
  ASSERT_TRUE(state_->record_result(job("j1", "REJECTED")));
  ASSERT_TRUE(state_->record_result(job("j2", "FAILED")));
  ASSERT_TRUE(state_->forget_result(JobId("unknown")));
  ASSERT_TRUE(state_->forget_result(JobId("j1")));
  ASSERT_EQ(state_->unreported().size(), 1u);
  EXPECT_EQ(state_->unreported()[0].reason, "because");
  EXPECT_EQ(state_->last_result()->job, JobId("j2"));
  expect_same_after_reopening();
}

TEST_F(DeviceStateTest, ConfigurationOfComponentsIsPartOfIt) {
  ASSERT_TRUE(state_->switch_to(generation("1.0.0"), job("j1"), false));
  ASSERT_TRUE(state_->config().update(kApp, {"key"}, "changed", 200));
  ASSERT_TRUE(state_->config().update(kApp, {"map", "b"}, json::array({1, 2}), 200));
  EXPECT_FALSE(state_->roll_back_on_failure());
  expect_same_after_reopening();
  EXPECT_EQ(state_->config().tree().get(kApp, {"key"}).value(), "changed");
}

TEST_F(DeviceStateTest, AChangeThatCannotBeWrittenDoesNotHappen) {
  ASSERT_TRUE(state_->switch_to(generation("1.0.0"), job("j1"), true));
  const std::string before = text_of(*state_);
  files.fail_at(files.operations().size(), ENOSPC);
  EXPECT_EQ(state_->commit(job("j1", "SUCCEEDED")).error().code(), Code::kResourceExhausted);
  EXPECT_EQ(text_of(*state_), before);
  files.fail_at(files.operations().size(), ENOSPC);
  EXPECT_FALSE(state_->config().update(kApp, {"key"}, "x", 300));
  EXPECT_EQ(text_of(*state_), before);
  EXPECT_TRUE(state_->commit(job("j1", "SUCCEEDED")));
  expect_same_after_reopening();
}

TEST_F(DeviceStateTest, BytesThatAreNotUtf8DoNoHarm) {
  ASSERT_TRUE(state_->switch_to(generation("1.0.0"), job("j1"), true));
  ASSERT_TRUE(state_->begin_rollback("caf\xE9 \xC3"));
  open();
  EXPECT_EQ(state_->pending_job().reason, "caf\xEF\xBF\xBD \xEF\xBF\xBD");
}

// Each phase written as one snapshot: enough configuration changes make the journal compact.
TEST_F(DeviceStateTest, CompactionKeepsEverything) {
  const std::string large(50'000, 'x');
  const auto grow = [&] {
    const auto before = files.operations().size();
    const auto compacted = [&] {
      const auto& all = files.operations();
      return std::any_of(all.begin() + static_cast<std::ptrdiff_t>(before), all.end(),
                         [](const auto& operation) { return operation.name == "rename"; });
    };
    for (int i = 0; i < 50 && !compacted(); ++i)
      ASSERT_TRUE(state_->config().update(kApp, {"large"}, large + std::to_string(i), 1'000 + i));
    ASSERT_TRUE(compacted());
    expect_same_after_reopening();
  };
  ASSERT_TRUE(state_->switch_to(generation("1.0.0"), job("j0"), true));
  ASSERT_TRUE(state_->mark_installed(kApp, "1.0.0@digest1"));
  ASSERT_TRUE(state_->commit(job("j0", "SUCCEEDED")));
  grow();
  ASSERT_TRUE(state_->switch_to(generation("2.0.0"), job("j1"), false));
  ASSERT_TRUE(state_->mark_installed(kApp, "2.0.0@digest2"));
  ASSERT_TRUE(state_->note_boot());
  grow();
  ASSERT_TRUE(state_->begin_rollback("why"));
  grow();
  ASSERT_TRUE(state_->finish_rollback(job("j1", "FAILED")));
  grow();
}

TEST_F(DeviceStateTest, AFullDiskThatCannotHoldACompactedCopyStillTakesSmallRecords) {
  const std::string large(90'000, 'x');
  for (int i = 0; i < 12; ++i)
    ASSERT_TRUE(state_->config().update(kApp, {"large"}, large + std::to_string(i), 100 + i));
  files.set_capacity((1 << 20) + 100'000);
  EXPECT_TRUE(state_->record_result(job("j1", "REJECTED")));
  files.set_capacity(UINT64_MAX);
  expect_same_after_reopening();
}

TEST_F(DeviceStateTest, ALargeStateIsNotRewrittenWithEveryRecord) {
  const std::string large(400'000, 'x');
  for (const char* name : {"app", "lib", "tool", "more"})
    ASSERT_TRUE(state_->config().update(ComponentName(name), {"large"}, large, 100));
  const size_t before = files.operations().size();
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(state_->note_boot());
  const auto& all = files.operations();
  EXPECT_LE(std::count_if(all.begin() + static_cast<std::ptrdiff_t>(before), all.end(),
                          [](const auto& operation) { return operation.name == "rename"; }),
            1);
}

TEST_F(DeviceStateTest, RecordsOfANewerProgram) {
  write_records({{{"t", "teleport"}}});
  EXPECT_EQ(problem(),
            "the device state has a record of type 'teleport' that this version does not know: run "
            "the newer skerryd");
}

TEST_F(DeviceStateTest, RecordsThatLackSomething) {
  const std::vector<json> records = {{{"t", 1}},
                                     json::object(),
                                     {{"t", "switch"}},
                                     {{"t", "rollback"}},
                                     {{"t", "commit"}, {"result", 7}},
                                     {{"t", "snapshot"}, {"state", json::array()}},
                                     {{"t", "installed"}, {"name", "x"}},
                                     {{"t", "config"}, {"change", "{"}},
                                     json::array()};
  for (const json& record : records) {
    ASSERT_TRUE(io::remove_all(files, "/state"));
    write_records({record});
    auto opened = DeviceState::open(env, "/state");
    ASSERT_FALSE(opened) << record;
    EXPECT_EQ(opened.error().code(), Code::kCorrupt) << record;
  }
}

// Any order of operations that the engine could produce, reopened at every step.
TEST_F(DeviceStateTest, RandomHistoriesReplayToTheSameState) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    ASSERT_TRUE(io::remove_all(files, "/state"));
    open();
    io::SeededRandom random(seed);
    for (int step = 0; step < 60; ++step) {
      const std::string id = "j" + std::to_string(step);
      const std::string version = std::to_string(1 + random.below(3)) + ".0.0";
      const uint64_t choice = random.below(10);
      if (choice < 2) {
        ASSERT_TRUE(state_->config().update(kApp, {"k" + std::to_string(random.below(3))},
                                            random.below(100), step));
      } else if (choice == 2) {
        ASSERT_TRUE(state_->mark_installed(kApp, version));
      } else if (choice == 3) {
        ASSERT_TRUE(state_->note_boot());
      } else if (choice == 4 && !state_->unreported().empty()) {
        ASSERT_TRUE(state_->forget_result(state_->unreported()[0].job));
      } else if (state_->phase() == Phase::kIdle) {
        ASSERT_TRUE(choice == 5 ? state_->record_result(job(id, "REJECTED"))
                                : state_->switch_to(generation(version, id), job(id), choice > 6));
      } else if (state_->phase() == Phase::kActivating) {
        ASSERT_TRUE(choice < 8 ? state_->commit(job(id, "SUCCEEDED"))
                               : state_->begin_rollback("reason " + id));
      } else {
        ASSERT_TRUE(state_->finish_rollback(job(id, "FAILED")));
      }
      if (random.below(4) == 0) expect_same_after_reopening();
    }
    expect_same_after_reopening();
    if (HasFailure()) FAIL() << "seed " << seed;
  }
}

}  // namespace
}  // namespace skerry::nucleus
