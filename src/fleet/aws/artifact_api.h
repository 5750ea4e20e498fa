// The artifact store over HTTP, in the shapes of S3 with path-style addresses: buckets and objects
// below /artifacts, signed or pre-signed (version 4, or version 2 as stock clients pre-sign) for
// the service s3. Uploads stream to the disk, in one request or in parts.
//
// The bucket "sha256" is content by its digest: read only.
#pragma once

#include <cstdint>
#include <expected>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "fleet/access/access_keys.h"
#include "fleet/artifacts.h"
#include "fleet/multipart.h"
#include "fleet/store_pool.h"
#include "io/env.h"
#include "io/task.h"
#include "net/http.h"
#include "net/sigv4.h"

namespace skerry::fleet::aws {

class ArtifactApi {
 public:
  // Access keys may read, and with the role of a deployer write; devices, with temporary
  // credentials, may read.
  struct Keys {
    const AccessKeys& of_operators;
    net::SecretLookup of_device;
  };
  ArtifactApi(io::Env& env, StorePool& stores, ArtifactStore& artifacts, std::string region,
              Keys keys)
      : env_(env),
        stores_(stores),
        artifacts_(artifacts),
        uploads_(env.files, artifacts.uploads_directory()),
        region_(std::move(region)),
        keys_(std::move(keys)) {}

  static constexpr std::string_view kPrefix = "/artifacts";
  static bool is_for(std::string_view target);
  // The target under which content itself, whatever its names, can be read.
  static std::string content_target(std::string_view sha256);

  // For HttpServer: a request is checked before its body is read, and refused then if it must be.
  std::expected<net::BodyRoute, net::HttpResponse> route_body(const net::HttpRequest& head);
  io::Task<net::HttpResponse> handle(net::HttpRequest request);

  // To be called every hour. Removes objects older than `retention_ms` whose content no component
  // version refers to; content that neither an object nor a component version names, the second
  // time it is found; and multipart uploads older than a week.
  io::Task<Result<void>> collect(int64_t retention_ms);

 private:
  struct S3Request {
    net::HttpRequest http;
    std::string bucket;  // "" for the service
    std::string key;     // "" for a bucket
    std::map<std::string, std::string> query;

    std::string option(const std::string& name) const;
    std::string resource() const { return "/" + bucket + (key.empty() ? "" : "/" + key); }
  };
  using Answer = io::Task<net::HttpResponse>;
  struct Operation {
    std::string_view method;
    enum class Level { kService, kBucket, kObject } level;
    std::string_view subresource;  // a parameter of the query that has to be there, or ""
    Answer (ArtifactApi::*run)(const S3Request&);
  };
  static const Operation kOperations[];
  static const Operation* operation_of(const S3Request& request);
  static Result<S3Request> parse(net::HttpRequest request);
  std::expected<net::SigV4Caller, net::HttpResponse> authorize(const net::HttpRequest& request,
                                                               bool head_only);
  // Whose key it is, where it may change something.
  std::expected<Identity, net::HttpResponse> writer_of(const std::string& key) const;
  io::Task<Result<void>> record_change(const S3Request& request, Identity who,
                                       std::string request_id);

  // artifact_api.cc: objects
  Answer put_object(const S3Request& request);
  Answer get_object(const S3Request& request);
  Answer delete_object(const S3Request& request);
  Answer delete_objects(const S3Request& request);
  io::Task<Result<void>> name_content(const S3Request& request, ArtifactObject object);
  io::Task<Result<ArtifactObject>> find(std::string bucket, std::string key);

  // s3_copy.cc
  Answer copy_object(const S3Request& request);
  Answer copy_part(const S3Request& request);
  Answer object_tagging(const S3Request& request);  // no object has any; copies ask
  io::Task<std::expected<ArtifactObject, net::HttpResponse>> copy_source(const S3Request& request);

  // s3_buckets.cc
  Answer list_buckets(const S3Request& request);
  Answer create_bucket(const S3Request& request);
  Answer get_bucket(const S3Request& request);  // HEAD, or a list of its objects
  Answer bucket_location(const S3Request& request);
  Answer bucket_versioning(const S3Request& request);
  Answer delete_bucket(const S3Request& request);

  // s3_multipart.cc
  Answer create_upload(const S3Request& request);
  Answer upload_part(const S3Request& request);
  // Sealed content becomes the part that the request names.
  io::Task<Result<void>> keep_part(const MultipartUpload& upload, uint32_t number,
                                   ArtifactStore::Upload& content, const std::string& sha256);
  Answer complete_upload(const S3Request& request);
  Answer abort_upload(const S3Request& request);
  Answer list_parts(const S3Request& request);
  Answer list_uploads(const S3Request& request);
  io::Task<Result<MultipartUpload>> find_upload(const S3Request& request);

  io::Env& env_;
  StorePool& stores_;
  ArtifactStore& artifacts_;
  MultipartUploads uploads_;
  std::string region_;
  Keys keys_;
  std::vector<std::string> unused_;  // content without a name when collect() looked last, in order
};

// Headers of an upload that its readers get again, as ArtifactObject::headers_json.
std::string kept_headers(const net::Headers& headers);

}  // namespace skerry::fleet::aws
