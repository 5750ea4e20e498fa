// Each task once, whoever is late; the faster of two ways.
#include "runtime/compiled/thread_pool.h"

#include <gtest/gtest.h>

#include <array>

#include "runtime/compiled/faster_way.h"

namespace skerry::runtime {
namespace {

constexpr uint32_t kTasks = 5;

struct Counts {
  std::array<std::atomic<int>, kTasks> of{};
};

void count_task(void* data, uint32_t i) {
  ++static_cast<Counts*>(data)->of[i];
}

TEST(ThreadPool, DoesEachTaskOnceAndWaitsForAll) {
  for (const uint32_t threads : {1u, 2u, 4u}) {
    ThreadPool pool(threads);
    const SkerryCompiledPool lent = pool.lend();
    EXPECT_EQ(lent.threads, threads);
    for (int job = 0; job < 2000; ++job) {
      // Gone when the job is: a thread that comes late must not touch it.
      const auto counts = std::make_unique<Counts>();
      lent.run(lent.context, kTasks, count_task, counts.get());
      for (const auto& each : counts->of) EXPECT_EQ(each, 1);
    }
  }
}

TEST(ThreadPool, CallersThatFindItInUseDoTheirOwn) {
  ThreadPool pool(3);
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([&pool] {
      for (int job = 0; job < 500; ++job) {
        Counts counts;
        pool.run(kTasks, count_task, &counts);
        for (const auto& each : counts.of) EXPECT_EQ(each, 1);
      }
    });
  }
  for (std::thread& each : callers) each.join();
}

// Its threads may sleep by then, or not yet.
TEST(ThreadPool, EndsWhateverItsThreadsDo) {
  for (int i = 0; i < 50; ++i) {
    ThreadPool pool(3);
    Counts counts;
    if (i % 2 == 0) pool.run(kTasks, count_task, &counts);
  }
}

TEST(FasterWay, IsWhatTookLessTimeInTurns) {
  for (const int faster : {0, 1}) {
    FasterWay ways;
    std::array<int, 2> tried{};
    for (int i = 0; i < 32; ++i) {
      const int way = ways.next();
      ++tried[static_cast<size_t>(way)];
      ways.took(way, way == faster ? 100 + i : 200 - i);  // one slow run says nothing
    }
    EXPECT_EQ(tried[0], tried[1]);
    for (int i = 0; i < 10; ++i) EXPECT_EQ(ways.next(), faster);
  }
}

// Threads that are fast now and then, but late as a rule, or hardly faster, are left alone.
TEST(FasterWay, IsOneThreadWhereTheOtherIsNotClearlyFaster) {
  for (const bool is_late : {true, false}) {
    FasterWay ways;
    for (int i = 0; i < 32; ++i) {
      const int way = ways.next();
      ways.took(way, way == 0 ? 100 : is_late ? (i < 4 ? 50 : 130) : 98);
    }
    for (int i = 0; i < 10; ++i) EXPECT_EQ(ways.next(), 0) << is_late;
  }
}

// A machine that has become busy, or idle, is noticed.
TEST(FasterWay, IsTriedAgain) {
  FasterWay ways;
  std::array<int, 3> taken{};
  for (int i = 0; i < 3 * 4128; ++i) {
    const int way = ways.next();
    const int part = i / 4128;
    ways.took(way, way == part % 2 ? 100 : 200);
    taken[static_cast<size_t>(part)] += way;
  }
  EXPECT_LT(taken[0], 20 + 16);
  EXPECT_GT(taken[1], 4096 - 16);
  EXPECT_LT(taken[2], 20 + 16);
}

}  // namespace
}  // namespace skerry::runtime
