// libarchive reading through io::Files, writing through io::Files.
#include "nucleus/unarchive.h"

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>

#include <set>
#include <vector>

namespace skerry::nucleus {
namespace {

constexpr size_t kBlockBytes = 256 << 10;

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

// The entry's place below the target, or an error where it would be somewhere else.
Result<std::string> safe_name(archive_entry* entry) {
  const char* raw = archive_entry_pathname(entry);
  std::string name = raw ? raw : "";
  while (name.ends_with('/')) name.pop_back();
  bool safe = name.find('\\') == std::string::npos;
  for (size_t at = 0; safe && at <= name.size();) {
    size_t end = std::min(name.find('/', at), name.size());
    std::string_view part = std::string_view(name).substr(at, end - at);
    safe = !part.empty() && part != ".." && part != ".";
    at = end + 1;
  }
  auto type = archive_entry_filetype(entry);
  if (!safe || (type != AE_IFREG && type != AE_IFDIR)) {
    return fail(Code::kInvalidArgument,
                "the archive's entry '" + name + "' is not a plain file or folder below it");
  }
  return name;
}

struct Target {
  std::string path;
  uint32_t mode = 0;
  uint64_t allowed_bytes = 0;
  uint64_t keep_free_bytes = 0;
};

io::Task<Result<uint64_t>> extract_file(io::Env* env, archive* reader, Target target) {
  SKERRY_CO_ASSIGN(auto file, env->files.open(target.path, io::OpenMode::kTruncate, 0600));
  uint64_t total = 0;
  std::string buffer(kBlockBytes, '\0');
  for (;;) {
    la_ssize_t got = archive_read_data(reader, buffer.data(), buffer.size());
    if (got < 0) co_return fail(archive_error(reader, target.path));
    if (got == 0) break;
    total += static_cast<uint64_t>(got);
    if (total > target.allowed_bytes)
      co_return fail(Code::kResourceExhausted, "the archive unpacks to more than its limit");
    SKERRY_CO_ASSIGN(uint64_t free, env->files.free_bytes(io::parent_of(target.path)));
    if (free < target.keep_free_bytes + static_cast<uint64_t>(got)) {
      co_return fail(Code::kResourceExhausted,
                     "no space to unpack the archive: " + std::to_string(free) +
                         " bytes are free and " + std::to_string(target.keep_free_bytes) +
                         " are kept for roll-back; free some and deploy again");
    }
    SKERRY_CO_TRY(file->write(std::string_view(buffer.data(), static_cast<size_t>(got))));
    co_await io::sleep(env->loop, 0);
  }
  SKERRY_CO_TRY(file->sync());
  SKERRY_CO_TRY(env->files.set_mode(target.path, target.mode));
  co_return total;
}

}  // namespace

io::Task<Result<void>> unarchive_zip(io::Env* env, std::string archive_path, std::string target,
                                     uint32_t file_mode, UnarchiveLimits limits) {
  io::Files& files = env->files;
  SKERRY_CO_TRY(io::remove_all(files, target));
  SKERRY_CO_TRY(io::make_directories(files, target));
  Source source;
  SKERRY_CO_ASSIGN(source.file, files.open(archive_path, io::OpenMode::kRead));
  SKERRY_CO_ASSIGN(source.size, source.file->size());
  SKERRY_CO_ASSIGN(Reader reader, open_zip(archive_path, &source));

  std::set<std::string> directories = {target};
  uint64_t bytes = 0, entries = 0;
  archive_entry* entry = nullptr;
  for (;;) {
    int status = next_entry(reader.get(), &entry);
    if (status == ARCHIVE_EOF) break;
    if (status != ARCHIVE_OK) co_return fail(archive_error(reader.get(), archive_path));
    if (++entries > limits.entries)
      co_return fail(Code::kResourceExhausted, "the archive has too many entries");
    SKERRY_CO_ASSIGN(std::string name, safe_name(entry));
    std::string path = target + "/" + name;
    bool is_directory = archive_entry_filetype(entry) == AE_IFDIR;
    std::string directory = is_directory ? path : io::parent_of(path);
    SKERRY_CO_TRY(io::make_directories(files, directory));
    for (; directory.size() > target.size(); directory = io::parent_of(directory))
      directories.insert(directory);
    if (is_directory) continue;
    uint32_t mode = file_mode | ((archive_entry_perm(entry) & 0100) ? 0100 : 0);
    SKERRY_CO_ASSIGN(uint64_t size, co_await extract_file(env, reader.get(),
                                                          {path, mode, limits.total_bytes - bytes,
                                                           limits.keep_free_bytes}));
    bytes += size;
  }
  for (const std::string& directory : directories) SKERRY_CO_TRY(files.sync_directory(directory));
  co_return Result<void>();
}

}  // namespace skerry::nucleus
