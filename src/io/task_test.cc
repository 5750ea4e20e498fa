// Tasks, scopes, completions and timers on the real loop.
#include "io/task.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <thread>

namespace skerry::io {
namespace {

Task<int> add_later(Loop& loop, int a, int b) {
  co_await sleep(loop, 1);
  co_return a + b;
}

Task<void> store(Loop& loop, int* out) {
  *out = co_await add_later(loop, 2, 3);
}

TEST(Task, AwaitsThroughTheLoop) {
  RealLoop loop;
  TaskScope scope;
  int value = 0;
  scope.spawn(store(loop, &value));
  EXPECT_EQ(value, 0);
  while (scope.size() > 0) ASSERT_TRUE(loop.run_for(5000));
  EXPECT_EQ(value, 5);
}

struct CountsDestruction {
  int* count;
  ~CountsDestruction() { ++*count; }
};

Task<void> wait_forever(Loop& loop, int* destroyed) {
  CountsDestruction guard{destroyed};
  co_await sleep(loop, 1'000'000);
  *destroyed = 100;
}

TEST(TaskScope, DestructionCancelsSuspendedTasksAndTheirTimers) {
  RealLoop loop;
  int destroyed = 0;
  {
    TaskScope scope;
    scope.spawn(wait_forever(loop, &destroyed));
    EXPECT_EQ(scope.size(), 1u);
  }
  EXPECT_EQ(destroyed, 1);
  while (loop.run_for(1)) {
  }
  EXPECT_EQ(destroyed, 1);
}

Task<void> await_result(Loop& loop, Completion<Result<int>> completion, std::string* out) {
  auto result = co_await with_timeout(loop, 10, completion, "answer");
  *out = result ? std::to_string(*result) : result.error().message();
}

TEST(Completion, TheFirstOfValueAndTimeoutWins) {
  RealLoop loop;
  TaskScope scope;
  std::string early, late;
  Completion<Result<int>> answered(loop), unanswered(loop);
  scope.spawn(await_result(loop, answered, &early));
  scope.spawn(await_result(loop, unanswered, &late));
  answered.complete(7);
  answered.complete(8);
  while (scope.size() > 0) ASSERT_TRUE(loop.run_for(5000));
  EXPECT_EQ(early, "7");
  EXPECT_EQ(late, "answer: no answer within 10 ms");
}

TEST(Loop, PostedCallbacksRunInOrder) {
  RealLoop loop;
  std::string order;
  loop.post([&] { order += 'a'; });
  loop.post([&] { order += 'b'; });
  while (order.size() < 2) ASSERT_TRUE(loop.run_for(5000));
  EXPECT_EQ(order, "ab");
}

TEST(Loop, DestructionDropsQueuedCallbacksThatHoldTimersAndWatches) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  bool ran = false;
  {
    RealLoop loop;
    auto timer = std::make_shared<Timer>(loop.after(1'000'000, [&] { ran = true; }));
    std::shared_ptr<FdWatch> watch = loop.watch(ends[0]);
    watch->when_readable([watch, &ran] { ran = true; });
    loop.post([timer, watch, &ran] { ran = true; });
  }
  EXPECT_FALSE(ran);
  ::close(ends[0]);
  ::close(ends[1]);
}

// What the headers forbid ends the program, in release too.

Task<void> await_twice(Loop& loop) {
  auto task = add_later(loop, 1, 1);
  (void)co_await task;
  (void)co_await task;
}

Task<void> await_completion(Completion<bool> completion) {
  co_await completion;
}

TEST(TaskDeathTest, ATaskIsAwaitedOnce) {
  RealLoop loop;
  EXPECT_DEATH(
      {
        TaskScope scope;
        scope.spawn(await_twice(loop));
        while (scope.size() > 0) loop.run_for(5000);
      },
      "broken invariant: a task is awaited once");
}

TEST(TaskDeathTest, ACompletionIsAwaitedByOne) {
  RealLoop loop;
  EXPECT_DEATH(
      {
        Completion<bool> completion(loop);
        TaskScope scope;
        scope.spawn(await_completion(completion));
        scope.spawn(await_completion(completion));
      },
      "broken invariant: a completion is awaited by one");
}

TEST(LoopDeathTest, OnlyPostIsForOtherThreads) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        RealLoop loop;
        loop.post([&] { std::thread([&] { (void)loop.after(1, [] {}); }).join(); });
        loop.run();
      },
      "broken invariant: from another thread than the loop's only post");
}

TEST(Loop, BeforeItRunsAnyThreadMayPrepareIt) {
  RealLoop loop;
  bool rang = false;
  Timer timer;
  std::thread([&] { timer = loop.after(1, [&] { rang = true; }); }).join();
  ASSERT_TRUE(loop.run_for(5000));
  EXPECT_TRUE(rang);
}

}  // namespace
}  // namespace skerry::io
