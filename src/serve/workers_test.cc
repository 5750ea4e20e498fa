// Jobs that end, that are not wanted any more, and that never end.
#include "serve/workers.h"

#include <gtest/gtest.h>

#include <atomic>
#include <semaphore>
#include <thread>

namespace skerry::serve {
namespace {

// Shared with the jobs, which outlive the test's frame where they are given up.
struct Signals {
  std::counting_semaphore<> started{0};
  std::counting_semaphore<> release{0};
  std::counting_semaphore<> ended{0};
  std::atomic<int> ran = 0;
};

io::Callback held(std::shared_ptr<Signals> signals) {
  return [signals] {
    signals->started.release();
    signals->release.acquire();
    ++signals->ran;
    signals->ended.release();
  };
}

TEST(Workers, RunsAsManyAtOnceAsItMay) {
  const auto signals = std::make_shared<Signals>();
  Workers workers("test", 2);
  for (int i = 0; i < 3; ++i) workers.submit(held(signals));
  signals->started.acquire();
  signals->started.acquire();
  EXPECT_FALSE(signals->started.try_acquire());
  signals->release.release(3);
  for (int i = 0; i < 3; ++i) signals->ended.acquire();
  EXPECT_EQ(signals->ran, 3);
}

TEST(Workers, AWaitingJobCanBeWithdrawnARunningOneCannot) {
  const auto signals = std::make_shared<Signals>();
  Workers workers("test", 1);
  const auto running = workers.submit(held(signals));
  const auto waiting = workers.submit(held(signals));
  signals->started.acquire();
  EXPECT_FALSE(workers.withdraw(running));
  EXPECT_TRUE(workers.withdraw(waiting));
  EXPECT_FALSE(workers.withdraw(waiting));
  EXPECT_EQ(signals.use_count(), 2);  // what it held is gone at once
  signals->release.release();
  signals->ended.acquire();
}

TEST(Workers, AThreadThatIsGivenUpIsReplaced) {
  const auto endless = std::make_shared<Signals>();
  const auto signals = std::make_shared<Signals>();
  Workers workers("test", 1);
  const auto ticket = workers.submit(held(endless));
  endless->started.acquire();
  const auto next = workers.submit(held(signals));
  EXPECT_FALSE(workers.give_up(next));  // it does not run yet
  EXPECT_TRUE(workers.give_up(ticket));
  EXPECT_FALSE(workers.give_up(ticket));
  EXPECT_EQ(workers.given_up(), 1u);
  signals->release.release();
  signals->ended.acquire();
  endless->release.release();
  endless->ended.acquire();
  while (workers.given_up() > 0) std::this_thread::yield();
  // The thread that came back is not one too many.
  workers.submit(held(signals));
  workers.submit(held(signals));
  signals->started.acquire();
  signals->started.acquire();  // of `next`, or the first of the two
  EXPECT_FALSE(signals->started.try_acquire());
  signals->release.release(2);
  signals->ended.acquire();
  signals->ended.acquire();
}

TEST(Workers, IsDestroyedWhileAJobRuns) {
  const auto signals = std::make_shared<Signals>();
  {
    Workers workers("test", 1);
    workers.submit(held(signals));
    workers.submit(held(signals));
    signals->started.acquire();
  }
  signals->release.release(2);
  signals->ended.acquire();
  EXPECT_EQ(signals->ran, 1);
}

}  // namespace
}  // namespace skerry::serve
