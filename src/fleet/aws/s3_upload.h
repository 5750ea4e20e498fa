// One upload on its way to the disk: undoes aws-chunked, and compares what came with what the
// client said of it before, in headers, or after, in trailers.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "fleet/artifacts.h"
#include "net/aws_chunked.h"
#include "net/http.h"
#include "net/sigv4.h"

namespace skerry::fleet::aws {

// The announcements in the headers of a request.
struct UploadClaims {
  std::string sha256;                                           // hex, or "" where not signed
  std::vector<std::pair<ChecksumKind, std::string>> checksums;  // raw, Content-MD5 among them
  std::vector<ChecksumKind> trailers;                           // announced, to come
  std::optional<uint64_t> length;                               // of the content

  // The checksums in x-amz-checksum-NAME of `headers`. kInvalidArgument on one that we do not know
  // (what we cannot check we do not take) and on one that is not Base64 of its size.
  static Result<std::vector<std::pair<ChecksumKind, std::string>>> checksums_of(
      const net::Headers& headers);
  static Result<UploadClaims> of(const net::HttpRequest& head, const net::SigV4Caller& caller);
  std::vector<ChecksumKind> kinds() const;  // what is to be calculated
};

class UploadSink : public net::BodySink {
 public:
  // What `head`, whose signature is right, says of the body that follows.
  static std::expected<std::shared_ptr<UploadSink>, net::HttpResponse> make(
      ArtifactStore& artifacts, const net::HttpRequest& head, const net::SigV4Caller& caller);

  Result<void> write(std::string_view bytes) override;
  io::Task<Result<void>> drain() override { return upload_->drain(); }

  // Sealed, and everything that was claimed is true.
  io::Task<std::expected<SealedContent, net::HttpResponse>> finish();
  ArtifactStore::Upload& upload() { return *upload_; }
  const std::string& access_key_id() const { return access_key_id_; }  // of the caller

 private:
  UploadSink(std::unique_ptr<ArtifactStore::Upload> upload, UploadClaims claims,
             std::string access_key_id)
      : upload_(std::move(upload)),
        claims_(std::move(claims)),
        access_key_id_(std::move(access_key_id)) {}
  std::optional<net::HttpResponse> take_trailers();
  std::optional<net::HttpResponse> compare(const SealedContent& content) const;

  std::unique_ptr<ArtifactStore::Upload> upload_;
  UploadClaims claims_;
  const std::string access_key_id_;
  std::optional<net::AwsChunkedDecoder> decoder_;
};

// "x-amz-checksum-NAME: base64" for an answer.
void add_checksum_headers(net::HttpResponse& response, const SealedContent& content);

}  // namespace skerry::fleet::aws
