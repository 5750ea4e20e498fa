// Dates as in RFC 9110; an ETag is the content's SHA-256.
#include "fleet/aws/s3_headers.h"

#include <strings.h>

#include <fmt/format.h>
#include <algorithm>
#include <charconv>
#include <ctime>

#include "fleet/aws/s3_xml.h"

namespace skerry::fleet::aws {
namespace {

constexpr const char* kTimeFormat = "%a, %d %b %Y %H:%M:%S GMT";

// Whether a list of ETags names `etag`.
bool matches(std::string_view list, const std::string& etag) {
  return list == "*" || list.find(etag) != std::string_view::npos;
}

}  // namespace

std::optional<uint64_t> number_in(std::string_view text) {
  uint64_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::string http_time(int64_t wall_ms) {
  const std::time_t seconds = wall_ms / 1000;
  std::tm parts{};
  char text[40];
  return {text, std::strftime(text, sizeof text, kTimeFormat, gmtime_r(&seconds, &parts))};
}

std::optional<int64_t> parse_http_time(const std::string& text) {
  std::tm parts{};
  if (text.empty() || !::strptime(text.c_str(), kTimeFormat, &parts)) return std::nullopt;
  return static_cast<int64_t>(::timegm(&parts)) * 1000;
}

Result<void> check_promises(const net::Headers& headers) {
  constexpr std::string_view kNotKept[] = {"x-amz-server-side-encryption",
                                           "x-amz-object-lock-",
                                           "x-amz-website-redirect-location",
                                           "x-amz-grant-",
                                           "x-amz-tagging",
                                           "x-amz-write-offset-bytes"};
  constexpr std::string_view kUsualAcls[] = {"private", "bucket-owner-read",
                                             "bucket-owner-full-control"};
  for (const auto& [name, value] : headers.fields()) {
    const auto begins = [&name](std::string_view with) {
      return name.size() >= with.size() && strncasecmp(name.c_str(), with.data(), with.size()) == 0;
    };
    const bool shares = begins("x-amz-acl") && std::ranges::count(kUsualAcls, value) == 0;
    if (!shares && std::ranges::none_of(kNotKept, begins)) continue;
    return fail(Code::kUnsupported, name +
                                        ": this artifact store does not do that; send the "
                                        "request without it");
  }
  return {};
}

std::string etag_of(std::string_view sha256) {
  return fmt::format("\"{}\"", sha256);
}

std::optional<ByteRange> range_of(std::string_view header, uint64_t size) {
  if (!header.starts_with("bytes=") || header.find(',') != std::string_view::npos) {
    return std::nullopt;
  }
  header.remove_prefix(6);
  const size_t dash = header.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  auto first = number_in(header.substr(0, dash));
  auto last = number_in(header.substr(dash + 1));
  if (dash == 0) {  // the last so many bytes
    if (!last) return std::nullopt;
    const uint64_t count = std::min(*last, size);
    return ByteRange{size - count, count};
  }
  if (!first || (!last && dash + 1 != header.size()) || (last && *last < *first)) {
    return std::nullopt;
  }
  if (*first >= size) return ByteRange{};
  const uint64_t end = last ? std::min(*last, size - 1) + 1 : size;
  return ByteRange{*first, end - *first};
}

Result<ByteRange> copy_range(const net::Headers& headers, uint64_t size) {
  const std::string_view header = headers.get("x-amz-copy-source-range");
  if (header.empty()) return ByteRange{0, size};
  const auto range = range_of(header, size);
  const size_t dash = header.find('-');
  // Not more or less than was asked for, as readers may get.
  if (range && range->size > 0 && dash + 1 < header.size() &&
      number_in(header.substr(dash + 1)) == range->first + range->size - 1 &&
      !header.starts_with("bytes=-")) {
    return *range;
  }
  return fail(Code::kInvalidArgument,
              fmt::format("x-amz-copy-source-range must be bytes=FIRST-LAST within the source, "
                          "which has {} bytes",
                          size));
}

Result<void> check_write(const net::Headers& headers, const Result<ArtifactObject>& present) {
  if (!present && present.error().code() != Code::kNotFound) return fail(present.error());
  const std::string_view none = headers.get("If-None-Match");
  if (!none.empty() && present && matches(none, etag_of(present->sha256))) {
    return fail(Code::kFailedPrecondition, "If-None-Match: the object exists");
  }
  const std::string_view match = headers.get("If-Match");
  if (match.empty()) return {};
  if (!present) return fail(Code::kNotFound, "If-Match: there is no such object");
  if (!matches(match, etag_of(present->sha256)) && match != present->sha256) {
    return fail(Code::kFailedPrecondition, "If-Match: the object has another ETag");
  }
  return {};
}

ReadCheck check_read(const net::Headers& headers, const std::string& prefix,
                     const ArtifactObject& object) {
  const auto get = [&](const char* name) { return headers.get(prefix + name); };
  const int64_t modified_ms = object.modified_ms / 1000 * 1000;
  if (!get("If-Match").empty()) {
    if (!matches(get("If-Match"), object.sha256)) return ReadCheck::kFailed;
  } else if (auto since = parse_http_time(std::string(get("If-Unmodified-Since")));
             since && modified_ms > *since) {
    return ReadCheck::kFailed;
  }
  bool unchanged = false;
  if (!get("If-None-Match").empty()) {
    unchanged = matches(get("If-None-Match"), object.sha256);
  } else if (auto since = parse_http_time(std::string(get("If-Modified-Since")))) {
    unchanged = modified_ms <= *since;
  }
  return unchanged ? ReadCheck::kUnchanged : ReadCheck::kMet;
}

net::HttpResponse precondition_failed() {
  return s3_error(412, "PreconditionFailed",
                  "At least one of the pre-conditions you specified did not hold");
}

}  // namespace skerry::fleet::aws
