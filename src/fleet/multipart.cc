// A directory for each upload; names that clients choose never become paths.
#include "fleet/multipart.h"

#include <fmt/format.h>
#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "formats/json_ptr.h"

namespace skerry::fleet {
namespace {

using nlohmann::json;

constexpr size_t kPieceBytes = 1 << 20;
constexpr const char* kDescription = "upload.json";

bool is_upload_id(std::string_view id) {
  return !id.empty() && id.size() <= 64 && std::ranges::all_of(id, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-';
  });
}

std::unexpected<Error> no_such_upload() {
  return fail(Code::kNotFound, "there is no such multipart upload: it was completed or aborted");
}

// "00007-SHA256" of a part; nothing for other names.
std::optional<UploadPart> part_of(const std::string& name) {
  UploadPart part;
  const auto [end, error] = std::from_chars(name.data(), name.data() + 5, part.number);
  if (name.size() != 70 || error != std::errc() || end != name.data() + 5 || name[5] != '-') {
    return std::nullopt;
  }
  part.sha256 = name.substr(6);
  return part;
}

}  // namespace

std::string MultipartUploads::directory_of(const std::string& id) const {
  return directory_ + "/" + id;
}

std::string MultipartUploads::part_path(const std::string& id, uint32_t number,
                                        const std::string& sha256) const {
  return fmt::format("{}/{:05}-{}", directory_of(id), number, sha256);
}

Result<void> MultipartUploads::create(const MultipartUpload& upload) {
  SKERRY_TRY(files_.make_directory(directory_of(upload.id), 0700));
  const json description = {{"bucket", upload.bucket},
                            {"key", upload.key},
                            {"headers", upload.headers_json},
                            {"createdMs", upload.created_ms}};
  SKERRY_TRY(io::write_file_atomic(files_, directory_of(upload.id) + "/" + kDescription,
                                   formats::json_text(description), 0600));
  return files_.sync_directory(directory_);
}

Result<MultipartUpload> MultipartUploads::find(const std::string& id, const std::string& bucket,
                                               const std::string& key) const {
  if (!is_upload_id(id)) return no_such_upload();
  auto text = io::read_file(files_, directory_of(id) + "/" + kDescription);
  if (!text && text.error().code() == Code::kNotFound) return no_such_upload();
  if (!text) return fail(text.error());
  auto stored = formats::parse_json(*text);
  MultipartUpload upload{id, "", "", "", 0};
  if (stored && stored->is_object()) {
    upload.bucket = stored->value("bucket", "");
    upload.key = stored->value("key", "");
    upload.headers_json = stored->value("headers", "{}");
    upload.created_ms = stored->value("createdMs", int64_t{0});
  }
  if (!bucket.empty() && (upload.bucket != bucket || upload.key != key)) return no_such_upload();
  return upload;
}

Result<std::vector<MultipartUpload>> MultipartUploads::list() const {
  SKERRY_ASSIGN(auto names, files_.list(directory_));
  std::vector<MultipartUpload> uploads;
  for (const std::string& name : names) {
    auto upload = find(name, "", "");
    if (upload) uploads.push_back(std::move(*upload));
  }
  return uploads;
}

Result<std::vector<UploadPart>> MultipartUploads::parts(const std::string& id) const {
  if (!is_upload_id(id)) return no_such_upload();
  auto names = files_.list(directory_of(id));
  if (!names) return no_such_upload();
  std::vector<UploadPart> parts;
  for (const std::string& name : *names) {
    auto part = part_of(name);
    if (!part) continue;
    SKERRY_ASSIGN(auto info, files_.stat(directory_of(id) + "/" + name));
    part->size_bytes = info.size_bytes;
    parts.push_back(std::move(*part));
  }
  return parts;
}

Result<void> MultipartUploads::replace_part(const std::string& id, uint32_t number,
                                            const std::string& sha256) {
  SKERRY_ASSIGN(auto all, parts(id));
  for (const UploadPart& part : all) {
    if (part.number != number || part.sha256 == sha256) continue;
    SKERRY_TRY(files_.remove(part_path(id, number, part.sha256)));
  }
  return {};
}

// The part's bytes to `writer`, compared with what the client said of them.
Result<void> MultipartUploads::append_part(const std::string& path, const ClaimedPart& claimed,
                                           ContentWriter& writer) const {
  SKERRY_ASSIGN(auto file, files_.open(path, io::OpenMode::kRead, 0600));
  std::vector<Checksum> checksums;
  for (const auto& [kind, raw] : claimed.checksums) checksums.emplace_back(kind);
  for (uint64_t offset = 0;;) {
    SKERRY_ASSIGN(std::string piece, file->read_at(offset, kPieceBytes));
    if (piece.empty()) break;
    for (Checksum& checksum : checksums) checksum.update(piece);
    SKERRY_TRY(writer.write(piece));
    offset += piece.size();
  }
  for (size_t i = 0; i < checksums.size(); ++i) {
    if (checksums[i].finish() == claimed.checksums[i].second) continue;
    return fail(Code::kInvalidArgument,
                fmt::format("part {} has another {} than was claimed", claimed.number,
                            checksum_name(checksums[i].kind())));
  }
  return {};
}

Result<MultipartUploads::Completed> MultipartUploads::assemble(
    const std::string& id, const std::vector<ClaimedPart>& claimed, ContentWriter& writer) const {
  SKERRY_ASSIGN(auto present, parts(id));
  uint32_t last = 0;
  for (const ClaimedPart& part : claimed) {
    if (part.number <= last) {
      return fail(Code::kInvalidArgument, "the parts must stand in the order of their numbers");
    }
    last = part.number;
    const bool is_there = std::ranges::any_of(present, [&](const UploadPart& p) {
      return p.number == part.number && p.sha256 == part.etag;
    });
    if (!is_there) {
      return fail(Code::kInvalidArgument,
                  fmt::format("part {} with ETag {} was not uploaded", part.number, part.etag));
    }
    SKERRY_TRY(append_part(part_path(id, part.number, part.etag), part, writer));
  }
  Completed completed;
  SKERRY_ASSIGN(completed.content, writer.seal());
  for (const auto& [kind, first] : claimed.front().checksums) {
    Checksum composite(kind);
    const bool everywhere = std::ranges::all_of(claimed, [&](const ClaimedPart& part) {
      auto same = std::ranges::find(part.checksums, kind, [](const auto& c) { return c.first; });
      if (same != part.checksums.end()) composite.update(same->second);
      return same != part.checksums.end();
    });
    if (everywhere) completed.composite.emplace_back(kind, composite.finish());
  }
  return completed;
}

Result<void> MultipartUploads::remove(const std::string& id) {
  if (!is_upload_id(id)) return no_such_upload();
  return io::remove_all(files_, directory_of(id));
}

Result<void> MultipartUploads::remove_older(int64_t before_ms) {
  SKERRY_ASSIGN(auto uploads, list());
  for (const MultipartUpload& upload : uploads) {
    if (upload.created_ms < before_ms) SKERRY_TRY(remove(upload.id));
  }
  return {};
}

}  // namespace skerry::fleet
