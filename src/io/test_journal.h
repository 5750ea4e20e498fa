// What the tests of the journal share.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/fault_files.h"
#include "io/journal.h"

namespace skerry::io {

using Records = std::vector<std::string>;
inline constexpr char kDirectory[] = "/device/state";

inline Result<Journal> open_into(Files& files, Records& records, JournalOptions options = {},
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

inline Records replay(Files& files) {
  Records records;
  auto journal = open_into(files, records);
  EXPECT_TRUE(journal) << journal.error().message();
  return records;
}

using Wrap = std::function<std::unique_ptr<Files>(FaultFiles&)>;

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
  Result<void> hand_over(const std::string& path, uint32_t from, uint32_t uid,
                         uint32_t gid) override {
    return files_.hand_over(path, from, uid, gid);
  }
  Result<void> sync_directory(const std::string& path) override {
    return files_.sync_directory(path);
  }
  Result<uint64_t> free_bytes(const std::string& path) override { return files_.free_bytes(path); }

 protected:
  Files& files_;
};

template <class Wrapper>
Wrap wrap_in() {
  return [](FaultFiles& disk) { return std::make_unique<Wrapper>(disk); };
}

}  // namespace skerry::io
