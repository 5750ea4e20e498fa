// libarchive reading through io::Files, writing through io::Files.
#include "nucleus/unarchive.h"

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>

#include <algorithm>
#include <set>

#include "base/encoding.h"
#include "base/sha256.h"

namespace skerry::nucleus {
namespace {

constexpr size_t kBlockBytes = 256 << 10;
// A ZIP that starts with the end of its directory; libarchive takes that for no ZIP at all.
constexpr std::string_view kEmptyZip = "PK\x05\x06";
constexpr uint64_t kStepBytes = 4 << 20;
constexpr int kStepFiles = 16;  // each costs a sync

struct Source {
  std::unique_ptr<io::File> file;
  uint64_t offset = 0;
  uint64_t size = 0;
  std::string block;
};

la_ssize_t read_block(archive*, void* data, const void** buffer) {
  auto* source = static_cast<Source*>(data);
  auto block = source->file->read_at(source->offset, kBlockBytes);
  if (!block) return -1;
  source->block = std::move(*block);
  source->offset += source->block.size();
  *buffer = source->block.data();
  return static_cast<la_ssize_t>(source->block.size());
}

la_int64_t seek_to(archive*, void* data, la_int64_t offset, int whence) {
  auto* source = static_cast<Source*>(data);
  int64_t base = whence == SEEK_SET
                     ? 0
                     : static_cast<int64_t>(whence == SEEK_CUR ? source->offset : source->size);
  if (base + offset < 0) return ARCHIVE_FATAL;
  source->offset = static_cast<uint64_t>(base + offset);
  return static_cast<la_int64_t>(source->offset);
}

struct ArchiveDeleter {
  void operator()(archive* reader) const { archive_read_free(reader); }
};
using Reader = std::unique_ptr<archive, ArchiveDeleter>;

Error archive_error(archive* reader, const std::string& path) {
  const char* text = archive_error_string(reader);
  return {Code::kCorrupt, path + " is not a usable ZIP archive: " + (text ? text : "damaged")};
}

Result<Reader> open_zip(const std::string& path, Source* source) {
  Reader reader(archive_read_new());
  archive_read_support_format_zip_seekable(reader.get());
  archive_read_set_read_callback(reader.get(), read_block);
  archive_read_set_seek_callback(reader.get(), seek_to);
  archive_read_set_callback_data(reader.get(), source);
  if (archive_read_open1(reader.get()) != ARCHIVE_OK)
    return fail(archive_error(reader.get(), path));
  return reader;
}

// libarchive turns the names of entries into the thread's locale, and refuses what that does not
// have.
class Utf8Names {
 public:
  Utf8Names() : locale_(::newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr)) {
    before_ = ::uselocale(locale_);
  }
  Utf8Names(const Utf8Names&) = delete;
  ~Utf8Names() {
    ::uselocale(before_);
    if (locale_) ::freelocale(locale_);
  }

 private:
  locale_t locale_, before_;
};

int next_entry(archive* reader, archive_entry** entry) {
  Utf8Names names;
  return archive_read_next_header(reader, entry);
}

// The entry's path below the target, empty for the target itself, or an error where it would be
// somewhere else.
Result<std::string> safe_name(archive_entry* entry) {
  const char* raw = archive_entry_pathname(entry);
  const std::string name = raw ? raw : "";
  bool safe = !name.empty() && !name.starts_with('/');
  std::string path;
  for (size_t at = 0; safe && at < name.size();) {
    const size_t end = std::min(name.find('/', at), name.size());
    const std::string_view part = std::string_view(name).substr(at, end - at);
    at = end + 1;
    if (part.empty() || part == ".") continue;
    safe = part != ".." && std::ranges::none_of(part, [](unsigned char c) {
             return c == '\\' || c < 0x20 || c == 0x7f;
           });
    path.append(path.empty() ? "" : "/").append(part);
  }
  const auto type = archive_entry_filetype(entry);
  safe = safe && (type == AE_IFDIR || (type == AE_IFREG && !path.empty() && !name.ends_with('/')));
  if (safe) return path;
  return fail(Code::kInvalidArgument,
              "the archive's entry '" + name + "' is not a plain file or folder below it");
}

class Unpacker : public ZipUnpacker {
 public:
  Unpacker(io::Files& files, std::string archive_path, std::string target, uint32_t file_mode,
           UnarchiveLimits limits)
      : files_(files),
        archive_path_(std::move(archive_path)),
        target_(std::move(target)),
        file_mode_(file_mode),
        limits_(limits),
        buffer_(kBlockBytes, '\0') {}

  Result<void> open() {
    SKERRY_ASSIGN(source_.file, files_.open(archive_path_, io::OpenMode::kRead));
    SKERRY_ASSIGN(source_.size, source_.file->size());
    SKERRY_ASSIGN(const std::string start, source_.file->read_at(0, kEmptyZip.size()));
    if (start != kEmptyZip) {
      SKERRY_ASSIGN(reader_, open_zip(archive_path_, &source_));
    }
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
    if (!reader_) return false;
    archive_entry* entry = nullptr;
    const int status = next_entry(reader_.get(), &entry);
    if (status == ARCHIVE_EOF) return false;
    if (status != ARCHIVE_OK) return fail(archive_error(reader_.get(), archive_path_));
    if (++entries_ > limits_.entries)
      return fail(Code::kInvalidArgument, "the archive has too many entries");
    SKERRY_ASSIGN(std::string name, safe_name(entry));
    const bool is_directory = archive_entry_filetype(entry) == AE_IFDIR;
    const std::string path = name.empty() ? target_ : target_ + "/" + name;
    std::string directory = is_directory ? path : io::parent_of(path);
    SKERRY_TRY(io::make_directories(files_, directory));
    for (; directory.size() > target_.size(); directory = io::parent_of(directory))
      directories_.insert(directory);
    if (is_directory) return true;
    if (io::exists(files_, path))
      return fail(Code::kInvalidArgument, "the archive has '" + name + "' twice");
    SKERRY_ASSIGN(file_, files_.open(path, io::OpenMode::kTruncate, 0600));
    hash_ = Sha256();
    mode_ = file_mode_;
    // Whoever may read it may run it, where the archive says that it is a program.
    if (archive_entry_perm(entry) & 0100) mode_ |= (file_mode_ & 0444) >> 2;
    unpacked_.push_back({std::move(name), ""});
    return true;
  }

  // False where that was the file's last.
  Result<bool> extract_block() {
    const std::string path = target_ + "/" + unpacked_.back().path;
    const la_ssize_t got = archive_read_data(reader_.get(), buffer_.data(), buffer_.size());
    if (got < 0) return fail(archive_error(reader_.get(), path));
    const std::string_view bytes(buffer_.data(), static_cast<size_t>(got));
    if (bytes.empty()) {
      SKERRY_TRY(file_->sync());
      file_.reset();
      SKERRY_TRY(files_.set_mode(path, mode_));
      unpacked_.back().sha256 = hex_encode(hash_.finish());
      return false;
    }
    total_bytes_ += bytes.size();
    if (total_bytes_ > limits_.total_bytes)
      return fail(Code::kInvalidArgument, "the archive unpacks to more than its limit");
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
  Source source_;
  Reader reader_;  // null for an archive without entries
  std::string buffer_;
  std::set<std::string> directories_;
  uint64_t entries_ = 0, total_bytes_ = 0;
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
