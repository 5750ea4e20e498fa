// The state machine of aws-chunked, and its chain of signatures ("Transferring payload in multiple
// chunks" of the Amazon S3 API reference).
#include "net/aws_chunked.h"

#include <algorithm>
#include <charconv>

#include "base/encoding.h"

namespace skerry::net {
namespace {

constexpr size_t kMaxLineBytes = 1024;
constexpr size_t kMaxTrailerBytes = 8 << 10;
constexpr std::string_view kSignatureName = "chunk-signature=";
constexpr std::string_view kTrailerSignature = "x-amz-trailer-signature";

std::unexpected<Error> malformed(std::string_view what) {
  return fail(Code::kInvalidArgument, "aws-chunked: " + std::string(what));
}

std::string_view trimmed(std::string_view text) {
  const auto is_blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace

Result<AwsChunkedDecoder> AwsChunkedDecoder::make(std::string_view payload, uint64_t content_bytes,
                                                  SigV4Chain chain) {
  if (payload == "STREAMING-UNSIGNED-PAYLOAD-TRAILER") {
    return AwsChunkedDecoder(false, true, content_bytes, std::move(chain));
  }
  if (payload == "STREAMING-AWS4-HMAC-SHA256-PAYLOAD") {
    return AwsChunkedDecoder(true, false, content_bytes, std::move(chain));
  }
  if (payload == "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER") {
    return AwsChunkedDecoder(true, true, content_bytes, std::move(chain));
  }
  return fail(Code::kUnsupported,
              "x-amz-content-sha256: " + std::string(payload) + " is not supported");
}

Result<void> AwsChunkedDecoder::write(std::string_view bytes, const Content& content) {
  while (!bytes.empty()) {
    if (state_ == State::kEnd) return malformed("bytes after its end");
    if (state_ == State::kData) {
      const size_t count = std::min<uint64_t>(chunk_left_, bytes.size());
      const std::string_view data = bytes.substr(0, count);
      if (is_signed_) chunk_sha256_.update(data);
      SKERRY_TRY(content(data));
      bytes.remove_prefix(count);
      chunk_left_ -= count;
      if (chunk_left_ == 0) state_ = State::kDataEnd;
      continue;
    }
    const size_t end = bytes.find('\n');
    const size_t count = end == std::string_view::npos ? bytes.size() : end + 1;
    if (line_.size() + count > kMaxLineBytes) return malformed("a line is too long");
    line_.append(bytes.substr(0, count));
    bytes.remove_prefix(count);
    if (end == std::string_view::npos) return {};
    SKERRY_TRY(take_line());
    line_.clear();
  }
  return {};
}

Result<void> AwsChunkedDecoder::take_line() {
  std::string_view line = line_;
  line.remove_suffix(line.ends_with("\r\n") ? 2 : 1);
  if (state_ == State::kTrailer) return take_trailer(line);
  if (!line_.ends_with("\r\n")) return malformed("a line does not end in CR LF");
  if (state_ == State::kChunkHeader) return begin_chunk(line);
  if (!line.empty()) return malformed("a chunk is longer than its size");
  return end_chunk();
}

// "SIZE" or "SIZE;chunk-signature=HEX".
Result<void> AwsChunkedDecoder::begin_chunk(std::string_view line) {
  const std::string_view digits = line.substr(0, line.find(';'));
  const char* const last = digits.data() + digits.size();
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), chunk_left_, 16);
  if (error != std::errc() || end != last || line.starts_with('-')) {
    return malformed("a chunk without a size");
  }
  line.remove_prefix(digits.size());
  if (is_signed_) {
    if (!line.starts_with(';') || !line.substr(1).starts_with(kSignatureName)) {
      return malformed("a chunk without chunk-signature");
    }
    chunk_signature_ = line.substr(1 + kSignatureName.size());
  }
  if (chunk_left_ > content_bytes_ - seen_bytes_) {
    return malformed("longer than x-amz-decoded-content-length");
  }
  seen_bytes_ += chunk_left_;
  last_chunk_ = chunk_left_ == 0;
  if (!last_chunk_) {
    state_ = State::kData;
    return {};
  }
  if (seen_bytes_ != content_bytes_) return malformed("shorter than x-amz-decoded-content-length");
  // Without trailers the last chunk ends like any other: with an empty line.
  if (!has_trailer_) {
    state_ = State::kDataEnd;
    return {};
  }
  SKERRY_TRY(end_chunk());
  state_ = State::kTrailer;
  return {};
}

Result<void> AwsChunkedDecoder::end_chunk() {
  if (is_signed_) {
    const std::string digest = hex_encode(std::exchange(chunk_sha256_, Sha256()).finish());
    if (!chain_.accept_chunk(digest, chunk_signature_)) {
      return fail(Code::kPermissionDenied, "the signature of a chunk is not the one we calculate");
    }
  }
  state_ = last_chunk_ ? State::kEnd : State::kChunkHeader;
  return {};
}

Result<void> AwsChunkedDecoder::take_trailer(std::string_view line) {
  if (line.empty()) {
    // Some clients put an empty line before the signature of what stands above it.
    if (is_signed_ && trailer_signature_.empty()) return {};
    return end_trailers();
  }
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || colon == 0) return malformed("a trailer without a colon");
  const std::string_view value = trimmed(line.substr(colon + 1));
  std::string name(line.substr(0, colon));
  std::ranges::transform(name, name.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  if (name == kTrailerSignature) {
    trailer_signature_ = value;
    return {};
  }
  canonical_trailers_.append(name).append(":").append(value).append("\n");
  if (canonical_trailers_.size() > kMaxTrailerBytes) return malformed("too many trailers");
  trailers_.add(std::move(name), std::string(value));
  return {};
}

Result<void> AwsChunkedDecoder::end_trailers() {
  if (is_signed_ && !chain_.accept_trailer(canonical_trailers_, trailer_signature_)) {
    return fail(Code::kPermissionDenied, "x-amz-trailer-signature is not the one we calculate");
  }
  state_ = State::kEnd;
  return {};
}

Result<void> AwsChunkedDecoder::finish() const {
  if (state_ != State::kEnd) return malformed("the body ends too early");
  return {};
}

}  // namespace skerry::net
