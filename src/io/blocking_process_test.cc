// Output, end and stop of a child that a thread waits for.
#include "io/blocking_process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <thread>

namespace skerry::io {
namespace {

ProcessSpec shell(const std::string& script) {
  return {.argv = {"/bin/sh", "-c", script}, .environment = {{"PATH", "/usr/bin:/bin"}}};
}

TEST(BlockingProcess, GivesOutputAndExitCode) {
  const auto finished = run_process(shell("echo out; echo err >&2; exit 3"), 100, {});
  ASSERT_TRUE(finished) << finished.error().message();
  EXPECT_EQ(finished->out, "out\n");
  EXPECT_EQ(finished->err, "err\n");
  EXPECT_EQ(finished->status.code, 3);
  EXPECT_EQ(run_process(shell("kill -SEGV $$"), 100, {})->status.signal, SIGSEGV);
}

TEST(BlockingProcess, KeepsTheBeginningOfOutputAndTheEndOfErrors) {
  const auto finished = run_process(shell("seq 1 100000; seq 1 100000 >&2; echo last >&2"), 10, {});
  ASSERT_TRUE(finished) << finished.error().message();
  EXPECT_EQ(finished->out, "1\n2\n3\n4\n5\n");
  EXPECT_LE(finished->err.size(), 4096u);
  EXPECT_THAT(finished->err, testing::EndsWith("100000\nlast\n"));
}

TEST(BlockingProcess, WaitsForNobodyThatTheChildLeftBehind) {
  const auto finished = run_process(shell("sleep 1000 & echo done"), 100, {});
  ASSERT_TRUE(finished) << finished.error().message();
  EXPECT_EQ(finished->out, "done\n");
}

TEST(BlockingProcess, AStopKillsIt) {
  std::stop_source stop;
  std::jthread stopper([&] { stop.request_stop(); });
  const auto finished = run_process(shell("exec >&- 2>&-; sleep 1000"), 100, stop.get_token());
  ASSERT_FALSE(finished);
  EXPECT_EQ(finished.error().code(), Code::kCancelled);
}

TEST(BlockingProcess, SaysWhatCannotBeStarted) {
  const auto finished = run_process({.argv = {"/no/such/program"}}, 100, {});
  ASSERT_FALSE(finished);
  EXPECT_EQ(finished.error().code(), Code::kNotFound);
}

}  // namespace
}  // namespace skerry::io
