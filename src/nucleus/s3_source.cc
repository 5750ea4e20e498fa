// Where a bucket is, a signed request, and what its refusal means.
#include "nucleus/s3_source.h"

#include <algorithm>

#include "net/s3_error.h"
#include "net/sigv4.h"

namespace skerry::nucleus {
namespace {

// A bucket's home is told once, an expired token replaced once.
constexpr int kAttempts = 3;

std::string home_of(const net::HttpResponse& response) {
  std::string region(response.headers.get("x-amz-bucket-region"));
  if (region.empty()) region = net::said_by_s3(response.body, "Region");
  const bool plain =
      std::ranges::all_of(region, [](unsigned char c) { return std::isalnum(c) || c == '-'; });
  return plain && region.size() <= 64 ? region : "";
}

Error refusal(const std::string& uri, const net::HttpResponse& response) {
  const std::string code = net::said_by_s3(response.body, "Code");
  std::string message = uri + ": HTTP " + std::to_string(response.status);
  if (!code.empty()) message += ", " + code + ": " + net::said_by_s3(response.body, "Message");
  if (response.status == 404) return {Code::kNotFound, message};
  if (response.status == 408 || response.status == 429 || response.status >= 500 ||
      code == "RequestTimeTooSkewed" || code == "ExpiredToken" || code == "SlowDown") {
    return {Code::kUnavailable, message};
  }
  if (response.status == 401 || response.status == 403) {
    return {Code::kPermissionDenied,
            message + ": let the role of the device's role alias read it (s3:GetObject)"};
  }
  return {Code::kInvalidArgument, message};
}

}  // namespace

Result<S3Source::Place> S3Source::place_of(std::string_view uri) {
  std::string_view rest = uri.substr(std::min(kScheme.size(), uri.size()));
  const size_t slash = rest.find('/');
  const std::string_view bucket = rest.substr(0, slash);
  const bool plain = std::ranges::all_of(bucket, [](unsigned char c) {
    return (c < 0x80 && std::isalnum(c)) || c == '-' || c == '.' || c == '_';
  });
  if (!uri.starts_with(kScheme) || bucket.empty() || !plain || slash == std::string_view::npos ||
      slash + 1 == rest.size()) {
    return fail(Code::kInvalidArgument, "the URI " + std::string(uri) + " is not s3://BUCKET/KEY");
  }
  return Place{std::string(bucket), std::string(rest.substr(slash + 1))};
}

// A bucket with a dot has no certificate under a name of its own.
std::string S3Source::origin_and_target(const Place& place, const std::string& region,
                                        std::string& target) const {
  const std::string key = net::percent_encode(place.key, "/");
  if (!options_.endpoint.empty()) {
    const size_t host = options_.endpoint.find("://") + 3;
    const size_t path = std::min(options_.endpoint.find('/', host), options_.endpoint.size());
    target = options_.endpoint.substr(path) + "/" + place.bucket + "/" + key;
    return options_.endpoint.substr(0, path);
  }
  const std::string domain =
      "s3." + region + (region.starts_with("cn-") ? ".amazonaws.com.cn" : ".amazonaws.com");
  if (place.bucket.find_first_of("._") != std::string::npos) {
    target = "/" + place.bucket + "/" + key;
    return "https://" + domain;
  }
  target = "/" + key;
  return "https://" + place.bucket + "." + domain;
}

io::Task<Result<net::HttpResponse>> S3Source::get(std::string uri, net::HttpRequest request,
                                                  net::FetchOptions fetch) {
  SKERRY_CO_ASSIGN(const Place place, place_of(uri));
  for (int attempt = 1;; ++attempt) {
    auto credentials = co_await credentials_.get();
    if (!credentials) co_return fail(credentials.error().with_context(uri));
    const auto elsewhere = regions_.find(place.bucket);
    const std::string region = elsewhere == regions_.end() ? options_.region : elsewhere->second;
    net::HttpRequest signed_request = request;
    const std::string origin = origin_and_target(place, region, signed_request.target);
    SKERRY_CO_TRY(net::sigv4_sign(signed_request, origin.substr(origin.find("://") + 3),
                                  *credentials, {region, "s3"}, clock_.wall_ms()));
    const std::string url = origin + signed_request.target;
    SKERRY_CO_ASSIGN(auto response, co_await client_.fetch(url, std::move(signed_request), fetch));
    if (response.status == 200 || response.status == 206) co_return response;
    if (attempt < kAttempts) {
      const std::string home = home_of(response);
      if (!home.empty() && home != region) {
        regions_[place.bucket] = home;
        continue;
      }
      if (net::said_by_s3(response.body, "Code") == "ExpiredToken") {
        credentials_.drop();
        continue;
      }
    }
    co_return fail(refusal(uri, response));
  }
}

}  // namespace skerry::nucleus
