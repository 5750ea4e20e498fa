// formats/zip.h reads and judges; here it is written through io::Files.
#include "nucleus/unarchive.h"

#include <algorithm>
#include <set>

#include "base/encoding.h"
#include "base/sha256.h"
#include "formats/zip.h"

namespace skerry::nucleus {
namespace {

constexpr uint64_t kStepBytes = 4 << 20;
constexpr int kStepFiles = 16;  // each costs a sync

class Unpacker : public ZipUnpacker {
 public:
  Unpacker(io::Files& files, std::string archive_path, std::string target, uint32_t file_mode,
           UnarchiveLimits limits)
      : files_(files),
        archive_path_(std::move(archive_path)),
        target_(std::move(target)),
        file_mode_(file_mode),
        limits_(limits) {}

  Result<void> open() {
    SKERRY_ASSIGN(std::shared_ptr<io::File> archive,
                  files_.open(archive_path_, io::OpenMode::kRead));
    SKERRY_ASSIGN(const uint64_t size, archive->size());
    SKERRY_ASSIGN(reader_, formats::ZipReader::open(
                               [archive](uint64_t offset, size_t bytes) {
                                 return archive->read_at(offset, bytes);
                               },
                               size, archive_path_, limits_.zip));
    SKERRY_TRY(io::make_directories(files_, target_));
    directories_.insert(target_);
    return {};
  }

  Result<bool> step() override {
    const uint64_t end_bytes = total_bytes_ + kStepBytes;
    for (int files = 0; files < kStepFiles && total_bytes_ < end_bytes;) {
      if (file_) {
        SKERRY_ASSIGN(const bool more, extract_block());
        if (!more) ++files;
        continue;
      }
      SKERRY_ASSIGN(const bool more, begin_entry());
      if (!more) return finish();
    }
    return true;
  }

  const std::vector<UnpackedFile>& unpacked() const override { return unpacked_; }

 private:
  // False at the archive's end.
  Result<bool> begin_entry() {
    SKERRY_ASSIGN(auto entry, reader_->next());
    if (!entry) return false;
    const std::string path = entry->path.empty() ? target_ : target_ + "/" + entry->path;
    std::string directory = entry->is_directory ? path : io::parent_of(path);
    SKERRY_TRY(io::make_directories(files_, directory));
    for (; directory.size() > target_.size(); directory = io::parent_of(directory))
      directories_.insert(directory);
    if (entry->is_directory) return true;
    SKERRY_ASSIGN(file_, files_.open(path, io::OpenMode::kTruncate, 0600));
    hash_ = Sha256();
    mode_ = file_mode_;
    // Whoever may read it may run it, where the archive says that it is a program.
    if (entry->is_executable) mode_ |= (file_mode_ & 0444) >> 2;
    unpacked_.push_back({std::move(entry->path), ""});
    return true;
  }

  // False where that was the file's last.
  Result<bool> extract_block() {
    const std::string path = target_ + "/" + unpacked_.back().path;
    SKERRY_ASSIGN(const std::string_view bytes, reader_->read());
    if (bytes.empty()) {
      SKERRY_TRY(file_->sync());
      file_.reset();
      SKERRY_TRY(files_.set_mode(path, mode_));
      unpacked_.back().sha256 = hex_encode(hash_.finish());
      return false;
    }
    total_bytes_ += bytes.size();
    SKERRY_ASSIGN(const uint64_t free, files_.free_bytes(target_));
    if (free < limits_.keep_free_bytes + bytes.size()) {
      return fail(Code::kResourceExhausted,
                  "no space to unpack the archive: " + std::to_string(free) +
                      " bytes are free and " + std::to_string(limits_.keep_free_bytes) +
                      " are kept for roll-back; free some and deploy again");
    }
    SKERRY_TRY(file_->write(bytes));
    hash_.update(bytes);
    return true;
  }

  Result<bool> finish() {
    for (const std::string& directory : directories_) SKERRY_TRY(files_.sync_directory(directory));
    return false;
  }

  io::Files& files_;
  const std::string archive_path_, target_;
  const uint32_t file_mode_;
  const UnarchiveLimits limits_;
  std::unique_ptr<formats::ZipReader> reader_;
  std::set<std::string> directories_;
  uint64_t total_bytes_ = 0;
  std::unique_ptr<io::File> file_;  // of the entry that is being unpacked
  uint32_t mode_ = 0;
  Sha256 hash_;
  std::vector<UnpackedFile> unpacked_;
};

}  // namespace

Result<std::unique_ptr<ZipUnpacker>> ZipUnpacker::open(io::Files& files, const std::string& archive,
                                                       std::string target, uint32_t file_mode,
                                                       UnarchiveLimits limits) {
  auto unpacker = std::make_unique<Unpacker>(files, archive, std::move(target), file_mode, limits);
  SKERRY_TRY(unpacker->open());
  return unpacker;
}

}  // namespace skerry::nucleus
