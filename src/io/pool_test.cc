// Pools: work runs elsewhere, its result comes back through the loop.
#include "io/pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <thread>

namespace skerry::io {
namespace {

Task<void> record_thread(Pool* pool, Loop* loop, std::optional<std::thread::id>* worked_on,
                         std::optional<std::thread::id>* resumed_on) {
  *worked_on = co_await run_on(*pool, *loop, [] { return std::this_thread::get_id(); });
  *resumed_on = std::this_thread::get_id();
}

TEST(Pool, WorkRunsOnItsThreadAndTheCoroutineGoesOnFromTheLoop) {
  RealLoop loop;
  ThreadPool pool("test", 1);
  std::optional<std::thread::id> worked_on, resumed_on;
  TaskScope tasks;
  tasks.spawn(record_thread(&pool, &loop, &worked_on, &resumed_on));
  for (int i = 0; i < 100 && !resumed_on; ++i) loop.run_for(100);
  ASSERT_TRUE(resumed_on);
  EXPECT_NE(*worked_on, std::this_thread::get_id());
  EXPECT_EQ(*resumed_on, std::this_thread::get_id());
}

TEST(Pool, AnAbandonedTaskLeavesItsWorkToEndByItself) {
  RealLoop loop;
  int ran = 0;
  {
    ThreadPool pool("test", 1);
    TaskScope tasks;
    struct Await {
      static Task<void> run(Pool* pool, Loop* loop, int* ran) {
        co_await run_on(*pool, *loop, [ran] { return ++*ran; });
      }
    };
    tasks.spawn(Await::run(&pool, &loop, &ran));
    tasks.cancel_all();
  }
  EXPECT_EQ(ran, 1);
  loop.run_for(0);  // the result finds nobody
}

TEST(Pool, StopFinishesWhatWasSubmittedInOrder) {
  std::vector<int> order;
  ThreadPool pool("test", 1);
  for (int i = 0; i < 100; ++i) pool.submit([&order, i] { order.push_back(i); });
  pool.stop();
  ASSERT_EQ(order.size(), 100U);
  EXPECT_TRUE(std::ranges::is_sorted(order));
  pool.submit([&order] { order.push_back(100); });  // at once, on this thread
  EXPECT_EQ(order.back(), 100);
}

TEST(InlinePoolTest, TheWorkIsDoneBeforeSubmitReturns) {
  InlinePool pool;
  bool done = false;
  pool.submit([&done] { done = true; });
  EXPECT_TRUE(done);
}

}  // namespace
}  // namespace skerry::io
