// What S3's requests say in headers: numbers, times, ETags, byte ranges and conditions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "fleet/records.h"
#include "net/http.h"

namespace skerry::fleet::aws {

std::optional<uint64_t> number_in(std::string_view text);  // decimal digits and nothing else
std::string http_time(int64_t wall_ms);
std::optional<int64_t> parse_http_time(const std::string& text);
std::string etag_of(std::string_view sha256);  // in quotes

// kUnsupported for a write that asks for what this store does not do: encryption, locks, tags,
// grants to others. Storage classes are taken for hints.
Result<void> check_promises(const net::Headers& headers);

struct ByteRange {
  uint64_t first = 0;
  uint64_t size = 0;
};
// The bytes that a Range header asks for: nothing where there is no (usable) header, a range of
// size 0 where the content has no such bytes. Several ranges are answered with the whole, as RFC
// 9110 lets a server do.
std::optional<ByteRange> range_of(std::string_view header, uint64_t size);
// x-amz-copy-source-range, which has to be "bytes=FIRST-LAST" inside the content; all of it where
// there is none.
Result<ByteRange> copy_range(const net::Headers& headers, uint64_t size);

// If-Match and If-None-Match of a write, of which `present` is what stands there now.
Result<void> check_write(const net::Headers& headers, const Result<ArtifactObject>& present);
// The four conditions of a read, or of a copy (`prefix` "x-amz-copy-source-") on its source.
enum class ReadCheck { kMet, kUnchanged, kFailed };
ReadCheck check_read(const net::Headers& headers, const std::string& prefix,
                     const ArtifactObject& object);
net::HttpResponse precondition_failed();

}  // namespace skerry::fleet::aws
