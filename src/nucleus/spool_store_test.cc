// The spool's files: what has a number is there after a power cut, once, and in order, until it is
// said to have gone.
#include "nucleus/spool_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/test_lying_files.h"

namespace skerry::nucleus {
namespace {

using io::CrashPolicy;
using io::Lie;
using io::LyingFiles;
using testing::ElementsAre;

constexpr const char* kSpoolFolder = "/device/spool";
constexpr uint64_t kSmall = 2'000;

std::string text_of(int64_t number) {
  return "message " + std::to_string(number) + std::string(60, '.');
}

std::vector<int64_t> numbers_in(SpoolStore& store) {
  std::vector<int64_t> numbers;
  const auto read = store.read(store.next(), 1'000, 1 << 20);
  EXPECT_TRUE(read);
  for (const auto& message : *read) {
    EXPECT_EQ(message.payload, text_of(message.sequence));
    numbers.push_back(message.sequence);
  }
  return numbers;
}

// Two come in, one goes, until the power does at operation `at`; true where what is left is right.
bool spool_survives(size_t at, CrashPolicy policy, uint64_t seed, Lie lie, bool* crashed) {
  LyingFiles files(lie);
  files.crash_at(at);
  int64_t acknowledged = -1, said_gone = 0, ever_gone = 0;
  if (auto store = SpoolStore::open(files, kSpoolFolder, kSmall)) {
    for (int i = 0; i < 8; ++i) {
      const int64_t end = (*store)->end();
      const auto numbers = (*store)->append({text_of(end), text_of(end + 1)}, 1);
      for (const auto& number : numbers) {
        if (number) acknowledged = *number;
      }
      const int64_t gone = std::min((*store)->next() + (i % 3 == 2 ? 4 : 1), (*store)->end());
      ever_gone = std::max(ever_gone, gone);
      if ((*store)->set_next(gone)) said_gone = gone;
    }
  }
  *crashed = files.crashed();
  files.set_lie(Lie::kNone);
  files.reboot(policy, seed);
  auto store = SpoolStore::open(files, kSpoolFolder, kSmall);
  if (!store || (*store)->next() < said_gone || (*store)->next() > ever_gone) return false;
  if ((*store)->end() <= acknowledged) return false;
  const auto numbers = numbers_in(**store);
  int64_t expected = (*store)->next();
  for (const int64_t number : numbers) {
    if (number != expected++) return false;
  }
  if (expected != (*store)->end()) return false;
  // It goes on.
  const auto next = (*store)->append({text_of(expected)}, 1);
  return next[0] && *next[0] == expected && numbers_in(**store).back() == expected;
}

size_t spool_losses(Lie lie) {
  size_t lost = 0;
  for (const CrashPolicy policy :
       {CrashPolicy::kDropUnsynced, CrashPolicy::kKeepAll, CrashPolicy::kSeeded}) {
    const uint64_t seeds = policy == CrashPolicy::kSeeded ? 15 : 1;
    for (uint64_t seed = 0; seed < seeds; ++seed) {
      bool crashed = true;
      for (size_t at = 0; crashed; ++at)
        lost += spool_survives(at, policy, seed, lie, &crashed) ? 0 : 1;
    }
  }
  return lost;
}

TEST(SpoolStore, APowerCutAtAnyOperationLosesNothingThatHasANumber) {
  EXPECT_EQ(spool_losses(Lie::kNone), 0u);
}

TEST(SpoolStore, TheTestSeesADiskThatLies) {
  EXPECT_GT(spool_losses(Lie::kSync), 0u);
  EXPECT_GT(spool_losses(Lie::kDirectorySync), 0u);
}

TEST(SpoolStore, AFullOneRefusesAndGoingMakesRoom) {
  io::FaultFiles files;
  auto store = *SpoolStore::open(files, kSpoolFolder, kSmall);
  int64_t kept = 0;
  for (int i = 0; i < 50; ++i) kept += store->append({text_of(store->end())}, 1)[0] ? 1 : 0;
  EXPECT_GT(kept, 10);
  EXPECT_LE(store->bytes(), static_cast<int64_t>(kSmall));
  const auto full = store->append({text_of(0)}, 1)[0];
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().message(), "Message spool is full. Message could not be added.");
  ASSERT_TRUE(store->set_next(kept));
  EXPECT_EQ(store->bytes(), 0);
  EXPECT_TRUE(store->append({text_of(store->end())}, 1)[0]);
}

TEST(SpoolStore, WhatTheDiskDoesNotTakeIsRefusedAndNothingElse) {
  for (const int error : {ENOSPC, EIO}) {
    for (size_t at = 0; at < 60; ++at) {
      io::FaultFiles files;
      files.fail_at(at, error);
      auto store = SpoolStore::open(files, kSpoolFolder, kSmall);
      if (!store) continue;
      std::vector<int64_t> kept;
      for (int i = 0; i < 6; ++i) {
        const auto number = (*store)->append({text_of((*store)->end())}, 1)[0];
        if (number) kept.push_back(*number);
        if (i == 3) (void)(*store)->set_next(2);
      }
      files.stop_failing();
      store = SpoolStore::open(files, kSpoolFolder, kSmall);
      ASSERT_TRUE(store);
      std::erase_if(kept, [&](int64_t number) { return number < (*store)->next(); });
      for (const int64_t number : kept) {
        EXPECT_THAT(numbers_in(**store), testing::Contains(number)) << error << " at " << at;
      }
    }
  }
}

TEST(SpoolStore, ADamagedCountSendsAgainAndADamagedMessageIsLeftOut) {
  io::FaultFiles files;
  {
    auto store = *SpoolStore::open(files, kSpoolFolder, 1 << 20);
    for (int i = 0; i < 5; ++i) ASSERT_TRUE(store->append({text_of(i)}, 1)[0]);
    ASSERT_TRUE(store->set_next(2));
  }
  const std::string count = std::string(kSpoolFolder) + "/next";
  const std::string right = *io::read_file(files, count);
  for (size_t at = 0; at < right.size(); ++at) {
    std::string text = right;
    text[at] ^= 1;
    ASSERT_TRUE(io::write_file_atomic(files, count, text));
    auto store = *SpoolStore::open(files, kSpoolFolder, 1 << 20);
    EXPECT_EQ(store->next(), 0) << at;
    EXPECT_FALSE(store->damaged().empty());
  }
  ASSERT_TRUE(io::write_file_atomic(files, count, right));
  const std::string path = std::string(kSpoolFolder) + "/0000000000000000000.segment";
  std::string bytes = *io::read_file(files, path);
  bytes[bytes.size() - 150] ^= 1;  // in number 3
  ASSERT_TRUE(io::write_file_atomic(files, path, bytes));
  auto store = *SpoolStore::open(files, kSpoolFolder, 1 << 20);
  EXPECT_THAT(numbers_in(*store), ElementsAre(2, 4));
  EXPECT_EQ(store->end(), 5);
}

TEST(SpoolStore, AMessageIsWhatItWas) {
  net::MqttMessage message{
      .topic = "a/ö", .payload = std::string("x\n\0y", 4), .qos = 1, .retain = true};
  message.properties = {.payload_format = 1,
                        .expiry_s = 7,
                        .content_type = "text/plain",
                        .response_topic = "r",
                        .correlation_data = std::string("\0\xff", 2),
                        .user = {{"k", "v"}, {"k", "w"}}};
  const auto again = parse_spooled(spooled_bytes(message));
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(again->topic, message.topic);
  EXPECT_EQ(again->payload, message.payload);
  EXPECT_TRUE(again->qos == 1 && again->retain);
  EXPECT_EQ(again->properties, message.properties);
  for (const char* wrong :
       {"", "{}", "{}\n", "{\"topic\":1,\"qos\":1}\n", "{\"topic\":\"#\",\"qos\":1}\n",
        "{\"topic\":\"t\",\"qos\":1,\"user\":[[1]]}\n", "[]\n",
        "{\"topic\":\"t\",\"qos\":1,\"correlationData\":\"!\"}\n"}) {
    EXPECT_FALSE(parse_spooled(wrong)) << wrong;
  }
}

}  // namespace
}  // namespace skerry::nucleus
