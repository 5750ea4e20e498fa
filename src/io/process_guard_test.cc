// Components that try to outlive their program, and programs that die without a word.
#include "io/process_guard.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "io/processes.h"

extern "C" {
#include <sys/pidfd.h>
}

namespace skerry::io {
namespace {

constexpr int kGuardDeadlineMs = 30'000;

ProcessSpec shell_of(const std::string& script) {
  return {.argv = {"sh", "-c", script}, .environment = {{"PATH", "/usr/bin:/bin"}}};
}

// Two forks, two sessions, deaf to every polite signal, its parents gone.
const std::string kLeavesDaemon =
    "setsid sh -c 'trap \"\" TERM HUP INT; "
    "setsid sh -c \"echo ready; while :; do sleep 1000; done\" & exit' & wait";

// A program with a guard and that component, in a process of its own.
class Program {
 public:
  explicit Program(const std::string& owner, const std::string& component = kLeavesDaemon) {
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    pid_ = ::fork();
    if (pid_ == 0) run(owner, component, ends[1]);
    ::close(ends[1]);
    EXPECT_EQ(::read(ends[0], &watcher_, sizeof watcher_), ssize_t{sizeof watcher_});
    char ready = 0;
    EXPECT_EQ(::read(ends[0], &ready, 1), 1);
    ::close(ends[0]);
  }
  ~Program() { kill(); }
  pid_t watcher() const { return watcher_; }
  // The processes in the groups of a program with this owner.
  static std::vector<pid_t> contained(const std::string& owner) {
    for (const Hierarchy& each : parse_hierarchies(read_group_file("/proc/self", "mountinfo"),
                                                   read_group_file("/proc/self", "cgroup"))) {
      const Cgroup group(each.own_directory + "/skerry-" + owner);
      if (group.populated()) return group.processes();
    }
    return {};
  }
  void kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(std::exchange(pid_, 0), nullptr, 0);
  }

 private:
  [[noreturn]] static void run(const std::string& owner, const std::string& component, int report) {
    auto guard = ProcessGuard::start(owner);
    if (!guard) ::_exit(1);
    const pid_t watcher = guard->watcher();
    if (::write(report, &watcher, sizeof watcher) < 0) ::_exit(2);
    RealLoop loop;
    RealProcesses processes(loop, guard->mark(), guard->containment());
    auto process = processes.start(shell_of(component), {.on_line =
                                                             [report](std::string_view, bool) {
                                                               if (::write(report, "r", 1) != 1)
                                                                 ::_exit(3);
                                                             },
                                                         .on_exit = nullptr});
    if (!process) ::_exit(4);
    loop.run();
    ::_exit(5);
  }
  pid_t pid_ = 0;
  pid_t watcher_ = 0;
};

// Waits for the ends of processes that are not children.
class GuardEnds {
 public:
  explicit GuardEnds(const std::vector<pid_t>& pids) {
    for (pid_t pid : pids) {
      if (int fd = ::pidfd_open(pid, 0); fd >= 0) fds_.push_back(fd);
    }
  }
  ~GuardEnds() {
    for (int fd : fds_) ::close(fd);
  }
  bool wait() {
    for (int fd : fds_) {
      pollfd ended{fd, POLLIN, 0};
      if (::poll(&ended, 1, kGuardDeadlineMs) != 1) return false;
    }
    return true;
  }

 private:
  std::vector<int> fds_;
};

std::string owner_for_test() {
  return "guard-test-" + std::to_string(::getpid()) + "-" +
         testing::UnitTest::GetInstance()->current_test_info()->name();
}

TEST(ProcessGuard, KillsEverythingWhenTheProgramIsKilled) {
  const std::string owner = owner_for_test();
  Program program(owner);
  std::vector<pid_t> pids = marked_processes(owner);
  ASSERT_FALSE(pids.empty());
  pids.push_back(program.watcher());
  GuardEnds ends(pids);
  program.kill();
  EXPECT_TRUE(ends.wait());
  EXPECT_TRUE(marked_processes(owner).empty());
}

// With a control group nothing else has to know it.
TEST(ProcessGuard, ADaemonThatClearedItsEnvironmentDiesWithTheProgram) {
  const std::string owner = owner_for_test();
  Program program(owner,
                  "setsid env -i /bin/sh -c '/usr/bin/setsid /bin/sh -c \"echo ready; while :; "
                  "do /bin/sleep 1000; done\" & exit' & wait");
  const std::vector<pid_t> pids = Program::contained(owner);
  if (pids.empty()) GTEST_SKIP() << "no control groups for this user on this machine";
  GuardEnds ends(pids);
  program.kill();
  EXPECT_TRUE(ends.wait());
}

TEST(ProcessGuard, TheNextStartKillsWhatAKilledWatcherLeft) {
  const std::string owner = owner_for_test();
  {
    Program program(owner);
    GuardEnds watcher({program.watcher()});
    ::kill(program.watcher(), SIGKILL);
    ASSERT_TRUE(watcher.wait());
    program.kill();
  }
  const std::vector<pid_t> left = marked_processes(owner);
  ASSERT_FALSE(left.empty());  // the component does outlive a program without a guard
  GuardEnds ends(left);
  Program next(owner);
  EXPECT_TRUE(ends.wait());
  EXPECT_FALSE(marked_processes(owner).empty());  // its own component is left alone
  GuardEnds again(marked_processes(owner));
  next.kill();
  EXPECT_TRUE(again.wait());
}

// Runs `body` in a process of its own, whose settings and children it may change.
template <class Body>
void in_process(Body body) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(body() ? 0 : 1);
  int status = 0;
  ::waitpid(pid, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "status " << status;
}

TEST(ProcessGuard, AnOrderlyEndLeavesNothing) {
  const std::string owner = owner_for_test();
  in_process([&] {
    auto guard = ProcessGuard::start(owner);
    if (!guard) return false;
    RealLoop loop;
    RealProcesses processes(loop, guard->mark());
    bool ready = false;
    auto process =
        processes.start(shell_of(kLeavesDaemon),
                        {.on_line = [&](std::string_view, bool) { ready = true; }, .on_exit = {}});
    while (!ready) {
      if (!loop.run_for(kGuardDeadlineMs)) return false;
    }
    (void)process->release();  // as if a bug lost it
    GuardEnds watcher({guard->watcher()});
    {
      ProcessGuard ending = std::move(*guard);
    }
    return watcher.wait() && marked_processes(owner).empty();
  });
}

TEST(ProcessGuard, AdoptedOrphansAreReapedAndOwnChildrenKeepTheirStatus) {
  const std::string owner = owner_for_test();
  in_process([&] {
    auto guard = ProcessGuard::start(owner);
    if (!guard) return false;
    RealLoop loop;
    RealProcesses processes(loop, guard->mark());
    int signals = 0;
    loop.on_signals({SIGCHLD}, [&](int) {
      ++signals;
      processes.reap_adopted();
    });
    // Ten orphans that end at once, and a child that ends after them.
    std::optional<ExitStatus> status;
    auto process =
        processes.start(shell_of("for i in 1 2 3 4 5 6 7 8 9 10; do (true &); done; exit 3"),
                        {.on_line = {}, .on_exit = [&](ExitStatus s) { status = s; }});
    if (!process) return false;
    auto all_reaped = [&] {
      siginfo_t info{};
      const int result = ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT);
      return result == 0 && info.si_pid == 0 && marked_processes(owner).empty();
    };
    while (!status || !all_reaped()) {
      if (!loop.run_for(kGuardDeadlineMs)) return false;
    }
    return status->code == 3 && signals > 0;
  });
}

TEST(MarkedProcesses, MatchesWholePartsOfTheMark) {
  const std::string owner = owner_for_test();
  RealLoop loop;
  RealProcesses processes(loop, owner + "/run");
  bool up = false;
  auto process =
      processes.start(shell_of("echo up; kill -STOP $$"),
                      {.on_line = [&](std::string_view, bool) { up = true; }, .on_exit = {}});
  ASSERT_TRUE(process);
  while (!up) ASSERT_TRUE(loop.run_for(kGuardDeadlineMs));
  const pid_t pid = (*process)->pid();
  EXPECT_EQ(marked_processes(owner), std::vector<pid_t>{pid});
  EXPECT_EQ(marked_processes(owner + "/run"), std::vector<pid_t>{pid});
  EXPECT_EQ(marked_processes(owner + "/run/1"), std::vector<pid_t>{pid});
  EXPECT_TRUE(marked_processes(owner + "/ru").empty());
  EXPECT_TRUE(marked_processes(owner + "/run/2").empty());
  EXPECT_EQ(kill_marked(owner + "/run/2").value(), 0u);
}

// A process shows no mark while it is in exec; a kill that looks then must look again.
TEST(MarkedProcesses, AreKilledInTheMiddleOfExec) {
  const std::string owner = owner_for_test();
  RealLoop loop;
  RealProcesses processes(loop, owner);
  for (int i = 0; i < 30; ++i) {
    auto process =
        processes.start(shell_of("setsid sh -c 'exec sh -c \"exec sleep 1000\"' & exit"), {});
    ASSERT_TRUE(process);
    ASSERT_TRUE(kill_marked(owner));
    ASSERT_TRUE(marked_processes(owner).empty());
  }
}

TEST(MarkedProcesses, IncludesChildrenThatClearedTheirEnvironment) {
  const std::string owner = owner_for_test();
  RealLoop loop;
  RealProcesses processes(loop, owner);
  std::optional<std::string> line;
  auto process = processes.start(
      shell_of("setsid env -i sh -c 'echo $$; exec sleep 1000' & wait"),
      {.on_line = [&](std::string_view text, bool) { line = text; }, .on_exit = {}});
  ASSERT_TRUE(process);
  while (!line) ASSERT_TRUE(loop.run_for(kGuardDeadlineMs));
  const pid_t bare = static_cast<pid_t>(std::stol(*line));
  GuardEnds end({bare});
  EXPECT_EQ(marked_processes(owner), (std::vector<pid_t>{(*process)->pid(), bare}));
  EXPECT_EQ(kill_marked(owner).value(), 2u);
  EXPECT_TRUE(end.wait());
}

}  // namespace
}  // namespace skerry::io
