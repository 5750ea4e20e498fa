// RealLoop: descriptors that stay registered, timers, posts from other threads, signals.
#include "io/loop.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <thread>

#include "io/fd.h"

namespace skerry::io {
namespace {

struct Ends {
  Ends() {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    ours = Fd(ends[0]);
    theirs = Fd(ends[1]);
  }
  void send(const std::string& bytes) {
    EXPECT_EQ(::write(theirs.get(), bytes.data(), bytes.size()),
              static_cast<ssize_t>(bytes.size()));
  }
  std::string receive(size_t most = 100) {
    std::string bytes(most, 0);
    const ssize_t got = ::read(ours.get(), bytes.data(), bytes.size());
    bytes.resize(got < 0 ? 0 : static_cast<size_t>(got));
    return bytes;
  }
  Fd ours, theirs;
};

class LoopTest : public testing::Test {
 protected:
  void run_all() {
    while (loop_.run_for(1)) {
    }
  }
  RealLoop loop_;
};

TEST_F(LoopTest, WhatIsLeftUnreadIsReadyAgain) {
  Ends ends;
  const auto watch = loop_.watch(ends.ours.get());
  ends.send("abc");
  std::string seen;
  for (int i = 0; i < 3; ++i) {
    watch->when_readable([&] { seen += ends.receive(1); });
    run_all();
  }
  EXPECT_EQ(seen, "abc");
  watch->when_readable([&] { seen += "!"; });
  run_all();
  EXPECT_EQ(seen, "abc");
  ends.send("d");
  run_all();
  EXPECT_EQ(seen, "abc!");
}

TEST_F(LoopTest, WhatComesWhileNobodyWaitsIsThereForTheNextThatDoes) {
  Ends ends;
  const auto watch = loop_.watch(ends.ours.get());
  int ready = 0;
  watch->when_readable([&] { ++ready; });
  ends.send("a");
  run_all();
  EXPECT_EQ(ready, 1);
  ends.send("b");
  EXPECT_FALSE(loop_.run_for(5)) << "nobody waits";
  watch->when_readable([&] { ++ready; });
  run_all();
  EXPECT_EQ(ready, 2);
  EXPECT_EQ(ends.receive(), "ab");
}

TEST_F(LoopTest, AHangUpWakesWhoWaitsAndThenNobody) {
  Ends ends;
  const auto watch = loop_.watch(ends.ours.get());
  int readable = 0, writable = 0;
  watch->when_readable([&] { ++readable; });
  ends.theirs.reset();
  run_all();
  EXPECT_EQ(readable, 1);
  EXPECT_FALSE(loop_.run_for(5));
  watch->when_writable([&] { ++writable; });
  watch->when_readable([&] { ++readable; });
  run_all();
  EXPECT_EQ(writable, 1);
  EXPECT_EQ(readable, 2);
}

TEST_F(LoopTest, BothDirectionsWaitAtOnce) {
  Ends ends;
  const auto watch = loop_.watch(ends.ours.get());
  std::string order;
  watch->when_readable([&] { order += "r"; });
  watch->when_writable([&] { order += "w"; });
  run_all();
  EXPECT_EQ(order, "w");
  ends.send("a");
  run_all();
  EXPECT_EQ(order, "wr");
}

TEST_F(LoopTest, ACallbackMayDestroyItsOwnWatchAndThoseThatAreReadyWithIt) {
  Ends first, second;
  auto watches = std::make_shared<std::vector<std::unique_ptr<FdWatch>>>();
  int ran = 0;
  for (Ends* ends : {&first, &second}) {
    auto& watch = watches->emplace_back(loop_.watch(ends->ours.get()));
    watch->when_readable([watches, &ran] {
      ++ran;
      watches->clear();
    });
    watch->when_writable([watches, &ran] {
      ++ran;
      watches->clear();
    });
    ends->send("a");
  }
  run_all();
  EXPECT_EQ(ran, 1);
}

TEST_F(LoopTest, ALoopMayRunInsideOfACallback) {
  Ends first, second;
  auto outer = loop_.watch(first.ours.get());
  auto inner = loop_.watch(second.ours.get());
  std::string order;
  first.send("a");
  second.send("b");
  outer->when_readable([&] {
    inner->when_readable([&] {
      order += "inner ";
      inner.reset();
    });
    while (inner) EXPECT_TRUE(loop_.run_for(5000));
    order += "outer";
  });
  run_all();
  EXPECT_EQ(order, "inner outer");
}

TEST_F(LoopTest, TimersRunInTheOrderOfTheirTimes) {
  std::string order;
  const Timer late = loop_.after(30, [&] { order += "late "; });
  const Timer early = loop_.after(2, [&] { order += "early "; });
  const Timer never = loop_.after(INT64_MAX, [&] { order += "never "; });
  Timer none = loop_.after(1, [&] { order += "none "; });
  none.cancel();
  while (order.size() < 11) ASSERT_TRUE(loop_.run_for(5000));
  EXPECT_EQ(order, "early late ");
}

TEST_F(LoopTest, ATimerAfterOneThatWasCancelledIsNotForgotten) {
  {
    const Timer cancelled = loop_.after(5, [] {});
    (void)loop_.run_for(1);
  }
  (void)loop_.run_for(20);
  bool ran = false;
  const Timer next = loop_.after(5, [&] { ran = true; });
  while (!ran) ASSERT_TRUE(loop_.run_for(5000));
}

TEST_F(LoopTest, CallbacksThatPostThemselvesLeaveTimeForTheRest) {
  Ends ends;
  const auto watch = loop_.watch(ends.ours.get());
  bool ready = false, due = false;
  watch->when_readable([&] { ready = true; });
  const Timer timer = loop_.after(1, [&] { due = true; });
  ends.send("a");
  std::function<void()> again = [&] {
    if (!ready || !due) loop_.post(again);
  };
  loop_.post(again);
  while (!ready || !due) ASSERT_TRUE(loop_.run_for(5000));
}

TEST_F(LoopTest, PostsOfOtherThreadsWakeItAndKeepTheirOrder) {
  constexpr int kEach = 2000;
  std::vector<int> last(3, -1);
  int ran = 0;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 3; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 0; i < kEach; ++i) {
        loop_.post([&, thread, i] {
          EXPECT_EQ(last[static_cast<size_t>(thread)], i - 1);
          last[static_cast<size_t>(thread)] = i;
          if (++ran == 3 * kEach) loop_.stop();
        });
      }
    });
  }
  loop_.run();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ran, 3 * kEach);
}

TEST_F(LoopTest, SignalsRunTheirHandlers) {
  std::string seen;
  loop_.on_signals({SIGUSR1, SIGUSR2}, [&](int number) { seen += number == SIGUSR1 ? "1" : "2"; });
  loop_.on_signals({SIGWINCH}, [&](int) { seen += "w"; });
  ::raise(SIGUSR2);
  run_all();
  EXPECT_EQ(seen, "2");
  std::thread([] { ::raise(SIGWINCH); }).join();
  ::raise(SIGUSR1);
  run_all();
  EXPECT_EQ(seen.size(), 3u);
}

TEST_F(LoopTest, WhatIsPostedWhileItIsDestroyedIsDroppedToo) {
  struct Posts {
    RealLoop* loop;
    ~Posts() {
      loop->post([timer = loop->after(1000, [] {})] {});
    }
  };
  {
    RealLoop loop;
    loop.post([posts = std::make_unique<Posts>(&loop)] {});
  }
}

}  // namespace
}  // namespace skerry::io
