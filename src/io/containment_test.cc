// Control groups: reading what a machine offers, and hostile children in real ones.
#include "io/containment.h"

#include <grp.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "io/clock.h"
#include "io/processes.h"

namespace skerry::io {
namespace {

constexpr int64_t kEndDeadlineMs = 30'000;
constexpr const char* kMustContain =
    "SKERRY_TEST_MUST_CONTAIN";  // set: no test is skipped for that

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
    if (!made && !::getenv(kMustContain))
      GTEST_SKIP() << "no control groups for this user here: " << made.error().message();
    ASSERT_TRUE(made) << made.error().message();
    containment_ = std::move(*made);
    processes_ = std::make_unique<RealProcesses>(loop_, "", containment_.get());
  }
  void TearDown() override {
    processes_.reset();
    if (containment_) {
      EXPECT_TRUE(containment_->end(kEndDeadlineMs));
    }
  }
  static ProcessSpec shell(const std::string& script) {
    ProcessSpec spec;
    spec.argv = {"sh", "-c", script};
    spec.environment = {{"PATH", "/usr/bin:/bin"}};
    spec.unit = "com.example.Hostile";
    return spec;
  }
  bool has_version_2() const {
    return ::access((containment_->directory() + "/cgroup.kill").c_str(), W_OK) == 0;
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
    const int64_t deadline = clock.monotonic_ms() + kEndDeadlineMs;
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

TEST_F(ContainmentTest, ALimitWithoutItsControllerIsRefusedWithTheReason) {
  for (const auto& [controller, limits] :
       {std::pair(Controller::kPids, GroupLimits{.processes = 40}),
        std::pair(Controller::kMemory, GroupLimits{.memory_bytes = 32 << 20}),
        std::pair(Controller::kCpu, GroupLimits{.cpus = 0.5})}) {
    const auto seat = containment_->seat("com.example.Limited", limits);
    EXPECT_EQ(seat.has_value(), !lacks(controller));
    if (seat) continue;
    EXPECT_EQ(seat.error().code(), Code::kUnsupported);
    EXPECT_TRUE(seat.error().message().contains(name_of(controller))) << seat.error().message();
  }
}

// As kernels have it that can freeze and cannot kill a group.
TEST_F(ContainmentTest, AForkBombThatIsFrozenIsKilledInOneRound) {
  if (!has_version_2()) GTEST_SKIP() << "no control groups of version 2 here";
  ProcessSpec bomb = shell("while :; do sleep 1000 & sleep 0.001; done");
  if (!lacks(Controller::kPids)) bomb.limits.processes = 200;
  auto process = start(bomb);
  const Cgroup group(containment_->directory());
  run_until([&] { return group.processes().size() > 20; });
  ASSERT_TRUE(group.freeze(true));
  run_until([&] {
    return counter_in(read_group_file(group.directory(), "cgroup.events"), "frozen") == 1;
  });
  const auto before = group.processes();
  loop_.run_for(100);
  EXPECT_EQ(group.processes(), before);  // none is born
  group.kill_each();
  run_until([&] { return !group.populated(); });
}

// --- Delegation
// ------------------------------------------------------------------------------------

// A group of version 2 that belongs to "nobody", as systemd makes one for Delegate=yes.
class DelegationTest : public testing::Test {
 protected:
  static constexpr uid_t kNobody = 65534;

  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "only root can delegate";
    for (const Hierarchy& each : parse_hierarchies(read_group_file("/proc/self", "mountinfo"),
                                                   read_group_file("/proc/self", "cgroup"))) {
      if (each.unified) parent_ = each.own_directory;
    }
    if (parent_.empty()) GTEST_SKIP() << "no control groups of version 2 on this machine";
    group_ = parent_ + "/skerry-delegation-" + std::to_string(::getpid());
    if (::mkdir(group_.c_str(), 0755) != 0) GTEST_SKIP() << "no group can be made in " << parent_;
    for (const char* file : {"", "/cgroup.procs", "/cgroup.subtree_control", "/cgroup.threads"})
      ASSERT_EQ(::chown((group_ + file).c_str(), kNobody, kNobody), 0) << file;
  }
  void TearDown() override {
    if (group_.empty()) return;
    EXPECT_TRUE(Cgroup(group_).kill(kEndDeadlineMs));
    Cgroup(group_).remove();
  }
  // In a process of its own, as nobody, inside the group; its exit code.
  template <class Work>
  int as_nobody(const Work& work) {
    const pid_t child = ::fork();
    if (child == 0) {
      if (!write_group_file(group_, "cgroup.procs", "0") || ::setgroups(0, nullptr) != 0 ||
          ::setresgid(kNobody, kNobody, kNobody) != 0 ||
          ::setresuid(kNobody, kNobody, kNobody) != 0) {
        ::_exit(99);
      }
      ::_exit(work());
    }
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  std::string parent_, group_;
};

TEST_F(DelegationTest, AnUnprivilegedProgramContainsItsChildrenInWhatIsDelegatedToIt) {
  EXPECT_EQ(as_nobody([] {
              ::setenv(kMustContain, "1", 1);
              ::execl("/proc/self/exe", "io_test", "--gtest_filter=ContainmentTest.*", nullptr);
              return 98;
            }),
            0);
}

// hugetlb stands for the controllers that are the first version's on this machine.
TEST_F(DelegationTest, AControllerIsHandedDownAndTheProgramMovesOutOfItsWay) {
  const std::string before = read_group_file(parent_, "cgroup.subtree_control");
  const bool had_it = before.contains("hugetlb");
  if (!had_it && !write_group_file(parent_, "cgroup.subtree_control", "+hugetlb"))
    GTEST_SKIP() << "version 2 has no controller here that could be handed down";
  EXPECT_EQ(as_nobody([this] {
              if (::mkdir((group_ + "/children").c_str(), 0755) != 0) return 1;
              if (auto passed = pass_down(group_, "children", "hugetlb"); !passed) {
                std::fprintf(stderr, "%s\n", passed.error().message().c_str());
                return 2;
              }
              if (!read_group_file("/proc/self", "cgroup").contains("/children.nucleus\n"))
                return 3;
              if (!read_group_file(group_ + "/children", "cgroup.controllers").contains("hugetlb"))
                return 4;
              return 0;
            }),
            0);
  if (!had_it) {
    Cgroup(group_).remove();
    (void)write_group_file(parent_, "cgroup.subtree_control", "-hugetlb");
  }
}

// pids and cpu may count threads: where a process is in the group the kernel hands them down all
// the same, to groups that take no process then.
TEST_F(DelegationTest, AControllerOfThreadsIsHandedDownToGroupsOfProcesses) {
  for (const char* controller : {"pids", "cpu"}) {
    if (!read_group_file(group_, "cgroup.controllers").contains(controller) &&
        !write_group_file(parent_, "cgroup.subtree_control", std::string("+") + controller)) {
      GTEST_SKIP() << "version 2 has no such controller here";
    }
  }
  EXPECT_EQ(as_nobody([this] {
              const std::string unit = group_ + "/children/unit";
              if (::mkdir((group_ + "/children").c_str(), 0755) != 0) return 1;
              for (const char* controller : {"pids", "cpu"}) {
                if (!pass_down(group_, "children", controller)) return 2;
              }
              if (::mkdir(unit.c_str(), 0755) != 0) return 3;
              if (read_group_file(unit, "cgroup.type") != "domain\n") return 4;
              if (!write_group_file(unit, "pids.max", "10")) return 5;
              return write_group_file(unit, "cgroup.procs", "0") ? 0 : 6;
            }),
            0);
}

TEST_F(DelegationTest, AGroupThatOthersShareStaysAsItIs) {
  const pid_t other = ::fork();
  if (other == 0) {
    if (!write_group_file(group_, "cgroup.procs", "0")) ::_exit(1);
    ::pause();
  }
  while (read_group_file(group_, "cgroup.procs").empty()) ::usleep(1000);
  EXPECT_EQ(as_nobody([this] {
              if (::mkdir((group_ + "/children").c_str(), 0755) != 0) return 1;
              for (const char* controller : {"pids", "cpu", "memory"}) {
                if (pass_down(group_, "children", controller)) return 2;
              }
              if (read_group_file(group_, "cgroup.type") != "domain\n") return 3;
              return write_group_file(group_ + "/children", "cgroup.procs", "0") ? 0 : 4;
            }),
            0);
  ::kill(other, SIGKILL);
  ::waitpid(other, nullptr, 0);
}

TEST_F(DelegationTest, WhatIsNotDelegatedIsRefusedWithTheReason) {
  ASSERT_EQ(::chown(group_.c_str(), 0, 0), 0);
  EXPECT_EQ(as_nobody([] {
              const auto made = Containment::make("not-delegated");
              return made ? 1 : made.error().code() == Code::kPermissionDenied ? 0 : 2;
            }),
            0);
}

}  // namespace
}  // namespace skerry::io
