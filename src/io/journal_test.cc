// The journal's promises: power cuts at every operation, mutants that the check must catch, damaged
// bytes, failing disks, and real processes killed at any point.
#include "io/journal.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "io/fault_files.h"

namespace skerry::io {
namespace {

using Records = std::vector<std::string>;
constexpr char kDirectory[] = "/device/state";

Result<Journal> open_into(Files& files, Records& records, JournalOptions options = {},
                          const std::string& directory = kDirectory) {
  records.clear();
  return Journal::open(
      files, directory,
      [&records](std::string_view record) -> Result<void> {
        records.emplace_back(record);
        return {};
      },
      options);
}

Records replay(Files& files) {
  Records records;
  auto journal = open_into(files, records);
  EXPECT_TRUE(journal) << journal.error().message();
  return records;
}

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
    auto append_all = [&](const Records& records) {
      Records after = acked;
      after.insert(after.end(), records.begin(), records.end());
      return step(after, [&] { return journal->append_all(records); });
    };
    auto compact = [&](const Records& records) {
      return step(records, [&] { return journal->compact(records); });
    };
    (void)(append("one") && append(std::string(1500, '2')) &&
           append_all({"three", std::string(2000, '4'), "", "six"}) &&
           compact({"snapshot", std::string(700, 's')}) && append("seven") && append("") &&
           compact({}) && append("eight") && append_all({"nine", "ten"}));
  }
};

using Wrap = std::function<std::unique_ptr<Files>(FaultFiles&)>;

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
  EXPECT_EQ(script.acked, (Records{"eight", "nine", "ten"}));
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

// Passes everything on; the mutants change one call.
class Delegate : public Files {
 public:
  explicit Delegate(Files& files) : files_(files) {}
  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode open_mode,
                                     uint32_t mode) override {
    return files_.open(path, open_mode, mode);
  }
  Result<FileInfo> stat(const std::string& path) override { return files_.stat(path); }
  Result<std::vector<std::string>> list(const std::string& path) override {
    return files_.list(path);
  }
  Result<void> make_directory(const std::string& path, uint32_t mode) override {
    return files_.make_directory(path, mode);
  }
  Result<void> rename(const std::string& from, const std::string& to) override {
    return files_.rename(from, to);
  }
  Result<void> remove(const std::string& path) override { return files_.remove(path); }
  Result<void> remove_tree(const std::string& path) override { return files_.remove_tree(path); }
  Result<void> set_mode(const std::string& path, uint32_t mode) override {
    return files_.set_mode(path, mode);
  }
  Result<void> set_owner(const std::string& path, uint32_t uid, uint32_t gid) override {
    return files_.set_owner(path, uid, gid);
  }
  Result<void> sync_directory(const std::string& path) override {
    return files_.sync_directory(path);
  }
  Result<uint64_t> free_bytes(const std::string& path) override { return files_.free_bytes(path); }

 protected:
  Files& files_;
};

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

template <class Wrapper>
Wrap wrap_in() {
  return [](FaultFiles& disk) { return std::make_unique<Wrapper>(disk); };
}

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
  EXPECT_EQ(journal->append("later").error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(journal->compact({}).error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(replay(disk), Records{});
}

TEST(JournalFault, AFullDiskRefusesAndRecovers) {
  FaultFiles disk;
  Records records;
  auto journal = open_into(disk, records);
  ASSERT_TRUE(journal && journal->append("first"));
  disk.set_capacity(journal->size_bytes() + 50);
  EXPECT_EQ(journal->append(std::string(100, 'x')).error().code(), Code::kResourceExhausted);
  EXPECT_EQ(journal->compact(Records{std::string(100, 'x')}).error().code(),
            Code::kResourceExhausted);
  ASSERT_TRUE(journal->append("second"));
  disk.reboot(CrashPolicy::kDropUnsynced);
  EXPECT_EQ(replay(disk), (Records{"first", "second"}));
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
  ASSERT_TRUE(journal->compact(Records{"short"}));
  ASSERT_TRUE(journal->append(std::string(100, 'y')));
  EXPECT_EQ(journal->generation(), 2u);
  EXPECT_EQ(disk.list(kDirectory).value(), Records{"journal-0000000002"});
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

// Three frames, and their file, to be damaged.
struct Sample {
  FaultFiles disk;
  Records records{"first", "second record", "third"};
  std::string path = std::string(kDirectory) + "/journal-0000000001";
  std::string bytes;
  uint64_t last_frame = 0;

  Sample() {
    Records seen;
    auto journal = open_into(disk, seen);
    for (const std::string& record : records) {
      last_frame = journal->size_bytes();
      EXPECT_TRUE(journal->append(record));
    }
    bytes = read_file(disk, path).value();
  }
  void replace(std::string_view with) { EXPECT_TRUE(write_file_atomic(disk, path, with)); }
};

TEST(JournalDamage, AChangedBitAnywhereIsNoticed) {
  Sample sample;
  for (size_t at = 0; at < sample.bytes.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = sample.bytes;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
      sample.replace(damaged);
      Records records;
      auto journal = open_into(sample.disk, records);
      if (at >= sample.last_frame) {  // looks like a torn write
        ASSERT_TRUE(journal) << "byte " << at;
        EXPECT_EQ(records, (Records{"first", "second record"}));
        EXPECT_EQ(journal->recovery().torn_bytes, sample.bytes.size() - sample.last_frame);
      } else {
        ASSERT_FALSE(journal) << "byte " << at;
        EXPECT_EQ(journal.error().code(), Code::kCorrupt);
        EXPECT_NE(journal.error().message().find(sample.path), std::string::npos);
      }
    }
  }
}

TEST(JournalDamage, AFileCutAnywhereGivesThePrefix) {
  Sample sample;
  for (size_t size = 24; size < sample.bytes.size(); ++size) {
    sample.replace(std::string_view(sample.bytes).substr(0, size));
    Records records;
    auto journal = open_into(sample.disk, records);
    ASSERT_TRUE(journal);
    ASSERT_LT(records.size(), 3u);
    EXPECT_TRUE(std::equal(records.begin(), records.end(), sample.records.begin()));
    ASSERT_TRUE(journal->append("more"));
    records.push_back("more");
    EXPECT_EQ(replay(sample.disk), records);
  }
}

TEST(JournalDamage, SalvageGoesOnWithThePrefixAndKeepsTheFile) {
  Sample sample;
  std::string damaged = sample.bytes;
  damaged[sample.last_frame - 1] ^= 1;
  sample.replace(damaged);
  Records records;
  {
    auto journal = open_into(sample.disk, records, {.salvage = true});
    ASSERT_TRUE(journal) << journal.error().message();
    EXPECT_EQ(records, Records{"first"});
    EXPECT_NE(journal->recovery().salvaged.find("is damaged; kept as"), std::string::npos);
    ASSERT_TRUE(journal->append("next"));
  }
  EXPECT_EQ(read_file(sample.disk, sample.path + ".corrupt").value(), damaged);
  sample.disk.reboot(CrashPolicy::kDropUnsynced);
  EXPECT_EQ(replay(sample.disk), (Records{"first", "next"}));
}

TEST(JournalDamage, ANewerFormatIsLeftAlone) {
  Sample sample;
  // "SKRYJRNL", version 2, generation 1, and the checksum of those.
  std::string newer = sample.bytes.substr(0, 24);
  newer[8] = 2;
  newer.replace(20, 4, std::string("\x31\x5b\xf0\x12", 4));
  sample.replace(newer);
  Records records;
  EXPECT_EQ(open_into(sample.disk, records, {.salvage = true}).error().code(), Code::kUnsupported);
}

// A real process appends and reports each success; it is killed at a random point, over and over.
[[noreturn]] void append_until_killed(const std::string& directory, int reports) {
  RealFiles files;
  Records records;
  auto journal = open_into(files, records, {}, directory);
  if (!journal) ::_exit(1);
  for (uint64_t number = records.size();; ++number) {
    const std::string record = std::to_string(number) + std::string(number % 700, '.');
    if (!journal->append(record)) ::_exit(2);
    if (::write(reports, "+", 1) != 1) ::_exit(3);
    records.push_back(record);
    if (number % 16 == 15 && !journal->compact(records)) ::_exit(4);
  }
}

TEST(JournalKill, AKilledProcessLosesNothingAcknowledged) {
  std::string directory = testing::TempDir() + "skerry-journal-XXXXXX";
  ASSERT_NE(::mkdtemp(directory.data()), nullptr);
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
    ASSERT_GE(records.size(), known + acked);
    ASSERT_LE(records.size(), known + acked + 1);
    for (size_t i = 0; i < records.size(); ++i) {
      ASSERT_EQ(records[i], std::to_string(i) + std::string(i % 700, '.'));
    }
    known = records.size();
  }
  EXPECT_TRUE(remove_all(files, directory));
}

}  // namespace
}  // namespace skerry::io
