// Control groups: reading what a machine offers, and hostile children in real ones.
#include "io/containment.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "io/clock.h"
#include "io/processes.h"

namespace skerry::io {
namespace {

constexpr int64_t kDeadlineMs = 30'000;

std::vector<std::string> directories(std::string_view mountinfo, std::string_view own) {
  std::vector<std::string> found;
  for (const Hierarchy& each : parse_hierarchies(mountinfo, own)) {
    found.push_back((each.unified ? "2 " : "1 ") + each.own_directory);
  }
  return found;
}

TEST(Hierarchies, OfASystemdServiceWithVersion2) {
  EXPECT_EQ(directories("25 30 0:23 / /sys rw,relatime shared:7 - sysfs sysfs rw\n"
                        "31 25 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n",
                        "0::/system.slice/skerryd.service\n"),
            std::vector<std::string>{"2 /sys/fs/cgroup/system.slice/skerryd.service"});
}

TEST(Hierarchies, OfBothVersionsVersion2First) {
  EXPECT_EQ(directories("1 0 0:1 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
                        "2 1 0:2 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
                        "3 1 0:3 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
                        "4 1 0:4 / /sys/fs/cgroup/unified rw master:3 shared:4 - cgroup2 none rw\n",
                        "4:memory:/a/b\n2:cpu,cpuacct:/c\n0::/\n"),
            (std::vector<std::string>{"2 /sys/fs/cgroup/unified", "1 /sys/fs/cgroup/cpu,cpuacct/c",
                                      "1 /sys/fs/cgroup/memory/a/b"}));
}

TEST(Hierarchies, InAContainerTheMountIsItsOwnGroup) {
  EXPECT_EQ(directories("9 8 0:2 /docker/abc /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n",
                        "7:pids:/docker/abc/below\n"),
            std::vector<std::string>{"1 /sys/fs/cgroup/pids/below"});
  EXPECT_EQ(directories("9 8 0:2 /../.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "0::/../x\n"),
            std::vector<std::string>{"2 /sys/fs/cgroup"});
  EXPECT_EQ(directories("9 8 0:2 / /mnt/c\\040g rw - cgroup2 cgroup2 rw\n", "0::/\n"),
            std::vector<std::string>{"2 /mnt/c g"});
}

TEST(Hierarchies, OfTextThatIsNeither) {
  EXPECT_TRUE(parse_hierarchies("", "").empty());
  EXPECT_TRUE(parse_hierarchies("a b c - cgroup2\n- - - -\n", ":::\n\n").empty());
  EXPECT_TRUE(parse_hierarchies("1 0 0:1 / /proc rw - proc proc rw\n", "0::/\n").empty());
}

// A zombie is dead; who reaps it is another matter.
bool alive(pid_t pid) {
  const std::string stat = read_group_file("/proc/" + std::to_string(pid), "stat");
  return !stat.empty() && !stat.contains(") Z ");
}

class ContainmentTest : public testing::Test {
 protected:
  void SetUp() override {
    auto made = Containment::make("containment-test-" + std::to_string(::getpid()));
    if (!made) GTEST_SKIP() << "no control groups for this user here: " << made.error().message();
    containment_ = std::move(*made);
    processes_ = std::make_unique<RealProcesses>(loop_, "", containment_.get());
  }
  void TearDown() override {
    processes_.reset();
    if (containment_) {
      EXPECT_TRUE(containment_->end(kDeadlineMs));
    }
  }
  static ProcessSpec shell(const std::string& script) {
    ProcessSpec spec;
    spec.argv = {"sh", "-c", script};
    spec.environment = {{"PATH", "/usr/bin:/bin"}};
    spec.unit = "com.example.Hostile";
    return spec;
  }
  bool lacks(Controller controller) const { return !containment_->can_limit(controller); }
  std::unique_ptr<Process> start(const ProcessSpec& spec) {
    exit_.reset();
    lines_.clear();
    ProcessEvents events;
    events.on_line = [this](std::string_view line, bool) { lines_.emplace_back(line); };
    events.on_exit = [this](ExitStatus status) { exit_ = status; };
    auto started = processes_->start(spec, std::move(events));
    EXPECT_TRUE(started) << started.error().message();
    return started ? std::move(*started) : nullptr;
  }
  template <class Condition>
  void run_until(Condition condition) {
    RealClock clock;
    const int64_t deadline = clock.monotonic_ms() + kDeadlineMs;
    while (!condition()) {
      loop_.run_for(10);
      ASSERT_LT(clock.monotonic_ms(), deadline) << "it did not happen";
    }
  }
  void run_to_end(const ProcessSpec& spec) {
    auto process = start(spec);
    run_until([&] { return exit_.has_value(); });
  }

  RealLoop loop_;
  std::unique_ptr<Containment> containment_;
  std::unique_ptr<RealProcesses> processes_;
  std::vector<std::string> lines_;
  std::optional<ExitStatus> exit_;
};

// Two forks, two sessions, no environment, no parent: nothing but the group still knows it.
const std::string kDaemon =
    "setsid env -i /bin/sh -c '/usr/bin/setsid /bin/sh -c \"trap \\\"\\\" TERM HUP; echo \\$\\$; "
    "while :; do /bin/sleep 1000; done\" & exit' & wait";

TEST_F(ContainmentTest, ADaemonThatClearedItsEnvironmentIsFoundAndKilled) {
  auto process = start(shell(kDaemon));
  run_until([&] { return exit_ && !lines_.empty(); });
  const pid_t daemon = std::stoi(lines_[0]);
  EXPECT_TRUE(process->running());
  EXPECT_TRUE(alive(daemon));
  process.reset();
  EXPECT_FALSE(alive(daemon));
}

TEST_F(ContainmentTest, ASignalReachesEverySessionOnce) {
  auto process =
      start(shell("for i in 1 2 3; do setsid sh -c 'trap \"echo term\" TERM; echo up; "
                  "while ! test -e /nowhere; do sleep 0.01; done' & done; wait"));
  run_until([&] { return std::ranges::count(lines_, "up") == 3; });
  process->signal(SIGTERM);
  run_until([&] { return std::ranges::count(lines_, "term") == 3; });
  process->signal(SIGKILL);
  run_until([&] { return !process->running(); });
  EXPECT_EQ(std::ranges::count(lines_, "term"), 3);
}

TEST_F(ContainmentTest, TwoProcessesOfOneUnitEndSeparately) {
  auto first = start(shell("sleep 1000"));
  auto second = start(shell("sleep 1000"));
  first.reset();
  EXPECT_TRUE(second->running());
}

TEST_F(ContainmentTest, AForkBombStaysBelowItsLimitAndDies) {
  if (lacks(Controller::kPids)) GTEST_SKIP() << "no pids controller on this machine";
  ProcessSpec bomb = shell("b() { b | b & }; b; sleep 1000");
  bomb.limits.processes = 40;
  auto process = start(bomb);
  run_until([&] { return !lines_.empty() || exit_; });  // "Cannot fork"
  EXPECT_LE(Cgroup(containment_->directory()).processes().size(), 40u);
  process->signal(SIGKILL);
  run_until([&] { return !process->running(); });
  process.reset();
  EXPECT_FALSE(Cgroup(containment_->directory()).populated());
}

TEST_F(ContainmentTest, AMemoryHogIsKilledAndTheReasonIsSaid) {
  if (lacks(Controller::kMemory)) GTEST_SKIP() << "no memory controller on this machine";
  ProcessSpec hog = shell("head -c 1000000000 /dev/zero | tail; exit 3");
  hog.limits.memory_bytes = 32 << 20;
  run_to_end(hog);
  EXPECT_TRUE(exit_->out_of_memory) << exit_->text();
  EXPECT_TRUE(exit_->text().contains("limit of its memory")) << exit_->text();
  // The next start of the unit without a limit is free of it.
  run_to_end(shell("head -c 100000000 /dev/zero | tail | wc -c"));
  EXPECT_TRUE(exit_->ok()) << exit_->text();
  EXPECT_FALSE(exit_->out_of_memory);
}

TEST_F(ContainmentTest, ACpuHogIsThrottled) {
  if (lacks(Controller::kCpu)) GTEST_SKIP() << "no cpu controller on this machine";
  ProcessSpec hog = shell("while :; do :; done");
  hog.limits.cpus = 0.1;
  auto process = start(hog);
  run_until([&] { return containment_->times_throttled(hog.unit) > 2; });
}

TEST_F(ContainmentTest, PrivilegeAndResourcesAreRestricted) {
  ProcessSpec spec = shell(
      "grep NoNewPrivs /proc/self/status; ulimit -c; ulimit -n; ulimit -Hn; "
      "cat /proc/self/oom_score_adj");
  spec.no_new_privileges = true;
  spec.oom_score = 300;
  spec.resource_limits = {{RLIMIT_CORE, 0, 0}, {RLIMIT_NOFILE, 100, 200}};
  run_to_end(spec);
  EXPECT_EQ(lines_, (std::vector<std::string>{"NoNewPrivs:\t1", "0", "100", "200", "300"}));
}

TEST_F(ContainmentTest, AnEarlierRunsProcessesAreEndedFirst) {
  auto process = start(shell(kDaemon));
  run_until([&] { return exit_ && !lines_.empty(); });
  const pid_t daemon = std::stoi(lines_[0]);
  auto again = Containment::make("containment-test-" + std::to_string(::getpid()));
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_FALSE(alive(daemon));
}

}  // namespace
}  // namespace skerry::io
