// The journal's promises: power cuts at every operation, mutants that the check must catch, failing
// disks, and real processes killed at any point. Damaged bytes: journal_damage_test.cc.
#include "io/journal.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "io/test_directory.h"
#include "io/test_journal.h"

namespace skerry::io {
namespace {

// The script of changes that the crash tests cut short, and what a correct journal may hold then.
struct Script {
  Records acked;      // certainly there
  Records in_flight;  // there instead, if the change that was cut took place

  void run(Files& files) {
    Records seen;
    auto journal = open_into(files, seen);
    if (!journal) return;
    auto step = [&](Records after, const std::function<Result<void>()>& change) {
      in_flight = std::move(after);
      if (!change()) return false;
      acked = in_flight;
      return true;
    };
    auto append = [&](const std::string& record) {
      Records after = acked;
      after.push_back(record);
      return step(after, [&] { return journal->append(record); });
    };
    auto compact = [&](const std::string& snapshot) {
      return step({snapshot}, [&] { return journal->compact(snapshot); });
    };
    // With records appended between its begin and its end.
    auto compact_meanwhile = [&](const std::string& snapshot, const Records& records) {
      auto compaction = journal->begin_compaction(snapshot);
      for (const std::string& record : records) {
        if (!append(record)) return false;
      }
      compaction->write();
      if (!append("late")) return false;
      Records after{snapshot};
      after.insert(after.end(), records.begin(), records.end());
      after.push_back("late");
      return step(after, [&] { return journal->finish_compaction(*compaction); });
    };
    (void)(append("one") && append(std::string(1500, '2')) && compact(std::string(700, 's')) &&
           append("three") && append("") && compact_meanwhile("snapshot", {"four", "five"}) &&
           append("six") && compact("") && append("seven"));
  }
};

// Runs the script with a crash at operation `crash`, reboots, opens, crashes at operation `second`
// of that, and opens again. Returns what is wrong, or nothing.
std::string violation(const Wrap& wrap, size_t crash, size_t second, CrashPolicy policy,
                      uint64_t seed) {
  FaultFiles disk;
  Script script;
  disk.crash_at(crash);
  script.run(*wrap(disk));
  disk.reboot(policy, seed);
  Records records;
  disk.crash_at(disk.operations().size() + second);
  (void)open_into(*wrap(disk), records);
  disk.reboot(policy, seed + 1);
  auto journal = open_into(*wrap(disk), records);
  if (!journal) return journal.error().message();
  if (records == script.acked || records == script.in_flight) return {};
  return std::to_string(records.size()) + " records, acknowledged were " +
         std::to_string(script.acked.size());
}

size_t operations_of_script() {
  FaultFiles disk;
  Script script;
  script.run(disk);
  EXPECT_EQ(script.acked, (Records{"", "seven"}));
  return disk.operations().size();
}

// All crash points under all policies: how many states were wrong of how many, and the first.
struct Verdict {
  int states = 0, wrong = 0;
  std::string first;
};
Verdict judge(const Wrap& wrap, uint64_t seeds) {
  Verdict verdict;
  const size_t operations = operations_of_script();
  auto look = [&](size_t crash, size_t second, CrashPolicy policy, uint64_t seed) {
    ++verdict.states;
    const std::string wrong = violation(wrap, crash, second, policy, seed);
    if (wrong.empty()) return;
    if (++verdict.wrong == 1) {
      verdict.first = "crash at " + std::to_string(crash) + ", then " + std::to_string(second) +
                      ", policy " + std::to_string(static_cast<int>(policy)) + ", seed " +
                      std::to_string(seed) + ": " + wrong;
    }
  };
  for (size_t crash = 0; crash <= operations; ++crash) {
    for (size_t second = 0; second < 8; ++second) {
      look(crash, second, CrashPolicy::kDropUnsynced, 0);
      look(crash, second, CrashPolicy::kKeepAll, 0);
      for (uint64_t seed = 0; seed < seeds; ++seed) {
        look(crash, second, CrashPolicy::kSeeded, seed * 1000 + crash);
      }
    }
  }
  return verdict;
}

class ForgetsFileSync : public Delegate {
 public:
  using Delegate::Delegate;
  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode open_mode,
                                     uint32_t mode) override {
    SKERRY_ASSIGN(auto file, files_.open(path, open_mode, mode));
    return std::make_unique<NoSync>(std::move(file));
  }

 private:
  struct NoSync : File {
    explicit NoSync(std::unique_ptr<File> f) : file(std::move(f)) {}
    Result<void> write(std::string_view bytes) override { return file->write(bytes); }
    Result<std::string> read_at(uint64_t offset, size_t size) override {
      return file->read_at(offset, size);
    }
    Result<uint64_t> size() override { return file->size(); }
    Result<void> truncate(uint64_t size) override { return file->truncate(size); }
    Result<void> sync() override { return {}; }
    std::unique_ptr<File> file;
  };
};

class ForgetsDirectorySync : public Delegate {
 public:
  using Delegate::Delegate;
  Result<void> sync_directory(const std::string&) override { return {}; }
};

class CopiesInsteadOfRenaming : public Delegate {
 public:
  using Delegate::Delegate;
  Result<void> rename(const std::string& from, const std::string& to) override {
    SKERRY_ASSIGN(const std::string bytes, read_file(files_, from));
    {
      SKERRY_ASSIGN(auto file, files_.open(to, OpenMode::kTruncate, 0600));
      SKERRY_TRY(file->write(bytes));
    }
    return files_.remove(from);
  }
};

TEST(JournalCrash, EveryAcknowledgedRecordSurvivesACutAtEveryOperation) {
  const Verdict verdict = judge(wrap_in<Delegate>(), 20);
  EXPECT_EQ(verdict.wrong, 0) << verdict.first;
  EXPECT_GT(verdict.states, 5000);
}

TEST(JournalCrash, TheCheckCatchesMutants) {
  EXPECT_GT(judge(wrap_in<ForgetsFileSync>(), 2).wrong, 0);
  EXPECT_GT(judge(wrap_in<ForgetsDirectorySync>(), 2).wrong, 0);
  EXPECT_GT(judge(wrap_in<CopiesInsteadOfRenaming>(), 2).wrong, 0);
}

// One operation fails, the program goes on or starts again without a power cut, and then the power
// goes.
TEST(JournalFault, AnErrorOfAnyOperationLosesNothingAcknowledged) {
  const size_t operations = operations_of_script();
  for (size_t at = 0; at < operations; ++at) {
    for (int error : {EIO, ENOSPC}) {
      for (CrashPolicy policy : {CrashPolicy::kDropUnsynced, CrashPolicy::kKeepAll}) {
        FaultFiles disk;
        Script script;
        disk.fail_at(at, error);
        script.run(disk);
        const std::string failed = disk.operations()[at].text();
        Records records;
        auto journal = open_into(disk, records);
        ASSERT_TRUE(journal) << failed << ": " << journal.error().message();
        ASSERT_TRUE(records == script.acked || records == script.in_flight) << failed;
        ASSERT_TRUE(journal->append("afterwards"));
        records.push_back("afterwards");
        disk.reboot(policy);
        EXPECT_EQ(replay(disk), records) << failed;
      }
    }
  }
}

TEST(JournalFault, RefusesEverythingAfterAFailedSync) {
  FaultFiles disk;
  Records records;
  auto journal = open_into(disk, records);
  ASSERT_TRUE(journal);
  disk.fail_at(disk.operations().size() + 1, EIO);
  EXPECT_FALSE(journal->append("lost"));
  EXPECT_TRUE(journal->broken());
  EXPECT_EQ(journal->append("later").error().code(), Code::kUnavailable);
  EXPECT_EQ(replay(disk), Records{});
}

// The file that nobody can be sure of is replaced by a new one, without a restart.
TEST(JournalFault, ACompactionMendsAJournalWhoseSyncFailed) {
  for (const auto policy : {CrashPolicy::kDropUnsynced, CrashPolicy::kKeepAll}) {
    FaultFiles disk;
    Records records;
    auto journal = open_into(disk, records);
    ASSERT_TRUE(journal && journal->append("first"));
    disk.fail_at(disk.operations().size() + 1, EIO);
    EXPECT_FALSE(journal->append("lost"));
    ASSERT_TRUE(journal->compact("first"));
    EXPECT_FALSE(journal->broken());
    ASSERT_TRUE(journal->append("later"));
    disk.reboot(policy);
    EXPECT_EQ(replay(disk), (Records{"first", "later"}));
  }
}

TEST(JournalFault, ACompactionThatIsOvertakenByAnotherChangesNothing) {
  FaultFiles disk;
  Records records;
  auto journal = open_into(disk, records);
  ASSERT_TRUE(journal && journal->append("first"));
  auto slow = journal->begin_compaction("old snapshot");
  slow->write();
  ASSERT_TRUE(journal->append("second"));
  ASSERT_TRUE(journal->compact("snapshot"));
  ASSERT_TRUE(journal->append("third"));
  ASSERT_TRUE(journal->finish_compaction(*slow));
  ASSERT_TRUE(journal->append("fourth"));
  EXPECT_EQ(replay(disk), (Records{"snapshot", "third", "fourth"}));
}

TEST(JournalFault, AFullDiskRefusesAndRecovers) {
  FaultFiles disk;
  Records records;
  auto journal = open_into(disk, records);
  ASSERT_TRUE(journal && journal->append("first"));
  disk.set_capacity(2 * journal->size_bytes() + 70);
  EXPECT_EQ(journal->append(std::string(100, 'x')).error().code(), Code::kResourceExhausted);
  EXPECT_EQ(journal->compact(std::string(100, 'x')).error().code(), Code::kResourceExhausted);
  EXPECT_TRUE(journal->has_copy());
  ASSERT_TRUE(journal->append("second"));
  disk.reboot(CrashPolicy::kDropUnsynced);
  EXPECT_EQ(replay(disk), (Records{"first", "second"}));
}

TEST(JournalFault, ADiskWithoutRoomForTheCopyLosesOnlyTheCopy) {
  FaultFiles disk;
  Records records;
  {
    auto journal = open_into(disk, records);
    ASSERT_TRUE(journal && journal->append("first"));
    disk.set_capacity(2 * journal->size_bytes() + 150);
    ASSERT_TRUE(journal->append(std::string(100, 'x')));
    EXPECT_FALSE(journal->has_copy());
    ASSERT_TRUE(journal->append("third"));
  }
  EXPECT_EQ(replay(disk), (Records{"first", std::string(100, 'x'), "third"}));
  disk.set_capacity(UINT64_MAX);
  auto journal = open_into(disk, records);
  ASSERT_TRUE(journal);
  EXPECT_TRUE(journal->has_copy());
}

TEST(Journal, KeepsToItsLimits) {
  FaultFiles disk;
  Records records;
  auto journal = open_into(disk, records, {.max_bytes = 1000});
  ASSERT_TRUE(journal);
  EXPECT_EQ(journal->append(std::string(1000, 'x')).error().code(), Code::kResourceExhausted);
  EXPECT_EQ(journal->append(std::string(kMaxRecordBytes + 1, 'x')).error().code(),
            Code::kInvalidArgument);
  ASSERT_TRUE(journal->append(std::string(900, 'x')));
  EXPECT_FALSE(journal->append(std::string(100, 'y')));
  ASSERT_TRUE(journal->compact("short"));
  ASSERT_TRUE(journal->append(std::string(100, 'y')));
  EXPECT_EQ(journal->generation(), 2u);
  EXPECT_EQ(disk.list(kDirectory).value(), Records{"journal-0000000002"});
  EXPECT_EQ(disk.list(std::string(kDirectory) + ".copy").value(), Records{"journal-0000000002"});
}

TEST(Journal, TakesRecordsUpToTheLargest) {
  FaultFiles disk;
  Records records;
  const std::string largest(kMaxRecordBytes, 'x');
  {
    auto journal = open_into(disk, records);
    ASSERT_TRUE(journal && journal->append(largest) && journal->append("end"));
  }
  EXPECT_EQ(replay(disk), (Records{largest, "end"}));
}

TEST(Journal, AnErrorOfTheReplayIsPassedOn) {
  FaultFiles disk;
  Records records;
  {
    ASSERT_TRUE(open_into(disk, records)->append("bad"));
  }
  auto journal = Journal::open(disk, kDirectory, [](std::string_view) -> Result<void> {
    return fail(Code::kInvalidArgument, "do not like it");
  });
  ASSERT_FALSE(journal);
  EXPECT_EQ(journal.error().message(), "do not like it");
}

// Many records as one, and back.
std::string text_of(const Records& records) {
  std::string text = "all:";
  for (const std::string& record : records) text += record + "\n";
  return text;
}
Records records_of(const Records& stored) {
  Records all;
  for (const std::string& record : stored) {
    if (!record.starts_with("all:")) {
      all.push_back(record);
      continue;
    }
    all.clear();
    for (size_t at = 4; at < record.size(); at = record.find('\n', at) + 1)
      all.push_back(record.substr(at, record.find('\n', at) - at));
  }
  return all;
}

[[noreturn]] void append_until_killed(const std::string& directory, int reports) {
  RealFiles files;
  Records records;
  auto journal = open_into(files, records, {}, directory);
  if (!journal) ::_exit(1);
  records = records_of(records);
  for (uint64_t number = records.size();; ++number) {
    const std::string record = std::to_string(number) + std::string(number % 700, '.');
    if (!journal->append(record)) ::_exit(2);
    if (::write(reports, "+", 1) != 1) ::_exit(3);
    records.push_back(record);
    if (number % 16 == 15 && !journal->compact(text_of(records))) ::_exit(4);
  }
}

TEST(JournalKill, AKilledProcessLosesNothingAcknowledged) {
  const ScratchDirectory scratch;
  const std::string& directory = scratch.path();
  RealFiles files;
  SeededRandom random(1);
  size_t known = 0;
  for (int round = 0; round < 50; ++round) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    if (child == 0) append_until_killed(directory, ends[1]);
    ::close(ends[1]);
    char byte = 0;
    size_t acked = 0;
    for (uint64_t wanted = random.below(12) + 1; acked < wanted; ++acked) {
      ASSERT_EQ(::read(ends[0], &byte, 1), 1) << "the child failed";
    }
    for (uint64_t spins = random.below(200'000); spins > 0; --spins) {
      asm volatile("");  // moves the kill around inside an append
    }
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status));
    while (::read(ends[0], &byte, 1) == 1) ++acked;
    ::close(ends[0]);

    Records records;
    auto journal = open_into(files, records, {}, directory);
    ASSERT_TRUE(journal) << journal.error().message();
    EXPECT_EQ(journal->recovery().lost, "");
    records = records_of(records);
    ASSERT_GE(records.size(), known + acked);
    ASSERT_LE(records.size(), known + acked + 1);
    for (size_t i = 0; i < records.size(); ++i) {
      ASSERT_EQ(records[i], std::to_string(i) + std::string(i % 700, '.'));
    }
    known = records.size();
  }
  EXPECT_TRUE(remove_all(files, directory + ".copy"));
}

}  // namespace
}  // namespace skerry::io
