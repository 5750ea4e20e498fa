// Requests to services in AWS's shapes, AWS itself or one that speaks like it: where they are, with
// whose credentials, signed.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "base/error.h"
#include "io/clock.h"
#include "io/task.h"
#include "net/http_client.h"
#include "net/sigv4.h"
#include "streams/export/uplink.h"

namespace skerry::streams {

struct AwsOptions {
  std::string region;
  std::map<std::string, std::string> endpoints;  // URL by service; "" for all others
  std::optional<net::AwsCredentials> credentials;
  // Instead: where a nucleus gives credentials out, and the token that it wants to see.
  std::string credentials_url, credentials_token;

  // By the names that AWS's own SDKs use: AWS_REGION, AWS_ENDPOINT_URL[_S3|_KINESIS|…],
  // AWS_ACCESS_KEY_ID…, AWS_CONTAINER_CREDENTIALS_FULL_URI.
  static AwsOptions of_environment();
};

struct RequestBody {  // where it is not in memory
  std::function<io::Task<Result<std::string>>(uint64_t offset)> read;
  uint64_t bytes = 0;
};

class AwsSession {
 public:
  // Both outlive it.
  AwsSession(io::Clock& clock, net::HttpClient& http, AwsOptions options)
      : clock_(clock), http_(http), options_(std::move(options)) {}

  // Signs for `service` and sends. A body in `request` goes at the pace of `line`; of one in
  // `body` the header X-Amz-Content-Sha256 has to say the digest.
  io::Task<Result<net::HttpResponse>> send(std::string service, net::HttpRequest request,
                                           Uplink::Transfer& line, RequestBody body = {});

 private:
  io::Task<Result<net::AwsCredentials>> credentials();

  io::Clock& clock_;
  net::HttpClient& http_;
  const AwsOptions options_;
  std::optional<net::AwsCredentials> fetched_;
  int64_t fetched_until_ms_ = 0;  // wall clock
};

}  // namespace skerry::streams
