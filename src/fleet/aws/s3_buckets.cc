// Buckets, and lists of what is in them.
#include <fmt/format.h>
#include <algorithm>

#include "base/encoding.h"
#include "base/iso_time.h"
#include "fleet/aws/artifact_api.h"
#include "fleet/aws/s3_headers.h"
#include "fleet/aws/s3_xml.h"

namespace skerry::fleet::aws {
namespace {

using net::HttpResponse;

constexpr size_t kMaxKeys = 1000;
constexpr size_t kRowsAtOnce = 1001;
constexpr std::string_view kTokenStart = "after:";
// Behind all keys that begin with what stands before it.
constexpr const char* kLastCharacter = "\U0010ffff";

HttpResponse no_such_bucket(const Error& error) {
  if (error.code() != Code::kNotFound) return s3_error(error);
  return s3_error(404, "NoSuchBucket", error.message());
}

// What a list is asked for.
struct ListQuery {
  std::string prefix;
  std::string delimiter;
  std::string after;
  size_t limit = kMaxKeys;
  bool encodes = false;  // keys in the answer as in URLs

  std::string shown(std::string_view key) const {
    return encodes ? net::percent_encode(key, "/") : std::string(key);
  }
};

struct Listing {
  std::vector<ArtifactObject> objects;
  std::vector<std::string> prefixes;
  std::string next;  // list on after this; "" at the end
};

// Objects and common prefixes in order, one page of them.
Result<Listing> list(Store& store, const std::string& bucket, const ListQuery& query) {
  SKERRY_TRY(store.find_bucket(bucket));
  Listing listing;
  std::string after = query.after;
  while (true) {
    SKERRY_ASSIGN(auto rows, store.list_objects(bucket, query.prefix, {kRowsAtOnce, after}));
    const bool last_rows = rows.size() < kRowsAtOnce;
    bool skipped = false;
    for (ArtifactObject& row : rows) {
      if (listing.objects.size() + listing.prefixes.size() == query.limit) {
        if (query.limit > 0) listing.next = after;
        return listing;
      }
      const size_t end = query.delimiter.empty()
                             ? std::string::npos
                             : row.key.find(query.delimiter, query.prefix.size());
      if (end == std::string::npos) {
        after = row.key;
        listing.objects.push_back(std::move(row));
        continue;
      }
      // One entry for all keys below; the next row that counts is behind them.
      std::string common = row.key.substr(0, end + query.delimiter.size());
      after = common + kLastCharacter;
      listing.prefixes.push_back(std::move(common));
      skipped = true;
      break;
    }
    if (!skipped && last_rows) return listing;
  }
}

std::string contents_of(const Listing& listing, const ListQuery& query) {
  std::string inner;
  for (const ArtifactObject& object : listing.objects) {
    inner +=
        fmt::format("<Contents>{}{}{}{}{}</Contents>", xml_element("Key", query.shown(object.key)),
                    xml_element("LastModified", iso_time(object.modified_ms)),
                    xml_element("ETag", etag_of(object.sha256)),
                    xml_element("Size", std::to_string(object.size_bytes)),
                    xml_element("StorageClass", "STANDARD"));
  }
  for (const std::string& prefix : listing.prefixes) {
    inner += fmt::format("<CommonPrefixes>{}</CommonPrefixes>",
                         xml_element("Prefix", query.shown(prefix)));
  }
  return inner;
}

}  // namespace

io::Task<HttpResponse> ArtifactApi::list_buckets(const S3Request&) {
  auto buckets = co_await stores_.read([](Store& store) { return store.list_buckets(); });
  if (!buckets) co_return s3_error(buckets.error());
  std::string inner = "<Owner><ID>skerry</ID></Owner><Buckets>";
  for (const ArtifactBucket& bucket : *buckets) {
    inner += fmt::format("<Bucket>{}{}</Bucket>", xml_element("Name", bucket.name),
                         xml_element("CreationDate", iso_time(bucket.created_ms)));
  }
  co_return xml_response("ListAllMyBucketsResult", inner + "</Buckets>");
}

io::Task<HttpResponse> ArtifactApi::create_bucket(const S3Request& request) {
  auto created =
      co_await stores_.write([bucket = ArtifactBucket{request.bucket, env_.clock.wall_ms()}](
                                 Store& store) { return store.create_bucket(bucket); });
  if (!created) co_return s3_error(created.error());
  if (!*created) {
    co_return s3_error(409, "BucketAlreadyOwnedByYou", "the bucket exists and is yours");
  }
  HttpResponse response;
  response.headers.set("Location", "/" + request.bucket);
  co_return response;
}

io::Task<HttpResponse> ArtifactApi::delete_bucket(const S3Request& request) {
  auto deleted = co_await stores_.write(
      [name = request.bucket](Store& store) { return store.delete_bucket(name); },
      StorePool::Need::kRelief);
  if (deleted) co_return HttpResponse{.status = 204};
  if (deleted.error().code() == Code::kFailedPrecondition) {
    co_return s3_error(409, "BucketNotEmpty", deleted.error().message());
  }
  co_return no_such_bucket(deleted.error());
}

io::Task<HttpResponse> ArtifactApi::bucket_location(const S3Request& request) {
  auto bucket = co_await stores_.read(
      [name = request.bucket](Store& store) { return store.find_bucket(name); });
  if (!bucket) co_return no_such_bucket(bucket.error());
  // S3's oldest region has no name here.
  co_return xml_response("LocationConstraint", region_ == "us-east-1" ? "" : xml_escape(region_));
}

io::Task<HttpResponse> ArtifactApi::bucket_versioning(const S3Request&) {
  co_return xml_response("VersioningConfiguration", "");
}

io::Task<HttpResponse> ArtifactApi::get_bucket(const S3Request& request) {
  ListQuery query;
  query.prefix = request.option("prefix");
  query.delimiter = request.option("delimiter");
  query.encodes = request.option("encoding-type") == "url";
  const bool second = request.option("list-type") == "2";
  const std::string token = request.option("continuation-token");
  query.after = request.option(second ? "start-after" : "marker");
  if (second && !token.empty()) {
    auto decoded = base64_decode(token);
    if (!decoded || !decoded->starts_with(kTokenStart)) {
      co_return s3_error(400, "InvalidArgument", "The continuation token provided is incorrect");
    }
    query.after = decoded->substr(kTokenStart.size());
  }
  if (const std::string limit = request.option("max-keys"); !limit.empty()) {
    const auto number = number_in(limit);
    if (!number) co_return s3_error(400, "InvalidArgument", "max-keys must be a number");
    query.limit = std::min<uint64_t>(*number, kMaxKeys);
  }
  auto listing = co_await stores_.read(
      [bucket = request.bucket, query](Store& store) { return list(store, bucket, query); });
  if (!listing) co_return no_such_bucket(listing.error());
  if (request.http.method == "HEAD") {
    HttpResponse response;
    response.headers.set("x-amz-bucket-region", region_);
    co_return response;
  }
  const size_t count = listing->objects.size() + listing->prefixes.size();
  std::string inner = xml_element("Name", request.bucket) +
                      xml_element("Prefix", query.shown(query.prefix)) +
                      xml_element("MaxKeys", std::to_string(query.limit)) +
                      xml_element("IsTruncated", listing->next.empty() ? "false" : "true");
  if (!query.delimiter.empty()) inner += xml_element("Delimiter", query.shown(query.delimiter));
  if (query.encodes) inner += xml_element("EncodingType", "url");
  if (second) {
    inner += xml_element("KeyCount", std::to_string(count));
    if (!token.empty()) inner += xml_element("ContinuationToken", token);
    if (!listing->next.empty()) {
      inner += xml_element("NextContinuationToken",
                           base64_encode(std::string(kTokenStart) + listing->next));
    }
  } else {
    inner += xml_element("Marker", query.shown(query.after));
    if (!listing->next.empty()) inner += xml_element("NextMarker", query.shown(listing->next));
  }
  co_return xml_response("ListBucketResult", inner + contents_of(*listing, query));
}

}  // namespace skerry::fleet::aws
