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

// Who signed a request, and for what; whether that is allowed here is the caller's question.
struct SigV4Caller {
  std::string access_key_id;
  SigV4Scope scope;
  bool presigned = false;
};

struct SigV4Refusal {
  enum class Kind {
    kUnsigned,     // neither an Authorization header nor a signed query
    kMalformed,    // a part is missing or cannot be read
    kUnknownKey,   // nobody has this access key (or session token)
    kExpired,      // more than 15 minutes away from our clock, or a pre-signed URL past its end
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

// `wall_ms`: our clock. `body_sha256`: hex digest of the body where it is not in `request.body`.
std::expected<SigV4Caller, SigV4Refusal> sigv4_verify(const HttpRequest& request,
                                                      const SecretLookup& secret_of,
                                                      int64_t wall_ms,
                                                      std::string_view body_sha256 = {});

}  // namespace skerry::net
