// Uploads in parts: begun, filled in any order, and put together on the pool.
#include <fmt/format.h>
#include <algorithm>

#include "base/encoding.h"
#include "base/iso_time.h"
#include "base/log.h"
#include "fleet/aws/artifact_api.h"
#include "fleet/aws/s3_headers.h"
#include "fleet/aws/s3_upload.h"
#include "fleet/aws/s3_xml.h"

namespace skerry::fleet::aws {
namespace {

using net::HttpResponse;

constexpr uint64_t kCopyPieceBytes = 1 << 20;

std::string_view unquoted(std::string_view etag) {
  if (etag.size() >= 2 && etag.starts_with('"') && etag.ends_with('"')) {
    etag = etag.substr(1, etag.size() - 2);
  }
  return etag;
}

HttpResponse upload_error(const Error& error) {
  if (error.code() == Code::kNotFound) return s3_error(404, "NoSuchUpload", error.message());
  if (error.code() == Code::kInvalidArgument) return s3_error(400, "InvalidPart", error.message());
  return s3_error(error);
}

std::optional<uint32_t> part_number(std::string_view text) {
  const auto number = number_in(text);
  if (!number || *number < 1 || *number > MultipartUploads::kMaxParts) return std::nullopt;
  return static_cast<uint32_t>(*number);
}

// <CompleteMultipartUpload><Part><PartNumber/><ETag/><ChecksumCRC32/></Part>…
Result<std::vector<ClaimedPart>> claimed_parts(std::string_view body) {
  SKERRY_ASSIGN(XmlElement document, parse_xml(body));
  std::vector<ClaimedPart> parts;
  for (const XmlElement& child : document.children) {
    if (child.name != "Part") continue;
    auto number = part_number(child.child_text("PartNumber"));
    if (!number) return fail(Code::kInvalidArgument, "PartNumber must be 1 to 10000");
    ClaimedPart part{*number, std::string(unquoted(child.child_text("ETag"))), {}};
    for (const XmlElement& field : child.children) {
      if (!field.name.starts_with("Checksum")) continue;
      auto kind = checksum_kind(field.name.substr(8));
      auto raw = base64_decode(field.text);
      if (!kind || !raw) return fail(Code::kInvalidArgument, "no such checksum: " + field.name);
      part.checksums.emplace_back(*kind, *raw);
    }
    parts.push_back(std::move(part));
  }
  if (parts.empty()) return fail(Code::kInvalidArgument, "an upload has at least one part");
  return parts;
}

// What the client says of the whole, in headers: of all bytes, or "CHECKSUM-PARTS" of the parts'.
struct WholeClaim {
  ChecksumKind kind;
  std::string raw;
  bool is_composite = false;
};
Result<std::vector<WholeClaim>> whole_claims(const net::Headers& headers) {
  std::vector<WholeClaim> claims;
  net::Headers plain;
  const bool composite = headers.get("x-amz-checksum-type") == "COMPOSITE";
  for (const auto& [name, value] : headers.fields())
    plain.add(name, value.substr(0, value.find('-')));
  SKERRY_ASSIGN(auto checksums, UploadClaims::checksums_of(plain));
  for (auto& [kind, raw] : checksums) claims.push_back({kind, std::move(raw), composite});
  return claims;
}

bool is_true(const WholeClaim& claim, const MultipartUploads::Completed& completed) {
  const auto& computed = claim.is_composite ? completed.composite : completed.content.checksums;
  return std::ranges::any_of(
      computed, [&](const auto& c) { return c.first == claim.kind && c.second == claim.raw; });
}

}  // namespace

io::Task<Result<MultipartUpload>> ArtifactApi::find_upload(const S3Request& request) {
  co_return co_await io::run_on(
      env_.pool, env_.loop,
      [uploads = uploads_, id = request.option("uploadId"), bucket = request.bucket,
       key = request.key] { return uploads.find(id, bucket, key); });
}

io::Task<HttpResponse> ArtifactApi::create_upload(const S3Request& request) {
  MultipartUpload upload{env_.random.uuid(), request.bucket, request.key,
                         kept_headers(request.http.headers), env_.clock.wall_ms()};
  auto created = co_await io::run_on(env_.pool, env_.loop, [uploads = uploads_, upload]() mutable {
    return uploads.create(upload);
  });
  if (!created) co_return s3_error(created.error());
  HttpResponse response =
      xml_response("InitiateMultipartUploadResult", xml_element("Bucket", request.bucket) +
                                                        xml_element("Key", request.key) +
                                                        xml_element("UploadId", upload.id));
  for (const char* name : {"x-amz-checksum-algorithm", "x-amz-checksum-type"}) {
    const std::string_view value = request.http.headers.get(name);
    if (!value.empty()) response.headers.set(name, std::string(value));
  }
  co_return response;
}

io::Task<Result<void>> ArtifactApi::keep_part(const MultipartUpload& upload, uint32_t number,
                                              ArtifactStore::Upload& content,
                                              const std::string& sha256) {
  SKERRY_CO_TRY(co_await content.commit_as(uploads_.part_path(upload.id, number, sha256)));
  co_return co_await io::run_on(env_.pool, env_.loop,
                                [uploads = uploads_, id = upload.id, number, sha256]() mutable {
                                  return uploads.replace_part(id, number, sha256);
                                });
}

io::Task<HttpResponse> ArtifactApi::upload_part(const S3Request& request) {
  if (!request.http.sink) co_return co_await copy_part(request);
  auto number = part_number(request.option("partNumber"));
  if (!number) co_return s3_error(400, "InvalidArgument", "partNumber must be 1 to 10000");
  auto sink = std::static_pointer_cast<UploadSink>(request.http.sink);
  auto upload = co_await find_upload(request);
  if (!upload) co_return upload_error(upload.error());
  auto content = co_await sink->finish();
  if (!content) co_return std::move(content.error());
  auto kept = co_await keep_part(*upload, *number, sink->upload(), content->sha256);
  if (!kept) co_return upload_error(kept.error());
  HttpResponse response;
  response.headers.set("ETag", etag_of(content->sha256));
  add_checksum_headers(response, *content);
  co_return response;
}

// Bytes of an object that is here become a part.
io::Task<HttpResponse> ArtifactApi::copy_part(const S3Request& request) {
  auto number = part_number(request.option("partNumber"));
  if (!number) co_return s3_error(400, "InvalidArgument", "partNumber must be 1 to 10000");
  auto source = co_await copy_source(request);
  if (!source) co_return std::move(source.error());
  auto range = copy_range(request.http.headers, source->size_bytes);
  if (!range) co_return s3_error(400, "InvalidArgument", range.error().message());
  auto found = co_await find_upload(request);
  if (!found) co_return upload_error(found.error());
  auto upload = artifacts_.begin_upload(range->size);
  if (!upload) co_return s3_error(upload.error());
  auto opened = env_.files.open(artifacts_.path_of(source->sha256), io::OpenMode::kRead);
  if (!opened) co_return s3_error(opened.error());
  const std::shared_ptr<io::File> file = std::move(*opened);
  for (uint64_t at = range->first, end = at + range->size; at < end;) {
    auto piece = co_await io::run_on(
        env_.pool, env_.loop,
        [file, at, size = std::min(kCopyPieceBytes, end - at)] { return file->read_at(at, size); });
    if (piece && piece->empty()) piece = fail(Code::kCorrupt, "the source is shorter than it was");
    if (!piece) co_return s3_error(piece.error());
    at += piece->size();
    (*upload)->write(*piece);
    if (auto drained = co_await (*upload)->drain(); !drained) co_return s3_error(drained.error());
  }
  auto content = co_await (*upload)->seal();
  if (!content) co_return s3_error(content.error());
  auto kept = co_await keep_part(*found, *number, **upload, content->sha256);
  if (!kept) co_return upload_error(kept.error());
  co_return xml_response("CopyPartResult",
                         xml_element("LastModified", iso_time(env_.clock.wall_ms())) +
                             xml_element("ETag", etag_of(content->sha256)));
}

io::Task<HttpResponse> ArtifactApi::complete_upload(const S3Request& request) {
  auto claimed = claimed_parts(request.http.body);
  if (!claimed) co_return s3_error(400, "MalformedXML", claimed.error().message());
  auto whole = whole_claims(request.http.headers);
  if (!whole) co_return s3_error(whole.error());
  auto upload = co_await find_upload(request);
  if (!upload) co_return upload_error(upload.error());
  std::vector<ChecksumKind> kinds;
  for (const WholeClaim& claim : *whole) kinds.push_back(claim.kind);
  auto writer = artifacts_.begin_content(kinds);
  auto completed = co_await io::run_on(
      env_.pool, env_.loop,
      [uploads = uploads_, writer, id = upload->id, claimed = *claimed, whole = *whole,
       commit = artifacts_.committer()]() -> Result<MultipartUploads::Completed> {
        SKERRY_ASSIGN(auto assembled, uploads.assemble(id, claimed, *writer));
        for (const WholeClaim& claim : whole) {
          if (is_true(claim, assembled)) continue;
          return fail(Code::kCorrupt, fmt::format("the {} you specified is not that of the upload",
                                                  checksum_name(claim.kind)));
        }
        SKERRY_TRY(commit(*writer, assembled.content));
        return assembled;
      });
  if (!completed && completed.error().code() == Code::kCorrupt) {
    co_return s3_error(400, "BadDigest", completed.error().message());
  }
  if (!completed) co_return upload_error(completed.error());
  const SealedContent& content = completed->content;
  auto named = co_await name_content(
      request, {request.bucket, request.key, content.sha256, content.size_bytes,
                env_.clock.wall_ms(), upload->headers_json});
  if (!named) co_return s3_error(named.error());
  auto removed = co_await io::run_on(
      env_.pool, env_.loop,
      [uploads = uploads_, id = upload->id]() mutable { return uploads.remove(id); });
  // The object is there; what stays behind goes with the next collection.
  if (!removed) log::warn("artifacts", "parts stay", {{"error", removed.error().message()}});
  co_return xml_response(
      "CompleteMultipartUploadResult",
      xml_element("Location", request.resource()) + xml_element("Bucket", request.bucket) +
          xml_element("Key", request.key) + xml_element("ETag", etag_of(content.sha256)));
}

io::Task<HttpResponse> ArtifactApi::abort_upload(const S3Request& request) {
  auto upload = co_await find_upload(request);
  if (!upload) co_return upload_error(upload.error());
  auto removed = co_await io::run_on(
      env_.pool, env_.loop,
      [uploads = uploads_, id = upload->id]() mutable { return uploads.remove(id); });
  if (!removed) co_return s3_error(removed.error());
  co_return HttpResponse{.status = 204};
}

io::Task<HttpResponse> ArtifactApi::list_parts(const S3Request& request) {
  auto upload = co_await find_upload(request);
  if (!upload) co_return upload_error(upload.error());
  auto parts = co_await io::run_on(
      env_.pool, env_.loop, [uploads = uploads_, id = upload->id] { return uploads.parts(id); });
  if (!parts) co_return upload_error(parts.error());
  const uint32_t after = part_number(request.option("part-number-marker")).value_or(0);
  const size_t limit =
      std::min<size_t>(1000, part_number(request.option("max-parts")).value_or(1000));
  std::erase_if(*parts, [&](const UploadPart& part) { return part.number <= after; });
  const bool truncated = parts->size() > limit;
  if (truncated) parts->resize(limit);
  std::string inner = xml_element("Bucket", request.bucket) + xml_element("Key", request.key) +
                      xml_element("UploadId", upload->id) +
                      xml_element("MaxParts", std::to_string(limit)) +
                      xml_element("IsTruncated", truncated ? "true" : "false");
  if (truncated) inner += xml_element("NextPartNumberMarker", std::to_string(parts->back().number));
  for (const UploadPart& part : *parts) {
    inner +=
        fmt::format("<Part>{}{}{}</Part>", xml_element("PartNumber", std::to_string(part.number)),
                    xml_element("ETag", etag_of(part.sha256)),
                    xml_element("Size", std::to_string(part.size_bytes)));
  }
  co_return xml_response("ListPartsResult", inner);
}

io::Task<HttpResponse> ArtifactApi::list_uploads(const S3Request& request) {
  auto uploads =
      co_await io::run_on(env_.pool, env_.loop, [uploads = uploads_] { return uploads.list(); });
  if (!uploads) co_return s3_error(uploads.error());
  std::string inner = xml_element("Bucket", request.bucket) + xml_element("IsTruncated", "false");
  for (const MultipartUpload& upload : *uploads) {
    if (upload.bucket != request.bucket || !upload.key.starts_with(request.option("prefix")))
      continue;
    inner += fmt::format("<Upload>{}{}{}</Upload>", xml_element("Key", upload.key),
                         xml_element("UploadId", upload.id),
                         xml_element("Initiated", iso_time(upload.created_ms)));
  }
  co_return xml_response("ListMultipartUploadsResult", inner);
}

}  // namespace skerry::fleet::aws
