// Who is to blame when the process dies: each case is a process that does.
#include "serve/activity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <thread>

#include "serve/test_support.h"

namespace skerry::serve {
namespace {

using Doing = Activity::Doing;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

const std::string kA(64, 'a');
const std::string kB(64, 'b');

class ActivityTest : public testing::Test {
 protected:
  // What `last` leaves behind as the end of a process with the file.
  std::vector<std::string> after(const std::function<void(std::shared_ptr<Activity>)>& last) {
    const pid_t child = fork();
    if (child == 0) {
      std::vector<std::string> none;
      auto activity = Activity::open(path_, none);
      if (activity) last(*activity);
      _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    std::vector<std::string> died_of;
    EXPECT_TRUE(Activity::open(path_, died_of));
    return died_of;
  }

  io::ScratchDirectory dir_;
  const std::string path_ = dir_.path("models.activity");
};

TEST_F(ActivityTest, BlamesTheModelWhoseThreadCrashed) {
  EXPECT_THAT(after([](auto activity) {
                const auto a = Activity::slot(activity, kA);
                const auto b = Activity::slot(activity, kB);
                const Activity::Scope first(a.get(), Doing::kLoading);
                std::thread([&] {
                  const Activity::Scope second(b.get(), Doing::kRunning);
                  raise(SIGSEGV);
                }).join();
              }),
              ElementsAre(kB));
  EXPECT_THAT(after([](auto activity) {
                const auto a = Activity::slot(activity, kA);
                const auto b = Activity::slot(activity, kB);
                const Activity::Scope outer(a.get(), Doing::kLoading);
                {
                  const Activity::Scope inner(b.get(), Doing::kRunning);
                }
                abort();
              }),
              ElementsAre(kA));
}

TEST_F(ActivityTest, BlamesAllThatWereBusyWhenAThreadOfNobodyCrashed) {
  EXPECT_THAT(after([](auto activity) {
                const auto a = Activity::slot(activity, kA);
                const auto b = Activity::slot(activity, kB);
                const auto idle = Activity::slot(activity, std::string(64, 'c'));
                const Activity::Scope first(a.get(), Doing::kLoading);
                const Activity::Scope second(b.get(), Doing::kRunning);
                std::thread([] { raise(SIGBUS); }).join();
              }),
              UnorderedElementsAre(kA, kB));
}

TEST_F(ActivityTest, BlamesOnlyLoadsWhereTheProcessWasKilled) {
  EXPECT_THAT(after([](auto activity) {
                const auto a = Activity::slot(activity, kA);
                const auto b = Activity::slot(activity, kB);
                const Activity::Scope first(a.get(), Doing::kLoading);
                const Activity::Scope second(b.get(), Doing::kRunning);
                raise(SIGKILL);
              }),
              ElementsAre(kA));
}

TEST_F(ActivityTest, BlamesNobodyForAnEndInOrder) {
  EXPECT_THAT(after([](auto activity) {
                const auto a = Activity::slot(activity, kA);
                const Activity::Scope first(a.get(), Doing::kLoading);
                activity->end();
                _exit(0);
              }),
              IsEmpty());
  EXPECT_THAT(after([](auto activity) {
                Activity::slot(activity, kA).reset();
                raise(SIGKILL);
              }),
              IsEmpty());
}

// Each call needs the frame of the one before, so that no optimiser makes a loop of it.
[[gnu::noinline]] int overflow(volatile char* above) {
  volatile char frame[4096] = {};
  frame[0] = above[0];
  if (frame[0] == 0) return 0;
  const int below = overflow(frame);
  return below + frame[0] + above[0];
}

TEST_F(ActivityTest, SeesAStackThatIsUsedUp) {
  EXPECT_THAT(after([](auto activity) {
                const auto a = Activity::slot(activity, kA);
                const Activity::Scope first(a.get(), Doing::kRunning);
                volatile char top = 1;
                overflow(&top);
              }),
              ElementsAre(kA));
}

TEST_F(ActivityTest, AFileThatIsNoneIsMadeAnew) {
  for (const size_t size : {size_t{0}, size_t{100}, size_t{32768}}) {
    std::ofstream(path_, std::ios::trunc) << std::string(size, 'x');
    std::vector<std::string> died_of;
    EXPECT_TRUE(Activity::open(path_, died_of));
    EXPECT_THAT(died_of, IsEmpty());
  }
}

TEST_F(ActivityTest, MoreModelsThanPlacesAreNotFollowed) {
  std::vector<std::string> none;
  const auto activity = *Activity::open("", none);
  std::vector<std::unique_ptr<Activity::Slot>> slots;
  for (int i = 0; i < 255; ++i) slots.push_back(Activity::slot(activity, kA));
  EXPECT_NE(slots.back(), nullptr);
  EXPECT_EQ(Activity::slot(activity, kA), nullptr);
  slots.pop_back();
  EXPECT_NE(Activity::slot(activity, kA), nullptr);
  const Activity::Scope nobody(nullptr, Doing::kRunning);
}

}  // namespace
}  // namespace skerry::serve
