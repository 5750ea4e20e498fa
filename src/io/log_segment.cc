// Reading goes from header to header, and byte by byte only where one is damaged.
#include "io/log_segment.h"

#include <algorithm>
#include <utility>

namespace skerry::io {
namespace {

constexpr uint64_t kMarkEveryBytes = 64 << 10;
constexpr size_t kPieceBytes = 256 << 10;

}  // namespace

// A window on the file that moves forward.
class Segment::Reader {
 public:
  explicit Reader(Segment& segment) : segment_(segment) {}

  // `size` bytes at `offset`; fewer at the end of the segment.
  Result<std::string_view> at(uint64_t offset, size_t size) {
    if (offset < begin_ || offset + size > begin_ + window_.size()) {
      const uint64_t left = segment_.size_ - std::min(offset, segment_.size_);
      const size_t wanted =
          static_cast<size_t>(std::min<uint64_t>(left, std::max(size, kPieceBytes)));
      SKERRY_ASSIGN(window_, segment_.file_->read_at(offset, wanted));
      begin_ = offset;
    }
    return std::string_view(window_).substr(static_cast<size_t>(offset - begin_), size);
  }

  // The next offset from `offset` on where an intact frame header stands; the segment's size where
  // there is none. Payloads are not looked at: a damaged one is the next step's to find.
  Result<uint64_t> next_header(uint64_t offset) {
    for (; offset + log_record::kFrameHeaderBytes <= segment_.size_; ++offset) {
      SKERRY_ASSIGN(const std::string_view bytes, at(offset, log_record::kFrameHeaderBytes));
      if (bytes.size() < log_record::kFrameHeaderBytes) break;
      if (log_record::frame_header(bytes, {segment_.first_, offset})) return offset;
    }
    return segment_.size_;
  }

 private:
  Segment& segment_;
  std::string window_;
  uint64_t begin_ = 0;
};

Result<Segment> Segment::create(Files& files, std::string path, int64_t first_sequence) {
  Segment segment(files, std::move(path), first_sequence);
  SKERRY_ASSIGN(segment.file_, files.open(segment.path_, OpenMode::kTruncate));
  const std::string header = log_record::segment_header(first_sequence);
  SKERRY_TRY(segment.file_->write(header));
  SKERRY_TRY(segment.file_->sync());
  segment.size_ = header.size();
  return segment;
}

Result<Segment> Segment::open(Files& files, std::string path, int64_t first_sequence) {
  Segment segment(files, std::move(path), first_sequence);
  SKERRY_ASSIGN(segment.file_, files.open(segment.path_, OpenMode::kAppend));
  SKERRY_ASSIGN(segment.size_, segment.file_->size());
  SKERRY_ASSIGN(const std::string header,
                segment.file_->read_at(0, log_record::kSegmentHeaderBytes));
  uint32_t version = log_record::kVersion;
  segment.has_intact_header_ = log_record::first_sequence_of(header, &version) == first_sequence;
  if (version != log_record::kVersion) {
    return fail(Code::kUnsupported, segment.path_ + " has format version " +
                                        std::to_string(version) +
                                        ", this program reads version 1: use a newer one");
  }
  return segment;
}

Result<Segment::Scan> Segment::recover() {
  SKERRY_ASSIGN(const Scan scan, read(first_, [](LogMessage&&) { return true; }));
  if (scan.end >= size_) return scan;
  SKERRY_TRY(cut(scan.end));
  SKERRY_TRY(sync());
  return scan;
}

Result<void> Segment::reopen() {
  if (file_) return {};
  SKERRY_ASSIGN(file_, files_->open(path_, OpenMode::kAppend));
  return {};
}

Result<void> Segment::append(std::string_view frames, int64_t sequence) {
  SKERRY_TRY(reopen());
  SKERRY_TRY(file_->write(frames));
  mark(sequence, size_);
  size_ += frames.size();
  return {};
}

Result<void> Segment::sync() {
  SKERRY_TRY(reopen());
  return file_->sync();
}

Result<void> Segment::cut(uint64_t size) {
  SKERRY_TRY(reopen());
  SKERRY_TRY(file_->truncate(size));
  size_ = size;
  std::erase_if(index_, [&](const Mark& mark) { return mark.offset >= size; });
  return {};
}

Result<Segment::Scan> Segment::read(int64_t from, const Visit& visit) {
  SKERRY_TRY(reopen());
  Reader reader(*this);
  Scan scan;
  uint64_t offset = offset_before(from);
  scan.end = offset;
  while (offset < size_) {
    SKERRY_ASSIGN(const uint64_t next, reader.next_header(offset));
    if (next == size_) break;  // nothing more that could be told apart
    SKERRY_ASSIGN(const std::string_view bytes, reader.at(next, log_record::kFrameHeaderBytes));
    const log_record::FrameHeader header = *log_record::frame_header(bytes, {first_, next});
    const uint64_t behind = next + log_record::kFrameHeaderBytes + header.payload_bytes;
    if (behind > size_) {  // cut short, or the damage looks like a header
      offset = next + 1;
      continue;
    }
    SKERRY_ASSIGN(const std::string_view payload,
                  reader.at(next + log_record::kFrameHeaderBytes, header.payload_bytes));
    const bool intact = log_record::is_payload_of(header, payload) && header.sequence > scan.last;
    scan.damaged_bytes += next - scan.end + (intact ? 0 : behind - next);
    scan.last = std::max(scan.last, header.sequence);
    scan.end = offset = behind;
    if (!intact) continue;
    mark(header.sequence, next);
    ++scan.messages;
    scan.newest_ms = header.ingest_ms;
    if (header.sequence < from) continue;
    if (!visit({header.sequence, header.ingest_ms, std::string(payload)})) break;
  }
  return scan;
}

void Segment::mark(int64_t sequence, uint64_t offset) {
  if (!index_.empty() && offset < index_.back().offset + kMarkEveryBytes) return;
  index_.push_back({sequence, offset});
}

uint64_t Segment::offset_before(int64_t sequence) const {
  const auto after = std::ranges::upper_bound(index_, sequence, {}, &Mark::sequence);
  return after == index_.begin() ? log_record::kSegmentHeaderBytes : std::prev(after)->offset;
}

}  // namespace skerry::io
