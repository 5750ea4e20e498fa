// Decodes request bodies of the content coding aws-chunked, as S3 clients stream them: chunks with
// or without a signature each, and trailers with a checksum of the whole.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/sha256.h"
#include "net/http.h"
#include "net/sigv4.h"

namespace skerry::net {

class AwsChunkedDecoder {
 public:
  // `payload` is the request's X-Amz-Content-Sha256; kUnsupported where it is none of
  // STREAMING-AWS4-HMAC-SHA256-PAYLOAD, the same with -TRAILER, and
  // STREAMING-UNSIGNED-PAYLOAD-TRAILER. `content_bytes`: X-Amz-Decoded-Content-Length.
  static Result<AwsChunkedDecoder> make(std::string_view payload, uint64_t content_bytes,
                                        SigV4Chain chain);

  // Gives the content in `bytes` to `content`, before the signature of its chunk is known: what
  // became of it counts only after finish(). kInvalidArgument where the bytes are no such body;
  // kPermissionDenied on a wrong signature.
  using Content = std::function<Result<void>(std::string_view)>;
  Result<void> write(std::string_view bytes, const Content& content);
  // Whether the body was whole.
  Result<void> finish() const;
  const Headers& trailers() const { return trailers_; }

 private:
  enum class State { kChunkHeader, kData, kDataEnd, kTrailer, kEnd };
  AwsChunkedDecoder(bool is_signed, bool has_trailer, uint64_t content_bytes, SigV4Chain chain)
      : is_signed_(is_signed),
        has_trailer_(has_trailer),
        content_bytes_(content_bytes),
        chain_(std::move(chain)) {}
  Result<void> take_line();
  Result<void> begin_chunk(std::string_view line);
  Result<void> end_chunk();
  Result<void> take_trailer(std::string_view line);
  Result<void> end_trailers();

  bool is_signed_;
  bool has_trailer_;
  uint64_t content_bytes_;
  SigV4Chain chain_;
  State state_ = State::kChunkHeader;
  std::string line_;
  uint64_t chunk_left_ = 0;
  bool last_chunk_ = false;
  std::string chunk_signature_;
  Sha256 chunk_sha256_;
  uint64_t seen_bytes_ = 0;
  Headers trailers_;
  std::string canonical_trailers_;
  std::string trailer_signature_;
};

}  // namespace skerry::net
