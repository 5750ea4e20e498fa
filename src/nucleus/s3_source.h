// Artifacts that recipes name as s3://BUCKET/KEY, read with the credentials of the device's role as
// the stock nuclei read them: from AWS, or from a service that speaks S3.
#pragma once

#include <map>
#include <string>

#include "io/clock.h"
#include "net/http_client.h"
#include "nucleus/role_credentials.h"

namespace skerry::nucleus {

struct S3Options {
  std::string region;  // where buckets are looked for first
  // "https://host[:port][/path]" of a service, asked as ENDPOINT/BUCKET/KEY; "": AWS itself
  std::string endpoint;
};

class S3Source {
 public:
  static constexpr std::string_view kScheme = "s3://";

  // `clock`, `client` and `credentials` must outlive it.
  S3Source(io::Clock& clock, net::HttpClient& client, RoleCredentials& credentials,
           S3Options options)
      : clock_(clock), client_(client), credentials_(credentials), options_(std::move(options)) {}

  // GET of `uri` with the headers of `request`. The answer is a success; an error says what the
  // service said. A bucket that is in another region is asked there.
  io::Task<Result<net::HttpResponse>> get(std::string uri, net::HttpRequest request,
                                          net::FetchOptions fetch);

 private:
  struct Place {
    std::string bucket, key;
  };
  static Result<Place> place_of(std::string_view uri);
  std::string origin_and_target(const Place& place, const std::string& region,
                                std::string& target) const;

  io::Clock& clock_;
  net::HttpClient& client_;
  RoleCredentials& credentials_;
  const S3Options options_;
  std::map<std::string, std::string> regions_;  // of buckets that are elsewhere
};

}  // namespace skerry::nucleus
