// For tests: files that break one promise, to show that the tests would notice.
#pragma once

#include <memory>
#include <string>

#include "io/fault_files.h"

namespace skerry::io {

// A disk whose synced writes, or names, are not durable, or that does not cut files.
enum class Lie { kNone, kSync, kDirectorySync, kTruncate };

class LyingFiles : public FaultFiles {
 public:
  explicit LyingFiles(Lie lie = Lie::kNone) : lie_(lie) {}
  void set_lie(Lie lie) { lie_ = lie; }
  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode,
                                     uint32_t permissions) override {
    auto file = FaultFiles::open(path, mode, permissions);
    if (!file || lie_ == Lie::kNone) return file;
    return std::make_unique<LyingFile>(std::move(*file), lie_);
  }
  Result<void> sync_directory(const std::string& path) override {
    return lie_ == Lie::kDirectorySync ? Result<void>() : FaultFiles::sync_directory(path);
  }

 private:
  class LyingFile : public File {
   public:
    LyingFile(std::unique_ptr<File> file, Lie lie) : file_(std::move(file)), lie_(lie) {}
    Result<void> write(std::string_view bytes) override { return file_->write(bytes); }
    Result<std::string> read_at(uint64_t offset, size_t size) override {
      return file_->read_at(offset, size);
    }
    Result<uint64_t> size() override { return file_->size(); }
    Result<void> truncate(uint64_t size) override {
      return lie_ == Lie::kTruncate ? Result<void>() : file_->truncate(size);
    }
    Result<void> sync() override { return lie_ == Lie::kSync ? Result<void>() : file_->sync(); }

   private:
    std::unique_ptr<File> file_;
    Lie lie_;
  };
  Lie lie_;
};

}  // namespace skerry::io
