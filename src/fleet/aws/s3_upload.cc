// Claims from headers and trailers, and what S3 calls it when they are not true.
#include "fleet/aws/s3_upload.h"

#include <fmt/format.h>
#include <algorithm>

#include "base/encoding.h"
#include "fleet/aws/s3_headers.h"
#include "fleet/aws/s3_xml.h"

namespace skerry::fleet::aws {
namespace {

constexpr std::string_view kChecksumPrefix = "x-amz-checksum-";
constexpr std::string_view kUnsigned = "UNSIGNED-PAYLOAD";

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return result;
}

// The raw checksum of a header's value.
Result<std::string> checksum_value(ChecksumKind kind, std::string_view text) {
  auto raw = base64_decode(text);
  if (!raw || raw->size() != Checksum(kind).finish().size()) {
    return fail(Code::kInvalidArgument,
                fmt::format("the {} is not Base64 of such a checksum", checksum_name(kind)));
  }
  return *raw;
}

// Of "x-amz-checksum-NAME"; nothing for the headers that say something about checksums.
Result<std::optional<ChecksumKind>> kind_of_header(std::string_view name) {
  if (!name.starts_with(kChecksumPrefix)) return std::nullopt;
  name.remove_prefix(kChecksumPrefix.size());
  if (name == "algorithm" || name == "type" || name == "mode") return std::nullopt;
  auto kind = checksum_kind(name);
  if (!kind) {
    return fail(Code::kInvalidArgument,
                fmt::format("the checksum algorithm {} is not known here: use CRC32, CRC32C, "
                            "CRC64NVME, SHA1 or SHA256",
                            name));
  }
  return kind;
}

}  // namespace

Result<std::vector<std::pair<ChecksumKind, std::string>>> UploadClaims::checksums_of(
    const net::Headers& headers) {
  std::vector<std::pair<ChecksumKind, std::string>> checksums;
  for (const auto& [name, value] : headers.fields()) {
    SKERRY_ASSIGN(auto kind, kind_of_header(lower(name)));
    if (!kind) continue;
    SKERRY_ASSIGN(std::string raw, checksum_value(*kind, value));
    checksums.emplace_back(*kind, std::move(raw));
  }
  return checksums;
}

Result<UploadClaims> UploadClaims::of(const net::HttpRequest& head,
                                      const net::SigV4Caller& caller) {
  const net::Headers& headers = head.headers;
  UploadClaims claims;
  const bool streams = caller.payload.starts_with("STREAMING-");
  if (!streams && caller.payload != kUnsigned) claims.sha256 = caller.payload;
  SKERRY_ASSIGN(claims.checksums, checksums_of(headers));
  if (headers.has("Content-MD5")) {
    SKERRY_ASSIGN(std::string raw, checksum_value(ChecksumKind::kMd5, headers.get("Content-MD5")));
    claims.checksums.emplace_back(ChecksumKind::kMd5, std::move(raw));
  }
  if (headers.has("x-amz-trailer")) {
    SKERRY_ASSIGN(auto kind, kind_of_header(lower(headers.get("x-amz-trailer"))));
    if (!kind || !streams) {
      return fail(Code::kInvalidArgument,
                  "x-amz-trailer must name one checksum of a streamed body");
    }
    claims.trailers.push_back(*kind);
  }
  claims.length =
      number_in(headers.get(streams ? "x-amz-decoded-content-length" : "Content-Length"));
  if (streams && !claims.length) {
    return fail(Code::kInvalidArgument, "x-amz-decoded-content-length is missing");
  }
  return claims;
}

std::vector<ChecksumKind> UploadClaims::kinds() const {
  std::vector<ChecksumKind> result = trailers;
  for (const auto& [kind, raw] : checksums) {
    if (std::ranges::find(result, kind) == result.end()) result.push_back(kind);
  }
  return result;
}

std::expected<std::shared_ptr<UploadSink>, net::HttpResponse> UploadSink::make(
    ArtifactStore& artifacts, const net::HttpRequest& head, const net::SigV4Caller& caller) {
  auto claims = UploadClaims::of(head, caller);
  if (!claims) return std::unexpected(s3_error(claims.error()));
  if (!claims->length) {
    return std::unexpected(
        s3_error(411, "MissingContentLength", "You must provide the Content-Length HTTP header."));
  }
  auto upload = artifacts.begin_upload(*claims->length, claims->kinds());
  if (!upload) return std::unexpected(s3_error(upload.error()));
  std::shared_ptr<UploadSink> sink(
      new UploadSink(std::move(*upload), *claims, caller.access_key_id));
  if (caller.payload.starts_with("STREAMING-")) {
    auto decoder = net::AwsChunkedDecoder::make(caller.payload, *claims->length, caller.chain);
    if (!decoder) return std::unexpected(s3_error(decoder.error()));
    sink->decoder_.emplace(std::move(*decoder));
  }
  return sink;
}

Result<void> UploadSink::write(std::string_view bytes) {
  if (!decoder_) {
    upload_->write(bytes);
    return {};
  }
  return decoder_->write(bytes, [this](std::string_view content) -> Result<void> {
    upload_->write(content);
    return {};
  });
}

std::optional<net::HttpResponse> UploadSink::take_trailers() {
  if (auto whole = decoder_->finish(); !whole) {
    return s3_error(400, "IncompleteBody", whole.error().message());
  }
  auto checksums = UploadClaims::checksums_of(decoder_->trailers());
  if (!checksums) return s3_error(checksums.error());
  for (auto& checksum : *checksums) {
    if (std::ranges::find(claims_.trailers, checksum.first) == claims_.trailers.end()) {
      return s3_error(400, "MalformedTrailerError", "a trailer was not announced in x-amz-trailer");
    }
    std::erase(claims_.trailers, checksum.first);
    claims_.checksums.push_back(std::move(checksum));
  }
  if (claims_.trailers.empty()) return std::nullopt;
  return s3_error(400, "MalformedTrailerError", "the trailer that x-amz-trailer names is missing");
}

std::optional<net::HttpResponse> UploadSink::compare(const SealedContent& content) const {
  if (!claims_.sha256.empty() && claims_.sha256 != content.sha256) {
    return s3_error(400, "XAmzContentSHA256Mismatch",
                    "The provided 'x-amz-content-sha256' header does not match what was computed.");
  }
  for (const auto& [kind, raw] : claims_.checksums) {
    const auto same = [&](const auto& computed) {
      return computed.first == kind && computed.second == raw;
    };
    if (std::ranges::any_of(content.checksums, same)) continue;
    return s3_error(400, "BadDigest",
                    fmt::format("The {} you specified did not match the calculated checksum.",
                                checksum_name(kind)));
  }
  return std::nullopt;
}

io::Task<std::expected<SealedContent, net::HttpResponse>> UploadSink::finish() {
  if (decoder_) {
    if (auto refused = take_trailers()) co_return std::unexpected(std::move(*refused));
  }
  auto content = co_await upload_->seal();
  if (!content) co_return std::unexpected(s3_error(content.error()));
  if (auto refused = compare(*content)) co_return std::unexpected(std::move(*refused));
  co_return std::move(*content);
}

void add_checksum_headers(net::HttpResponse& response, const SealedContent& content) {
  for (const auto& [kind, raw] : content.checksums) {
    if (kind == ChecksumKind::kMd5) continue;
    response.headers.set(fmt::format("{}{}", kChecksumPrefix, lower(checksum_name(kind))),
                         base64_encode(raw));
  }
}

}  // namespace skerry::fleet::aws
