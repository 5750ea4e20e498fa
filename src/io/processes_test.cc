// Real children: output, exit, errors, groups of processes, and what they leave behind.
#include "io/processes.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>

#include "io/process_guard.h"

namespace skerry::io {
namespace {

constexpr int64_t kDeadlineMs = 30'000;

struct Seen {
  std::vector<std::string> out, err;
  std::optional<ExitStatus> exit;
  ProcessEvents events() {
    return {.on_line = [this](std::string_view line,
                              bool is_stderr) { (is_stderr ? err : out).emplace_back(line); },
            .on_exit = [this](ExitStatus status) { exit = status; }};
  }
};

class ProcessesTest : public testing::Test {
 protected:
  static ProcessSpec shell(const std::string& script) {
    return {.argv = {"sh", "-c", script}, .environment = {{"PATH", "/usr/bin:/bin"}}};
  }
  template <class Condition>
  void run_until(Condition condition) {
    while (!condition()) ASSERT_TRUE(loop_.run_for(kDeadlineMs)) << "nothing happened";
  }
  Seen run(const ProcessSpec& spec) {
    Seen seen;
    auto process = processes_.start(spec, seen.events());
    EXPECT_TRUE(process) << process.error().message();
    if (process) run_until([&] { return seen.exit.has_value(); });
    return seen;
  }

  RealLoop loop_;
  RealProcesses processes_{loop_, "processes-test-" + std::to_string(::getpid())};
};

TEST_F(ProcessesTest, DeliversLinesThenTheExit) {
  const Seen seen = run(shell("echo one; echo two >&2; printf 'no newline'; exit 3"));
  EXPECT_EQ(seen.out, (std::vector<std::string>{"one", "no newline"}));
  EXPECT_EQ(seen.err, std::vector<std::string>{"two"});
  EXPECT_EQ(seen.exit->text(), "exit code 3");
  EXPECT_FALSE(seen.exit->ok());
}

TEST_F(ProcessesTest, DeliversAllOfALargeOutput) {
  const Seen seen = run(shell("seq 1 100000"));
  ASSERT_EQ(seen.out.size(), 100000u);
  EXPECT_EQ(seen.out.back(), "100000");
}

TEST_F(ProcessesTest, CutsLongLinesIntoPieces) {
  const Seen seen =
      run(shell("head -c 20000 /dev/zero | tr '\\0' x; echo; head -c 8192 /dev/zero | "
                "tr '\\0' y; echo; echo end"));
  ASSERT_EQ(seen.out.size(), 5u);
  EXPECT_EQ(seen.out[0].size(), 8192u);
  EXPECT_EQ(seen.out[2].size(), 20000u - 2 * 8192u);
  EXPECT_EQ(seen.out[3], std::string(8192, 'y'));
  EXPECT_EQ(seen.out[4], "end");
}

TEST_F(ProcessesTest, GivesTheChildItsEnvironmentDirectoryAndNothingElse) {
  ::signal(SIGPIPE, SIG_IGN);
  ProcessSpec spec = shell(
      "pwd; echo $A; env | grep -c .; ls /proc/self/fd | wc -l; "
      "grep SigIgn /proc/self/status; readlink /proc/self/fd/0");
  spec.environment.emplace_back("A", "a b");
  spec.working_directory = "/usr";
  ASSERT_EQ(::setenv("SKERRY_TEST_LEAK", "1", 1), 0);
  const int open_without_cloexec = ::dup(1);
  const Seen seen = run(spec);
  ::close(open_without_cloexec);
  ASSERT_EQ(seen.out.size(), 6u);
  EXPECT_EQ(seen.out[0], "/usr");
  EXPECT_EQ(seen.out[1], "a b");
  EXPECT_EQ(seen.out[2], "4");  // PATH, A, SKERRY_OWNER and the shell's PWD
  EXPECT_EQ(seen.out[3], "4");  // 0, 1, 2 and the directory that ls reads
  EXPECT_EQ(seen.out[4], "SigIgn:\t0000000000000000");
  EXPECT_EQ(seen.out[5], "/dev/null");
}

TEST_F(ProcessesTest, SaysWhichProgramCannotStartAndWhy) {
  auto absent = processes_.start({.argv = {"skerry-no-such-program"}}, {});
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().code(), Code::kNotFound);
  EXPECT_EQ(absent.error().message(), "start skerry-no-such-program: No such file or directory");

  auto forbidden = processes_.start({.argv = {"/etc/passwd"}}, {});
  ASSERT_FALSE(forbidden);
  EXPECT_EQ(forbidden.error().code(), Code::kPermissionDenied);

  ProcessSpec lost = shell("true");
  lost.working_directory = "/skerry-no-such-directory";
  auto nowhere = processes_.start(lost, {});
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error().message(),
            "start sh: enter /skerry-no-such-directory: No such file or directory");

  EXPECT_FALSE(processes_.start({}, {}));
}

TEST_F(ProcessesTest, RunsAsAnotherUser) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to change to another user";
  ProcessSpec spec = shell("id -u; id -g; id -G");
  spec.user = User{65534, 65534};
  const Seen seen = run(spec);
  EXPECT_EQ(seen.out, (std::vector<std::string>{"65534", "65534", "65534"}));
}

TEST_F(ProcessesTest, SignalReachesTheWholeGroup) {
  Seen seen;
  auto process = processes_.start(
      shell("sh -c 'trap \"echo inner; exit\" TERM; echo up; while :; do sleep 0.01; done' & "
            "trap 'wait; echo outer; exit 7' TERM; wait"),
      seen.events());
  ASSERT_TRUE(process);
  run_until([&] { return !seen.out.empty(); });
  (*process)->signal(SIGTERM);
  run_until([&] { return seen.exit.has_value(); });
  EXPECT_EQ(seen.out, (std::vector<std::string>{"up", "inner", "outer"}));
  EXPECT_EQ(seen.exit->code, 7);
}

TEST_F(ProcessesTest, SignalReachesSessionsOfTheirOwnWithoutControlGroups) {
  Seen seen;
  auto process = processes_.start(
      shell("for i in 1 2; do setsid sh -c 'trap \"echo term; exit\" TERM; echo up; "
            "while :; do sleep 0.01; done' & done; trap '' TERM; wait; wait; wait"),
      seen.events());
  ASSERT_TRUE(process);
  run_until([&] { return seen.out.size() == 2; });
  (*process)->signal(SIGTERM);
  run_until([&] { return seen.exit.has_value(); });
  EXPECT_EQ(seen.out, (std::vector<std::string>{"up", "up", "term", "term"}));
}

TEST_F(ProcessesTest, ReportsTheSignalThatEndedIt) {
  EXPECT_EQ(run(shell("kill -9 $$")).exit->text(), "killed by signal 9");
}

TEST_F(ProcessesTest, DoesNotWaitForABackgroundProcessThatHoldsThePipes) {
  Seen seen;
  auto process = processes_.start(shell("sleep 1000 & echo started"), seen.events());
  ASSERT_TRUE(process);
  run_until([&] { return seen.exit.has_value(); });
  EXPECT_TRUE(seen.exit->ok());
  EXPECT_EQ(seen.out, std::vector<std::string>{"started"});
}

TEST_F(ProcessesTest, DestructionKillsDaemonsThatLeftTheSession) {
  const std::string mark = "escape-test-" + std::to_string(::getpid());
  RealProcesses processes(loop_, mark);
  Seen seen;
  // Two forks, two sessions, deaf to SIGTERM, parent gone.
  auto process = processes.start(shell("setsid sh -c 'trap \"\" TERM HUP; setsid sh -c \"echo "
                                       "daemon; sleep 1000; true\" & exit' & "
                                       "wait; exit 0"),
                                 seen.events());
  ASSERT_TRUE(process);
  run_until([&] { return seen.exit.has_value() && !seen.out.empty(); });
  EXPECT_FALSE(marked_processes(mark).empty());
  process->reset();
  // A busy machine takes its time.
  for (int i = 0; i < kDeadlineMs && !marked_processes(mark).empty(); ++i) ::usleep(1000);
  EXPECT_TRUE(marked_processes(mark).empty());
}

TEST_F(ProcessesTest, MayBeDestroyedByItsOwnEvents) {
  for (bool in_exit : {false, true}) {
    std::unique_ptr<Process> process;
    int lines = 0, exits = 0;
    ProcessEvents events{.on_line =
                             [&](std::string_view, bool) {
                               ++lines;
                               if (!in_exit) process.reset();
                             },
                         .on_exit =
                             [&](ExitStatus) {
                               ++exits;
                               process.reset();
                             }};
    auto started = processes_.start(shell("echo a; echo b"), events);
    ASSERT_TRUE(started);
    process = std::move(*started);
    run_until([&] { return !process; });
    EXPECT_EQ(lines, in_exit ? 2 : 1);
    EXPECT_EQ(exits, in_exit ? 1 : 0);
  }
}

TEST_F(ProcessesTest, LeavesNoZombies) {
  {
    RealProcesses processes(loop_);
    for (int i = 0; i < 5; ++i) ASSERT_TRUE(processes.start(shell("sleep 1000"), {}));
  }
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

}  // namespace
}  // namespace skerry::io
