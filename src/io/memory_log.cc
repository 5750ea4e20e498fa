// A log that ends with the program.
#include <algorithm>

#include "io/message_log.h"

namespace skerry::io {

Result<int64_t> MemoryLog::append(std::string_view payload, int64_t now_ms) {
  const int64_t size = log_record::size_of(payload.size());
  if (size > limits_.max_bytes || (!limits_.drops_oldest && bytes_ + size > limits_.max_bytes)) {
    return fail(Code::kResourceExhausted, "the stream is full");
  }
  while (bytes_ + size > limits_.max_bytes) drop_oldest();
  messages_.push_back({next_, now_ms, std::string(payload)});
  bytes_ += size;
  return next_++;
}

Result<std::vector<LogMessage>> MemoryLog::read(int64_t from, size_t max_count, size_t max_bytes) {
  std::vector<LogMessage> found;
  size_t bytes = 0;
  for (auto it = std::ranges::lower_bound(messages_, from, {}, &LogMessage::sequence);
       it != messages_.end() && found.size() < max_count; ++it) {
    bytes += it->payload.size();
    if (!found.empty() && bytes > max_bytes) break;
    found.push_back(*it);
  }
  return found;
}

LogRange MemoryLog::range() const {
  return {messages_.empty() ? next_ : messages_.front().sequence, next_ - 1, bytes_};
}

Result<void> MemoryLog::expire(int64_t before_ms) {
  while (!messages_.empty() && messages_.front().ingest_ms < before_ms) drop_oldest();
  return {};
}

void MemoryLog::drop_oldest() {
  bytes_ -= log_record::size_of(messages_.front().payload.size());
  messages_.pop_front();
}

}  // namespace skerry::io
