// Virtual time and what stands on it: the loop, a device's clocks, scripted processes.
#include <gtest/gtest.h>

#include <csignal>

#include "io/task.h"
#include "sim/sim_clock.h"
#include "sim/sim_loop.h"
#include "sim/sim_processes.h"

namespace skerry::sim {
namespace {

constexpr int64_t kEnd = 1'000'000;

void run(SimLoop& loop, int64_t until_ms = kEnd) {
  while (loop.step(until_ms)) {
  }
}

TEST(SimLoop, RunsPostedCallbacksThenTimersInTheOrderOfTheirTime) {
  SimLoop loop(1);
  std::string order;
  io::Timer late = loop.after(20, [&] { order += 'c'; });
  io::Timer early = loop.after(10, [&] { order += 'b'; });
  loop.post([&] { order += 'a'; });
  run(loop, 19);
  EXPECT_EQ(order, "ab");
  EXPECT_EQ(loop.now_ms(), 19);
  run(loop);
  EXPECT_EQ(order, "abc");
  EXPECT_EQ(loop.now_ms(), kEnd);
}

std::string order_of_ten(uint64_t seed) {
  SimLoop loop(seed);
  std::string order;
  std::vector<io::Timer> timers;
  for (char c = '0'; c <= '9'; ++c) timers.push_back(loop.after(5, [&order, c] { order += c; }));
  run(loop);
  return order;
}

TEST(SimLoop, TheSeedAloneOrdersTimersOfOneInstant) {
  std::set<std::string> orders;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    EXPECT_EQ(order_of_ten(seed), order_of_ten(seed));
    orders.insert(order_of_ten(seed));
  }
  EXPECT_GT(orders.size(), 15u);
}

TEST(SimLoop, ACancelledTimerDoesNotRun) {
  SimLoop loop(1);
  bool ran = false;
  {
    io::Timer timer = loop.after(1, [&] { ran = true; });
  }
  io::Timer moved;
  {
    io::Timer timer = loop.after(2, [&] { moved.cancel(); });
    moved = std::move(timer);
  }
  run(loop);
  EXPECT_FALSE(ran);
}

io::Task<void> sleep_thrice(SimLoop& loop, std::vector<int64_t>* times) {
  for (int i = 0; i < 3; ++i) {
    co_await io::sleep(loop, 100'000);
    times->push_back(loop.now_ms());
  }
}

TEST(SimLoop, CoroutinesSleepInVirtualTime) {
  SimLoop loop(1);
  io::TaskScope scope;
  std::vector<int64_t> times;
  scope.spawn(sleep_thrice(loop, &times));
  run(loop);
  EXPECT_EQ(times, (std::vector<int64_t>{100'000, 200'000, 300'000}));
}

TEST(SimLoopDeath, HasNoDescriptors) {
  SimLoop loop(1);
  EXPECT_DEATH((void)loop.watch(7), "descriptor 7 is watched");
}

TEST(SimClock, TheWallClockJumpsAndTheMonotonicOneDoesNot) {
  SimLoop loop(1);
  SimClock clock(loop);
  const int64_t start = clock.wall_ms();
  run(loop, 1000);
  EXPECT_EQ(clock.wall_ms(), start + 1000);
  clock.jump(-start);
  EXPECT_EQ(clock.wall_ms(), 1000);  // 1970
  EXPECT_EQ(clock.monotonic_ms(), 1000);
}

struct Exits {
  std::vector<std::string> seen;
  io::ProcessEvents events() {
    return {.on_line = {}, .on_exit = [this](io::ExitStatus s) { seen.push_back(s.text()); }};
  }
};

TEST(SimProcesses, FollowTheScriptUntilTheyAreKilled) {
  SimLoop loop(1);
  SimProcesses processes(loop, [](const io::ProcessSpec& spec) {
    return spec.argv[0] == "ends" ? ScriptedProcess{50, io::ExitStatus{3, 0}} : ScriptedProcess{};
  });
  Exits ends, runs;
  auto ending = processes.start({.argv = {"ends"}}, ends.events());
  auto running = processes.start({.argv = {"runs"}}, runs.events());
  EXPECT_EQ(processes.running(), 2u);
  run(loop, 49);
  EXPECT_TRUE(ends.seen.empty());
  run(loop, 50);
  EXPECT_EQ(ends.seen, std::vector<std::string>{"exit code 3"});
  (*ending)->signal(SIGTERM);
  (*running)->signal(SIGHUP);
  run(loop, 100);
  EXPECT_TRUE(runs.seen.empty());
  (*running)->signal(SIGTERM);
  run(loop);
  EXPECT_EQ(ends.seen.size(), 1u);  // once, whatever is sent to it later
  EXPECT_EQ(runs.seen, std::vector<std::string>{"killed by signal 15"});
  ending->reset();
  running->reset();
  EXPECT_EQ(processes.running(), 0u);
}

TEST(SimProcesses, DestructionDropsTheEvents) {
  SimLoop loop(1);
  SimProcesses processes(
      loop, [](const io::ProcessSpec&) { return ScriptedProcess{50, io::ExitStatus{}}; });
  Exits exits;
  {
    auto process = processes.start({.argv = {"x"}}, exits.events());
  }
  run(loop);
  EXPECT_TRUE(exits.seen.empty());
}

}  // namespace
}  // namespace skerry::sim
