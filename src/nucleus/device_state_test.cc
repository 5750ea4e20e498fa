// Every record of the device state: what it changes, and that a reopened state equals the live one.
#include "nucleus/device_state.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "io/test_directory.h"
#include "io/test_env.h"

namespace skerry::nucleus {
namespace {

using nlohmann::json;

const ComponentName kStateApp("app");

std::string digest_of(const std::string& version) {
  return "digest" + version.substr(0, 1);
}

Generation generation(const std::string& version, const std::string& value = "v") {
  Generation made;
  const std::string digest = digest_of(version);
  made.components[kStateApp] = {version,      digest, "arn:" + version, "user:group",
                                {65536, 1.5}, true,   {"c1", "c2"}};
  made.components[ComponentName("lib")] = {version, digest, "arn:lib", "", {}, false, {}};
  made.targets["thinggroup/G"] = {"d-" + version, "arn:config", 7, {{kStateApp, "=" + version}}};
  EXPECT_TRUE(made.config.merge(kStateApp, {}, {{"key", value}, {"map", {{"a", 1}}}}, 100));
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
    auto opened = DeviceState::open(env, "/state", "/packages");
    ASSERT_TRUE(opened) << opened.error().message();
    state_ = std::move(*opened);
  }
  void expect_same_after_reopening() {
    const std::string live = state_->to_json().dump();
    const ComponentSet components = state_->components();
    const Targets targets = state_->targets();
    const ConfigTree config = state_->config().tree();
    open();
    ASSERT_TRUE(state_);
    EXPECT_EQ(state_->to_json().dump(), live);
    EXPECT_EQ(state_->components(), components);
    EXPECT_EQ(state_->targets(), targets);
    EXPECT_EQ(state_->config().tree(), config);
  }
  void write_records(const std::vector<json>& records) {
    state_.reset();
    auto journal =
        io::Journal::open(files, "/state", [](std::string_view) -> Result<void> { return {}; });
    ASSERT_TRUE(journal);
    for (const json& record : records) ASSERT_TRUE(journal->append(record.dump()));
  }
  // A change that is made, or refused, when it returns.
  Result<std::vector<KeyPath>> update(const ComponentName& component, const KeyPath& path,
                                      const json& value, int64_t time_ms) {
    std::optional<Result<std::vector<KeyPath>>> result;
    state_->config().update(component, path, value, time_ms,
                            [&](const auto& changed) { result = changed; });
    state_->settle();
    return std::move(result.value());
  }
  // With what goes on beside it.
  bool update_and_run(const std::string& value, int64_t time_ms) {
    const bool updated = update(kStateApp, {"large"}, value, time_ms).has_value();
    run_loop();
    return updated;
  }
  void run_loop() {
    while (loop.run_for(1)) {
    }
  }
  void remove_state() {
    state_.reset();
    for (const char* copy : {"/state", "/state.copy"}) ASSERT_TRUE(io::remove_all(files, copy));
  }
  std::string problem() {
    auto opened = DeviceState::open(env, "/state", "/packages");
    return opened ? "none" : opened.error().message();
  }

  std::unique_ptr<DeviceState> state_;
};

// Its work waits until the test lets it go on.
class HeldPool : public io::Pool {
 public:
  void submit(io::Callback work) override { held_.push_back(std::move(work)); }
  void run_all() {
    for (io::Callback& work : std::exchange(held_, {})) work();
  }

 private:
  std::vector<io::Callback> held_;
};

class SlowDeviceStateTest : public DeviceStateTest {
 protected:
  SlowDeviceStateTest() { open_slow(); }
  void open_slow() {
    state_.reset();
    state_ = std::move(DeviceState::open(slow_env_, "/state", "/packages").value());
  }
  void ask_for(const std::string& key, int value) {
    state_->config().update(kStateApp, {key}, value, 200, [this, key](const auto& changed) {
      answers_.push_back(key + (changed ? "" : " refused"));
    });
  }
  json value_of(const std::string& key) {
    return state_->config().tree().get(kStateApp, {key}).value_or(nullptr);
  }

  HeldPool held_;
  io::Env slow_env_{loop, clock, files, processes, random, pool, held_};
  std::vector<std::string> answers_;
};

TEST_F(SlowDeviceStateTest, AChangeOfConfigurationHoldsUpNobodyAndIsAnsweredWhenItIsDurable) {
  const size_t operations = files.operations().size();
  ask_for("a", 1);
  ask_for("b", 2);
  run_loop();
  EXPECT_EQ(files.operations().size(), operations);
  EXPECT_TRUE(answers_.empty());
  EXPECT_EQ(value_of("a"), nullptr);
  held_.run_all();
  run_loop();
  EXPECT_EQ(answers_, (std::vector<std::string>{"a"}));
  files.reboot(io::CrashPolicy::kDropUnsynced);
  open_slow();
  EXPECT_EQ(value_of("a"), 1);
  EXPECT_EQ(value_of("b"), nullptr);
}

TEST_F(SlowDeviceStateTest, ARecordOfADeploymentComesBehindTheChangesThatWereAskedForBefore) {
  ASSERT_TRUE(state_->switch_to(generation("1.0.0"), job("j1"), true));
  ask_for("a", 1);
  ask_for("b", 2);
  ASSERT_TRUE(state_->commit(job("j1", "SUCCEEDED")));
  EXPECT_EQ(answers_, (std::vector<std::string>{"a", "b"}));
  const json before = state_->to_json();
  held_.run_all();  // finds its record written
  run_loop();
  EXPECT_EQ(answers_.size(), 2u);
  EXPECT_EQ(state_->to_json(), before);
  open_slow();
  EXPECT_EQ(state_->to_json(), before);
}

TEST_F(SlowDeviceStateTest, AChangeThatFailsIsRefusedAndTheNextOneIsWritten) {
  files.fail_from(files.operations().size() + 1, ENOSPC);
  ask_for("a", 1);
  held_.run_all();
  run_loop();
  EXPECT_EQ(answers_, (std::vector<std::string>{"a refused"}));
  files.stop_failing();
  ask_for("b", 2);
  held_.run_all();
  run_loop();
  EXPECT_EQ(answers_.back(), "b");
  open_slow();
  EXPECT_EQ(value_of("a"), nullptr);
  EXPECT_EQ(value_of("b"), 2);
}

TEST_F(SlowDeviceStateTest, WhatIsOnItsWayWhenTheProgramEndsTouchesNothingAfterwards) {
  ask_for("a", 1);
  state_.reset();
  const size_t operations = files.operations().size();
  held_.run_all();
  run_loop();
  EXPECT_EQ(files.operations().size(), operations);
  EXPECT_TRUE(answers_.empty());
}

// With a real thread; run with tsan.
TEST(DeviceStateThread, ChangesFromBothSidesReplayToTheSameState) {
  io::RealTestEnv real;
  const io::ScratchDirectory scratch;
  const std::string& directory = scratch.path();
  io::ThreadPool records("records", 1);
  io::Env env{real.loop, real.clock, real.files, real.processes, real.random, real.pool, records};
  auto state = std::move(DeviceState::open(env, directory + "/state", directory + "/none").value());
  int answered = 0;
  for (int i = 0; i < 200; ++i) {
    state->config().update(kStateApp, {"k" + std::to_string(i % 7)}, i, i,
                           [&](const auto& changed) { answered += changed.has_value(); });
    if (i % 10 == 0) ASSERT_TRUE(state->mark_installed(kStateApp, std::to_string(i)));
    if (i % 3 == 0) real.loop.run_for(0);
  }
  while (answered < 200) real.loop.run_for(100);
  const json before = state->to_json();
  state = std::move(DeviceState::open(env, directory + "/state", directory + "/none").value());
  EXPECT_EQ(state->to_json(), before);
}

TEST_F(DeviceStateTest, ADeploymentThatSucceeds) {
  EXPECT_EQ(state_->phase(), Phase::kIdle);
  ASSERT_TRUE(state_->switch_to(generation("1.0.0"), job("j1"), true));
  EXPECT_EQ(state_->phase(), Phase::kActivating);
  EXPECT_EQ(state_->pending_job().job, JobId("j1"));
  EXPECT_EQ(state_->components().at(kStateApp).version, "1.0.0");
  expect_same_after_reopening();
  ASSERT_TRUE(state_->note_boot());
  ASSERT_TRUE(state_->mark_installed(kStateApp, "1.0.0@digest1"));
  EXPECT_EQ(state_->boots_in_phase(), 1);
  expect_same_after_reopening();
  ASSERT_TRUE(state_->commit(job("j1", "SUCCEEDED")));
  EXPECT_EQ(state_->phase(), Phase::kIdle);
  EXPECT_TRUE(state_->is_installed(kStateApp, "1.0.0@digest1"));
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
  ASSERT_TRUE(state_->mark_installed(kStateApp, "1.0.0@digest1"));
  ASSERT_TRUE(state_->commit(job("j1", "SUCCEEDED")));
  Generation again = generation("1.0.0");
  again.components[kStateApp].digest = "other";
  ASSERT_TRUE(state_->switch_to(again, job("j2"), true));
  EXPECT_FALSE(state_->is_installed(kStateApp, "1.0.0@other"));
  EXPECT_TRUE(state_->is_installed(kStateApp, "1.0.0@digest1"));  // a roll-back may need it
  ASSERT_TRUE(state_->commit(job("j2", "SUCCEEDED")));
  EXPECT_FALSE(state_->is_installed(kStateApp, "1.0.0@digest1"));
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
  EXPECT_EQ(state_->components().at(kStateApp).digest, "");
  ASSERT_TRUE(state_->set_digest(kStateApp, "1.0.0", "digest1"));
  EXPECT_EQ(state_->components().at(kStateApp).package(), "1.0.0@digest1");
  EXPECT_TRUE(state_->is_installed(kStateApp, "1.0.0@digest1"));  // its Install does not run again
  expect_same_after_reopening();
}

TEST_F(DeviceStateTest, ADeploymentThatIsRolledBack) {
  ASSERT_TRUE(state_->switch_to(generation("1.0.0", "old"), job("j1"), true));
  ASSERT_TRUE(state_->commit(job("j1", "SUCCEEDED")));
  ASSERT_TRUE(state_->mark_installed(kStateApp, "1.0.0@digest1"));
  ASSERT_TRUE(state_->switch_to(generation("2.0.0", "new"), job("j2"), true));
  ASSERT_TRUE(state_->mark_installed(kStateApp, "2.0.0@digest2"));
  ASSERT_TRUE(state_->note_boot());
  ASSERT_TRUE(state_->begin_rollback("it is broken"));
  EXPECT_EQ(state_->phase(), Phase::kRollingBack);
  EXPECT_EQ(state_->boots_in_phase(), 0);
  EXPECT_EQ(state_->components().at(kStateApp).version, "1.0.0");
  EXPECT_EQ(state_->config().tree().get(kStateApp, {"key"}).value(), "old");
  EXPECT_EQ(state_->pending_job().reason, "it is broken");
  expect_same_after_reopening();
  ASSERT_TRUE(state_->finish_rollback(job("j2", "FAILED")));
  // An Install of the version that did not stay counts no more; that of the old one does.
  EXPECT_FALSE(state_->is_installed(kStateApp, "2.0.0@digest2"));
  EXPECT_TRUE(state_->is_installed(kStateApp, "1.0.0@digest1"));
  expect_same_after_reopening();
  ASSERT_TRUE(state_->forget_result(JobId("j2")));
  EXPECT_EQ(state_->components(), generation("1.0.0").components);
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
  ASSERT_TRUE(update(kStateApp, {"key"}, "changed", 200));
  ASSERT_TRUE(update(kStateApp, {"map", "b"}, json::array({1, 2}), 200));
  EXPECT_FALSE(state_->roll_back_on_failure());
  expect_same_after_reopening();
  EXPECT_EQ(state_->config().tree().get(kStateApp, {"key"}).value(), "changed");
}

TEST_F(DeviceStateTest, AChangeThatCannotBeWrittenDoesNotHappen) {
  ASSERT_TRUE(state_->switch_to(generation("1.0.0"), job("j1"), true));
  const std::string before = state_->to_json().dump();
  files.fail_at(files.operations().size(), ENOSPC);
  EXPECT_EQ(state_->commit(job("j1", "SUCCEEDED")).error().code(), Code::kResourceExhausted);
  EXPECT_EQ(state_->to_json().dump(), before);
  files.fail_at(files.operations().size(), ENOSPC);
  EXPECT_FALSE(update(kStateApp, {"key"}, "x", 300));
  EXPECT_EQ(state_->to_json().dump(), before);
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
      ASSERT_TRUE(update_and_run(large + std::to_string(i), 1'000 + i));
    ASSERT_TRUE(compacted());
    expect_same_after_reopening();
  };
  ASSERT_TRUE(state_->switch_to(generation("1.0.0"), job("j0"), true));
  ASSERT_TRUE(state_->mark_installed(kStateApp, "1.0.0@digest1"));
  ASSERT_TRUE(state_->commit(job("j0", "SUCCEEDED")));
  grow();
  ASSERT_TRUE(state_->switch_to(generation("2.0.0"), job("j1"), false));
  ASSERT_TRUE(state_->mark_installed(kStateApp, "2.0.0@digest2"));
  ASSERT_TRUE(state_->note_boot());
  grow();
  ASSERT_TRUE(state_->begin_rollback("why"));
  grow();
  ASSERT_TRUE(state_->finish_rollback(job("j1", "FAILED")));
  grow();
}

TEST_F(DeviceStateTest, AFullDiskThatCannotHoldACompactedCopyStillTakesSmallRecords) {
  const std::string large(90'000, 'x');
  for (int i = 0; i < 12; ++i) ASSERT_TRUE(update_and_run(large + std::to_string(i), 100 + i));
  files.set_capacity((2 << 20) + 200'000);
  EXPECT_TRUE(state_->record_result(job("j1", "REJECTED")));
  files.set_capacity(UINT64_MAX);
  expect_same_after_reopening();
}

TEST_F(DeviceStateTest, ALargeStateIsNotRewrittenWithEveryRecord) {
  const std::string large(400'000, 'x');
  for (const char* name : {"app", "lib", "tool", "more"})
    ASSERT_TRUE(update(ComponentName(name), {"large"}, large, 100));
  const size_t before = files.operations().size();
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(state_->note_boot());
    run_loop();
  }
  const auto& all = files.operations();
  EXPECT_LE(std::count_if(all.begin() + static_cast<std::ptrdiff_t>(before), all.end(),
                          [](const auto& operation) { return operation.name == "rename"; }),
            2);  // one compaction of the journal and its copy
}

TEST_F(DeviceStateTest, RecordsOfANewerProgram) {
  write_records({{{"t", "teleport"}}});
  EXPECT_EQ(problem(),
            "the device state has a record of type 'teleport' that this version does not know: run "
            "the newer skerryd");
}

// They and what follows them count as lost; the device comes up with what stood before.
TEST_F(DeviceStateTest, RecordsThatLackSomething) {
  const std::vector<json> records = {{{"t", 1}},
                                     json::object(),
                                     {{"t", "switch"}},
                                     {{"t", "rollback"}},
                                     {{"t", "commit"}, {"result", 7}},
                                     {{"t", "snapshot"}, {"state", json::array()}},
                                     {{"t", "installed"}, {"name", "x"}},
                                     {{"t", "config"}, {"change", "{"}},
                                     {{"t", "commit"}, {"result", to_json(job("j"))}},
                                     json::array()};
  for (const json& record : records) {
    remove_state();
    write_records({{{"t", "boot"}}, record, {{"t", "boot"}}});
    open();
    EXPECT_EQ(state_->boots_in_phase(), 1) << record;
    EXPECT_NE(state_->needs_repair().find("makes no sense"), std::string::npos) << record;
    expect_same_after_reopening();
  }
}

// What a component that runs on sets during an activation is its own, whatever becomes of it.
TEST_F(DeviceStateTest, WhatAnUnchangedComponentSetsOutlivesTheRollBack) {
  ASSERT_TRUE(state_->switch_to(generation("1.0.0"), job("j1"), true));
  ASSERT_TRUE(state_->commit(job("j1", "SUCCEEDED")));
  Generation next = generation("2.0.0");
  next.components[ComponentName("lib")] = generation("1.0.0").components[ComponentName("lib")];
  ASSERT_TRUE(next.config.merge(ComponentName("lib"), {"key"}, "new", 100));
  ASSERT_TRUE(state_->switch_to(std::move(next), job("j2"), true));
  ASSERT_TRUE(update(ComponentName("lib"), {"counter"}, 7, 200));
  ASSERT_TRUE(update(kStateApp, {"counter"}, 8, 200));
  expect_same_after_reopening();
  ASSERT_TRUE(state_->begin_rollback("why"));
  EXPECT_EQ(state_->config().tree().get(ComponentName("lib"), {"counter"}).value(), 7);
  EXPECT_FALSE(state_->config().tree().get(ComponentName("lib"), {"key"}));
  EXPECT_FALSE(state_->config().tree().get(kStateApp, {"counter"}));
  expect_same_after_reopening();
}

// The clock was ahead when the old value was set; the switch takes such times back.
TEST_F(DeviceStateTest, WhatAnUnchangedComponentSetsOutlivesTheRollBackThoughTheClockWentBack) {
  const ComponentName lib("lib");
  ASSERT_TRUE(state_->switch_to(generation("1.0.0"), job("j1"), true));
  ASSERT_TRUE(state_->commit(job("j1", "SUCCEEDED")));
  ASSERT_TRUE(update(lib, {"counter"}, 1, 900));
  ASSERT_TRUE(update(lib, {"other"}, "late", 900));
  Generation next = generation("2.0.0");
  next.components[lib] = generation("1.0.0").components[lib];
  next.config = state_->config().tree();
  next.config.take_back_times(500, 400);
  ASSERT_TRUE(state_->switch_to(std::move(next), job("j2"), true));
  ASSERT_TRUE(update(lib, {"counter"}, 2, 500));
  ASSERT_TRUE(update(lib, {"counter"}, 1, 450));  // older: has no effect
  expect_same_after_reopening();
  ASSERT_TRUE(state_->begin_rollback("why"));
  EXPECT_EQ(state_->config().tree().get(lib, {"counter"}).value(), 2);
  EXPECT_EQ(state_->config().tree().modified_ms(lib, {"other"}), 900);
  expect_same_after_reopening();
}

TEST_F(DeviceStateTest, AFailedSyncIsMendedWithoutARestart) {
  ASSERT_TRUE(state_->switch_to(generation("1.0.0"), job("j1"), true));
  files.fail_at(files.operations().size() + 1, EIO);
  EXPECT_TRUE(update(kStateApp, {"key"}, "x", 300));
  EXPECT_TRUE(update(kStateApp, {"key"}, "y", 400));
  files.fail_from(files.operations().size() + 1, EIO);
  EXPECT_FALSE(update(kStateApp, {"key"}, "z", 500));
  EXPECT_FALSE(update(kStateApp, {"key"}, "z", 500));
  files.stop_failing();
  EXPECT_TRUE(update(kStateApp, {"other"}, 1, 600));
  EXPECT_EQ(state_->config().tree().get(kStateApp, {"key"}).value(), "y");
  files.reboot(io::CrashPolicy::kDropUnsynced);
  expect_same_after_reopening();
}

TEST_F(DeviceStateTest, AGenerationThatIsTooLargeIsRefusedAndNothingElse) {
  Generation large;
  for (int i = 0; i < 20; ++i) {
    const ComponentName name("c" + std::to_string(i));
    ASSERT_TRUE(large.config.merge(name, {"key"}, std::string(1'000'000, 'x'), 1));
  }
  EXPECT_EQ(state_->switch_to(large, job("j1"), true).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(state_->phase(), Phase::kIdle);
  EXPECT_TRUE(state_->record_result(job("j1", "FAILED")));
  expect_same_after_reopening();
}

// One of the two copies, whatever happens to it.
TEST_F(DeviceStateTest, ALostCopyCostsNothing) {
  ASSERT_TRUE(state_->switch_to(generation("1.0.0"), job("j1"), true));
  for (const char* copy : {"/state", "/state.copy"}) {
    const std::string live = state_->to_json().dump();
    ASSERT_TRUE(io::remove_all(files, copy));
    open();
    EXPECT_EQ(state_->to_json().dump(), live);
    EXPECT_EQ(state_->needs_repair(), "");
  }
}

TEST_F(DeviceStateTest, AJournalThatIsGoneIsNoticedAndTheMarkStaysUntilItIsRepaired) {
  ASSERT_TRUE(state_->switch_to(generation("1.0.0"), job("j1"), true));
  ASSERT_TRUE(state_->commit(job("j1", "SUCCEEDED")));
  EXPECT_EQ(state_->needs_repair(), "");
  remove_state();
  open();
  EXPECT_EQ(state_->needs_repair(), "");  // a new device
  remove_state();
  ASSERT_TRUE(io::make_directories(files, "/packages/recipes"));
  open();
  EXPECT_EQ(state_->needs_repair(), "the journal is gone, packages are there");
  EXPECT_TRUE(state_->components().empty());
  expect_same_after_reopening();
  ASSERT_TRUE(state_->switch_to(generation("1.0.0"), job("j1"), true));
  ASSERT_TRUE(state_->commit(job("j1", "SUCCEEDED")));
  EXPECT_NE(state_->needs_repair(), "");  // there may be more
  ASSERT_TRUE(state_->note_repaired());
  EXPECT_EQ(state_->needs_repair(), "");
  expect_same_after_reopening();
}

using DeviceStateDeathTest = DeviceStateTest;

TEST_F(DeviceStateDeathTest, StepsOutOfOrder) {
  EXPECT_DEATH((void)state_->commit(job("j", "SUCCEEDED")),
               "only what is being activated is commit");
  EXPECT_DEATH((void)state_->begin_rollback("why"), "only what is being activated is rolled back");
  EXPECT_DEATH((void)state_->finish_rollback(job("j", "FAILED")),
               "a roll-back ends after it began");
  ASSERT_TRUE(state_->switch_to(generation("1.0.0"), job("j1"), true));
  EXPECT_DEATH((void)state_->switch_to(generation("1.0.0"), job("j2"), true),
               "a switch begins where no other is under way");
}

// Any order of operations that the engine could produce, reopened at every step.
TEST_F(DeviceStateTest, RandomHistoriesReplayToTheSameState) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    remove_state();
    open();
    io::SeededRandom random(seed);
    for (int step = 0; step < 60; ++step) {
      const std::string id = "j" + std::to_string(step);
      const std::string version = std::to_string(1 + random.below(3)) + ".0.0";
      const uint64_t choice = random.below(10);
      if (choice < 2) {
        ASSERT_TRUE(
            update(kStateApp, {"k" + std::to_string(random.below(3))}, random.below(100), step));
      } else if (choice == 2) {
        ASSERT_TRUE(state_->mark_installed(kStateApp, version));
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
