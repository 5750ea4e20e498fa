// What a log promises, held against power cuts, faults and flipped bits at every place.
#include "io/message_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <map>
#include <memory>
#include <string>

#include "base/sanitizers.h"
#include "io/fault_files.h"
#include "io/test_directory.h"
#include "io/test_lying_files.h"

namespace skerry::io {
namespace {

using testing::ElementsAre;

constexpr const char* kDirectory = "/log";
constexpr LogLimits kSmall = {.max_bytes = 1 << 20, .segment_bytes = 200};

std::vector<std::string> payloads(MessageLog& log, int64_t from = 0, size_t max_count = 1'000) {
  std::vector<std::string> found;
  const auto read = log.read(from, max_count, 1 << 20);
  EXPECT_TRUE(read);
  for (const LogMessage& message : *read) found.push_back(message.payload);
  return found;
}

// Both kinds of log.
class AnyLog : public testing::TestWithParam<bool> {
 protected:
  std::unique_ptr<MessageLog> make(const LogLimits& limits) {
    if (GetParam()) return std::make_unique<MemoryLog>(limits);
    EXPECT_TRUE(files_.make_directory(kDirectory, 0700));
    return std::move(*FileLog::create(files_, kDirectory, limits));
  }
  FaultFiles files_;
};
INSTANTIATE_TEST_SUITE_P(Kinds, AnyLog, testing::Values(false, true));

TEST_P(AnyLog, NumbersMessagesAndReadsThemByNumber) {
  auto log = make(kSmall);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(log->append("message " + std::to_string(i), 1'000 + i), i);
  }
  ASSERT_TRUE(log->finish(true));
  EXPECT_EQ(log->range().oldest, 0);
  EXPECT_EQ(log->range().newest, 19);
  EXPECT_EQ(payloads(*log).size(), 20u);
  EXPECT_THAT(payloads(*log, 17), ElementsAre("message 17", "message 18", "message 19"));
  EXPECT_THAT(payloads(*log, 7, 2), ElementsAre("message 7", "message 8"));
  EXPECT_THAT(payloads(*log, 20), ElementsAre());
  EXPECT_EQ(log->read(3, 1, 1)->front(), (LogMessage{3, 1'003, "message 3"}));
  EXPECT_EQ(log->read(0, 100, 18)->size(), 2u);
}

TEST_P(AnyLog, AFullOneRefusesOrDropsItsOldest) {
  LogLimits limits = {.max_bytes = 10 * log_record::size_of(10), .segment_bytes = 1 << 20};
  auto log = make(limits);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(log->append("0123456789", 1));
  ASSERT_TRUE(log->finish(true));
  EXPECT_EQ(log->append("0123456789", 1).error().code(), Code::kResourceExhausted);
  limits.drops_oldest = true;
  log->set_limits(limits);
  for (int i = 10; i < 100; ++i) {
    ASSERT_EQ(log->append("0123456789", 1), i);
    ASSERT_TRUE(log->finish(true));
    EXPECT_LE(log->range().bytes, limits.max_bytes);
  }
  EXPECT_EQ(log->range().newest, 99);
  EXPECT_GE(log->range().oldest, 90);
  EXPECT_LT(log->range().oldest, 99);
  EXPECT_EQ(log->read(0, 1, 1)->front().sequence, log->range().oldest);
  EXPECT_EQ(log->append(std::string(1'000, 'x'), 1).error().code(), Code::kResourceExhausted);
}

TEST_P(AnyLog, WhatIsTooOldGoesAndNumbersGoOn) {
  auto log = make(kSmall);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(log->append("message", 1'000 + i));
  ASSERT_TRUE(log->finish(true));
  ASSERT_TRUE(log->expire(1'010));
  EXPECT_GT(log->range().oldest, 0);
  EXPECT_LE(log->range().oldest, 10);
  ASSERT_TRUE(log->expire(5'000));
  EXPECT_EQ(log->range().oldest, 20);
  EXPECT_EQ(log->range().bytes, 0);
  EXPECT_EQ(log->append("message", 6'000), 20);
}

TEST(FileLog, IsAsItWasWhenItIsOpenedAgain) {
  FaultFiles files;
  ASSERT_TRUE(files.make_directory(kDirectory, 0700));
  {
    auto log = *FileLog::create(files, kDirectory, kSmall);
    for (int i = 0; i < 50; ++i) ASSERT_TRUE(log->append(std::string(i, 'x'), i));
    ASSERT_TRUE(log->finish(false));
  }
  auto log = *FileLog::open(files, kDirectory, kSmall);
  EXPECT_EQ(log->range().newest, 49);
  EXPECT_EQ(payloads(*log).size(), 50u);
  EXPECT_EQ(log->append("next", 51), 50);
  EXPECT_EQ(log->recovery().torn_bytes, 0u);
  EXPECT_EQ(log->recovery().damaged_bytes, 0u);
}

TEST(FileLog, OnlyTheLastSegmentIsKeptOpen) {
  RealFiles files;
  const ScratchDirectory scratch;
  const std::string& directory = scratch.path();
  const auto descriptors = [&] { return files.list("/proc/self/fd")->size(); };
  const size_t before = descriptors();
  auto log = *FileLog::create(files, directory, {.max_bytes = 1 << 20, .segment_bytes = 200});
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(log->append(std::string(150, 'x'), 1));
    ASSERT_TRUE(log->finish(false));
  }
  EXPECT_EQ(descriptors(), before + 1);
  log = *FileLog::open(files, directory, {.max_bytes = 1 << 20, .segment_bytes = 200});
  EXPECT_EQ(payloads(*log).size(), 100u);
  EXPECT_EQ(descriptors(), before + 1);
}

TEST(FileLog, AMessageThatLooksLikeASegmentIsAMessage) {
  FaultFiles files;
  ASSERT_TRUE(files.make_directory(kDirectory, 0700));
  std::string trap = log_record::segment_header(0);
  for (int i = 0; i < 9; ++i) log_record::put_frame(trap, {0, trap.size()}, 1'000 + i, 1, "trap");
  auto log = *FileLog::create(files, kDirectory, {});
  ASSERT_TRUE(log->append(trap, 1));
  ASSERT_TRUE(log->append("after", 1));
  ASSERT_TRUE(log->finish(true));
  // Its header is damaged: the search for the next one goes through the trap.
  const std::string path = *files.list(kDirectory) == std::vector<std::string>{}
                               ? ""
                               : std::string(kDirectory) + "/" + files.list(kDirectory)->front();
  std::string bytes = *read_file(files, path);
  bytes[log_record::kSegmentHeaderBytes + 5] ^= 1;
  ASSERT_TRUE(write_file_atomic(files, path, bytes));
  log = *FileLog::open(files, kDirectory, {});
  EXPECT_THAT(payloads(*log), ElementsAre("after"));
  EXPECT_EQ(log->append("next", 1), 2);
}

TEST(FileLog, AFlippedBitCostsOneMessage) {
  FaultFiles files;
  ASSERT_TRUE(files.make_directory(kDirectory, 0700));
  auto log = *FileLog::create(files, kDirectory, {});
  for (const char* text : {"first", "second", "third", "fourth"}) ASSERT_TRUE(log->append(text, 1));
  ASSERT_TRUE(log->finish(true));
  const std::string path = std::string(kDirectory) + "/" + files.list(kDirectory)->front();
  const std::string good = *read_file(files, path);
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bytes = good;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
    ASSERT_TRUE(write_file_atomic(files, path, bytes));
    auto damaged = FileLog::open(files, kDirectory, {});
    if (bit / 8 < log_record::kSegmentHeaderBytes) {
      // Nothing is lost, or the version is another one and says so.
      if (damaged) EXPECT_EQ(payloads(**damaged).size(), 4u) << bit;
      continue;
    }
    ASSERT_TRUE(damaged) << bit;
    EXPECT_GE(payloads(**damaged).size(), 3u) << bit;
    EXPECT_GT((*damaged)->recovery().damaged_bytes + (*damaged)->recovery().torn_bytes, 0u) << bit;
    // A length that is damaged hides how far the last message went: only then is its number free.
    EXPECT_GE((*damaged)->range().newest, 2) << bit;
    ASSERT_TRUE(write_file_atomic(files, path, good));
  }
}

// Appends in batches with all that can happen to a log, and knows what has to be there.
class Work {
 public:
  Work(Lie lie, uint64_t seed) : files_(lie), random_(seed) {}

  FaultFiles& files() { return files_; }

  // Until a step fails as after a power cut.
  void run(int batches) {
    for (int batch = 0; batch < batches && !files_.crashed(); ++batch) {
      if (!log_ && !open()) return;
      step();
    }
  }
  void reboot(CrashPolicy policy, uint64_t seed) {
    log_.reset();
    files_.reboot(policy, seed);
  }
  bool open() {
    if (!made_) {
      if (!remove_all(files_, kDirectory)) return false;
      if (!make_directories(files_, kDirectory)) return false;
      auto log = FileLog::create(files_, kDirectory, limits_);
      if (!log) return false;
      made_ = true;
      log_ = std::move(*log);
      return true;
    }
    auto log = FileLog::open(files_, kDirectory, limits_);
    if (log) log_ = std::move(*log);
    return log_ != nullptr;
  }
  // "" or what is wrong.
  std::string check() {
    if (!made_) return "";
    if (!log_ && !open()) return "cannot be opened";
    const LogRange range = log_->range();
    const auto read = log_->read(0, 100'000, 1 << 30);
    if (!read) return read.error().message();
    std::map<int64_t, std::string> found;
    for (const LogMessage& message : *read) {
      if (!found.emplace(message.sequence, message.payload).second) return "a number twice";
    }
    if (range.newest < newest_) return "the newest acknowledged are gone";
    if (range.bytes > limits_.max_bytes + 4'000) return "it is too large";
    for (const auto& [sequence, payload] : acknowledged_) {
      if (sequence < range.oldest) continue;
      if (!found.contains(sequence)) return "lost " + std::to_string(sequence);
      if (found[sequence] != payload) return "another " + std::to_string(sequence);
    }
    if (range.oldest > oldest_allowed_) return "the oldest are gone before they had to";
    return "";
  }

 private:
  void step() {
    std::map<int64_t, std::string> batch;
    const int count = static_cast<int>(random_.below(6)) + 1;
    for (int i = 0; i < count; ++i) {
      const std::string payload =
          std::to_string(appended_++) + std::string(random_.below(150), '.');
      const auto sequence = log_->append(payload, 1'000 + appended_);
      if (sequence) batch[*sequence] = payload;
      if (sequence && *sequence <= newest_) wrong_order_ = true;
    }
    if (!log_->finish(true)) return;
    for (const auto& [sequence, payload] : batch) {
      acknowledged_[sequence] = payload;
      newest_ = std::max(newest_, sequence);
    }
    oldest_allowed_ = std::max(oldest_allowed_, log_->range().oldest);
    // What a power cut takes back of a removal is not missed, and what goes next may be more.
    oldest_allowed_ = std::max(oldest_allowed_, newest_ - 8);
  }

  LyingFiles files_;
  SeededRandom random_;
  LogLimits limits_ = {.max_bytes = 4'000, .segment_bytes = 500, .drops_oldest = true};
  std::unique_ptr<FileLog> log_;
  bool made_ = false, wrong_order_ = false;
  int appended_ = 0;
  std::map<int64_t, std::string> acknowledged_;
  int64_t newest_ = -1, oldest_allowed_ = 0;
};

constexpr int kBatches = kIsSanitized ? 12 : 40;

// Power goes at each operation, and once more a little later; the first thing that is wrong.
std::string cut_power_everywhere(Lie lie, uint64_t seed, int& cuts) {
  size_t operations = 0;
  {
    Work whole(lie, seed);
    whole.run(kBatches);
    operations = whole.files().operations().size();
  }
  for (size_t at = 0; at < operations; ++at) {
    for (const auto policy :
         {CrashPolicy::kDropUnsynced, CrashPolicy::kKeepAll, CrashPolicy::kSeeded}) {
      Work work(lie, seed);
      work.files().crash_at(at);
      work.run(kBatches);
      for (int boot = 0; boot < 2; ++boot) {
        work.reboot(policy, seed * 1'000 + at + static_cast<size_t>(boot));
        ++cuts;
        if (const std::string wrong = work.check(); !wrong.empty()) {
          return wrong + ", power cut at " + std::to_string(at);
        }
        work.files().crash_at(work.files().operations().size() + 7);
        work.run(kBatches);
      }
    }
  }
  return "";
}

TEST(FileLogPowerCuts, LoseNothingThatWasAcknowledged) {
  int cuts = 0;
  for (uint64_t seed = 0; seed < 4; ++seed) {
    EXPECT_EQ(cut_power_everywhere(Lie::kNone, seed, cuts), "") << "seed " << seed;
  }
  EXPECT_GE(cuts, kIsSanitized ? 200 : 2'000);
}

// One fault at each operation, or all from there on for some time, after which the work goes on;
// then the power goes.
std::string fail_everywhere(Lie lie, uint64_t seed, int errno_value, bool persists = false) {
  for (size_t at = 0;; ++at) {
    Work work(lie, seed);
    if (persists) {
      work.files().fail_from(at, errno_value);
    } else {
      work.files().fail_at(at, errno_value);
    }
    work.run(kBatches);
    if (at >= work.files().operations().size()) return "";
    work.files().stop_failing();
    work.run(2);  // few: what is lost must not be dropped for its age
    work.reboot(CrashPolicy::kDropUnsynced, seed);
    if (const std::string wrong = work.check(); !wrong.empty()) {
      return wrong + ", fault at " + std::to_string(at);
    }
  }
}

TEST(FileLogFaults, AWriteThatFailsIsTakenBackAndCostsNothingElse) {
  for (uint64_t seed = 0; seed < 3; ++seed) {
    EXPECT_EQ(fail_everywhere(Lie::kNone, seed, ENOSPC), "");
    EXPECT_EQ(fail_everywhere(Lie::kNone, seed, EIO), "");
    EXPECT_EQ(fail_everywhere(Lie::kNone, seed, EIO, true), "");
  }
}

TEST(FileLogMutants, AreCaught) {
  int cuts = 0;
  EXPECT_NE(cut_power_everywhere(Lie::kSync, 0, cuts), "");
  EXPECT_NE(cut_power_everywhere(Lie::kDirectorySync, 0, cuts), "");
  EXPECT_NE(fail_everywhere(Lie::kTruncate, 0, ENOSPC), "");
}

}  // namespace
}  // namespace skerry::io
