// Which operation a request is, who may do it, and the operations on objects.
#include "fleet/aws/artifact_api.h"

#include <fmt/format.h>
#include <strings.h>
#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "fleet/aws/s3_headers.h"
#include "fleet/aws/s3_upload.h"
#include "fleet/aws/s3_xml.h"
#include "formats/json_ptr.h"
#include "net/sigv2.h"

namespace skerry::fleet::aws {
namespace {

using net::HttpRequest;
using net::HttpResponse;
using nlohmann::json;

// What framing and signatures may add to a streamed body.
constexpr uint64_t kMaxChunkedBytes = kMaxArtifactBytes + (uint64_t{1} << 30);
constexpr size_t kMaxKeyBytes = 1024;
constexpr size_t kMaxDeletes = 1000;
constexpr int64_t kUploadLifeMs = int64_t{7} * 24 * 3'600'000;
// Content by its digest, not by a name somebody gave it.
constexpr std::string_view kContentBucket = "sha256";

// Parts of S3 that an artifact store has no use for; without a check they would pass for plain
// reads and writes.
constexpr std::string_view kUnknownSubresources[] = {"accelerate",
                                                     "acl",
                                                     "analytics",
                                                     "attributes",
                                                     "cors",
                                                     "encryption",
                                                     "inventory",
                                                     "legal-hold",
                                                     "lifecycle",
                                                     "logging",
                                                     "metrics",
                                                     "notification",
                                                     "object-lock",
                                                     "ownershipControls",
                                                     "policy",
                                                     "policyStatus",
                                                     "publicAccessBlock",
                                                     "renameObject",
                                                     "replication",
                                                     "requestPayment",
                                                     "restore",
                                                     "retention",
                                                     "select",
                                                     "session",
                                                     "tagging",
                                                     "torrent",
                                                     "versionId",
                                                     "versions",
                                                     "website"};

bool is_bucket_name(std::string_view name) {
  return name.size() >= 3 && name.size() <= 63 && std::ranges::all_of(name, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
         });
}

// Signatures, and the name that SDKs give the operation.
bool says_nothing(const std::string& parameter) {
  constexpr std::string_view kNames[] = {"x-id", "AWSAccessKeyId", "Signature", "Expires",
                                         "versionId"};
  return parameter.starts_with("X-Amz-") || parameter.starts_with("x-amz-") ||
         std::ranges::count(kNames, parameter) > 0;
}

void set_object_headers(HttpResponse& response, const ArtifactObject& object,
                        const std::map<std::string, std::string>& query) {
  response.headers.set("ETag", etag_of(object.sha256));
  response.headers.set("Last-Modified", http_time(object.modified_ms));
  response.headers.set("Accept-Ranges", "bytes");
  response.headers.set("Content-Type", "application/octet-stream");
  auto kept = formats::parse_json(object.headers_json);
  if (kept && kept->is_object()) {
    for (const auto& [name, value] : kept->items()) {
      if (value.is_string()) response.headers.set(name, value.get<std::string>());
    }
  }
  constexpr std::string_view kOverride = "response-";
  for (const auto& [name, value] : query) {
    if (name.starts_with(kOverride)) response.headers.set(name.substr(kOverride.size()), value);
  }
}

}  // namespace

std::string kept_headers(const net::Headers& headers) {
  json kept = json::object();
  for (const char* name :
       {"Content-Type", "Cache-Control", "Content-Disposition", "Content-Language", "Expires"}) {
    if (headers.has(name)) kept[name] = std::string(headers.get(name));
  }
  // aws-chunked was how the bytes came here.
  std::string coding(headers.get("Content-Encoding"));
  if (coding.starts_with("aws-chunked")) coding.erase(0, 11);
  coding.erase(0, coding.find_first_not_of(", "));
  if (!coding.empty()) kept["Content-Encoding"] = coding;
  for (const auto& [name, value] : headers.fields()) {
    if (name.size() > 11 && strncasecmp(name.c_str(), "x-amz-meta-", 11) == 0) kept[name] = value;
  }
  return formats::json_text(kept);
}

// --- Dispatch -----------------------------------------------------------------------------------

const ArtifactApi::Operation ArtifactApi::kOperations[] = {
    {"GET", Operation::Level::kService, "", &ArtifactApi::list_buckets},
    {"GET", Operation::Level::kBucket, "location", &ArtifactApi::bucket_location},
    {"GET", Operation::Level::kBucket, "versioning", &ArtifactApi::bucket_versioning},
    {"GET", Operation::Level::kBucket, "uploads", &ArtifactApi::list_uploads},
    {"GET", Operation::Level::kBucket, "", &ArtifactApi::get_bucket},
    {"PUT", Operation::Level::kBucket, "", &ArtifactApi::create_bucket},
    {"DELETE", Operation::Level::kBucket, "", &ArtifactApi::delete_bucket},
    {"POST", Operation::Level::kBucket, "delete", &ArtifactApi::delete_objects},
    {"GET", Operation::Level::kObject, "uploadId", &ArtifactApi::list_parts},
    {"GET", Operation::Level::kObject, "tagging", &ArtifactApi::object_tagging},
    {"GET", Operation::Level::kObject, "", &ArtifactApi::get_object},
    {"PUT", Operation::Level::kObject, "uploadId", &ArtifactApi::upload_part},
    {"PUT", Operation::Level::kObject, "", &ArtifactApi::put_object},
    {"POST", Operation::Level::kObject, "uploads", &ArtifactApi::create_upload},
    {"POST", Operation::Level::kObject, "uploadId", &ArtifactApi::complete_upload},
    {"DELETE", Operation::Level::kObject, "uploadId", &ArtifactApi::abort_upload},
    {"DELETE", Operation::Level::kObject, "", &ArtifactApi::delete_object},
};

std::string ArtifactApi::S3Request::option(const std::string& name) const {
  auto found = query.find(name);
  return found == query.end() ? "" : found->second;
}

bool ArtifactApi::is_for(std::string_view target) {
  const std::string_view path = net::split_target(target).first;
  return path == kPrefix || path.starts_with(std::string(kPrefix) + "/");
}

std::string ArtifactApi::content_target(std::string_view sha256) {
  return fmt::format("{}/{}/{}", kPrefix, kContentBucket, sha256);
}

Result<ArtifactApi::S3Request> ArtifactApi::parse(HttpRequest request) {
  S3Request parsed;
  auto [path, query] = net::split_target(request.target);
  path.remove_prefix(std::min(path.size(), kPrefix.size() + 1));
  const size_t slash = std::min(path.find('/'), path.size());
  SKERRY_ASSIGN(parsed.bucket, net::percent_decode(path.substr(0, slash)));
  SKERRY_ASSIGN(parsed.key, net::percent_decode(path.substr(std::min(slash + 1, path.size()))));
  SKERRY_ASSIGN(auto options, net::parse_query(query));
  for (auto& [name, value] : options) parsed.query.emplace(std::move(name), std::move(value));
  if (parsed.bucket.empty() && !parsed.key.empty()) {
    return fail(Code::kInvalidArgument, "objects are at /artifacts/BUCKET/KEY");
  }
  if (!parsed.bucket.empty() && !is_bucket_name(parsed.bucket)) {
    return fail(Code::kInvalidArgument, "a bucket's name has 3 to 63 of a-z 0-9 - .");
  }
  if (parsed.key.size() > kMaxKeyBytes || parsed.key.find('\0') != std::string::npos) {
    return fail(Code::kInvalidArgument, "a key has at most 1024 bytes, none of them 0");
  }
  parsed.http = std::move(request);
  return parsed;
}

const ArtifactApi::Operation* ArtifactApi::operation_of(const S3Request& request) {
  using Level = Operation::Level;
  const Level level = request.bucket.empty() ? Level::kService
                      : request.key.empty()  ? Level::kBucket
                                             : Level::kObject;
  const auto fits = [&](const Operation& operation) {
    return operation.method == net::routed_method(request.http) && operation.level == level;
  };
  for (const Operation& operation : kOperations) {
    if (!operation.subresource.empty() && fits(operation) &&
        request.query.contains(std::string(operation.subresource)))
      return &operation;
  }
  // What is not understood is not done: DELETE /artifacts/b?policy must not delete b.
  if (net::routed_method(request.http) != "GET" &&
      !std::ranges::all_of(request.query,
                           [](const auto& each) { return says_nothing(each.first); })) {
    return nullptr;
  }
  for (std::string_view name : kUnknownSubresources) {
    const bool latest = name == "versionId" && request.option("versionId") == "null";
    if (request.query.contains(std::string(name)) && !latest) return nullptr;
  }
  const auto found = std::ranges::find_if(kOperations, [&](const Operation& operation) {
    return operation.subresource.empty() && fits(operation);
  });
  return found == std::end(kOperations) ? nullptr : found;
}

std::expected<net::SigV4Caller, HttpResponse> ArtifactApi::authorize(const HttpRequest& request,
                                                                     bool head_only) {
  auto secret_of = [&](std::string_view key, std::string_view token) {
    auto secret = keys_.of_operators.secret_of(key, token);
    return secret ? secret : keys_.of_device(key, token);
  };
  const int64_t now_ms = env_.clock.wall_ms();
  auto caller = net::is_sigv2_presigned(request.target)
                    ? net::sigv2_verify(request, secret_of, now_ms, kPrefix)
                : head_only ? net::sigv4_verify_head(request, secret_of, now_ms)
                            : net::sigv4_verify(request, secret_of, now_ms);
  if (!caller) return std::unexpected(s3_error(caller.error()));
  const auto& scope = caller->scope;
  if (scope.service != "s3" || (!scope.region.empty() && scope.region != region_)) {
    return std::unexpected(
        s3_error(400, "AuthorizationHeaderMalformed",
                 "the credential's scope must be region " + region_ + " and service s3"));
  }
  if (net::routed_method(request) != "GET") {
    auto writer = writer_of(caller->access_key_id);
    if (!writer) return std::unexpected(std::move(writer.error()));
  }
  return std::move(*caller);
}

std::expected<Identity, HttpResponse> ArtifactApi::writer_of(const std::string& key) const {
  auto who = keys_.of_operators.identity_of(key);
  if (who && who->role >= Role::kDeployer) return std::move(*who);
  return std::unexpected(s3_error(403, "AccessDenied",
                                  "devices and viewers may only read artifacts: use another key"));
}

std::expected<net::BodyRoute, HttpResponse> ArtifactApi::route_body(const HttpRequest& head) {
  auto caller = authorize(head, true);
  if (!caller) return std::unexpected(std::move(caller.error()));
  auto request = parse(head);
  if (!request) return std::unexpected(s3_error(request.error()));
  const Operation* operation = operation_of(*request);
  if (!operation) {
    return std::unexpected(
        s3_error(501, "NotImplemented",
                 "this artifact store has no operation " + head.method + " " + head.target));
  }
  if (operation->method != "GET" && request->bucket == kContentBucket) {
    return std::unexpected(
        s3_error(403, "AccessDenied", "the bucket sha256 is read only: it names content"));
  }
  if (operation->method == "PUT" || operation->method == "POST") {
    if (auto kept = check_promises(head.headers); !kept) {
      return std::unexpected(s3_error(501, "NotImplemented", kept.error().message()));
    }
  }
  const bool takes_content =
      operation->run == &ArtifactApi::put_object || operation->run == &ArtifactApi::upload_part;
  if (!takes_content || head.headers.has("x-amz-copy-source")) {
    if (!caller->payload.starts_with("STREAMING-")) return net::BodyRoute{};
    return std::unexpected(s3_error(501, "NotImplemented", "only content can be streamed"));
  }
  if (caller->payload.empty()) {
    return std::unexpected(s3_error(400, "InvalidRequest",
                                    "Missing required header for this request: "
                                    "x-amz-content-sha256"));
  }
  auto sink = UploadSink::make(artifacts_, head, *caller);
  if (!sink) return std::unexpected(std::move(sink.error()));
  return net::BodyRoute{std::move(*sink), caller->payload.starts_with("STREAMING-")
                                              ? kMaxChunkedBytes
                                              : kMaxArtifactBytes};
}

// route_body() has checked the request; what it could not see is the body that is signed.
io::Task<HttpResponse> ArtifactApi::handle(HttpRequest http) {
  std::string key;
  if (http.sink) {
    key = static_cast<const UploadSink&>(*http.sink).access_key_id();
  } else {
    auto caller = authorize(http, false);
    if (!caller) co_return std::move(caller.error());
    key = caller->access_key_id;
  }
  auto request = parse(std::move(http));
  if (!request) co_return s3_error(request.error());
  const Operation* operation = operation_of(*request);
  if (!operation) co_return s3_error(501, "NotImplemented", "no such operation");
  const bool changes = operation->method != "GET";
  // While a long body came, the key may have been disabled.
  auto writer = changes ? writer_of(key) : std::expected<Identity, HttpResponse>();
  if (!writer) co_return std::move(writer.error());
  const std::string request_id = env_.random.uuid();
  HttpResponse response = co_await (this->*operation->run)(*request);
  if (changes && response.status < 300) {
    // Nobody is told of a change that the log does not have.
    auto recorded = co_await record_change(*request, std::move(*writer), request_id);
    if (!recorded) response = s3_error(recorded.error());
  }
  response.headers.set("x-amz-request-id", request_id);
  co_return response;
}

io::Task<Result<void>> ArtifactApi::record_change(const S3Request& request, Identity who,
                                                  std::string request_id) {
  AuditEntry entry;
  entry.at_ms = env_.clock.wall_ms();
  entry.actor = std::move(who.name);
  entry.role = who.role;
  entry.via = std::move(who.via);
  entry.operation = "s3:" + request.http.method;
  entry.resource = request.resource();
  entry.request_id = std::move(request_id);
  json query = json::object();
  for (const auto& [name, value] : request.query) {
    if (!name.starts_with("X-Amz-")) query[name] = value;
  }
  entry.details_json = formats::json_text(query);
  co_return co_await stores_.write(
      [entry = std::move(entry)](Store& store) { return add_audit_entry(store, entry); });
}

// --- Objects ------------------------------------------------------------------------------------

// The name for content that is on the disk, if the request's conditions allow it.
io::Task<Result<void>> ArtifactApi::name_content(const S3Request& request, ArtifactObject object) {
  co_return co_await stores_.write([&artifacts = artifacts_, headers = request.http.headers,
                                    object = std::move(object)](Store& store) -> Result<void> {
    if (!artifacts.contains(object.sha256)) {
      return fail(Code::kUnavailable, "the content was removed meanwhile: try again");
    }
    SKERRY_TRY(check_write(headers, store.find_object(object.bucket, object.key)));
    return store.put_object(object);
  });
}

io::Task<Result<ArtifactObject>> ArtifactApi::find(std::string bucket, std::string key) {
  if (bucket == kContentBucket) {
    SKERRY_CO_ASSIGN(uint64_t size, artifacts_.size_of(key));
    // Content never changes, so it has no age.
    co_return ArtifactObject{bucket, key, key, size, 0};
  }
  co_return co_await stores_.read(
      [bucket, key](Store& store) { return store.find_object(bucket, key); });
}

io::Task<HttpResponse> ArtifactApi::put_object(const S3Request& request) {
  if (request.http.headers.has("x-amz-copy-source")) co_return co_await copy_object(request);
  auto sink = std::static_pointer_cast<UploadSink>(request.http.sink);
  auto content = co_await sink->finish();
  if (!content) co_return std::move(content.error());
  auto committed = co_await sink->upload().commit();
  if (!committed) co_return s3_error(committed.error());
  auto named = co_await name_content(
      request, {request.bucket, request.key, content->sha256, content->size_bytes,
                env_.clock.wall_ms(), kept_headers(request.http.headers)});
  if (!named) co_return s3_error(named.error());
  HttpResponse response;
  response.headers.set("ETag", etag_of(content->sha256));
  add_checksum_headers(response, *content);
  co_return response;
}

io::Task<HttpResponse> ArtifactApi::get_object(const S3Request& request) {
  auto object = co_await find(request.bucket, request.key);
  if (!object) co_return s3_error(object.error());
  const net::Headers& headers = request.http.headers;
  HttpResponse response;
  switch (check_read(headers, "", *object)) {
    case ReadCheck::kMet:
      break;
    case ReadCheck::kUnchanged:
      response.status = 304;
      response.headers.set("ETag", etag_of(object->sha256));
      co_return response;
    case ReadCheck::kFailed:
      co_return precondition_failed();
  }
  set_object_headers(response, *object, request.query);
  response.file_path = artifacts_.path_of(object->sha256);
  response.file_size = object->size_bytes;
  const std::string_view if_range = headers.get("If-Range");
  auto range = range_of(headers.get("Range"), object->size_bytes);
  if (!range || (!if_range.empty() && if_range != etag_of(object->sha256))) {
    if (headers.has("x-amz-checksum-mode")) {
      std::string raw;
      for (size_t i = 0; i < 64; i += 2) {
        raw += static_cast<char>(std::stoi(object->sha256.substr(i, 2), nullptr, 16));
      }
      response.headers.set("x-amz-checksum-sha256", base64_encode(raw));
      response.headers.set("x-amz-checksum-type", "FULL_OBJECT");
    }
    co_return response;
  }
  if (range->size == 0) {
    response = s3_error(416, "InvalidRange", "the artifact has no such bytes");
    response.headers.set("Content-Range", fmt::format("bytes */{}", object->size_bytes));
    co_return response;
  }
  response.status = 206;
  response.file_offset = range->first;
  response.file_size = range->size;
  response.headers.set("Content-Range",
                       fmt::format("bytes {}-{}/{}", range->first, range->first + range->size - 1,
                                   object->size_bytes));
  co_return response;
}

// The content stays until collect(): a component may refer to it.
io::Task<HttpResponse> ArtifactApi::delete_object(const S3Request& request) {
  auto deleted = co_await stores_.write(
      [headers = request.http.headers, bucket = request.bucket,
       key = request.key](Store& store) -> Result<bool> {
        SKERRY_TRY(check_write(headers, store.find_object(bucket, key)));
        return store.delete_object(bucket, key);
      },
      StorePool::Need::kRelief);
  if (!deleted) co_return s3_error(deleted.error());
  co_return HttpResponse{.status = 204};
}

io::Task<HttpResponse> ArtifactApi::delete_objects(const S3Request& request) {
  auto document = parse_xml(request.http.body);
  if (!document) co_return s3_error(400, "MalformedXML", document.error().message());
  std::vector<std::string> keys;
  for (const XmlElement& child : document->children) {
    if (child.name == "Object") keys.emplace_back(child.child_text("Key"));
  }
  if (document->name != "Delete" || keys.empty() || keys.size() > kMaxDeletes) {
    co_return s3_error(400, "MalformedXML", "1 to 1000 objects can be deleted at once");
  }
  auto deleted = co_await stores_.write(
      [bucket = request.bucket, keys](Store& store) -> Result<void> {
        for (const std::string& key : keys) SKERRY_TRY(store.delete_object(bucket, key));
        return {};
      },
      StorePool::Need::kRelief);
  if (!deleted) co_return s3_error(deleted.error());
  std::string inner;
  if (document->child_text("Quiet") != "true") {
    for (const std::string& key : keys)
      inner += "<Deleted>" + xml_element("Key", key) + "</Deleted>";
  }
  co_return xml_response("DeleteResult", inner);
}

// --- Retention ----------------------------------------------------------------------------------

io::Task<Result<void>> ArtifactApi::collect(int64_t retention_ms) {
  const int64_t now_ms = env_.clock.wall_ms();
  SKERRY_CO_TRY(co_await io::run_on(env_.pool, env_.loop, [uploads = uploads_, now_ms]() mutable {
    return uploads.remove_older(now_ms - kUploadLifeMs);
  }));
  SKERRY_CO_TRY(co_await stores_.write(
      [before_ms = now_ms - retention_ms](Store& store) { return store.expire_objects(before_ms); },
      StorePool::Need::kRelief));
  // Removed where whoever wants to name content looks for it, so that nobody names what is gone;
  // and only what had no name an hour ago, either, so that uploads have the time to name theirs.
  auto unused = co_await stores_.write(
      [&artifacts = artifacts_,
       marked = std::move(unused_)](Store& store) -> Result<std::vector<std::string>> {
        SKERRY_ASSIGN(auto digests, artifacts.list());
        SKERRY_ASSIGN(auto unused, store.unused_content(digests));
        for (const std::string& digest : unused) {
          if (std::ranges::binary_search(marked, digest)) SKERRY_TRY(artifacts.remove(digest));
        }
        return unused;
      },
      StorePool::Need::kRelief);
  if (!unused) co_return fail(unused.error());
  unused_ = std::move(*unused);
  co_return Result<void>();
}

}  // namespace skerry::fleet::aws
