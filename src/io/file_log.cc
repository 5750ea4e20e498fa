// The order of writes is what makes a power cut harmless: a segment is synced before the next one
// is made, and its name is durable before anything is appended to it; the oldest go one after the
// other. So what is there is a run of segments, and only the last can end in the middle of a frame.
#include <algorithm>
#include <charconv>
#include <cinttypes>
#include <cstdio>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

#include "base/check.h"
#include "io/message_log.h"

namespace skerry::io {
namespace {

constexpr std::string_view kSuffix = ".segment";
constexpr size_t kDigits = 19;
constexpr int64_t kUnknown = std::numeric_limits<int64_t>::max();

std::string file_name(int64_t first) {
  char digits[kDigits + 1];
  std::snprintf(digits, sizeof digits, "%019" PRId64, first);
  return std::string(digits) + std::string(kSuffix);
}

// The number in a segment's name; nothing for other names.
std::optional<int64_t> first_of(std::string_view name) {
  if (name.size() != kDigits + kSuffix.size() || !name.ends_with(kSuffix)) return std::nullopt;
  int64_t first = 0;
  const char* const end = std::to_address(name.begin()) + kDigits;
  const auto parsed = std::from_chars(std::to_address(name.begin()), end, first);
  if (parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  return first;
}

}  // namespace

Result<std::unique_ptr<FileLog>> FileLog::create(Files& files, std::string directory,
                                                 const LogLimits& limits) {
  auto log = std::unique_ptr<FileLog>(new FileLog(files, std::move(directory), limits));
  SKERRY_TRY(log->add_segment(0));
  return log;
}

Result<std::unique_ptr<FileLog>> FileLog::open(Files& files, std::string directory,
                                               const LogLimits& limits) {
  auto log = std::unique_ptr<FileLog>(new FileLog(files, std::move(directory), limits));
  SKERRY_TRY(log->load());
  return log;
}

Result<void> FileLog::load() {
  // What is seen now must not vanish later.
  SKERRY_TRY(files_.sync_directory(directory_));
  SKERRY_ASSIGN(const std::vector<std::string> names, files_.list(directory_));
  for (const std::string& name : names) {
    const auto first = first_of(name);
    if (!first) continue;
    SKERRY_ASSIGN(auto segment, Segment::open(files_, directory_ + "/" + name, *first));
    segment.close();
    segments_.push_back({std::move(segment), kUnknown});
  }
  while (!segments_.empty()) {
    const uint64_t size = active().size_bytes();
    SKERRY_ASSIGN(const Segment::Scan scan, active().recover());
    // One that was begun and has no header yet: nothing was ever in it.
    if (!active().has_intact_header() && scan.last < 0) {
      SKERRY_TRY(files_.remove(active().path()));
      SKERRY_TRY(files_.sync_directory(directory_));
      segments_.pop_back();
      continue;
    }
    recovery_ = {.torn_bytes = size - active().size_bytes(), .damaged_bytes = scan.damaged_bytes};
    next_ = finished_ = std::max(scan.last + 1, active().first_sequence());
    if (scan.messages > 0) segments_.back().newest_ms = scan.newest_ms;
    break;
  }
  if (segments_.empty()) SKERRY_TRY(add_segment(0));
  for (const Sealed& each : segments_) {
    bytes_ += static_cast<int64_t>(each.segment.size_bytes() - log_record::kSegmentHeaderBytes);
  }
  dirty_ = true;  // an earlier process may have been killed before it synced
  return {};
}

Result<void> FileLog::add_segment(int64_t first) {
  const std::string path = directory_ + "/" + file_name(first);
  auto segment = Segment::create(files_, path, first);
  if (!segment) {
    remove_made(path);
    return fail(segment.error());
  }
  if (auto synced = files_.sync_directory(directory_); !synced) {
    remove_made(path);
    return synced;
  }
  segments_.push_back({std::move(*segment), kUnknown});
  return {};
}

// Its numbers are given again: it must not come back after a power cut.
void FileLog::remove_made(const std::string& path) {
  const auto removed = files_.remove(path);
  if (!removed && removed.error().code() == Code::kNotFound) return;
  if (!removed || !files_.sync_directory(directory_)) broken_ = true;
}

Result<void> FileLog::skip_to(int64_t next) {
  if (next <= next_) return {};
  SKERRY_TRY(active().sync());
  active().close();
  SKERRY_TRY(add_segment(next));
  next_ = finished_ = next;
  return {};
}

Result<int64_t> FileLog::append(std::string_view payload, int64_t now_ms) {
  if (broken_) {
    return fail(Code::kInternal, "a write to " + active().path() +
                                     " failed and could not be taken back: restart the program");
  }
  const int64_t size = log_record::size_of(payload.size());
  if (size > limits_.max_bytes) {
    return fail(Code::kResourceExhausted, "the message is larger than the stream may be, " +
                                              std::to_string(limits_.max_bytes) + " bytes");
  }
  if (!limits_.drops_oldest && bytes_ + part_bytes_ + size > limits_.max_bytes) {
    return fail(Code::kResourceExhausted, "the stream is full");
  }
  Part& part = part_with_room();
  const int64_t segment = part.opens_segment ? part.first : active().first_sequence();
  log_record::put_frame(part.frames, {segment, end_of(part)}, next_, now_ms, payload);
  part.newest_ms = now_ms;
  part_bytes_ += size;
  return next_++;
}

// The part that the next message belongs to. Small logs have small segments, so that what is
// dropped at once is a fraction of them.
FileLog::Part& FileLog::part_with_room() {
  const auto most = static_cast<uint64_t>(
      std::min(limits_.segment_bytes, std::max<int64_t>(limits_.max_bytes / 4, 1)));
  if (parts_.empty()) {
    const bool is_full =
        active().size_bytes() >= most && active().size_bytes() > log_record::kSegmentHeaderBytes;
    parts_.push_back({next_, is_full});
  } else if (end_of(parts_.back()) >= most) {
    parts_.push_back({next_, true});
  }
  return parts_.back();
}

uint64_t FileLog::end_of(const Part& part) const {
  const uint64_t begin =
      part.opens_segment ? log_record::kSegmentHeaderBytes : segments_.back().segment.size_bytes();
  return begin + part.frames.size();
}

Result<void> FileLog::finish(bool durable) {
  if (parts_.empty()) return durable ? sync() : Result<void>();
  const size_t segments = segments_.size();
  const uint64_t size = active().size_bytes();
  const auto written = write_parts(durable);
  parts_.clear();
  if (!written) {
    take_back(segments, size);
    next_ = finished_;
    part_bytes_ = 0;
    return written;
  }
  finished_ = next_;
  bytes_ += std::exchange(part_bytes_, 0);
  dirty_ = !durable;
  make_room();
  return {};
}

Result<void> FileLog::write_parts(bool durable) {
  for (const Part& part : parts_) {
    if (part.opens_segment) {
      SKERRY_TRY(active().sync());
      active().close();
      SKERRY_TRY(add_segment(part.first));
    }
    SKERRY_TRY(active().append(part.frames, part.first));
    segments_.back().newest_ms = part.newest_ms;
  }
  return durable ? active().sync() : Result<void>();
}

void FileLog::take_back(size_t segments, uint64_t size) {
  while (segments_.size() > segments) {
    const std::string path = active().path();
    segments_.pop_back();
    remove_made(path);
  }
  if (!active().cut(size)) broken_ = true;
  dirty_ = true;  // that it was cut
}

Result<void> FileLog::sync() {
  if (!dirty_) return {};
  SKERRY_TRY(active().sync());
  dirty_ = false;
  return {};
}

// Where a segment cannot be dropped now, the next append tries again.
void FileLog::make_room() {
  while (bytes_ > limits_.max_bytes && segments_.size() > 1) {
    if (!drop_oldest()) return;
  }
}

Result<void> FileLog::drop_oldest() {
  Segment& oldest = segments_.front().segment;
  SKERRY_TRY(files_.remove(oldest.path()));
  bytes_ -= static_cast<int64_t>(oldest.size_bytes() - log_record::kSegmentHeaderBytes);
  segments_.pop_front();
  return files_.sync_directory(directory_);
}

Result<std::vector<LogMessage>> FileLog::read(int64_t from, size_t max_count, size_t max_bytes) {
  std::vector<LogMessage> found;
  size_t bytes = 0;
  const auto take = [&](LogMessage&& message) {
    bytes += message.payload.size();
    if (!found.empty() && bytes > max_bytes) return false;
    found.push_back(std::move(message));
    return found.size() < max_count;
  };
  auto behind = std::ranges::upper_bound(
      segments_, from, {}, [](const Sealed& each) { return each.segment.first_sequence(); });
  if (behind != segments_.begin()) --behind;
  for (; behind != segments_.end() && found.size() < max_count && bytes <= max_bytes; ++behind) {
    SKERRY_TRY(behind->segment.read(from, take));
    if (&behind->segment != &active()) behind->segment.close();
  }
  return found;
}

LogRange FileLog::range() const {
  return {segments_.front().segment.first_sequence(), finished_ - 1, bytes_};
}

Result<void> FileLog::expire(int64_t before_ms) {
  SKERRY_CHECK(parts_.empty(), "nothing expires between an append and its finish");
  for (;;) {
    SKERRY_ASSIGN(const int64_t newest_ms, newest_ms_of(segments_.front()));
    if (newest_ms >= before_ms) return {};
    if (segments_.size() == 1) {
      SKERRY_TRY(active().sync());
      SKERRY_TRY(add_segment(next_));
    }
    SKERRY_TRY(drop_oldest());
  }
}

Result<void> FileLog::drop_before(int64_t sequence) {
  SKERRY_CHECK(parts_.empty(), "nothing is dropped between an append and its finish");
  for (;;) {
    const bool is_last = segments_.size() == 1;
    const int64_t behind = is_last ? next_ : segments_[1].segment.first_sequence();
    if (behind > sequence) return {};
    if (is_last) {
      if (active().size_bytes() <= log_record::kSegmentHeaderBytes) return {};
      SKERRY_TRY(active().sync());
      SKERRY_TRY(add_segment(next_));
    }
    SKERRY_TRY(drop_oldest());
  }
}

// Of segments that were sealed by an earlier process nobody knows yet.
Result<int64_t> FileLog::newest_ms_of(Sealed& sealed) {
  if (sealed.newest_ms != kUnknown || &sealed == &segments_.back()) return sealed.newest_ms;
  SKERRY_ASSIGN(const Segment::Scan scan, sealed.segment.read(sealed.segment.first_sequence(),
                                                              [](LogMessage&&) { return true; }));
  return sealed.newest_ms = scan.newest_ms;
}

}  // namespace skerry::io
