// Bytes that change on the disk: bits flipped, files cut, emptied and removed, in one copy and
// both.
#include <gtest/gtest.h>

#include <algorithm>

#include "io/test_journal.h"

namespace skerry::io {
namespace {

// Three frames in two copies, to be damaged.
struct Sample {
  FaultFiles disk;
  Records records{"first", "second record", "third"};
  std::string path = std::string(kDirectory) + "/journal-0000000001";
  std::string copy = std::string(kDirectory) + ".copy/journal-0000000001";
  std::string bytes;
  std::vector<uint64_t> frames;  // where they begin

  explicit Sample(const Wrap& wrap = wrap_in<Delegate>()) {
    auto files = wrap(disk);
    Records seen;
    auto journal = open_into(*files, seen);
    for (const std::string& record : records) {
      frames.push_back(journal->size_bytes());
      EXPECT_TRUE(journal->append(record));
    }
    bytes = read_file(disk, path).value();
  }
  void put(const std::string& to, std::string_view content) {
    EXPECT_TRUE(write_file_atomic(disk, to, content));
  }
  // Both as they were, whatever was done since.
  void restore() {
    for (const char* end : {"", ".copy"})
      EXPECT_TRUE(remove_all(disk, kDirectory + std::string(end)));
    EXPECT_TRUE(make_directories(disk, kDirectory));
    EXPECT_TRUE(make_directories(disk, kDirectory + std::string(".copy")));
    put(path, bytes);
    put(copy, bytes);
    disk.reboot(CrashPolicy::kKeepAll);  // it need not remember all that was
  }
  std::string flipped(size_t at, int bit) const {
    std::string damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
    return damaged;
  }
};

// How many flips and cuts of one file cost a record or go unnoticed.
int unsurvived_damage(const Wrap& wrap) {
  Sample sample(wrap);
  if (!exists(sample.disk, sample.copy)) sample.put(sample.copy, "");
  const std::string of_copy = read_file(sample.disk, sample.copy).value();
  int wrong = 0;
  const auto look = [&](const std::string& damaged_path, const std::string& damaged) {
    sample.restore();
    sample.put(sample.copy, of_copy);
    if (damaged == "missing") {
      EXPECT_TRUE(sample.disk.remove(damaged_path));
    } else {
      sample.put(damaged_path, damaged);
    }
    Records records;
    auto journal = open_into(sample.disk, records);
    wrong +=
        !journal || records != sample.records || !journal->recovery().lost.empty() ||
        journal->recovery().repaired.find(damaged_path) == std::string::npos ||
        !journal->append("more") ||
        read_file(sample.disk, sample.path).value() != read_file(sample.disk, sample.copy).value();
  };
  for (const std::string& path : {sample.path, sample.copy}) {
    for (size_t at = 0; at < sample.bytes.size(); ++at) {
      for (int bit = 0; bit < 8; ++bit) look(path, sample.flipped(at, bit));
      look(path, sample.bytes.substr(0, at));
      look(path, sample.bytes.substr(0, at) + std::string(sample.bytes.size() - at, '\0'));
    }
    look(path, "missing");
  }
  return wrong;
}

// Writes no second copy.
class ForgetsTheCopy : public Delegate {
 public:
  using Delegate::Delegate;
  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode open_mode,
                                     uint32_t mode) override {
    if (path.find(".copy/") == std::string::npos) return files_.open(path, open_mode, mode);
    return fail(Code::kResourceExhausted, "no room for copies");
  }
};

TEST(JournalDamage, OneCopyIsEnoughWhateverHappensToTheOther) {
  EXPECT_EQ(unsurvived_damage(wrap_in<Delegate>()), 0);
  EXPECT_GT(unsurvived_damage(wrap_in<ForgetsTheCopy>()), 0);  // a mutant
}

TEST(JournalDamage, TheSameBitOfBothIsReportedAndWhatStoodBeforeIsKept) {
  Sample sample;
  for (size_t at = 0; at < sample.bytes.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      sample.restore();
      sample.put(sample.path, sample.flipped(at, bit));
      sample.put(sample.copy, sample.flipped(at, bit));
      size_t before = 0;
      while (before < 3 && (before == 2 ? sample.bytes.size() : sample.frames[before + 1]) <= at)
        ++before;
      Records expected(sample.records.begin(),
                       sample.records.begin() + static_cast<std::ptrdiff_t>(before));
      Records records;
      {
        auto journal = open_into(sample.disk, records);
        ASSERT_TRUE(journal) << "byte " << at << ": " << journal.error().message();
        if (at < 24) {  // the header says nothing that the name does not
          ASSERT_EQ(records, sample.records) << "byte " << at;
          ASSERT_NE(journal->recovery().repaired, "");
          continue;
        }
        ASSERT_EQ(records, expected) << "byte " << at;
        ASSERT_NE(journal->recovery().lost.find(sample.path), std::string::npos) << "byte " << at;
        ASSERT_TRUE(journal->append("next"));
      }
      ASSERT_EQ(read_file(sample.disk, sample.path + ".corrupt").value(), sample.flipped(at, bit));
      sample.disk.reboot(CrashPolicy::kDropUnsynced);
      expected.push_back("next");
      ASSERT_EQ(replay(sample.disk), expected);
    }
  }
}

TEST(JournalDamage, BothCutAnywhereGiveThePrefix) {
  Sample sample;
  for (size_t size = 0; size < sample.bytes.size(); ++size) {
    sample.restore();
    sample.put(sample.path, std::string_view(sample.bytes).substr(0, size));
    sample.put(sample.copy, std::string_view(sample.bytes).substr(0, size));
    Records records;
    auto journal = open_into(sample.disk, records);
    ASSERT_TRUE(journal);
    ASSERT_LT(records.size(), 3u);
    EXPECT_TRUE(std::equal(records.begin(), records.end(), sample.records.begin()));
    const bool between = std::ranges::count(sample.frames, size) > 0;
    EXPECT_EQ(journal->recovery().lost.empty(), between) << size;
    ASSERT_TRUE(journal->append("more"));
    records.push_back("more");
    EXPECT_EQ(replay(sample.disk), records);
  }
}

// A file gets its first frame before it gets its name, so one without frames has lost it.
TEST(JournalDamage, AnEmptiedFileIsReported) {
  FaultFiles disk;
  Records records;
  {
    auto journal = open_into(disk, records);
    ASSERT_TRUE(journal && journal->append("first") && journal->compact("snapshot"));
  }
  for (const char* directory : {kDirectory, "/device/state.copy"}) {
    const std::string path = directory + std::string("/journal-0000000002");
    const std::string header = read_file(disk, path).value().substr(0, 24);
    ASSERT_TRUE(write_file_atomic(disk, path, header));
  }
  auto journal = open_into(disk, records);
  ASSERT_TRUE(journal);
  EXPECT_EQ(records, Records{});
  EXPECT_NE(journal->recovery().lost, "");
}

// A crash in a compaction can leave two generations: the older one counts where the newer is gone.
TEST(JournalDamage, AnOlderGenerationIsUsedWhereTheNewerCannotBeRead) {
  Sample sample;
  sample.put(std::string(kDirectory) + "/journal-0000000002", "nothing of use");
  Records records;
  auto journal = open_into(sample.disk, records);
  ASSERT_TRUE(journal);
  EXPECT_EQ(records, sample.records);
  EXPECT_NE(journal->recovery().lost.find("journal-0000000002"), std::string::npos);
  EXPECT_GT(journal->generation(), 2u);
}

TEST(JournalDamage, ARecordThatMakesNoSenseEndsTheReplay) {
  Sample sample;
  Records records;
  const auto replay_first = [&](std::string_view record) -> Result<void> {
    if (record == "second record") return fail(Code::kCorrupt, "nonsense");
    records.emplace_back(record);
    return {};
  };
  auto journal = Journal::open(sample.disk, kDirectory, replay_first);
  ASSERT_TRUE(journal);
  EXPECT_EQ(records, Records{"first"});
  EXPECT_NE(journal->recovery().lost.find("makes no sense: nonsense"), std::string::npos);
  EXPECT_EQ(replay(sample.disk), Records{"first"});
}

TEST(JournalDamage, ANewerFormatIsLeftAlone) {
  Sample sample;
  // "SKRYJRNL", version 2, generation 1, and the checksum of those.
  std::string newer = sample.bytes.substr(0, 24);
  newer[8] = 2;
  newer.replace(20, 4, std::string("\x31\x5b\xf0\x12", 4));
  for (const std::string& path : {sample.path, sample.copy}) {
    sample.restore();
    sample.put(path, newer);
    Records records;
    EXPECT_EQ(open_into(sample.disk, records).error().code(), Code::kUnsupported);
    EXPECT_EQ(read_file(sample.disk, path).value(), newer);
  }
}

// A real process appends and reports each success; it is killed at a random point, over and over.

}  // namespace
}  // namespace skerry::io
