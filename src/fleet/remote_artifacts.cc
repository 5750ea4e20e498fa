// Learning digests from an S3 service, and handing its URLs out.
#include "fleet/remote_artifacts.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "base/encoding.h"
#include "base/sha256.h"
#include "fleet/artifacts.h"
#include "formats/json_ptr.h"
#include "formats/node.h"
#include "formats/recipe.h"
#include "net/s3_error.h"

namespace skerry::fleet {
namespace {

constexpr std::string_view kS3 = "s3://";
constexpr std::string_view kHttp = "http://";
constexpr std::string_view kHttps = "https://";
constexpr int64_t kRemoteUrlLifeS = 3600;

struct Place {
  std::string bucket;
  std::string key;
};

// Nothing where it is no s3://BUCKET/KEY: whoever creates the component says so.
std::optional<Place> place_in(std::string_view uri) {
  if (!uri.starts_with(kS3)) return std::nullopt;
  uri.remove_prefix(kS3.size());
  const size_t slash = uri.find('/');
  if (slash == 0 || slash == std::string_view::npos || slash + 1 == uri.size()) return std::nullopt;
  return Place{std::string(uri.substr(0, slash)), std::string(uri.substr(slash + 1))};
}

// "https://s3.example.com:9000/base" → "s3.example.com:9000", and "/base" or "".
std::pair<std::string, std::string> split_endpoint(std::string_view endpoint) {
  const std::string_view rest = endpoint.substr(endpoint.find("//") + 2);
  const size_t slash = std::min(rest.find('/'), rest.size());
  return {std::string(rest.substr(0, slash)), std::string(rest.substr(slash))};
}

// Why the service did not give the object, and what the operator can do.
std::unexpected<Error> refused(const S3Service& service, const std::string& name,
                               const net::HttpResponse& answer) {
  const std::string code = net::said_by_s3(answer.body, "Code");
  std::string why = "HTTP status " + std::to_string(answer.status);
  if (!code.empty()) why += ", " + code + ": " + net::said_by_s3(answer.body, "Message");
  std::string region(answer.headers.get("x-amz-bucket-region"));
  if (region.empty()) region = net::said_by_s3(answer.body, "Region");
  if (!region.empty() && region != service.region) {
    return fail(Code::kFailedPrecondition,
                name + " is in the region " + region + ", and " + service.endpoint +
                    " is asked for it as " + service.region + " (" + why +
                    "): let \"region\" and \"endpoint\" in the file given with --s3 name it");
  }
  if (answer.status == 404 && code == "NoSuchBucket") {
    return fail(Code::kInvalidArgument,
                service.endpoint + " has no bucket for " + name + ": make it, or correct the URI");
  }
  // Some say by 404, too, that they do not know the access key.
  if (answer.status == 404 && (code.empty() || code == "NoSuchKey")) {
    return fail(Code::kInvalidArgument, name + " is neither in this artifact store nor on " +
                                            service.endpoint + ": upload it first");
  }
  if (answer.status == 429 || answer.status >= 500) {
    return fail(Code::kFailedPrecondition,
                service.endpoint + " cannot give " + name + " now (" + why + "): try again");
  }
  return fail(Code::kInvalidArgument,
              service.endpoint + " refuses " + name + " (" + why +
                  "): the access key in the file given with --s3 has to be one that may read it");
}

io::Task<Result<void>> nothing() {
  co_return Result<void>();
}

}  // namespace

Result<S3Service> parse_s3_service(std::string_view json_text) {
  SKERRY_ASSIGN(const auto document, formats::parse_json(json_text, {.size_bytes = 64 << 10}));
  const formats::Node root(document, "");
  if (!root.is_object()) return fail(Code::kInvalidArgument, "must be a JSON object");
  S3Service service;
  for (const auto& [key, member] : {std::pair("endpoint", &service.endpoint),
                                    {"region", &service.region},
                                    {"accessKeyId", &service.credentials.access_key_id},
                                    {"secretAccessKey", &service.credentials.secret_access_key}}) {
    SKERRY_ASSIGN(auto node, root.require(key));
    SKERRY_ASSIGN(*member, node.as_string());
    if (member->empty()) return node.wrong("is empty");
  }
  SKERRY_TRY(root.read("caFile", service.ca_file));
  while (service.endpoint.ends_with('/')) service.endpoint.pop_back();
  const bool is_url = service.endpoint.starts_with(kHttp) || service.endpoint.starts_with(kHttps);
  if (!is_url || split_endpoint(service.endpoint).first.empty()) {
    return fail(Code::kInvalidArgument,
                "endpoint: '" + service.endpoint + "' is not http(s)://HOST[:PORT][/BASE]");
  }
  return service;
}

Result<std::unique_ptr<RemoteArtifacts>> RemoteArtifacts::open(io::Env& env, StorePool& stores,
                                                               S3Service service) {
  std::shared_ptr<net::TlsContext> tls;
  if (service.endpoint.starts_with(kHttps)) {
    SKERRY_ASSIGN(tls, net::TlsContext::client({.ca_file = service.ca_file}));
  }
  auto http = net::make_http_client(env.loop, std::move(tls));
  return std::unique_ptr<RemoteArtifacts>(
      new RemoteArtifacts(env, stores, std::move(service), std::move(http)));
}

Result<std::string> RemoteArtifacts::presign(const RemoteObject& object) const {
  const auto [host, base] = split_endpoint(service_.endpoint);
  const std::string target =
      base + "/" + net::percent_encode(object.bucket) + "/" + net::percent_encode(object.key, "/");
  SKERRY_ASSIGN(const std::string signed_target,
                net::sigv4_presign("GET", target, host, service_.credentials,
                                   {service_.region, "s3"}, env_.clock.wall_ms(), kRemoteUrlLifeS));
  const size_t scheme = service_.endpoint.starts_with(kHttps) ? kHttps.size() : kHttp.size();
  return service_.endpoint.substr(0, scheme) + host + signed_target;
}

io::Task<Result<void>> RemoteArtifacts::learn(std::string recipe) {
  const auto parsed = formats::parse_recipe(recipe);
  if (!parsed) co_return Result<void>();
  std::vector<Place> places;
  for (const formats::Manifest& manifest : parsed->manifests) {
    for (const formats::Artifact& artifact : manifest.artifacts) {
      if (auto place = place_in(artifact.uri)) places.push_back(std::move(*place));
    }
  }
  for (Place& place : places) {
    const auto built_in = co_await stores_.read(
        [place](Store& store) { return store.find_object(place.bucket, place.key); });
    if (built_in) continue;
    if (built_in.error().code() != Code::kNotFound) co_return fail(built_in.error());
    SKERRY_CO_TRY(co_await learn_one(std::move(place.bucket), std::move(place.key)));
  }
  co_return Result<void>();
}

// One that has not changed since is not read again.
io::Task<Result<void>> RemoteArtifacts::learn_one(std::string bucket, std::string key) {
  const std::string name = "s3://" + bucket + "/" + key;
  const auto known = co_await stores_.read(
      [bucket, key](Store& store) { return find_remote_object(store, bucket, key); });
  RemoteObject object{bucket, key, "", 0, ""};
  SKERRY_CO_ASSIGN(const std::string url, presign(object));
  net::HttpRequest request;
  if (known && !known->etag.empty()) request.headers.add("If-None-Match", known->etag);
  auto hash = std::make_shared<Sha256>();
  auto size = std::make_shared<uint64_t>(0);
  net::FetchOptions options;
  options.max_body_bytes = kMaxArtifactBytes;
  options.sink = [hash, size](std::string piece) {
    hash->update(piece);
    *size += piece.size();
    return nothing();
  };
  auto answer = co_await http_->fetch(url, std::move(request), std::move(options));
  if (!answer) {
    co_return fail(Code::kFailedPrecondition,
                   name + " on " + service_.endpoint + ": " + answer.error().message());
  }
  if (known && answer->status == 304) co_return Result<void>();
  if (answer->status != 200) co_return refused(service_, name, *answer);
  object.sha256 = hex_encode(hash->finish());
  object.size_bytes = *size;
  object.etag = answer->headers.get("ETag");
  co_return co_await stores_.write(
      [object](Store& store) { return put_remote_object(store, object); });
}

}  // namespace skerry::fleet
