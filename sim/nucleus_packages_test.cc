// What deployments leave on the disk, and deployments that hang.
#include "nucleus/housekeeper.h"
#include "sim/nucleus_fixture.h"

namespace skerry::sim {
namespace {

TEST_F(NucleusJobs, AVersionPublishedAgainIsInstalledAgain) {
  publish_with_data("c", "1.0.0", "first", {{"Install", "exit 0"}, {"Run", "run"}});
  deploy("j1", document("thinggroup/G1", 1, versions({{"c", "1.0.0"}})));
  const std::string first = package_of("c");
  publish_with_data("c", "1.0.0", "second", {{"Install", "exit 0"}, {"Run", "run"}});
  started_.clear();
  deploy("j2", document("thinggroup/G1", 2, versions({{"c", "1.0.0"}})));
  EXPECT_EQ(outcome(), "SUCCEEDED SUCCESSFUL");
  EXPECT_EQ(started_, (std::vector<std::string>{"exit 0", "run"}));
  EXPECT_EQ(contents(package_of("c") + "/artifacts/data"), "second");
  EXPECT_FALSE(io::exists(files_, first));
  // The same again is no change.
  started_.clear();
  deploy("j3", document("thinggroup/G1", 3, versions({{"c", "1.0.0"}})));
  EXPECT_TRUE(started_.empty());
}

TEST_F(NucleusJobs, ARollBackReturnsToTheFilesThatRanNotToThoseOfTheSameVersion) {
  publish_with_data("c", "1.0.0", "first");
  deploy("j1", document("thinggroup/G1", 1, versions({{"c", "1.0.0"}})));
  publish_with_data("c", "1.0.0", "second", {{"Run", "exit 3"}});
  deploy("j2", document("thinggroup/G1", 2, versions({{"c", "1.0.0"}})));
  EXPECT_EQ(outcome(), "FAILED FAILED_ROLLBACK_COMPLETE");
  EXPECT_EQ(running(), "c=1.0.0");
  EXPECT_EQ(contents(package_of("c") + "/artifacts/data"), "first");
}

TEST_F(NucleusJobs, ADamagedArtifactIsDownloadedAgainOnceTheFleetCanBeReached) {
  publish_with_data("c", "1.0.0", "bytes");
  deploy("j1", document("thinggroup/G1", 1, versions({{"a", "1.0.0"}, {"c", "1.0.0"}})));
  ASSERT_TRUE(io::write_file_atomic(files_, package_of("c") + "/artifacts/data", "bytez"));
  cloud_.unreachable = Error(Code::kUnavailable, "no route to host");
  boot();
  run(1'000);
  EXPECT_EQ(running(), "a=1.0.0");  // nothing unverified is run
  cloud_.unreachable.reset();
  run(120'000);
  EXPECT_EQ(running(), "a=1.0.0 c=1.0.0");
  EXPECT_EQ(contents(package_of("c") + "/artifacts/data"), "bytes");
}

TEST_F(NucleusJobs, AMissingArtifactIsDownloadedAgainByTheNextDeployment) {
  publish_with_data("c", "1.0.0", "bytes");
  deploy("j1", document("thinggroup/G1", 1, versions({{"c", "1.0.0"}})));
  ASSERT_TRUE(files_.remove(package_of("c") + "/artifacts/data"));
  deploy("j2", document("thinggroup/G2", 1, versions({{"a", "1.0.0"}})));
  EXPECT_EQ(running(), "a=1.0.0 c=1.0.0");
  EXPECT_EQ(contents(package_of("c") + "/artifacts/data"), "bytes");
}

// What the release before packages had digests leaves on a device.
class OldLayout : public NucleusJobs {
 protected:
  OldLayout() {
    publish_with_data("c", "1.0.0", "bytes", {{"Install", "exit 0"}, {"Run", "run"}});
    deploy("j1", document("thinggroup/G1", 1, versions({{"c", "1.0.0"}})));
    const std::string root = info_.packages();
    EXPECT_TRUE(io::make_directories(files_, root + "/recipes/c"));
    EXPECT_TRUE(io::make_directories(files_, root + "/artifacts/c"));
    EXPECT_TRUE(files_.rename(package_of("c") + "/recipe", root + "/recipes/c/1.0.0"));
    EXPECT_TRUE(files_.rename(package_of("c") + "/artifacts", root + "/artifacts/c/1.0.0"));
    EXPECT_TRUE(io::remove_all(files_, root + "/c"));
    nucleus_.reset();
    // The journal, with the digests taken out.
    std::vector<std::string> records;
    auto read = [&](std::string_view record) -> Result<void> {
      json parsed = json::parse(record);
      if (parsed["t"] == "switch") parsed["next"]["components"]["c"].erase("digest");
      if (parsed["t"] == "installed") {
        parsed.erase("package");
        parsed["version"] = "1.0.0";
      }
      records.push_back(parsed.dump());
      return {};
    };
    EXPECT_TRUE(io::Journal::open(files_, info_.state_directory(), read));
    EXPECT_TRUE(io::remove_all(files_, info_.state_directory()));
    auto journal = io::Journal::open(files_, info_.state_directory(),
                                     [](std::string_view) -> Result<void> { return {}; });
    for (const std::string& record : records) EXPECT_TRUE(journal->append(record));
    started_.clear();
    cloud_.offsets.clear();
  }
};

TEST_F(OldLayout, IsBroughtForwardWithoutTheFleet) {
  cloud_.unreachable = Error(Code::kUnavailable, "no route to host");
  boot();
  run(1'000);
  EXPECT_EQ(running(), "c=1.0.0");
  EXPECT_EQ(started_, std::vector<std::string>{"run"});  // its Install counts
  EXPECT_EQ(contents(package_of("c") + "/artifacts/data"), "bytes");
  offer_nothing();
  run(1'000);
  EXPECT_EQ(files_.list(info_.packages()).value(), std::vector<std::string>{"c"});
  boot();
  run(1'000);
  EXPECT_EQ(running(), "c=1.0.0");
}

TEST_F(OldLayout, IsFetchedAgainWhereItIsDamaged) {
  ASSERT_TRUE(io::write_file_atomic(files_, info_.packages() + "/artifacts/c/1.0.0/data", "bytez"));
  boot();
  run(120'000);
  EXPECT_EQ(running(), "c=1.0.0");
  EXPECT_EQ(contents(package_of("c") + "/artifacts/data"), "bytes");
  EXPECT_FALSE(cloud_.offsets.empty());
}

TEST_F(OldLayout, SurvivesAPowerCutAtEveryOperation) {
  cloud_.unreachable = Error(Code::kUnavailable, "no route to host");
  files_.crash_now();
  files_.reboot(io::CrashPolicy::kKeepAll);
  size_t crashes = 0;
  for (size_t at = 0; at < 60; ++at) {
    // The same device goes on from where the last cut left it, one operation further each time.
    boot([&] { files_.crash_at(files_.operations().size() + at); });
    run(1'000);
    if (!files_.crashed()) break;
    ++crashes;
    nucleus_.reset();
    files_.reboot(io::CrashPolicy::kSeeded, at);
  }
  EXPECT_GT(crashes, 5u);
  EXPECT_EQ(running(), "c=1.0.0");
  EXPECT_EQ(contents(package_of("c") + "/artifacts/data"), "bytes");
}

TEST_F(NucleusJobs, ALongInstallHasTheTimeThatItsRecipeGivesIt) {
  cloud_.publish(test_recipe(
      "slow", "1.0.0", {},
      {{"Install", {{"Script", "exit 0 after 1500000"}, {"Timeout", 1800}}}, {"Run", "run"}}));
  offer("j1", document("thinggroup/G1", 1, versions({{"slow", "1.0.0"}})));
  run(1'600'000);
  EXPECT_EQ(outcome(), "SUCCEEDED SUCCESSFUL");
  EXPECT_EQ(running(), "slow=1.0.0");
}

// A component that hangs in one of its steps, in a deployment over a running "a".
class Hanging : public NucleusJobs {
 protected:
  void hang_in(const std::string& step) {
    deploy("j1", document("thinggroup/G1", 1, versions({{"a", "1.0.0"}})));
    accept(updates().back());
    const json hangs = {{"Script", "hangs for ever"}, {"Timeout", 100'000}};
    json lifecycle = {{step, hangs}};
    if (step == "Install" || step == "Bootstrap") lifecycle["Run"] = "run";
    cloud_.publish(test_recipe("hangs", "1.0.0", {}, lifecycle));
    offer("j2", document("thinggroup/G1", 2, versions({{"a", "2.0.0"}, {"hangs", "1.0.0"}})));
    run(100'000);
    ASSERT_EQ(outcome(), "IN_PROGRESS ");
    ASSERT_EQ(nucleus_->state().phase(), nucleus::Phase::kActivating);
  }
};

// DEP-12
TEST_F(Hanging, ACancelEndsItInWhateverStepItIs) {
  int revision = 10;
  for (const char* step : {"Bootstrap", "Install", "Startup"}) {
    SCOPED_TRACE(step);
    hang_in(step);
    offer_nothing();  // it may be an old message: the device asks
    ASSERT_EQ(nucleus_->state().phase(), nucleus::Phase::kActivating);
    answer_that_nothing_is_to_do();
    run(3'000);
    EXPECT_EQ(outcome(), "FAILED FAILED_ROLLBACK_COMPLETE");
    EXPECT_NE(cause().find("cancelled"), std::string::npos) << cause();
    EXPECT_EQ(running(), "a=1.0.0");
    for (const auto& update : updates()) accept(update);
    deploy("again" + std::to_string(revision),
           document("thinggroup/G2", revision, versions({{"b", "1.0.0"}})));
    EXPECT_EQ(outcome(), "SUCCEEDED SUCCESSFUL");
    for (const auto& update : updates()) accept(update);
    files_ = io::FaultFiles();
    boot();
    ++revision;
  }
}

// DEP-13
TEST_F(Hanging, ANewerDeploymentReplacesIt) {
  hang_in("Install");
  offer("j3", document("thinggroup/G1", 3, versions({{"b", "1.0.0"}})));
  formats::NextJob next;
  next.execution.emplace();
  next.execution->job_id = JobId("j3");
  next.execution->job_document =
      formats::share(document("thinggroup/G1", 3, versions({{"b", "1.0.0"}})));
  for (const auto& message : broker_.published) {
    auto topic = formats::parse_job_topic(message.topic);
    if (topic && topic->kind == JobTopicKind::kGet)
      next.client_token = json::parse(message.payload)["clientToken"];
  }
  deliver({JobTopicKind::kGetAccepted, kThing}, formats::to_text(next));
  run(3'000);
  EXPECT_NE(cause().find("replaced by j3"), std::string::npos) << cause();
  offer("j3", document("thinggroup/G1", 3, versions({{"b", "1.0.0"}})));
  run(20'000);
  EXPECT_EQ(updates().back().job, "j3");
  EXPECT_EQ(outcome(), "SUCCEEDED SUCCESSFUL");
  EXPECT_EQ(running(), "b=1.0.0");
}

TEST_F(Hanging, ItCanBeCancelledAfterARestartToo) {
  hang_in("Install");
  boot();  // and asks for the next job as soon as it is connected
  answer_that_nothing_is_to_do();
  run(3'000);
  EXPECT_EQ(outcome(), "FAILED FAILED_ROLLBACK_COMPLETE");
  EXPECT_EQ(running(), "a=1.0.0");
}

TEST_F(Hanging, ACancelRollsBackEvenWhereAFailureWouldNot) {
  deploy("j1", document("thinggroup/G1", 1, versions({{"a", "1.0.0"}})));
  accept(updates().back());
  cloud_.publish(test_recipe("hangs", "1.0.0", {}, {{"Startup", "hangs for ever"}}));
  auto wanted = document("thinggroup/G1", 2, versions({{"hangs", "1.0.0"}}));
  wanted["failureHandlingPolicy"] = "DO_NOTHING";
  offer("j2", wanted);
  run(1'000);
  offer_nothing();
  answer_that_nothing_is_to_do();
  run(3'000);
  EXPECT_EQ(running(), "a=1.0.0");
}

TEST_F(NucleusJobs, WorkFoldersOfRemovedComponentsGoAndTheirLogsAreCapped) {
  deploy("j1", document("thinggroup/G1", 1, versions({{"a", "1.0.0"}, {"b", "1.0.0"}})));
  ASSERT_TRUE(io::write_file_atomic(files_, info_.root + "/work/a/data", "kept"));
  ASSERT_TRUE(io::write_file_atomic(files_, info_.root + "/work/b/data", "lost"));
  for (const char* name : {"a", "b"}) {
    ASSERT_TRUE(io::write_file_atomic(files_, info_.root + "/logs/" + name + ".log", "x"));
  }
  for (int i = 0; i < 30; ++i) {
    ASSERT_TRUE(io::write_file_atomic(
        files_, info_.root + "/logs/gone" + std::to_string(i) + ".log.1", "x"));
  }
  deploy("j2", document("thinggroup/G1", 2, versions({{"a", "1.0.0"}})));
  EXPECT_EQ(contents(info_.root + "/work/a/data"), "kept");
  EXPECT_FALSE(io::exists(files_, info_.root + "/work/b"));
  EXPECT_EQ(files_.list(info_.root + "/logs").value().size(), 1 + nucleus::kKeptLogs);
  EXPECT_EQ(contents(info_.root + "/logs/a.log"), "x");
  EXPECT_FALSE(io::exists(files_, info_.root + "/logs/gone0.log.1"));  // the oldest
  EXPECT_TRUE(io::exists(files_, info_.root + "/logs/gone29.log.1"));
}

// DEP-11
TEST_F(NucleusJobs, ACapabilityThatItLacksIsRefusedBeforeAnythingIsDone) {
  auto wanted = document("thinggroup/G1", 1, versions({{"a", "1.0.0"}}));
  wanted["requiredCapabilities"] = {"LARGE_CONFIGURATION", "SUB_DEPLOYMENTS"};
  deploy("j1", wanted);
  EXPECT_EQ(outcome(), "FAILED FAILED_NO_STATE_CHANGE");
  EXPECT_NE(cause().find("SUB_DEPLOYMENTS"), std::string::npos) << cause();
}

TEST_F(NucleusJobs, AValueFromTheFutureDoesNotShutOutLaterDeployments) {
  const int64_t ten_years_ms = int64_t{10} * 365 * 86'400'000;
  auto first = document("thinggroup/G1", 1, versions({{"a", "1.0.0"}}));
  first["creationTimestamp"] = clock_.wall_ms() + ten_years_ms;  // a fleet with a clock ahead
  first["components"]["a"]["configurationUpdate"]["merge"] = {{"x", 1}, {"y", 1}};
  deploy("j1", first);
  // And a component that stamps what it writes ten years ahead.
  nucleus_->state().config().update(ComponentName("a"), {"y"}, 2, clock_.wall_ms() + ten_years_ms,
                                    [](const auto& changed) { ASSERT_TRUE(changed); });
  run(1'000);
  auto second = document("thinggroup/G1", 2, versions({{"a", "1.0.0"}}));
  second["creationTimestamp"] = clock_.wall_ms();
  second["components"]["a"]["configurationUpdate"]["merge"] = {{"x", 3}, {"y", 3}};
  deploy("j2", second);
  EXPECT_EQ(config("a"), json({{"x", 3}, {"y", 3}}));
}

TEST_F(NucleusJobs, WhatAWrongClockHasStampedDoesNotShutOutLaterDeployments) {
  deploy("j1", document("thinggroup/G1", 1, versions({{"a", "1.0.0"}})));
  clock_.jump(int64_t{20} * 365 * 86'400'000);
  nucleus_->state().config().update(ComponentName("a"), {"x"}, 1, clock_.wall_ms(),
                                    [](const auto& changed) { ASSERT_TRUE(changed); });
  clock_.jump(0);
  auto second = document("thinggroup/G1", 2, versions({{"a", "1.0.0"}}));
  second["creationTimestamp"] = clock_.wall_ms();
  second["components"]["a"]["configurationUpdate"]["merge"] = {{"x", 2}};
  deploy("j2", second);
  EXPECT_EQ(config("a"), json({{"x", 2}}));
}

}  // namespace
}  // namespace skerry::sim
