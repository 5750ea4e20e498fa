// The canonical request, the string to sign and the key, as in "Signature Version 4 signing
// process" of the AWS documentation; then signing and verifying, which share them.
#include "net/sigv4.h"

#include <algorithm>
#include <charconv>
#include <ctime>
#include <vector>

#include "base/encoding.h"
#include "base/sha256.h"

namespace skerry::net {
namespace {

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";
constexpr std::string_view kUnsignedPayload = "UNSIGNED-PAYLOAD";
constexpr int64_t kClockSkewMs = 15 * 60 * 1000;
constexpr int64_t kLongestExpiryS = 7 * 24 * 3600;

using Parameters = std::vector<std::pair<std::string, std::string>>;

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  }
  return result;
}

// --- Time ---------------------------------------------------------------------------------------

std::string format_time(int64_t wall_ms) {
  std::time_t seconds = static_cast<std::time_t>(wall_ms / 1000);
  std::tm parts{};
  char text[32];
  return {text, std::strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", gmtime_r(&seconds, &parts))};
}

std::optional<int> number_at(std::string_view text, size_t position, size_t length) {
  int value = 0;
  const char* first = text.data() + position;
  auto [end, error] = std::from_chars(first, first + length, value);
  if (error != std::errc() || end != first + length || *first == '-') return std::nullopt;
  return value;
}

// "20150830T123600Z" in milliseconds.
std::optional<int64_t> parse_time(std::string_view text) {
  if (text.size() != 16 || text[8] != 'T' || text[15] != 'Z') return std::nullopt;
  auto year = number_at(text, 0, 4), month = number_at(text, 4, 2), day = number_at(text, 6, 2);
  auto hour = number_at(text, 9, 2), minute = number_at(text, 11, 2),
       second = number_at(text, 13, 2);
  if (!year || !month || !day || !hour || !minute || !second) return std::nullopt;
  std::tm parts{};
  parts.tm_year = *year - 1900;
  parts.tm_mon = *month - 1;
  parts.tm_mday = *day;
  parts.tm_hour = *hour;
  parts.tm_min = *minute;
  parts.tm_sec = *second;
  return static_cast<int64_t>(timegm(&parts)) * 1000;
}

// --- Canonical form -----------------------------------------------------------------------------

// Resolves "." and ".." and drops empty segments, as the clients do before they encode.
std::string without_dot_segments(std::string_view path) {
  std::vector<std::string_view> kept;
  bool ends_in_slash = path.ends_with('/');
  while (!path.empty()) {
    std::string_view segment = path.substr(0, path.find('/'));
    path.remove_prefix(std::min(path.size(), segment.size() + 1));
    if (segment.empty() || segment == ".") continue;
    if (segment != "..") {
      kept.push_back(segment);
    } else if (!kept.empty()) {
      kept.pop_back();
    }
  }
  std::string result;
  for (std::string_view segment : kept) result.append("/").append(segment);
  if (result.empty() || ends_in_slash) result += '/';
  return result;
}

Result<std::string> canonical_path(std::string_view path, std::string_view service) {
  if (service != "s3") return percent_encode(without_dot_segments(path), "/");
  SKERRY_ASSIGN(std::string decoded, percent_decode(path));
  return percent_encode(decoded, "/");
}

std::string canonical_query(const Parameters& parameters) {
  Parameters encoded;
  for (const auto& [name, value] : parameters) {
    if (name != "X-Amz-Signature")
      encoded.emplace_back(percent_encode(name), percent_encode(value));
  }
  std::sort(encoded.begin(), encoded.end());
  std::string result;
  for (const auto& [name, value] : encoded) {
    if (!result.empty()) result += '&';
    result.append(name).append("=").append(value);
  }
  return result;
}

// Outer blanks removed, inner runs of blanks made one.
void append_trimmed(std::string& out, std::string_view value) {
  size_t start = out.size();
  bool blank = false;
  for (char c : value) {
    if (c == ' ' || c == '\t') {
      blank = true;
      continue;
    }
    if (blank && out.size() > start) out += ' ';
    blank = false;
    out += c;
  }
}

// "name:value\n" of each of `names` (lower case, in order); repeated fields joined by commas.
Result<std::string> canonical_headers(const Headers& headers,
                                      const std::vector<std::string>& names) {
  std::string result;
  for (const std::string& name : names) {
    bool found = false;
    result.append(name).append(":");
    for (const auto& [field, value] : headers.fields()) {
      if (lower(field) != name) continue;
      if (std::exchange(found, true)) result += ',';
      append_trimmed(result, value);
    }
    if (!found) {
      return fail(Code::kInvalidArgument, "the signed header '" + name + "' is not in the request");
    }
    result += '\n';
  }
  return result;
}

std::string join(const std::vector<std::string>& names) {
  std::string result;
  for (const std::string& name : names) result.append(result.empty() ? "" : ";").append(name);
  return result;
}

// What is signed of a request, apart from the request itself.
struct Signing {
  std::string time;  // X-Amz-Date
  SigV4Scope scope;
  std::vector<std::string> signed_headers;  // lower case, sorted
  std::string payload;                      // hex digest, or a word for "not signed"

  std::string day() const { return time.substr(0, 8); }
  std::string credential_scope() const {
    return day() + "/" + scope.region + "/" + scope.service + "/aws4_request";
  }
};

std::string signing_key(const Signing& signing, const std::string& secret) {
  std::string key = hmac_sha256("AWS4" + secret, signing.day());
  key = hmac_sha256(key, signing.scope.region);
  return hmac_sha256(hmac_sha256(key, signing.scope.service), "aws4_request");
}

Result<std::string> signature(const std::string& method, std::string_view path,
                              const Parameters& query, const Headers& headers,
                              const Signing& signing, const std::string& secret) {
  SKERRY_ASSIGN(std::string canonical, canonical_path(path, signing.scope.service));
  SKERRY_ASSIGN(std::string header_lines, canonical_headers(headers, signing.signed_headers));
  canonical = method + "\n" + canonical + "\n" + canonical_query(query) + "\n" + header_lines +
              "\n" + join(signing.signed_headers) + "\n" + signing.payload;
  std::string to_sign = std::string(kAlgorithm) + "\n" + signing.time + "\n" +
                        signing.credential_scope() + "\n" + hex_encode(sha256(canonical));
  return hex_encode(hmac_sha256(signing_key(signing, secret), to_sign));
}

// --- Signing ------------------------------------------------------------------------------------

// Headers that proxies or the connection itself may change.
bool stays_unsigned(std::string_view name) {
  constexpr std::string_view kNames[] = {
      "authorization", "connection",        "expect",  "keep-alive", "te",
      "trailer",       "transfer-encoding", "upgrade", "user-agent", "x-amzn-trace-id"};
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

std::vector<std::string> headers_to_sign(const Headers& headers) {
  std::vector<std::string> names;
  for (const auto& [name, value] : headers.fields()) {
    std::string key = lower(name);
    if (!stays_unsigned(key)) names.push_back(std::move(key));
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

}  // namespace

Result<void> sigv4_sign(HttpRequest& request, const std::string& host,
                        const AwsCredentials& credentials, const SigV4Scope& scope,
                        int64_t wall_ms) {
  Headers& headers = request.headers;
  Signing signing{
      format_time(wall_ms), scope, {}, std::string(headers.get("X-Amz-Content-Sha256"))};
  if (signing.payload.empty()) {
    signing.payload = hex_encode(sha256(request.body));
    if (scope.service == "s3") headers.set("X-Amz-Content-Sha256", signing.payload);
  }
  if (!headers.has("Host")) headers.add("Host", host);
  headers.set("X-Amz-Date", signing.time);
  if (!credentials.session_token.empty()) {
    headers.set("X-Amz-Security-Token", credentials.session_token);
  }
  signing.signed_headers = headers_to_sign(headers);
  auto [path, query] = split_target(request.target);
  SKERRY_ASSIGN(auto parameters, parse_query(query));
  SKERRY_ASSIGN(std::string signature_hex, signature(request.method, path, parameters, headers,
                                                     signing, credentials.secret_access_key));
  headers.set("Authorization",
              std::string(kAlgorithm) + " Credential=" + credentials.access_key_id + "/" +
                  signing.credential_scope() + ", SignedHeaders=" + join(signing.signed_headers) +
                  ", Signature=" + signature_hex);
  return {};
}

Result<std::string> sigv4_presign(const std::string& method, const std::string& target,
                                  const std::string& host, const AwsCredentials& credentials,
                                  const SigV4Scope& scope, int64_t wall_ms, int64_t expires_s) {
  if (expires_s < 1 || expires_s > kLongestExpiryS) {
    return fail(Code::kInvalidArgument, "a pre-signed URL lives 1 second to 7 days");
  }
  Signing signing{format_time(wall_ms),
                  scope,
                  {"host"},
                  scope.service == "s3" ? std::string(kUnsignedPayload) : hex_encode(sha256(""))};
  auto [path, query] = split_target(target);
  SKERRY_ASSIGN(Parameters parameters, parse_query(query));
  parameters.emplace_back("X-Amz-Algorithm", kAlgorithm);
  parameters.emplace_back("X-Amz-Credential",
                          credentials.access_key_id + "/" + signing.credential_scope());
  parameters.emplace_back("X-Amz-Date", signing.time);
  parameters.emplace_back("X-Amz-Expires", std::to_string(expires_s));
  parameters.emplace_back("X-Amz-SignedHeaders", "host");
  if (!credentials.session_token.empty()) {
    parameters.emplace_back("X-Amz-Security-Token", credentials.session_token);
  }
  Headers headers;
  headers.add("Host", host);
  SKERRY_ASSIGN(std::string signature_hex, signature(method, path, parameters, headers, signing,
                                                     credentials.secret_access_key));
  return std::string(path) + "?" + canonical_query(parameters) +
         "&X-Amz-Signature=" + signature_hex;
}

// --- Verifying ----------------------------------------------------------------------------------

namespace {

using Kind = SigV4Refusal::Kind;

std::unexpected<SigV4Refusal> refuse(Kind kind, std::string message) {
  return std::unexpected(SigV4Refusal{kind, std::move(message)});
}

// The parts of a signed request, wherever they stood.
struct Claim {
  std::string credential;  // ACCESS_KEY/DAY/REGION/SERVICE/aws4_request
  std::string signed_headers;
  std::string signature;
  std::string time;
  std::string session_token;
  std::optional<int64_t> expires_s;  // of a pre-signed URL
};

std::string parameter(const Parameters& parameters, std::string_view name) {
  for (const auto& [key, value] : parameters) {
    if (key == name) return value;
  }
  return {};
}

// "AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…"; blanks after the commas are
// optional.
std::expected<Claim, SigV4Refusal> claim_of_header(const Headers& headers) {
  std::string_view text = headers.get("Authorization");
  if (!text.starts_with(kAlgorithm)) {
    return refuse(Kind::kMalformed, "Authorization must begin with " + std::string(kAlgorithm));
  }
  text.remove_prefix(kAlgorithm.size());
  Claim claim;
  while (!text.empty()) {
    std::string_view part = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), part.size() + 1));
    part.remove_prefix(std::min(part.size(), part.find_first_not_of(' ')));
    size_t equals = part.find('=');
    if (equals == std::string_view::npos) continue;
    std::string value(part.substr(equals + 1));
    if (part.starts_with("Credential=")) claim.credential = value;
    if (part.starts_with("SignedHeaders=")) claim.signed_headers = value;
    if (part.starts_with("Signature=")) claim.signature = value;
  }
  claim.time = headers.get("X-Amz-Date");
  claim.session_token = headers.get("X-Amz-Security-Token");
  return claim;
}

std::expected<Claim, SigV4Refusal> claim_of_query(const Parameters& query) {
  if (parameter(query, "X-Amz-Algorithm") != kAlgorithm) {
    return refuse(Kind::kMalformed, "X-Amz-Algorithm must be " + std::string(kAlgorithm));
  }
  Claim claim;
  claim.credential = parameter(query, "X-Amz-Credential");
  claim.signed_headers = parameter(query, "X-Amz-SignedHeaders");
  claim.signature = parameter(query, "X-Amz-Signature");
  claim.time = parameter(query, "X-Amz-Date");
  claim.session_token = parameter(query, "X-Amz-Security-Token");
  std::string expires = parameter(query, "X-Amz-Expires");
  int64_t seconds = 0;
  auto [end, error] = std::from_chars(expires.data(), expires.data() + expires.size(), seconds);
  if (error != std::errc() || end != expires.data() + expires.size() || seconds < 1 ||
      seconds > kLongestExpiryS) {
    return refuse(Kind::kMalformed, "X-Amz-Expires must be 1 to 604800 seconds");
  }
  claim.expires_s = seconds;
  return claim;
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (;;) {
    size_t end = text.find(separator);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::expected<void, SigV4Refusal> check_time(const Claim& claim, int64_t wall_ms) {
  auto signed_ms = parse_time(claim.time);
  if (!signed_ms) {
    return refuse(Kind::kMalformed, "X-Amz-Date must look like 20260131T120000Z");
  }
  const Kind kind = claim.expires_s ? Kind::kExpired : Kind::kSkewed;
  int64_t end_ms = *signed_ms + (claim.expires_s ? *claim.expires_s * 1000 : kClockSkewMs);
  if (wall_ms < *signed_ms - kClockSkewMs) {
    return refuse(kind, "Signature not yet current: " + claim.time + " is ahead of " +
                            format_time(wall_ms) + ": check the clocks");
  }
  if (wall_ms > end_ms) {
    return refuse(kind, "Signature expired: it was good until " + format_time(end_ms) +
                            ", and now it is " + format_time(wall_ms));
  }
  return {};
}

// The last line of the canonical request, after checking that it is true of the body.
std::expected<std::string, SigV4Refusal> payload_of(const HttpRequest& request, const Claim& claim,
                                                    const std::string& service) {
  std::string announced(request.headers.get("X-Amz-Content-Sha256"));
  if (announced.empty() && claim.expires_s && service == "s3") return std::string(kUnsignedPayload);
  if (announced == kUnsignedPayload && service == "s3") return announced;
  if (announced.starts_with("STREAMING-") || announced == kUnsignedPayload) {
    return refuse(Kind::kUnsupported, "x-amz-content-sha256: " + announced +
                                          " is not supported here; sign the body's SHA-256");
  }
  std::string actual = hex_encode(sha256(request.body));
  if (!announced.empty() && announced != actual) {
    return refuse(Kind::kMismatch, "x-amz-content-sha256 is not the SHA-256 of the body");
  }
  return actual;
}

// Whoever can add such a header on the way could change what the request does.
std::expected<void, SigV4Refusal> check_amz_headers(const Headers& headers,
                                                    const std::vector<std::string>& signed_names) {
  for (const auto& [name, value] : headers.fields()) {
    const std::string key = lower(name);
    if (!key.starts_with("x-amz") || stays_unsigned(key)) continue;
    if (std::ranges::find(signed_names, key) == signed_names.end()) {
      return refuse(Kind::kNotSigned,
                    "There were headers present in the request which were not signed: " + key);
    }
  }
  return {};
}

// A claim whose form and time are right.
struct Checked {
  Claim claim;
  Signing signing;
  Parameters query;
  std::string access_key_id;
  std::string secret;
};

std::expected<Checked, SigV4Refusal> check_claim(const HttpRequest& request,
                                                 const SecretLookup& secret_of, int64_t wall_ms) {
  auto query = parse_query(split_target(request.target).second);
  if (!query) return refuse(Kind::kMalformed, query.error().message());
  bool presigned = !parameter(*query, "X-Amz-Signature").empty();
  if (!presigned && !request.headers.has("Authorization")) {
    return refuse(Kind::kUnsigned, "the request is not signed: Authorization is missing");
  }
  auto claim = presigned ? claim_of_query(*query) : claim_of_header(request.headers);
  if (!claim) return std::unexpected(claim.error());

  auto credential = split(claim->credential, '/');
  if (credential.size() != 5 || credential[4] != "aws4_request") {
    return refuse(Kind::kMalformed, "Credential must be KEY/DAY/REGION/SERVICE/aws4_request");
  }
  Signing signing{
      claim->time, {credential[2], credential[3]}, split(claim->signed_headers, ';'), ""};
  if (auto timely = check_time(*claim, wall_ms); !timely) return std::unexpected(timely.error());
  if (credential[1] != signing.day()) {
    return refuse(Kind::kMalformed, "the day of Credential is not that of X-Amz-Date");
  }
  if (std::ranges::find(signing.signed_headers, "host") == signing.signed_headers.end()) {
    return refuse(Kind::kMalformed, "Host must be among the signed headers");
  }
  if (auto all = check_amz_headers(request.headers, signing.signed_headers); !all) {
    return std::unexpected(all.error());
  }
  auto secret = secret_of(credential[0], claim->session_token);
  if (!secret) return refuse(Kind::kUnknownKey, "the access key or its session token is not known");
  return Checked{std::move(*claim), std::move(signing), std::move(*query), credential[0], *secret};
}

std::expected<SigV4Caller, SigV4Refusal> check_signature(const HttpRequest& request,
                                                         Checked checked) {
  const Signing& signing = checked.signing;
  auto expected = signature(request.method, split_target(request.target).first, checked.query,
                            request.headers, signing, checked.secret);
  if (!expected) return refuse(Kind::kMalformed, expected.error().message());
  if (!equals_secretly(*expected, checked.claim.signature)) {
    return refuse(Kind::kMismatch,
                  "the signature is not the one we calculate: check the secret access key");
  }
  return SigV4Caller{checked.access_key_id, signing.scope, checked.claim.expires_s.has_value(),
                     signing.payload,
                     SigV4Chain{*expected, signing_key(signing, checked.secret), signing.time,
                                signing.credential_scope()}};
}

}  // namespace

std::optional<SigV4Scope> sigv4_claimed_scope(const HttpRequest& request) {
  auto query = parse_query(split_target(request.target).second);
  std::string credential = query ? parameter(*query, "X-Amz-Credential") : "";
  if (credential.empty()) {
    auto claim = claim_of_header(request.headers);
    if (claim) credential = claim->credential;
  }
  auto parts = split(credential, '/');
  if (parts.size() != 5) return std::nullopt;
  return SigV4Scope{parts[2], parts[3]};
}

std::expected<SigV4Caller, SigV4Refusal> sigv4_verify(const HttpRequest& request,
                                                      const SecretLookup& secret_of,
                                                      int64_t wall_ms) {
  auto checked = check_claim(request, secret_of, wall_ms);
  if (!checked) return std::unexpected(checked.error());
  auto payload = payload_of(request, checked->claim, checked->signing.scope.service);
  if (!payload) return std::unexpected(payload.error());
  checked->signing.payload = *payload;
  return check_signature(request, std::move(*checked));
}

std::expected<SigV4Caller, SigV4Refusal> sigv4_verify_head(const HttpRequest& head,
                                                           const SecretLookup& secret_of,
                                                           int64_t wall_ms) {
  auto checked = check_claim(head, secret_of, wall_ms);
  if (!checked) return std::unexpected(checked.error());
  std::string payload(head.headers.get("X-Amz-Content-Sha256"));
  const bool is_s3 = checked->signing.scope.service == "s3";
  if (payload.empty() && is_s3 && checked->claim.expires_s) payload = kUnsignedPayload;
  if (payload.empty()) {
    return SigV4Caller{checked->access_key_id,
                       checked->signing.scope,
                       checked->claim.expires_s.has_value(),
                       {},
                       {}};
  }
  checked->signing.payload = std::move(payload);
  return check_signature(head, std::move(*checked));
}

// --- Streamed bodies ----------------------------------------------------------------------------

static bool accept(SigV4Chain& chain, std::string_view what, const std::string& middle,
                   const std::string& digest, const std::string& given) {
  const std::string to_sign = std::string(kAlgorithm) + std::string(what) + "\n" + chain.time +
                              "\n" + chain.scope + "\n" + chain.signature + "\n" + middle + digest;
  std::string expected = hex_encode(hmac_sha256(chain.key, to_sign));
  if (!equals_secretly(expected, given)) return false;
  chain.signature = std::move(expected);
  return true;
}

bool SigV4Chain::accept_chunk(const std::string& sha256_hex, const std::string& given) {
  return accept(*this, "-PAYLOAD", hex_encode(sha256("")) + "\n", sha256_hex, given);
}

bool SigV4Chain::accept_trailer(const std::string& trailers, const std::string& given) {
  return accept(*this, "-TRAILER", "", hex_encode(sha256(trailers)), given);
}

}  // namespace skerry::net
