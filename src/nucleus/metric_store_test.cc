// The ring of metrics: what is acknowledged is there after a power cut, once, and in order.
#include "nucleus/metric_store.h"

#include <gtest/gtest.h>

#include "formats/metric_ring.h"
#include "io/test_lying_files.h"

namespace skerry::nucleus {
namespace {

using io::CrashPolicy;
using io::Lie;
using io::LyingFiles;

constexpr const char* kFolder = "/state/metrics";

// One whose only value is its number: what is read again is what was written.
std::string summary_of(const MetricStore& store) {
  formats::MetricSummary summary{store.run(), store.next_sequence(), 1, 2, {}};
  summary.series[{"app", "N", "COUNT"}].add(static_cast<double>(store.next_sequence()), 1);
  return to_text(summary);
}

std::vector<uint64_t> numbers_in(io::Files& files) {
  std::vector<uint64_t> numbers;
  EXPECT_TRUE(formats::read_metric_ring(files, kFolder, [&](const formats::MetricSummary& one) {
    EXPECT_EQ(one.series.begin()->second.total(), static_cast<double>(one.sequence));
    numbers.push_back(one.sequence);
  }));
  return numbers;
}

Result<std::unique_ptr<MetricStore>> open(io::Files& files, MetricStoreLimits limits = {}) {
  return MetricStore::open(files, kFolder, "run00001", limits);
}

// Appends until the power goes, with it at operation `at`; true where what is left is right.
bool survives(size_t at, CrashPolicy policy, uint64_t seed, Lie lie, bool* crashed) {
  const MetricStoreLimits small{.file_bytes = 500, .files = 4};
  LyingFiles files(lie);
  files.crash_at(at);
  uint64_t acknowledged = 0;
  if (auto store = open(files, small)) {
    for (int i = 0; i < 8; ++i) {
      if ((*store)->append(summary_of(**store))) acknowledged = (*store)->next_sequence() - 1;
      if (i == 5) (void)(*store)->set_sent(3);
    }
  }
  *crashed = files.crashed();
  files.set_lie(Lie::kNone);
  files.reboot(policy, seed);
  auto store = open(files, small);
  if (!store || (*store)->next_sequence() <= acknowledged || (*store)->sent() > 3) return false;
  const auto numbers = numbers_in(files);
  if (acknowledged > 0 && (numbers.empty() || numbers.back() < acknowledged)) return false;
  for (size_t i = 1; i < numbers.size(); ++i) {
    if (numbers[i] != numbers[i - 1] + 1) return false;
  }
  // It goes on, and what comes then is durable too.
  if (!(*store)->append(summary_of(**store))) return false;
  return numbers_in(files).back() == (*store)->next_sequence() - 1;
}

size_t losses(Lie lie) {
  size_t lost = 0;
  for (const CrashPolicy policy :
       {CrashPolicy::kDropUnsynced, CrashPolicy::kKeepAll, CrashPolicy::kSeeded}) {
    const uint64_t seeds = policy == CrashPolicy::kSeeded ? 25 : 1;
    for (uint64_t seed = 0; seed < seeds; ++seed) {
      bool crashed = true;
      for (size_t at = 0; crashed; ++at) lost += survives(at, policy, seed, lie, &crashed) ? 0 : 1;
    }
  }
  return lost;
}

TEST(MetricStore, APowerCutAtAnyOperationLosesNothingThatWasAcknowledged) {
  EXPECT_EQ(losses(Lie::kNone), 0u);
}

TEST(MetricStore, TheTestSeesADiskThatLies) {
  EXPECT_GT(losses(Lie::kSync), 0u);
  EXPECT_GT(losses(Lie::kDirectorySync), 0u);
}

TEST(MetricStore, TheRingComesRound) {
  io::FaultFiles files;
  auto store = *open(files, {.file_bytes = 1000, .files = 3});
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(store->append(summary_of(*store)));
  EXPECT_LE(files.list(kFolder)->size(), 3u);
  const auto numbers = numbers_in(files);
  EXPECT_EQ(numbers.back(), 200u);
  EXPECT_LT(numbers.size(), 20u);
  // What was not sent and is gone is skipped.
  EXPECT_EQ((*store->next(0))->sequence, numbers.front());
  EXPECT_EQ((*store->next(numbers.back() - 1))->sequence, 200u);
  EXPECT_FALSE(*store->next(200));
}

TEST(MetricStore, AfterAFailedWriteTheSameLineIsTheSameSummary) {
  for (const int error : {ENOSPC, EIO}) {
    for (size_t at = 0; at < 40; ++at) {
      io::FaultFiles files;
      files.fail_at(at, error);
      auto store = open(files);
      if (!store) continue;  // it is tried again next minute
      for (int i = 0; i < 6; ++i) (void)(*store)->append(summary_of(**store));
      files.stop_failing();
      const uint64_t last = (*store)->next_sequence() - 1;
      ASSERT_GE(last, 5u);
      EXPECT_EQ(numbers_in(files).size(), numbers_in(files).back());
      EXPECT_EQ((*open(files))->next_sequence(), numbers_in(files).back() + 1);
    }
  }
}

TEST(MetricStore, DamageIsLeftOutAndSaid) {
  io::FaultFiles files;
  {
    auto store = *open(files);
    for (int i = 0; i < 5; ++i) ASSERT_TRUE(store->append(summary_of(*store)));
  }
  const std::string path = std::string(kFolder) + "/0000000001.metrics";
  std::string text = *io::read_file(files, path);
  text[text.size() / 2] ^= 1;
  ASSERT_TRUE(io::write_file_atomic(files, path, text));
  auto store = *open(files);
  EXPECT_FALSE(store->damaged().empty());
  EXPECT_EQ(numbers_in(files), (std::vector<uint64_t>{1, 2, 4, 5}));
  EXPECT_EQ(store->next_sequence(), 6u);
  EXPECT_EQ((*store->next(2))->sequence, 4u);
}

TEST(MetricStore, ARunGoesOnAfterARestart) {
  io::FaultFiles files;
  (void)(*open(files))->append(summary_of(**open(files)));
  auto again = *MetricStore::open(files, kFolder, "run00002");
  EXPECT_EQ(again->run(), "run00001");
  EXPECT_EQ(again->next_sequence(), 2u);
}

}  // namespace
}  // namespace skerry::nucleus
