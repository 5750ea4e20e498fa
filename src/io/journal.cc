// Journal: recovery and the two ways to change it. See the header for the guarantees.
#include "io/journal.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace skerry::io {
namespace {

namespace format = journal_format;

constexpr size_t kWriteBytes = 256 << 10;  // of a new generation at a time

std::string temporary(const std::string& path) {
  return path + ".tmp";
}

}  // namespace

struct Journal::Found {
  uint64_t generation = 0;
  std::string main, copy;  // what the files hold; empty where one is missing
  bool has_main = false, has_copy = false;
  format::Merged merged;
};

Journal::Journal(Files& files, std::string directory, JournalOptions options)
    : files_(&files),
      directory_(std::move(directory)),
      copy_directory_(directory_ + ".copy"),
      options_(options) {}

Result<Journal> Journal::open(Files& files, std::string directory, const Replay& replay,
                              JournalOptions options) {
  Journal journal(files, std::move(directory), options);
  SKERRY_TRY(journal.load(replay));
  return journal;
}

std::string Journal::path_of(uint64_t generation) const {
  return directory_ + "/" + format::file_name(generation);
}
std::string Journal::copy_of(uint64_t generation) const {
  return copy_directory_ + "/" + format::file_name(generation);
}

// Opening.

Result<void> Journal::load(const Replay& replay) {
  // 1. What is seen now must not vanish later: an earlier process may have been killed between a
  //    change of names and its sync.
  SKERRY_TRY(make_directories(*files_, directory_, 0700));
  SKERRY_TRY(files_->sync_directory(parent_of(directory_)));
  SKERRY_TRY(files_->sync_directory(directory_));
  // One copy is enough to start with: a disk may be too full for a second.
  if (make_directories(*files_, copy_directory_, 0700)) {
    (void)files_->sync_directory(copy_directory_);
  }
  // 2. The newest generation that can be read counts. An older one is there after a crash during a
  //    compaction.
  SKERRY_ASSIGN(const std::vector<uint64_t> generations, this->generations());
  newest_ = generations.empty() ? 0 : generations.front();
  SKERRY_ASSIGN(Found found, newest(generations));
  // 3. Its records; one that makes no sense ends them.
  SKERRY_TRY(this->replay(found, replay));
  // 4. Both copies are made whole, or a new generation holds what is left.
  if (generations.empty()) {
    SKERRY_TRY(start_from(found, {}));
    recovery_.fresh = true;
  } else if (recovery_.lost.empty()) {
    SKERRY_TRY(adopt(found));
  } else {
    SKERRY_TRY(start_from(found, generations));
  }
  remove_others();
  return {};
}

Result<std::vector<uint64_t>> Journal::generations() {
  SKERRY_ASSIGN(std::vector<std::string> names, files_->list(directory_));
  if (const auto copies = files_->list(copy_directory_)) {
    names.insert(names.end(), copies->begin(), copies->end());
  }
  std::vector<uint64_t> all;
  for (const std::string& name : names) {
    if (auto generation = format::generation_of(name)) all.push_back(*generation);
  }
  std::sort(all.begin(), all.end(), std::greater<>());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

Result<Journal::Found> Journal::read(uint64_t generation) {
  Found found{.generation = generation};
  auto load = [&](const std::string& path, std::string& bytes, bool& there) -> Result<void> {
    there = exists(*files_, path);
    if (!there) return {};
    SKERRY_ASSIGN(auto file, files_->open(path, OpenMode::kRead));
    // A file that grew beyond all limits is damaged there.
    SKERRY_ASSIGN(const uint64_t size, file->size());
    SKERRY_ASSIGN(bytes, file->read_at(0, std::min(size, options_.max_bytes + 1)));
    const uint32_t version = format::version_of(bytes).value_or(format::kVersion);
    if (version == format::kVersion) return {};
    return fail(Code::kUnsupported, path + " has format version " + std::to_string(version) +
                                        ", this program reads version 1: use a newer one");
  };
  SKERRY_TRY(load(path_of(generation), found.main, found.has_main));
  SKERRY_TRY(load(copy_of(generation), found.copy, found.has_copy));
  found.merged = format::merge(found.main, found.copy, generation);
  return found;
}

// The newest that can be read; what is wrong with it and with newer ones is noted.
Result<Journal::Found> Journal::newest(std::span<const uint64_t> generations) {
  const auto note = [](std::string& notes, const std::string& text) {
    notes += (notes.empty() ? "" : "; ") + text;
  };
  Found found;
  for (uint64_t generation : generations) {
    SKERRY_ASSIGN(found, read(generation));
    if (!found.merged.damaged) break;
    note(recovery_.lost, path_of(generation) + " is damaged at byte " +
                             std::to_string(found.merged.bytes.size()) + ", and so is its copy");
    if (found.merged.frames > 0) break;
  }
  if (generations.empty() || !recovery_.lost.empty()) return found;
  recovery_.torn_bytes = found.merged.torn_bytes;
  if (!found.main.starts_with(found.merged.bytes)) {
    note(recovery_.repaired,
         path_of(found.generation) + (found.has_main ? " was damaged" : " was missing"));
  }
  if (!found.copy.starts_with(found.merged.bytes)) {
    note(recovery_.repaired,
         copy_of(found.generation) + (found.has_copy ? " was damaged" : " was missing"));
  }
  return found;
}

Result<Journal::Contents> Journal::look(Files& files, std::string directory) {
  Journal journal(files, std::move(directory), {});
  SKERRY_ASSIGN(const std::vector<uint64_t> generations, journal.generations());
  if (generations.empty()) {
    return fail(Code::kNotFound, "there is no journal in " + journal.directory_);
  }
  SKERRY_ASSIGN(Found found, journal.newest(generations));
  Contents contents{.generation = found.generation, .records = {}, .found = {}};
  SKERRY_TRY(journal.replay(found, [&](std::string_view record) -> Result<void> {
    contents.records.emplace_back(record);
    return {};
  }));
  contents.found = std::move(journal.recovery_);
  return contents;
}

Result<void> Journal::replay(Found& found, const Replay& replay) {
  std::string& bytes = found.merged.bytes;
  for (uint64_t offset = format::kHeaderBytes; offset < bytes.size();) {
    const auto frame = format::frame_at(bytes, found.generation, offset);
    SKERRY_CHECK(frame.has_value(), "a merged journal is made of intact frames");
    const auto records = format::records_of(*frame);
    Result<void> taken;
    if (!records) taken = fail(Code::kCorrupt, "it is not a list of records");
    for (size_t i = 0; taken && records && i < records->size(); ++i) {
      taken = replay((*records)[i]);
      recovery_.records += taken.has_value();
    }
    if (!taken && taken.error().code() != Code::kCorrupt) return taken;
    if (!taken) {
      if (!recovery_.lost.empty()) recovery_.lost += "; ";
      recovery_.lost += path_of(found.generation) + ": the record at byte " +
                        std::to_string(offset) + " makes no sense: " + taken.error().message();
      bytes.resize(offset);
      return {};
    }
    offset += frame->size();
  }
  return {};
}

// The files of `found` become the journal.
Result<void> Journal::adopt(const Found& found) {
  generation_ = found.generation;
  size_ = found.merged.bytes.size();
  SKERRY_TRY(make_whole(path_of(generation_), found.main, found));
  SKERRY_ASSIGN(file_, files_->open(path_of(generation_), OpenMode::kAppend));
  // The last frame may come from a process that was killed before its sync; its records count now.
  SKERRY_TRY(file_->sync());
  auto copied = make_whole(copy_of(generation_), found.copy, found);
  if (copied) {
    auto opened = files_->open(copy_of(generation_), OpenMode::kAppend);
    if (opened) copy_ = std::move(*opened);
  }
  if (!copy_) drop_copy();
  return {};
}

Result<void> Journal::make_whole(const std::string& path, std::string_view on_disk,
                                 const Found& found) {
  const std::string& wanted = found.merged.bytes;
  if (on_disk == wanted) return {};
  if (!on_disk.starts_with(wanted)) return write_file_atomic(*files_, path, wanted);
  SKERRY_ASSIGN(auto file, files_->open(path, OpenMode::kAppend));
  SKERRY_TRY(file->truncate(wanted.size()));
  return file->sync();
}

// A new generation with what is left of `found`, nothing at first. Damaged files stay as evidence.
Result<void> Journal::start_from(const Found& found, std::span<const uint64_t> damaged) {
  auto compaction = begin_compaction("");
  std::string& bytes = compaction->bytes_;
  bytes = format::header(compacting_);
  for (uint64_t offset = format::kHeaderBytes; offset < found.merged.bytes.size();) {
    const auto frame = format::frame_at(found.merged.bytes, found.generation, offset);
    SKERRY_CHECK(frame.has_value(), "a merged journal is made of intact frames");
    format::put_frame(bytes, compacting_, bytes.size(), frame->substr(format::kFrameHeaderBytes));
    offset += frame->size();
  }
  if (bytes.size() == format::kHeaderBytes) format::put_frame(bytes, compacting_, bytes.size(), "");
  compaction->write();
  SKERRY_TRY(finish_compaction(*compaction));
  // First the new files, then the old ones aside: a crash between them costs evidence, no record.
  for (uint64_t generation : damaged) {
    for (const std::string& path : {path_of(generation), copy_of(generation)}) {
      if (exists(*files_, path)) SKERRY_TRY(files_->rename(path, path + ".corrupt"));
    }
  }
  return {};
}

// Leftovers of compactions that were cut short; what cannot be removed does no harm.
void Journal::remove_others() {
  for (const std::string& directory : {directory_, copy_directory_}) {
    const auto names = files_->list(directory);
    for (size_t i = 0; names && i < names->size(); ++i) {
      const std::string& name = (*names)[i];
      const bool other = format::generation_of(name).value_or(generation_) != generation_;
      const bool unfinished = name.starts_with("journal-") && name.ends_with(".tmp");
      if (other || unfinished) (void)files_->remove(directory + "/" + name);
    }
  }
}

// Changing.

Result<void> Journal::append(std::string_view record) {
  SKERRY_CHECK(file_ != nullptr, "a journal is appended to after it is open");
  if (broken_) {
    return fail(Code::kUnavailable, "journal " + directory_ +
                                        ": an earlier write failed and may not have reached the "
                                        "disk; check the disk");
  }
  if (record.size() > kMaxRecordBytes) {
    return fail(Code::kInvalidArgument, "a journal record of " + std::to_string(record.size()) +
                                            " bytes is above the limit of " +
                                            std::to_string(kMaxRecordBytes));
  }
  std::string frame;
  format::put_frame(frame, generation_, size_, format::body_of(record));
  if (size_ + frame.size() > options_.max_bytes) {
    return fail(Code::kResourceExhausted, "journal " + directory_ + " is at its limit of " +
                                              std::to_string(options_.max_bytes) + " bytes");
  }
  if (auto written = file_->write(frame); !written) {
    // Take back what was written of it, so that the next append starts at a frame's end.
    broken_ = !file_->truncate(size_) || !file_->sync();
    return fail(std::move(written.error()));
  }
  if (auto synced = file_->sync(); !synced) {
    // The kernel may now believe that the bytes are on the disk. Without them in the file, opening
    // it again cannot take them for acknowledged.
    broken_ = true;
    (void)file_->truncate(size_);
    return fail(std::move(synced.error()));
  }
  size_ += frame.size();
  if (copy_ && !copy_->write(frame)) drop_copy();
  if (compacting_ != 0) meanwhile_.emplace_back(record);
  return {};
}

// The first copy is enough until the next compaction; a part of a frame in the second is not.
void Journal::drop_copy() {
  copy_.reset();
  (void)files_->remove(copy_of(generation_));
}

Result<void> Journal::compact(std::string snapshot) {
  auto compaction = begin_compaction(std::move(snapshot));
  compaction->write();
  return finish_compaction(*compaction);
}

std::shared_ptr<Journal::Compaction> Journal::begin_compaction(std::string snapshot) {
  auto compaction = std::make_shared<Compaction>();
  compacting_ = ++newest_;
  meanwhile_.clear();
  compaction->files_ = files_;
  compaction->generation_ = compacting_;
  compaction->max_bytes_ = options_.max_bytes;
  compaction->bytes_ = format::header(compacting_);
  format::put_frame(compaction->bytes_, compacting_, compaction->bytes_.size(),
                    format::body_of(snapshot));
  compaction->main_.path = path_of(compacting_);
  compaction->copy_.path = copy_of(compacting_);
  return compaction;
}

Result<void> Journal::finish_compaction(Compaction& compaction) {
  SKERRY_CHECK(compaction.size_ > 0, "a compaction is written before it is finished");
  const bool current = compacting_ == compaction.generation_;
  if (!current || !compaction.written_) {
    compaction.abandon();
    if (!current) return {};
  }
  compacting_ = 0;
  const std::vector<std::string> meanwhile = std::exchange(meanwhile_, {});
  SKERRY_TRY(std::move(compaction.written_));
  // What was appended meanwhile follows the snapshot.
  std::string tail;
  for (const std::string& record : meanwhile) {
    format::put_frame(tail, compaction.generation_, compaction.size_ + tail.size(),
                      format::body_of(record));
  }
  auto appended = compaction.append(tail);
  if (!appended) {
    compaction.abandon();
    return appended;
  }
  // From here on an error leaves open which of the two files a power cut would keep.
  broken_ = true;
  SKERRY_TRY(files_->rename(temporary(compaction.main_.path), compaction.main_.path));
  SKERRY_TRY(files_->sync_directory(directory_));
  broken_ = false;
  const uint64_t old = std::exchange(generation_, compaction.generation_);
  file_ = std::move(compaction.main_.file);
  size_ = compaction.size_;
  copy_ = std::move(compaction.copy_.file);
  if (!copy_ || !files_->rename(temporary(compaction.copy_.path), compaction.copy_.path)) {
    (void)files_->remove(temporary(compaction.copy_.path));
    drop_copy();
  }
  // Where this fails the files stay until the next open(), which removes them: nothing to report.
  if (old != 0) {
    (void)files_->remove(path_of(old));
    (void)files_->remove(copy_of(old));
  }
  return {};
}

// A new generation.

void Journal::Compaction::write() {
  size_ = bytes_.size();
  if (size_ > max_bytes_) {
    written_ = fail(Code::kResourceExhausted,
                    "journal " + main_.path + ": " + std::to_string(size_) +
                        " bytes are above its limit of " + std::to_string(max_bytes_));
    return;
  }
  written_ = write(main_);
  if (written_ && !write(copy_)) {
    copy_.file.reset();
    (void)files_->remove(temporary(copy_.path));
  }
  bytes_.clear();
}

Result<void> Journal::Compaction::write(Part& part) {
  SKERRY_ASSIGN(part.file, files_->open(temporary(part.path), OpenMode::kTruncate));
  for (std::string_view rest = bytes_; !rest.empty();) {
    SKERRY_TRY(part.file->write(rest.substr(0, kWriteBytes)));
    rest.remove_prefix(std::min(rest.size(), kWriteBytes));
  }
  return part.file->sync();
}

// More frames behind it.
Result<void> Journal::Compaction::append(std::string_view bytes) {
  if (bytes.empty()) return {};
  SKERRY_TRY(main_.file->write(bytes));
  SKERRY_TRY(main_.file->sync());
  size_ += bytes.size();
  if (copy_.file && !copy_.file->write(bytes)) copy_.file.reset();
  return {};
}

// Gives its space back.
void Journal::Compaction::abandon() {
  for (Part* part : {&main_, &copy_}) {
    part->file.reset();
    (void)files_->remove(temporary(part->path));
  }
}

}  // namespace skerry::io
