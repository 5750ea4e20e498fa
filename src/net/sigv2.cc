// "Signing and authenticating REST requests (AWS signature version 2)" of the Amazon S3 guide,
// query string authentication.
#include "net/sigv2.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <vector>

#include "base/encoding.h"
#include "base/sha256.h"

namespace skerry::net {
namespace {

using Kind = SigV4Refusal::Kind;
using Parameters = std::vector<std::pair<std::string, std::string>>;

// The parameters that are part of what is signed.
constexpr std::string_view kSignedParameters[] = {"acl",
                                                  "cors",
                                                  "delete",
                                                  "lifecycle",
                                                  "location",
                                                  "logging",
                                                  "notification",
                                                  "partNumber",
                                                  "policy",
                                                  "replication",
                                                  "requestPayment",
                                                  "response-cache-control",
                                                  "response-content-disposition",
                                                  "response-content-encoding",
                                                  "response-content-language",
                                                  "response-content-type",
                                                  "response-expires",
                                                  "restore",
                                                  "tagging",
                                                  "torrent",
                                                  "uploadId",
                                                  "uploads",
                                                  "versionId",
                                                  "versioning",
                                                  "versions",
                                                  "website"};

std::unexpected<SigV4Refusal> refuse_v2(Kind kind, std::string message) {
  return std::unexpected(SigV4Refusal{kind, std::move(message)});
}

std::string lower_name(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return result;
}

std::string query_parameter(const Parameters& parameters, std::string_view name) {
  for (const auto& [key, value] : parameters) {
    if (key == name) return value;
  }
  return {};
}

std::string hmac_sha1(std::string_view key, std::string_view text) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  HMAC(EVP_sha1(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest, &size);
  return {reinterpret_cast<const char*>(digest), size};
}

// A header of the request, or what the query says in its place.
std::string header(const HttpRequest& request, const Parameters& query, std::string_view name) {
  if (request.headers.has(name)) return std::string(request.headers.get(name));
  return query_parameter(query, name);
}

// "x-amz-NAME:value\n" of each such header, in order of their names.
std::string amz_headers(const HttpRequest& request, const Parameters& query) {
  std::map<std::string, std::string> found;
  for (const auto& [name, value] : query) {
    if (name.starts_with("x-amz-")) found[name] = value;
  }
  for (const auto& [name, value] : request.headers.fields()) {
    std::string key = lower_name(name);
    if (!key.starts_with("x-amz-")) continue;
    std::string& joined = found[key];
    joined += joined.empty() ? value : "," + value;
  }
  std::string result;
  for (const auto& [name, value] : found)
    result.append(name).append(":").append(value).append("\n");
  return result;
}

std::string signed_parameters(const Parameters& query) {
  Parameters chosen;
  for (const auto& entry : query) {
    if (std::ranges::find(kSignedParameters, entry.first) != std::end(kSignedParameters)) {
      chosen.push_back(entry);
    }
  }
  std::ranges::sort(chosen);
  std::string result;
  for (const auto& [name, value] : chosen) {
    result.append(result.empty() ? "?" : "&").append(name);
    if (!value.empty()) result.append("=").append(value);
  }
  return result;
}

}  // namespace

bool is_sigv2_presigned(std::string_view target) {
  auto query = parse_query(split_target(target).second);
  return query && !query_parameter(*query, "AWSAccessKeyId").empty() &&
         !query_parameter(*query, "Signature").empty();
}

std::expected<SigV4Caller, SigV4Refusal> sigv2_verify(const HttpRequest& request,
                                                      const SecretLookup& secret_of,
                                                      int64_t wall_ms,
                                                      std::string_view path_prefix) {
  auto [path, query_text] = split_target(request.target);
  auto query = parse_query(query_text);
  if (!query) return refuse_v2(Kind::kMalformed, query.error().message());
  const std::string expires = query_parameter(*query, "Expires");
  int64_t expires_s = 0;
  auto [end, error] = std::from_chars(expires.data(), expires.data() + expires.size(), expires_s);
  if (error != std::errc() || end != expires.data() + expires.size() || expires_s < 0) {
    return refuse_v2(Kind::kMalformed,
                     "Expires must be the seconds since 1970 at which the URL ends");
  }
  if (wall_ms / 1000 >= expires_s) return refuse_v2(Kind::kExpired, "Request has expired");
  const std::string key = query_parameter(*query, "AWSAccessKeyId");
  auto secret = secret_of(key, query_parameter(*query, "x-amz-security-token"));
  if (!secret)
    return refuse_v2(Kind::kUnknownKey, "the access key or its session token is not known");
  if (path.starts_with(path_prefix)) path.remove_prefix(path_prefix.size());
  const std::string to_sign = request.method + "\n" + header(request, *query, "content-md5") +
                              "\n" + header(request, *query, "content-type") + "\n" + expires +
                              "\n" + amz_headers(request, *query) + std::string(path) +
                              signed_parameters(*query);
  const std::string expected = base64_encode(hmac_sha1(*secret, to_sign));
  const std::string given = query_parameter(*query, "Signature");
  if (!equals_secretly(expected, given)) {
    return refuse_v2(Kind::kMismatch,
                     "the signature is not the one we calculate: check the secret access key");
  }
  SigV4Caller caller;
  caller.access_key_id = key;
  caller.scope.service = "s3";
  caller.presigned = true;
  caller.payload = "UNSIGNED-PAYLOAD";
  return caller;
}

}  // namespace skerry::net
