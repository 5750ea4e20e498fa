// AWS Signature Version 4: signing requests, pre-signing URLs, and checking both, as stock AWS
// clients do it (services other than s3 encode the path of the wire once more).
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "net/http.h"

namespace skerry::net {

struct AwsCredentials {
  std::string access_key_id;
  std::string secret_access_key;
  std::string session_token;  // of temporary credentials, else ""
};

struct SigV4Scope {
  std::string region;
  std::string service;  // "greengrass", "iot", "iotdata", "s3", …
};

// Adds Host (where absent), X-Amz-Date, X-Amz-Security-Token (where there is one), for s3
// X-Amz-Content-Sha256, and Authorization. A X-Amz-Content-Sha256 already there stands for the
// body, for example the digest of a file that is streamed. Every header that proxies leave alone is
// signed. kInvalidArgument on a target with a bad escape.
Result<void> sigv4_sign(HttpRequest& request, const std::string& host,
                        const AwsCredentials& credentials, const SigV4Scope& scope,
                        int64_t wall_ms);

// `target` with the signature in its query: whoever has it may do `method` on it for `expires_s`
// seconds.
Result<std::string> sigv4_presign(const std::string& method, const std::string& target,
                                  const std::string& host, const AwsCredentials& credentials,
                                  const SigV4Scope& scope, int64_t wall_ms, int64_t expires_s);

// The signatures of a body that is streamed in signed chunks; each one covers the one before it.
struct SigV4Chain {
  std::string signature;  // the last one, first that of the request
  std::string key;
  std::string time;
  std::string scope;
  // Whether `given` signs a chunk with this digest (hex); if so it is the last one now.
  bool accept_chunk(const std::string& sha256_hex, const std::string& given);
  // `trailers`: "name:value\n" of each.
  bool accept_trailer(const std::string& trailers, const std::string& given);
};

// Who signed a request, and for what; whether that is allowed here is the caller's question.
struct SigV4Caller {
  std::string access_key_id;
  SigV4Scope scope;
  bool presigned = false;
  std::string payload;  // X-Amz-Content-Sha256: a hex digest, a word that stands for it, or ""
  SigV4Chain chain;
};

struct SigV4Refusal {
  enum class Kind {
    kUnsigned,     // neither an Authorization header nor a signed query
    kMalformed,    // a part is missing or cannot be read
    kUnknownKey,   // nobody has this access key (or session token)
    kExpired,      // a pre-signed URL past its end, or before its beginning
    kSkewed,       // more than 15 minutes away from our clock
    kNotSigned,    // a header that means something to AWS and is not among the signed ones
    kMismatch,     // the signature, or the digest of the body, is not right
    kUnsupported,  // a payload mode that this program does not do
  };
  Kind kind;
  std::string message;
};

// The secret of an access key; nothing where there is none, or where `session_token` ("" if the
// request has none) does not go with it.
using SecretLookup = std::function<std::optional<std::string>(std::string_view access_key_id,
                                                              std::string_view session_token)>;

// For whom a request says that it is signed, unchecked; nothing where it does not say.
std::optional<SigV4Scope> sigv4_claimed_scope(const HttpRequest& request);

// `wall_ms`: our clock.
std::expected<SigV4Caller, SigV4Refusal> sigv4_verify(const HttpRequest& request,
                                                      const SecretLookup& secret_of,
                                                      int64_t wall_ms);
// The same before the body is there. Whether the body is what `payload` of the result says is still
// to be seen; and where that is "", whether the signature is right.
std::expected<SigV4Caller, SigV4Refusal> sigv4_verify_head(const HttpRequest& head,
                                                           const SecretLookup& secret_of,
                                                           int64_t wall_ms);

}  // namespace skerry::net
