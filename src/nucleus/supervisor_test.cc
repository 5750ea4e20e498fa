// The supervisor with real processes: order, retries, dependents, stopping without a trace.
#include "nucleus/supervisor.h"

#include <csignal>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "io/test_directory.h"
#include "io/test_env.h"

namespace skerry::nucleus {
namespace {

class SupervisorTest : public ::testing::Test, protected io::RealTestEnv {
 protected:
  SupervisorTest() {
    Supervisor::Hooks hooks;
    hooks.on_state = [this](const ComponentStatus& status) {
      history_.push_back(status.name.str() + "=" + std::string(name_of(status.state)));
    };
    hooks.mark_installed = [this](const ComponentName& name, const std::string& version) {
      installed_.insert(name.str() + version);
    };
    hooks.is_installed = [this](const ComponentName& name, const std::string& version) {
      return installed_.contains(name.str() + version);
    };
    hooks.is_bootstrapped = [this](const ComponentName& name, const std::string& package) {
      return installed_.contains(name.str() + package + " bootstrapped");
    };
    hooks.restart = [this](const ComponentName& name, const std::string& package, bool of_device) {
      installed_.insert(name.str() + package + " bootstrapped");
      restarts_.push_back(name.str() + (of_device ? " device" : " skerryd"));
    };
    supervisor_ = std::make_unique<Supervisor>(env, std::move(hooks));
  }
  void TearDown() override {
    tasks_.cancel_all();
    supervisor_.reset();
  }

  static Step step(std::string script, int64_t timeout_ms = 0) {
    Step step;
    step.script = std::move(script);
    step.timeout_ms = timeout_ms;
    return step;
  }
  ComponentSpec spec(const std::string& name, const std::string& run,
                     std::vector<std::string> needs = {}) {
    ComponentSpec spec;
    spec.name = ComponentName(name);
    spec.version = "1.0.0";
    spec.work_directory = directory_;
    spec.environment = {{"PATH", "/usr/bin:/bin"}};
    if (!run.empty()) spec.run = step(run);
    for (std::string& need : needs)
      spec.hard_dependencies.push_back(ComponentName(std::move(need)));
    return spec;
  }
  static io::Task<void> apply_and_wait(Supervisor* supervisor, std::vector<ComponentSpec> specs,
                                       int64_t window_ms, std::optional<Result<void>>* out) {
    co_await supervisor->apply(std::move(specs));
    *out = co_await supervisor->wait_healthy(window_ms, 30'000);
  }
  void begin_apply(std::vector<ComponentSpec> specs, int64_t window_ms = 50) {
    applied_.reset();
    tasks_.spawn(apply_and_wait(supervisor_.get(), std::move(specs), window_ms, &applied_));
  }
  Result<void> end_apply() {
    run_until([&] { return applied_.has_value(); });
    return applied_ ? *applied_ : fail(Code::kTimeout, "the test's deadline");
  }
  // Longer than any script here may take on a busy machine: for components that are to fail.
  static constexpr int64_t kPatientMs = 20'000;
  Result<void> apply(std::vector<ComponentSpec> specs, int64_t window_ms = 50) {
    begin_apply(std::move(specs), window_ms);
    return end_apply();
  }
  // A zombie has ended; who reaps it is another matter.
  static bool ended(pid_t pid) {
    const std::string stat = io::read_group_file("/proc/" + std::to_string(pid), "stat");
    return stat.empty() || stat.contains(") Z ");
  }
  template <class Condition>
  void run_until(Condition condition) {
    int64_t deadline = clock.monotonic_ms() + 60'000;
    while (!condition() && clock.monotonic_ms() < deadline) loop.run_for(50);
  }
  std::string contents(const std::string& file) {
    std::ifstream in(directory_ + "/" + file);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  // RUNNING says that a process has been started, not how far it has come.
  void expect_contents(const std::string& file, const std::string& expected) {
    run_until([&] { return contents(file) == expected; });
    EXPECT_EQ(contents(file), expected);
  }
  ComponentState state(const std::string& name) {
    for (const auto& status : supervisor_->statuses()) {
      if (status.name.str() == name) return status.state;
    }
    return ComponentState::kNew;
  }

  const io::ScratchDirectory scratch_;
  const std::string directory_ = scratch_.path();
  std::vector<std::string> history_;
  std::set<std::string> installed_;
  std::vector<std::string> restarts_;
  std::unique_ptr<Supervisor> supervisor_;
  std::optional<Result<void>> applied_;
  io::TaskScope tasks_;
};

TEST_F(SupervisorTest, StartsInDependencyOrderAndInstallsOnce) {
  // A Startup has ended before dependents start; of two that run, either may write first.
  auto base = spec("base", "");
  base.startup = step("echo base-run >> order");
  base.install = step("echo base-install >> order");
  auto top = spec("top", "echo top-run >> order; sleep 60", {"base"});
  ASSERT_TRUE(apply({top, base}));
  expect_contents("order", "base-install\nbase-run\ntop-run\n");
  // Another configuration of the same version restarts it, and its dependent, without a new
  // install.
  base.environment.emplace_back("CHANGED", "1");
  ASSERT_TRUE(apply({top, base}));
  expect_contents("order", "base-install\nbase-run\ntop-run\nbase-run\ntop-run\n");
}

TEST_F(SupervisorTest, UnchangedComponentsAreLeftAlone) {
  auto one = spec("one", "echo one >> order; sleep 60");
  ASSERT_TRUE(apply({one}));
  expect_contents("order", "one\n");
  ASSERT_TRUE(apply({one, spec("two", "echo two >> order; sleep 60")}));
  expect_contents("order", "one\ntwo\n");
}

// REC-13
TEST_F(SupervisorTest, BrokenAfterThreeFailuresSaysWhyWithTheLastOutput) {
  auto result = apply({spec("bad", "echo attempt >> tries; echo 'no such tensor: sr' >&2; exit 3")},
                      kPatientMs);
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().message().find("bad 1.0.0 is broken: Run failed: exit code 3"),
            std::string::npos)
      << result.error().message();
  EXPECT_NE(result.error().message().find("no such tensor: sr"), std::string::npos)
      << result.error().message();
  EXPECT_EQ(contents("tries"), "attempt\nattempt\nattempt\n");
  EXPECT_EQ(state("bad"), ComponentState::kBroken);
}

TEST_F(SupervisorTest, ErrorsAndRestartsAreCountedAndTheLastFailureKeepsItsLog) {
  auto bad = spec("bad", "for i in 1 2 3 4 5 6 7 8; do echo line $i; done; exit 3");
  ASSERT_FALSE(apply({bad, spec("good", "sleep 60")}, kPatientMs));
  const formats::ComponentHistory failed = supervisor_->history();
  EXPECT_FALSE(failed.run.empty());
  EXPECT_EQ(failed.tallies, (std::vector<formats::ComponentTally>{{ComponentName("bad"), 3, 2}}));
  ASSERT_TRUE(failed.last_failure);
  EXPECT_EQ(failed.last_failure->name.str(), "bad");
  EXPECT_EQ(failed.last_failure->version, "1.0.0");
  EXPECT_EQ(failed.last_failure->code, "RUN_ERROR");
  EXPECT_GT(failed.last_failure->at_ms, 0);
  EXPECT_EQ(failed.last_failure->log.size(), 8U);
  EXPECT_EQ(failed.last_failure->log.front(), "line 1");
  // A good version takes its place: nothing new happens, and nothing is forgotten.
  ASSERT_TRUE(apply({spec("bad", "sleep 60"), spec("good", "sleep 60")}));
  EXPECT_EQ(supervisor_->history(), failed);
}

TEST_F(SupervisorTest, ADependentThatIsStartedAgainIsARestartWithoutAnError) {
  auto base = spec("base", "test -e failed && exec sleep 60; sleep 0.2; touch failed; exit 1");
  ASSERT_TRUE(apply({base, spec("top", "sleep 60", {"base"})}, 1'000));
  auto tallies = supervisor_->history().tallies;
  std::ranges::sort(tallies, {}, &formats::ComponentTally::name);
  EXPECT_EQ(tallies, (std::vector<formats::ComponentTally>{{ComponentName("base"), 1, 1},
                                                           {ComponentName("top"), 0, 1}}));
}

TEST_F(SupervisorTest, ALongLogIsCutToItsEnd) {
  ASSERT_FALSE(apply({spec("bad", "for i in $(seq 500); do printf '%0290d\\n' $i; done; exit 3")},
                     kPatientMs));
  const auto log = supervisor_->history().last_failure->log;
  size_t bytes = 0;
  for (const std::string& line : log) bytes += line.size();
  EXPECT_GT(bytes, 7'000U);
  EXPECT_LE(bytes, 8'192U);
  EXPECT_TRUE(log.back().ends_with("0500"));
}

TEST_F(SupervisorTest, AComponentThatDiesWithinTheWindowIsNotHealthy) {
  auto result = apply({spec("late", "sleep 0.2; exit 1")}, kPatientMs);
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().message().find("Run failed"), std::string::npos);
}

TEST_F(SupervisorTest, StartupThatNeverEndsTimesOut) {
  auto stuck = spec("stuck", "");
  stuck.startup = step("sleep 600", 100);
  auto result = apply({stuck});
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().message().find("Startup did not end within"), std::string::npos)
      << result.error().message();
}

// REC-11
TEST_F(SupervisorTest, ADependencysFailureRestartsItsDependents) {
  auto base = spec("base",
                   "test -e crash && rm crash && exit 1; while ! test -e crash; do sleep 0.02; "
                   "done; rm crash; exit 1");
  auto top = spec("top", "echo started >> top; sleep 60", {"base"});
  ASSERT_TRUE(apply({base, top}));
  expect_contents("top", "started\n");
  std::ofstream(directory_ + "/crash") << "now";
  expect_contents("top", "started\nstarted\n");
}

// REC-15
TEST_F(SupervisorTest, StopRunsShutdownThenEndsEvenWhatIgnoresSigterm) {
  auto stubborn = spec("stubborn", "trap '' TERM; (trap '' TERM; sleep 300) & echo $$ > pid; wait");
  stubborn.shutdown = step("echo bye > bye", 5'000);
  ASSERT_TRUE(apply({stubborn}));
  run_until([&] { return contents("pid").ends_with('\n'); });
  const std::string pid = contents("pid");
  ASSERT_FALSE(pid.empty());
  ASSERT_TRUE(apply({}));
  EXPECT_EQ(contents("bye"), "bye\n");
  EXPECT_EQ(kill(std::stoi(pid), 0), -1);
}

TEST_F(SupervisorTest, TokensBelongToOneComponent) {
  ASSERT_TRUE(apply({spec("a", "printf $SVCUID > token; sleep 60")}, 200));
  run_until([&] { return contents("token").size() == 16; });
  EXPECT_EQ(supervisor_->component_of_token(contents("token")), ComponentName("a"));
  EXPECT_FALSE(supervisor_->component_of_token("AAAAAAAAAAAAAAAA"));
}

// REC-14
TEST_F(SupervisorTest, NoScriptIsFinished) {
  ASSERT_TRUE(apply({spec("data", "")}));
  EXPECT_EQ(state("data"), ComponentState::kFinished);
}

TEST_F(SupervisorTest, BootstrapRunsBeforeInstallAndMayAskForARestart) {
  auto both = spec("both", "echo run >> order; sleep 60");
  both.bootstrap = step("echo bootstrap >> order; exit 100");
  both.install = step("echo install >> order");
  begin_apply({both});
  run_until([&] { return !restarts_.empty(); });
  EXPECT_EQ(restarts_, std::vector<std::string>{"both skerryd"});
  EXPECT_FALSE(supervisor_->is_installing());
  // The program that comes after the restart goes on behind it.
  ASSERT_TRUE(apply({}));
  ASSERT_TRUE(apply({both}));
  expect_contents("order", "bootstrap\ninstall\nrun\n");
  auto failing = spec("failing", "");
  failing.bootstrap = step("exit 7");
  auto result = apply({failing}, kPatientMs);
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().message().find("Bootstrap failed: exit code 7"), std::string::npos);
}

TEST_F(SupervisorTest, ARestartThatDoesNotTakePlaceFailsWhoeverWaitsForIt) {
  auto asks = spec("asks", "");
  asks.bootstrap = step("exit 101");
  begin_apply({asks}, kPatientMs);
  run_until([&] { return !restarts_.empty(); });
  EXPECT_EQ(restarts_, std::vector<std::string>{"asks device"});
  supervisor_->restart_failed(Error(Code::kFailedPrecondition, "no power switch"));
  run_until([&] { return supervisor_->statuses()[0].state == ComponentState::kBroken; });
  EXPECT_TRUE(supervisor_->statuses()[0].reason.contains("Bootstrap: no power switch"))
      << supervisor_->statuses()[0].reason;
}

TEST_F(SupervisorTest, ShutdownRunsWhenRunEndsWithZeroAndNotAgain) {
  auto once = spec("once", "echo run >> order");
  once.shutdown = step("echo shutdown >> order");
  ASSERT_TRUE(apply({once}));
  EXPECT_EQ(state("once"), ComponentState::kFinished);
  EXPECT_EQ(contents("order"), "run\nshutdown\n");
  ASSERT_TRUE(apply({}));
  EXPECT_EQ(contents("order"), "run\nshutdown\n");
}

TEST_F(SupervisorTest, ShutdownRunsAfterAFailureOnceRecoverHasRun) {
  auto failing = spec("failing", "echo run >> order; exit 1");
  failing.recover = step("echo recover >> order");
  failing.shutdown = step("echo shutdown >> order");
  ASSERT_FALSE(apply({failing}, kPatientMs));
  expect_contents("order", "run\nrecover\nshutdown\nrun\nrecover\nshutdown\nrun\nshutdown\n");
}

TEST_F(SupervisorTest, RunIsEndedAtItsTimeout) {
  auto slow = spec("slow", "");
  slow.run = step("trap 'echo term >> order; exit' TERM; echo run >> order; sleep 300 & wait", 300);
  auto result = apply({slow}, kPatientMs);
  ASSERT_FALSE(result);
  EXPECT_TRUE(result.error().message().contains("Run did not end within 300 ms"))
      << result.error().message();
  expect_contents("order", "run\nterm\nrun\nterm\nrun\nterm\n");
  auto quick = spec("quick", "");
  quick.run = step("exit 0", 300);
  ASSERT_TRUE(apply({quick}, 500));
  EXPECT_EQ(state("quick"), ComponentState::kFinished);
}

TEST_F(SupervisorTest, ADaemonThatRunLeavesRunsOnIsToldAndEndsWithTheComponent) {
  auto leaves = spec("leaves", "setsid sleep 300 & echo $! > pid");
  ASSERT_TRUE(apply({leaves}));
  run_until([&] { return state("leaves") == ComponentState::kFinished; });
  EXPECT_EQ(state("leaves"), ComponentState::kFinished);
  const pid_t daemon = std::stoi(contents("pid"));
  EXPECT_EQ(kill(daemon, 0), 0);
  EXPECT_TRUE(supervisor_->statuses()[0].reason.contains("left processes in the background"));
  ASSERT_TRUE(apply({}));
  EXPECT_TRUE(ended(daemon));
}

TEST_F(SupervisorTest, UninstallRunsForWhatLeavesAndItsFailureHoldsUpNothing) {
  auto leaving = spec("leaving", "");
  leaving.uninstall = step("echo uninstall >> order; exit 1");
  auto hanging = spec("hanging", "");
  hanging.uninstall = step("echo hanging >> order; sleep 300", 100);
  auto silent = spec("silent", "echo never >> order");
  tasks_.spawn(supervisor_->uninstall({leaving, hanging, silent}));
  run_until([&] { return tasks_.size() == 0; });
  EXPECT_EQ(contents("order"), "uninstall\nhanging\n");
}

TEST_F(SupervisorTest, TheWorkFolderIsMadeAndRepairedBeforeEachScript) {
  auto hostile = spec("hostile",
                      "test -e tried && exec sleep 60; touch tried ../tried; cd /; "
                      "rm -r \"$WORK\"; ln -s /etc \"$WORK\"; exit 1");
  hostile.work_directory = directory_ + "/work";
  hostile.environment.emplace_back("WORK", hostile.work_directory);
  ASSERT_FALSE(apply({hostile}, kPatientMs));  // "tried" is gone each time
  EXPECT_TRUE(std::filesystem::exists(directory_ + "/tried"));
  hostile.run = step("sleep 60");
  ASSERT_TRUE(apply({hostile}));
  EXPECT_TRUE(
      std::filesystem::is_directory(std::filesystem::symlink_status(hostile.work_directory)));
  EXPECT_EQ(files.stat(hostile.work_directory)->mode, 0700u);
  EXPECT_NE(files.stat("/etc")->mode, 0700u);
}

TEST_F(SupervisorTest, AComponentOpensItsWorkFolderToOthersForPassingThroughAndNoMore) {
  auto open = spec("open", "chmod 0710 .; test -e tried || { touch tried; exit 1; }; sleep 60");
  open.work_directory = directory_ + "/work";
  ASSERT_TRUE(apply({open}));
  EXPECT_EQ(files.stat(open.work_directory)->mode, 0710u);
  auto wide = spec("wide", "test -e tried || { touch tried; chmod 0777 .; exit 1; }; sleep 60");
  wide.work_directory = directory_ + "/wide";
  ASSERT_TRUE(apply({wide}));
  EXPECT_EQ(files.stat(wide.work_directory)->mode, 0700u);
}

TEST_F(SupervisorTest, RecoverRunsAfterAFailure) {
  auto repaired = spec("repaired", "test -e repaired || exit 1; sleep 60");
  repaired.recover = step("touch repaired");
  EXPECT_TRUE(apply({repaired}, 500));
}

TEST_F(SupervisorTest, WhatStartupLeftInTheBackgroundRunsUntilItIsStopped) {
  auto daemon = spec("daemon", "");
  daemon.startup =
      step("(trap 'echo ended >> log; exit' TERM; echo up >> log; while :; do sleep 0.05; done) &");
  ASSERT_TRUE(apply({daemon}));
  expect_contents("log", "up\n");
  ASSERT_TRUE(apply({}));
  EXPECT_EQ(contents("log"), "up\nended\n");
}

TEST_F(SupervisorTest, TheProgramBehindTheShellMayFinishItsWork) {
  std::ofstream(directory_ + "/worker.sh")
      << "trap 'sleep 0.3; echo saved > saved; exit' TERM\necho > ready\n"
         "while :; do sleep 0.05; done\n";
  ASSERT_TRUE(apply({spec("worker", "true\nsh worker.sh\ntrue")}));
  run_until([&] { return std::filesystem::exists(directory_ + "/ready"); });
  ASSERT_TRUE(apply({}));
  EXPECT_EQ(contents("saved"), "saved\n");
}

TEST_F(SupervisorTest, AComponentMayReportThatItIsUpOrHasFailed) {
  auto reporting = spec("reporting", "");
  reporting.startup = step("echo start >> starts; sleep 60", 1'500);
  begin_apply({reporting}, 2'000);  // longer than Startup may take without a report
  run_until([&] { return contents("starts") == "start\n"; });
  ASSERT_TRUE(supervisor_->report(ComponentName("reporting"), ComponentState::kRunning));
  EXPECT_EQ(state("reporting"), ComponentState::kRunning);
  EXPECT_TRUE(end_apply());
  ASSERT_TRUE(supervisor_->report(ComponentName("reporting"), ComponentState::kErrored));
  expect_contents("starts", "start\nstart\n");

  auto up = spec("up", "");
  up.startup = step("echo start >> ups");
  ASSERT_TRUE(apply({up}));
  ASSERT_TRUE(supervisor_->report(ComponentName("up"), ComponentState::kErrored));
  expect_contents("ups", "start\nstart\n");
  EXPECT_EQ(supervisor_->report(ComponentName("ghost"), ComponentState::kErrored).error().code(),
            Code::kNotFound);
}

TEST_F(SupervisorTest, ADeploymentInTheMiddleOfARestartOfDependents) {
  auto base = spec("base", "while ! test -e crash; do sleep 0.02; done; rm crash; exit 1");
  auto top = spec("top", "echo up >> top; sleep 60", {"base"});
  top.shutdown = step("echo down >> top; sleep 0.3", 5'000);
  ASSERT_TRUE(apply({base, top}));
  expect_contents("top", "up\n");
  std::ofstream(directory_ + "/crash") << "now";
  expect_contents("top", "up\ndown\n");
  auto changed = top;
  changed.environment.emplace_back("CHANGED", "1");
  ASSERT_TRUE(apply({base, changed}, 300));
  EXPECT_EQ(state("top"), ComponentState::kRunning);
  ASSERT_TRUE(apply({}));
  EXPECT_TRUE(supervisor_->statuses().empty());
}

TEST_F(SupervisorTest, ADroppedDeploymentLeavesNothingHalfStopped) {
  auto slow = spec("slow", "sleep 60");
  slow.shutdown = step("echo down >> down; sleep 0.2", 5'000);
  ASSERT_TRUE(apply({slow}));
  begin_apply({spec("other", "sleep 60")});
  run_until([&] { return !contents("down").empty(); });
  tasks_.cancel_all();
  ASSERT_TRUE(apply({}));
  EXPECT_EQ(contents("down"), "down\n");
  EXPECT_TRUE(supervisor_->statuses().empty());
}

TEST_F(SupervisorTest, AStoppedComponentStaysDownUntilItIsRestarted) {
  auto base = spec("base", "echo run >> runs; sleep 60");
  base.shutdown = step("echo shutdown >> runs");
  ASSERT_TRUE(apply({base, spec("user", "echo user >> users; sleep 60", {"base"})}));
  expect_contents("runs", "run\n");
  ASSERT_TRUE(supervisor_->stop(ComponentName("base")));
  run_until([&] { return state("base") == ComponentState::kFinished; });
  expect_contents("runs", "run\nshutdown\n");
  EXPECT_EQ(state("user"), ComponentState::kRunning);  // what depends on it runs on
  ASSERT_TRUE(supervisor_->restart(ComponentName("base")));
  expect_contents("runs", "run\nshutdown\nrun\n");
  run_until([&] { return contents("users") == "user\nuser\n"; });  // and starts again with it
  EXPECT_EQ(contents("users"), "user\nuser\n");
  EXPECT_EQ(supervisor_->restart(ComponentName("none")).error().code(), Code::kNotFound);
  EXPECT_EQ(supervisor_->stop(ComponentName("none")).error().code(), Code::kNotFound);
}

TEST_F(SupervisorTest, ARestartGivesABrokenComponentAnotherChance) {
  ASSERT_FALSE(apply({spec("a", "test -e mended || exit 3; sleep 60")}, kPatientMs));
  std::ofstream(directory_ + "/mended") << "";
  ASSERT_TRUE(supervisor_->restart(ComponentName("a")));
  run_until([&] { return state("a") == ComponentState::kRunning; });
  EXPECT_EQ(state("a"), ComponentState::kRunning);
}

TEST_F(SupervisorTest, APausedComponentDoesNothingUntilItIsResumed) {
  ASSERT_TRUE(apply({spec("a", "(while :; do echo x >> ticks; sleep 0.02; done) & wait")}));
  run_until([&] { return contents("ticks").size() > 4; });
  ASSERT_TRUE(supervisor_->pause(ComponentName("a")));
  loop.run_for(100);  // what is under way comes to its end
  const std::string before = contents("ticks");
  loop.run_for(300);
  EXPECT_EQ(contents("ticks"), before);
  EXPECT_EQ(state("a"), ComponentState::kRunning);
  EXPECT_EQ(supervisor_->statuses()[0].reason, "paused");
  ASSERT_TRUE(supervisor_->resume(ComponentName("a")));
  run_until([&] { return contents("ticks").size() > before.size(); });
  EXPECT_GT(contents("ticks").size(), before.size());
  EXPECT_EQ(supervisor_->statuses()[0].reason, "");
  EXPECT_EQ(supervisor_->resume(ComponentName("a")).error().code(), Code::kFailedPrecondition);
}

TEST_F(SupervisorTest, WhatIsPausedCanBeStoppedInOrder) {
  auto a =
      spec("a", "trap 'echo end >> ends; exit 0' TERM; echo up > up; while :; do sleep 0.05; done");
  ASSERT_TRUE(apply({a}));
  expect_contents("up", "up\n");
  ASSERT_TRUE(supervisor_->pause(ComponentName("a")));
  ASSERT_TRUE(apply({}));
  EXPECT_EQ(contents("ends"), "end\n");  // it was let go on, and heard SIGTERM
}

TEST_F(SupervisorTest, OutputThatIsNotTextIsMadeReadable) {
  auto result = apply({spec("latin", "printf 'caf\\351\\n' >&2; exit 1")}, kPatientMs);
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().message().find("| caf\xEF\xBF\xBD"), std::string::npos)
      << result.error().message();
}

}  // namespace
}  // namespace skerry::nucleus
