// libarchive, which knows the format, and our rules about what may stand in it.
#include "formats/zip.h"

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>

#include <algorithm>
#include <set>
#include <vector>

#include "base/owned.h"

namespace skerry::formats {
namespace {

constexpr size_t kBlockBytes = 256 << 10;
// Between entries it jumps, and reads a header of some 30 bytes at each.
constexpr size_t kHeaderBlockBytes = 4 << 10;
// The end of a ZIP's directory: this, 16 bytes of counts and places, a comment with its length.
constexpr std::string_view kEndOfDirectory = "PK\x05\x06";
constexpr size_t kEndBytes = 22;
constexpr size_t kMaxNameBytes = 255, kMaxPathBytes = 1024;  // of one part, and of all

struct Archive {
  ZipSource source;
  uint64_t size = 0;
  uint64_t offset = 0;
  size_t block_bytes = kBlockBytes;
  std::string block;
  std::optional<Error> error;  // of `source`
};

la_ssize_t read_block(archive*, void* data, const void** buffer) {
  auto* from = static_cast<Archive*>(data);
  auto block = from->source(from->offset, from->block_bytes);
  if (!block) {
    from->error = block.error();
    return -1;
  }
  from->block = std::move(*block);
  from->offset += from->block.size();
  *buffer = from->block.data();
  return static_cast<la_ssize_t>(from->block.size());
}

la_int64_t seek_to(archive*, void* data, la_int64_t offset, int whence) {
  auto* in = static_cast<Archive*>(data);
  const int64_t base =
      whence == SEEK_SET ? 0 : static_cast<int64_t>(whence == SEEK_CUR ? in->offset : in->size);
  if (base + offset < 0) return ARCHIVE_FATAL;
  in->offset = static_cast<uint64_t>(base + offset);
  return static_cast<la_int64_t>(in->offset);
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

// Nothing but the end of a directory that is empty; libarchive takes that for no ZIP at all. Others
// may read more behind it, as far as the last such end.
bool is_empty_zip(std::string_view start, uint64_t size) {
  if (start.size() < kEndBytes || !start.starts_with(kEndOfDirectory)) return false;
  const auto byte = [&](size_t at) {
    return static_cast<uint64_t>(static_cast<uint8_t>(start[at]));
  };
  for (size_t at = kEndOfDirectory.size(); at < 20; ++at) {
    if (byte(at) != 0) return false;
  }
  return size == kEndBytes + byte(20) + (byte(21) << 8);
}

// What is wrong with an entry of this kind, "" where nothing is.
std::string fault_of_kind(archive_entry* entry, bool named_as_folder) {
  if (archive_entry_hardlink(entry)) return "is a hard link";
  if (archive_entry_is_encrypted(entry)) return "is encrypted";
  switch (archive_entry_filetype(entry)) {
    case AE_IFDIR:
      return "";
    case AE_IFREG:
      return named_as_folder ? "is a file with the name of a folder" : "";
    case AE_IFLNK:
      return "is a symbolic link";
    default:
      return "is neither a file nor a folder";
  }
}

// The path below the archive's folder, in `path`; what is wrong with the name, "" where nothing is.
std::string fault_of_name(std::string_view name, std::string& path) {
  if (name.empty()) return "has no name";
  if (name.starts_with('/')) return "has an absolute name";
  for (size_t at = 0; at < name.size();) {
    const size_t end = std::min(name.find('/', at), name.size());
    const std::string_view part = name.substr(at, end - at);
    at = end + 1;
    if (part.empty() || part == ".") continue;
    if (part == "..") return "leads out of its folder with '..'";
    const auto is_bad = [](unsigned char c) { return c == '\\' || c < 0x20 || c == 0x7f; };
    if (std::ranges::any_of(part, is_bad)) return "has a backslash or a control character";
    if (part.size() > kMaxNameBytes) return "has a name that is too long";
    path.append(path.empty() ? "" : "/").append(part);
  }
  return path.size() > kMaxPathBytes ? "has a name that is too long" : "";
}

// For messages, without what terminals obey.
std::string printable(std::string_view name) {
  std::string text(name.substr(0, 200));
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return text;
}

class Reader : public ZipReader {
 public:
  Reader(ZipSource source, uint64_t size, std::string name, ZipLimits limits)
      : name_(std::move(name)), limits_(limits), buffer_(kBlockBytes, '\0') {
    archive_.source = std::move(source);
    archive_.size = size;
    if (const uint64_t most = size * limits.ratio; most / limits.ratio == size)
      limits_.total_bytes = std::min(limits.total_bytes, std::max(most, limits.ratio_from_bytes));
  }

  Result<void> open() {
    SKERRY_ASSIGN(const std::string start, archive_.source(0, kEndBytes));
    if (is_empty_zip(start, archive_.size)) return {};
    reader_.reset(archive_read_new());
    archive_read_support_format_zip_seekable(reader_.get());
    archive_read_set_read_callback(reader_.get(), read_block);
    archive_read_set_seek_callback(reader_.get(), seek_to);
    archive_read_set_callback_data(reader_.get(), &archive_);
    if (archive_read_open1(reader_.get()) != ARCHIVE_OK) return damaged();
    return {};
  }

  Result<std::optional<ZipEntry>> next() override {
    if (!reader_) return std::nullopt;
    archive_entry* entry = nullptr;
    archive_.block_bytes = kHeaderBlockBytes;
    const int status = next_header(&entry);
    archive_.block_bytes = kBlockBytes;
    if (status == ARCHIVE_EOF) return std::nullopt;
    if (status != ARCHIVE_OK) return damaged();
    const char* raw = archive_entry_pathname(entry);
    current_ = raw ? raw : "";
    if (++entries_ > limits_.entries)
      return above_limit("has more than " + std::to_string(limits_.entries) + " entries");
    ZipEntry found;
    std::string fault = fault_of_name(current_, found.path);
    if (fault.empty()) fault = fault_of_kind(entry, current_.ends_with('/'));
    found.is_directory = archive_entry_filetype(entry) == AE_IFDIR;
    found.is_executable = (archive_entry_perm(entry) & 0100) != 0;
    if (fault.empty() && found.path.empty() && !found.is_directory) fault = "is no name of a file";
    if (fault.empty()) fault = fault_of_place(found);
    if (!fault.empty()) return refused(fault);
    claimed_bytes_ += static_cast<uint64_t>(std::max<int64_t>(archive_entry_size(entry), 0));
    if (claimed_bytes_ > limits_.total_bytes) return too_large();
    return found;
  }

  Result<std::string_view> read() override {
    const la_ssize_t got = archive_read_data(reader_.get(), buffer_.data(), buffer_.size());
    if (got < 0) return damaged();
    bytes_ += static_cast<uint64_t>(got);
    if (bytes_ > limits_.total_bytes) return too_large();
    return std::string_view(buffer_.data(), static_cast<size_t>(got));
  }

 private:
  int next_header(archive_entry** entry) {
    Utf8Names names;
    return archive_read_next_header(reader_.get(), entry);
  }

  // A place is one file's, or a folder's however often it stands there.
  std::string fault_of_place(const ZipEntry& entry) {
    std::string folder = entry.is_directory ? entry.path : "";
    if (!entry.is_directory) {
      if (folders_.contains(entry.path)) return "is a folder and a file at once";
      if (!files_.insert(entry.path).second) return "stands there twice";
      folder = io::parent_of(entry.path);
    }
    for (; !folder.empty() && folder != "." && !folders_.contains(folder);
         folder = io::parent_of(folder)) {
      if (files_.contains(folder)) return "is below a file";
      folders_.insert(folder);
    }
    return "";
  }

  std::unexpected<Error> refused(const std::string& fault) const {
    return fail(Code::kInvalidArgument,
                name_ + ": its entry '" + printable(current_) + "' " + fault +
                    "; only plain files and folders with relative names are unpacked");
  }
  std::unexpected<Error> above_limit(const std::string& what) const {
    return fail(Code::kInvalidArgument, name_ + " " + what);
  }
  std::unexpected<Error> too_large() const {
    return above_limit("unpacks to more than its limit of " + std::to_string(limits_.total_bytes) +
                       " bytes (at '" + printable(current_) + "')");
  }
  std::unexpected<Error> damaged() const {
    if (archive_.error) return fail(*archive_.error);
    const char* text = archive_error_string(reader_.get());
    return fail(Code::kCorrupt,
                name_ + " is not a usable ZIP archive: " + (text ? text : "damaged") +
                    (current_.empty() ? "" : " (at '" + printable(current_) + "')"));
  }

  const std::string name_;
  ZipLimits limits_;
  Archive archive_;
  Owned<archive, archive_read_free> reader_;  // null for an archive without entries
  std::string buffer_;
  std::string current_;  // the entry's name as it stands there
  std::set<std::string> files_, folders_;
  uint64_t entries_ = 0, claimed_bytes_ = 0, bytes_ = 0;
};

}  // namespace

Result<std::unique_ptr<ZipReader>> ZipReader::open(ZipSource source, uint64_t size_bytes,
                                                   std::string name, ZipLimits limits) {
  auto reader = std::make_unique<Reader>(std::move(source), size_bytes, std::move(name), limits);
  SKERRY_TRY(reader->open());
  return reader;
}

Result<void> check_zip(ZipReader& reader, ZipCheck how) {
  while (true) {
    SKERRY_ASSIGN(const auto entry, reader.next());
    if (!entry) return {};
    while (how == ZipCheck::kContent && !entry->is_directory) {
      SKERRY_ASSIGN(const std::string_view bytes, reader.read());
      if (bytes.empty()) break;
    }
  }
}

}  // namespace skerry::formats
