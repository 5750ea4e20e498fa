// S3's requests, errors in its XML, and byte ranges.
#include "fleet/aws/artifact_api.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/log.h"
#include "fleet/aws/router.h"

namespace skerry::fleet::aws {
namespace {

constexpr uint64_t kMaxArtifactBytes = uint64_t{5} << 30;
constexpr size_t kMaxKeyBytes = 1024;
// Content by its digest, not by a name somebody gave it.
constexpr std::string_view kContentBucket = "sha256";
constexpr std::string_view kTemplate = "/artifacts/{bucket}/{key+}";
constexpr std::string_view kUnsigned = "UNSIGNED-PAYLOAD";

std::string xml_escape(std::string_view text) {
  std::string escaped;
  for (char c : text) {
    if (c == '&') {
      escaped += "&amp;";
    } else if (c == '<') {
      escaped += "&lt;";
    } else {
      escaped += c;
    }
  }
  return escaped;
}

net::HttpResponse s3_error(int status, std::string_view code, std::string_view message) {
  return net::text_response(status,
                            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>" +
                                std::string(code) + "</Code><Message>" + xml_escape(message) +
                                "</Message></Error>",
                            "application/xml");
}

net::HttpResponse s3_error(const Error& error) {
  switch (error.code()) {
    case Code::kInvalidArgument:
      return s3_error(400, "InvalidRequest", error.message());
    case Code::kNotFound:
      return s3_error(404, "NoSuchKey", error.message());
    case Code::kResourceExhausted:
      return s3_error(507, "InsufficientStorage", error.message());
    default:
      log::error("artifacts", "request failed", {{"error", error.message()}});
      return s3_error(500, "InternalError",
                      "the control plane could not do this; its log says why");
  }
}

net::HttpResponse s3_error(const net::SigV4Refusal& refusal) {
  using Kind = net::SigV4Refusal::Kind;
  switch (refusal.kind) {
    case Kind::kUnknownKey:
      return s3_error(403, "InvalidAccessKeyId", refusal.message);
    case Kind::kMismatch:
      return s3_error(403, "SignatureDoesNotMatch", refusal.message);
    case Kind::kMalformed:
      return s3_error(400, "AuthorizationHeaderMalformed", refusal.message);
    case Kind::kUnsupported:
      return s3_error(501, "NotImplemented", refusal.message);
    case Kind::kUnsigned:
    case Kind::kExpired:
      break;
  }
  return s3_error(403, "AccessDenied", refusal.message);
}

struct Range {
  uint64_t first = 0;
  uint64_t size = 0;
};

std::optional<uint64_t> number_in(std::string_view text) {
  uint64_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// The bytes that a Range header asks for: nothing where there is no (usable) header, a range of
// size 0 where the content has no such bytes. Several ranges are answered with the whole, as RFC
// 9110 lets a server do.
std::optional<Range> range_of(std::string_view header, uint64_t size) {
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
    return Range{size - count, count};
  }
  if (!first || (!last && dash + 1 != header.size()) || (last && *last < *first)) {
    return std::nullopt;
  }
  if (*first >= size) return Range{};
  const uint64_t end = last ? std::min(*last, size - 1) + 1 : size;
  return Range{*first, end - *first};
}

// Where an upload goes while its body arrives.
class UploadSink : public net::BodySink {
 public:
  UploadSink(std::unique_ptr<ArtifactStore::Upload> upload, std::string expected_sha256)
      : upload_(std::move(upload)), expected_sha256_(std::move(expected_sha256)) {}
  Result<void> write(std::string_view bytes) override { return upload_->write(bytes); }
  Result<std::string> finish() { return upload_->finish(expected_sha256_); }
  uint64_t size_bytes() const { return upload_->size_bytes(); }

 private:
  std::unique_ptr<ArtifactStore::Upload> upload_;
  std::string expected_sha256_;
};

bool is_bucket_name(std::string_view name) {
  return name.size() >= 3 && name.size() <= 63 && std::ranges::all_of(name, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
         });
}

// Multipart uploads and copies carry their wish in the query or a header.
bool is_plain_put(const net::HttpRequest& request) {
  auto query = net::parse_query(net::split_target(request.target).second);
  if (!query || request.headers.has("x-amz-copy-source")) return false;
  return std::ranges::all_of(*query, [](const auto& parameter) {
    return parameter.first.starts_with("X-Amz-") || parameter.first == "x-id";
  });
}

}  // namespace

std::string ArtifactApi::content_target(std::string_view sha256) {
  return "/artifacts/" + std::string(kContentBucket) + "/" + std::string(sha256);
}

Result<ArtifactApi::Place> ArtifactApi::place_of(std::string_view target) const {
  auto values = match_path(kTemplate, net::split_target(target).first);
  if (!values) {
    return fail(Code::kInvalidArgument, "artifacts are at /artifacts/BUCKET/KEY");
  }
  Place place{(*values)["bucket"], (*values)["key"]};
  if (!is_bucket_name(place.bucket) || place.key.size() > kMaxKeyBytes) {
    return fail(Code::kInvalidArgument,
                "a bucket has 3 to 63 of a-z 0-9 - . and a key at most 1024 bytes");
  }
  return place;
}

std::expected<void, net::HttpResponse> ArtifactApi::authorize(const net::HttpRequest& request,
                                                              bool writes,
                                                              std::string_view body_sha256) {
  bool is_operator = false;
  auto secret_of = [&](std::string_view key, std::string_view token) {
    auto secret = keys_.of_operator(key, token);
    is_operator = secret.has_value();
    return secret ? secret : keys_.of_device(key, token);
  };
  auto caller = net::sigv4_verify(request, secret_of, env_.clock.wall_ms(), body_sha256);
  if (!caller) return std::unexpected(s3_error(caller.error()));
  if (caller->scope.service != "s3" || caller->scope.region != region_) {
    return std::unexpected(
        s3_error(400, "AuthorizationHeaderMalformed",
                 "the credential's scope must be region " + region_ + " and service s3"));
  }
  if (writes && !is_operator) {
    return std::unexpected(s3_error(403, "AccessDenied", "devices may only read artifacts"));
  }
  return {};
}

std::expected<net::BodyRoute, net::HttpResponse> ArtifactApi::route_body(
    const net::HttpRequest& head) {
  if (head.method != "PUT" || !is_for(head.target)) return net::BodyRoute{};
  auto place = place_of(head.target);
  if (!place) return std::unexpected(s3_error(place.error()));
  std::string announced(head.headers.get("x-amz-content-sha256"));
  if (announced == kUnsigned) announced.clear();
  // The signature covers the announced digest, and the upload is compared with that at its end.
  if (auto allowed = authorize(head, true, announced); !allowed) {
    return std::unexpected(std::move(allowed.error()));
  }
  if (place->bucket == kContentBucket) {
    return std::unexpected(
        s3_error(403, "AccessDenied", "the bucket sha256 is read only: it names content"));
  }
  if (!is_plain_put(head)) {
    return std::unexpected(s3_error(501, "NotImplemented",
                                    "multipart uploads and copies are not supported: PUT the "
                                    "artifact in one request (up to 5 GiB)"));
  }
  auto upload = artifacts_.begin_upload();
  if (!upload) return std::unexpected(s3_error(upload.error()));
  return net::BodyRoute{std::make_shared<UploadSink>(std::move(*upload), announced),
                        kMaxArtifactBytes};
}

net::HttpResponse ArtifactApi::handle(const net::HttpRequest& request) {
  auto place = place_of(request.target);
  if (!place) return s3_error(place.error());
  if (request.method == "PUT") return put(request, *place);
  if (request.method == "GET" || request.method == "HEAD") return get(request, *place);
  return s3_error(501, "NotImplemented", "artifacts can be PUT, GET and HEAD, in one request each");
}

net::HttpResponse ArtifactApi::put(const net::HttpRequest& request, const Place& place) {
  // route_body() has checked the request.
  auto sink = std::static_pointer_cast<UploadSink>(request.sink);
  auto sha256 = sink->finish();
  if (!sha256) return s3_error(sha256.error());
  auto stored = store_.put_object(
      {place.bucket, place.key, *sha256, sink->size_bytes(), env_.clock.wall_ms()});
  if (!stored) return s3_error(stored.error());
  net::HttpResponse response;
  response.headers.set("ETag", "\"" + *sha256 + "\"");
  return response;
}

net::HttpResponse ArtifactApi::get(const net::HttpRequest& request, const Place& place) {
  if (auto allowed = authorize(request, false, {}); !allowed) return std::move(allowed.error());
  std::string sha256 = place.key;
  if (place.bucket != kContentBucket) {
    auto object = store_.find_object(place.bucket, place.key);
    if (!object) return s3_error(object.error());
    sha256 = object->sha256;
  }
  // The content bucket's keys come from outside: nothing but a digest may become a path.
  auto size = sha256.find('/') == std::string::npos
                  ? artifacts_.size_of(sha256)
                  : fail(Code::kNotFound, "there is no such content");
  if (!size) return s3_error(size.error());

  net::HttpResponse response;
  response.file_path = artifacts_.path_of(sha256);
  response.file_size = *size;
  const std::string etag = "\"" + sha256 + "\"";
  response.headers.set("ETag", etag);
  response.headers.set("Accept-Ranges", "bytes");
  response.headers.set("Content-Type", "application/octet-stream");
  const std::string_view if_range = request.headers.get("If-Range");
  auto range = range_of(request.headers.get("Range"), *size);
  if (!range || (!if_range.empty() && if_range != etag)) return response;
  if (range->size == 0) {
    response = s3_error(416, "InvalidRange", "the artifact has no such bytes");
    response.headers.set("Content-Range", "bytes */" + std::to_string(*size));
    return response;
  }
  response.status = 206;
  response.file_offset = range->first;
  response.file_size = range->size;
  response.headers.set("Content-Range", "bytes " + std::to_string(range->first) + "-" +
                                            std::to_string(range->first + range->size - 1) + "/" +
                                            std::to_string(*size));
  return response;
}

}  // namespace skerry::fleet::aws
