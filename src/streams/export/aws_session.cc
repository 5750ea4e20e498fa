// Endpoints, credentials, signatures.
#include "streams/export/aws_session.h"

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <utility>

#include "streams/definition.h"
#include "streams/export/exporter.h"

namespace skerry::streams {
namespace {

using nlohmann::json;

// Credentials from the nucleus are asked for again after so long: theirs last an hour at least.
constexpr int64_t kKeepCredentialsMs = 5 * 60'000;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

struct Endpoint {
  std::string origin;  // "https://host:port"
  std::string host;    // "host:port"
  std::string path;    // before that of each request
};

Endpoint split(std::string url) {
  while (url.ends_with('/')) url.pop_back();
  const size_t host = url.find("://") == std::string::npos ? 0 : url.find("://") + 3;
  const size_t path = std::min(url.find('/', host), url.size());
  return {url.substr(0, path), url.substr(host, path - host), url.substr(path)};
}

Endpoint endpoint_of(const AwsOptions& options, const std::string& service) {
  for (const std::string& name : {service, std::string()}) {
    const auto found = options.endpoints.find(name);
    if (found != options.endpoints.end()) return split(found->second);
  }
  const std::string prefix = service == "iotsitewise" ? "data." : "";
  return split("https://" + prefix + service + "." + options.region + ".amazonaws.com");
}

}  // namespace

AwsOptions AwsOptions::of_environment() {
  AwsOptions options;
  options.region = environment("AWS_REGION");
  if (options.region.empty()) options.region = environment("AWS_DEFAULT_REGION");
  for (const auto& [service, name] :
       {std::pair("", "AWS_ENDPOINT_URL"), std::pair("s3", "AWS_ENDPOINT_URL_S3"),
        std::pair("kinesis", "AWS_ENDPOINT_URL_KINESIS"),
        std::pair("iotanalytics", "AWS_ENDPOINT_URL_IOTANALYTICS"),
        std::pair("iotsitewise", "AWS_ENDPOINT_URL_IOTSITEWISE")}) {
    if (std::string url = environment(name); !url.empty()) options.endpoints[service] = url;
  }
  net::AwsCredentials keys{environment("AWS_ACCESS_KEY_ID"), environment("AWS_SECRET_ACCESS_KEY"),
                           environment("AWS_SESSION_TOKEN")};
  if (!keys.access_key_id.empty() && !keys.secret_access_key.empty()) options.credentials = keys;
  options.credentials_url = environment("AWS_CONTAINER_CREDENTIALS_FULL_URI");
  options.credentials_token = environment("AWS_CONTAINER_AUTHORIZATION_TOKEN");
  return options;
}

io::Task<Result<net::HttpResponse>> AwsSession::send(std::string service, net::HttpRequest request,
                                                     Uplink::Transfer& line, RequestBody body) {
  if (options_.region.empty()) {
    co_return fail(Code::kFailedPrecondition, "no region: set AWS_REGION for the stream manager");
  }
  SKERRY_CO_ASSIGN(const net::AwsCredentials keys, co_await credentials());
  const Endpoint endpoint = endpoint_of(options_, service);
  request.target = endpoint.path + request.target;
  SKERRY_CO_TRY(
      net::sigv4_sign(request, endpoint.host, keys, {options_.region, service}, clock_.wall_ms()));
  const std::string url = endpoint.origin + request.target;
  if (!body.read) co_return co_await fetch_paced(http_, url, std::move(request), line);
  net::FetchOptions options;
  options.body = std::move(body.read);
  options.body_bytes = body.bytes;
  co_return co_await http_.fetch(url, std::move(request), std::move(options));
}

io::Task<Result<net::AwsCredentials>> AwsSession::credentials() {
  if (options_.credentials) co_return *options_.credentials;
  if (options_.credentials_url.empty()) {
    co_return fail(Code::kFailedPrecondition,
                   "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for the stream "
                   "manager, or have the nucleus give some out");
  }
  if (fetched_ && clock_.wall_ms() < fetched_until_ms_ &&
      clock_.wall_ms() > fetched_until_ms_ - 2 * kKeepCredentialsMs) {
    co_return *fetched_;
  }
  net::HttpRequest request;
  request.headers.add("Authorization", options_.credentials_token);
  SKERRY_CO_ASSIGN(const auto response, co_await http_.fetch(options_.credentials_url, request));
  const json answer = json::parse(response.body, nullptr, false);
  if (response.status != 200 || !answer.is_object() || !answer.contains("AccessKeyId")) {
    co_return fail(Code::kUnavailable, "the nucleus gives no credentials out, status " +
                                           std::to_string(response.status));
  }
  fetched_ =
      net::AwsCredentials{text_member(answer, "AccessKeyId"),
                          text_member(answer, "SecretAccessKey"), text_member(answer, "Token")};
  fetched_until_ms_ = clock_.wall_ms() + kKeepCredentialsMs;
  co_return *fetched_;
}

}  // namespace skerry::streams
