// Copies within the store. A whole object is a second name for the same content.
#include "base/iso_time.h"
#include "fleet/aws/artifact_api.h"
#include "fleet/aws/s3_headers.h"
#include "fleet/aws/s3_xml.h"

namespace skerry::fleet::aws {

using net::HttpResponse;

// The object that x-amz-copy-source names, where it meets the request's conditions.
io::Task<std::expected<ArtifactObject, HttpResponse>> ArtifactApi::copy_source(
    const S3Request& request) {
  const net::Headers& headers = request.http.headers;
  const std::string_view header = headers.get("x-amz-copy-source");
  const size_t question = header.find('?');
  if (question != std::string_view::npos && header.substr(question) != "?versionId=null") {
    co_return std::unexpected(
        s3_error(400, "InvalidArgument", "objects have no versions: leave versionId out"));
  }
  auto path = net::percent_decode(header.substr(0, question));
  if (path && path->starts_with('/')) path->erase(0, 1);
  const size_t slash = path ? path->find('/') : std::string::npos;
  if (slash == std::string::npos || slash + 1 == path->size()) {
    co_return std::unexpected(
        s3_error(400, "InvalidArgument", "x-amz-copy-source must be BUCKET/KEY"));
  }
  auto object = co_await find(path->substr(0, slash), path->substr(slash + 1));
  if (!object) co_return std::unexpected(s3_error(object.error()));
  if (check_read(headers, "x-amz-copy-source-", *object) != ReadCheck::kMet)
    co_return std::unexpected(precondition_failed());
  co_return std::move(*object);
}

io::Task<HttpResponse> ArtifactApi::copy_object(const S3Request& request) {
  auto object = co_await copy_source(request);
  if (!object) co_return std::move(object.error());
  const net::Headers& headers = request.http.headers;
  const bool replaces = headers.get("x-amz-metadata-directive") == "REPLACE";
  if (!replaces && object->bucket == request.bucket && object->key == request.key) {
    co_return s3_error(400, "InvalidRequest",
                       "This copy request is illegal because it is trying to copy an object to "
                       "itself without changing the object's metadata");
  }
  if (replaces) object->headers_json = kept_headers(headers);
  object->bucket = request.bucket;
  object->key = request.key;
  object->modified_ms = env_.clock.wall_ms();
  auto named = co_await name_content(request, *object);
  if (!named) co_return s3_error(named.error());
  co_return xml_response("CopyObjectResult",
                         xml_element("LastModified", iso_time(object->modified_ms)) +
                             xml_element("ETag", etag_of(object->sha256)));
}

io::Task<HttpResponse> ArtifactApi::object_tagging(const S3Request& request) {
  auto object = co_await find(request.bucket, request.key);
  if (!object) co_return s3_error(object.error());
  co_return xml_response("Tagging", "<TagSet></TagSet>");
}

}  // namespace skerry::fleet::aws
