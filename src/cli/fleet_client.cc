// Finding the fleet and calling its API.
#include "cli/fleet_client.h"

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "formats/json_ptr.h"
#include "io/clock.h"
#include "io/files.h"
#include "io/task.h"

namespace skerry::cli {
namespace {

using nlohmann::json;

// Without a byte moved: the fleet syncs a large file to its disk before it answers.
constexpr int64_t kUploadTimeoutMs = 300'000;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

io::Task<Result<std::string>> read_piece(const UploadContent& content, uint64_t offset) {
  co_return content.read(offset);
}

Result<json> read_json_file(const std::string& path) {
  io::RealFiles files;
  SKERRY_ASSIGN(const std::string text, io::read_file(files, path));
  auto parsed = formats::parse_json(text);
  if (!parsed) return fail(parsed.error().with_context(path));
  if (!parsed->is_object()) return fail(Code::kInvalidArgument, path + ": must be a JSON object");
  return parsed;
}

Result<net::AwsCredentials> read_credentials(const std::string& path) {
  if (path.empty()) {
    net::AwsCredentials found{environment("AWS_ACCESS_KEY_ID"),
                              environment("AWS_SECRET_ACCESS_KEY"),
                              environment("AWS_SESSION_TOKEN")};
    if (!found.access_key_id.empty() && !found.secret_access_key.empty()) return found;
    return fail(Code::kInvalidArgument,
                "no credentials: give --access-key-file, or set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY");
  }
  SKERRY_ASSIGN(const json key, read_json_file(path));
  net::AwsCredentials found{key.value("accessKeyId", ""), key.value("secretAccessKey", ""), ""};
  if (!found.access_key_id.empty() && !found.secret_access_key.empty()) return found;
  return fail(Code::kInvalidArgument, path + ": accessKeyId and secretAccessKey are missing");
}

Code code_of_status(int status) {
  switch (status) {
    case 400:
      return Code::kInvalidArgument;
    case 401:
    case 403:
      return Code::kPermissionDenied;
    case 404:
      return Code::kNotFound;
    case 409:
      return Code::kAlreadyExists;
    case 413:
      return Code::kResourceExhausted;
    case 429:
    case 503:
      return Code::kUnavailable;
    default:
      return Code::kInternal;
  }
}

Error error_of(const net::HttpResponse& response) {
  const auto body = formats::parse_json(response.body);
  std::string message = response.body.substr(0, 500);
  if (body && body->is_object()) {
    message = body->value("message", body->value("Message", message));
  }
  const std::string type(response.headers.get("x-amzn-errortype"));
  if (!type.empty()) message += " (" + type + ")";
  if (message.empty())
    message = "the fleet answered with HTTP status " + std::to_string(response.status);
  return Error(code_of_status(response.status), std::move(message));
}

io::Task<void> fetch(net::HttpClient* http, std::string url, net::HttpRequest request,
                     net::FetchOptions options, std::optional<Result<net::HttpResponse>>* out) {
  out->emplace(co_await http->fetch(std::move(url), std::move(request), std::move(options)));
}

}  // namespace

std::string default_directory() {
  std::string base = environment("XDG_DATA_HOME");
  if (base.empty()) base = environment("HOME") + "/.local/share";
  return base + "/skerry/fleet";
}

std::string directory_of(const ConnectionOptions& options) {
  const std::string& given = options.directory;
  return std::filesystem::absolute(given.empty() ? default_directory() : given).lexically_normal();
}

Result<json> read_fleet_file(const std::string& directory) {
  auto fleet = read_json_file(directory + "/fleet.json");
  if (!fleet && fleet.error().code() == Code::kNotFound) {
    return fail(Code::kUnavailable,
                "no fleet runs in " + directory +
                    ": start one with `skerry up`, or name another with --dir or --endpoint");
  }
  return fleet;
}

FleetClient::FleetClient(std::string endpoint, net::AwsCredentials credentials,
                         formats::ArnScope scope, std::shared_ptr<net::TlsContext> tls)
    : endpoint_(std::move(endpoint)),
      credentials_(std::move(credentials)),
      scope_(std::move(scope)),
      loop_(std::make_unique<io::RealLoop>()),
      http_(net::make_http_client(*loop_, std::move(tls))) {}

Result<FleetClient> FleetClient::open(const ConnectionOptions& options) {
  formats::ArnScope scope;
  std::string endpoint = options.endpoint, key_file = options.access_key_file,
              ca_file = options.ca_file;
  if (endpoint.empty()) {
    SKERRY_ASSIGN(const json fleet, read_fleet_file(directory_of(options)));
    endpoint = fleet.value("api_url", "");
    scope = {fleet.value("region", scope.region), fleet.value("account", scope.account)};
    if (key_file.empty()) key_file = fleet.value("access_key_file", "");
    if (ca_file.empty()) ca_file = fleet.value("ca_file", "");
  }
  if (!options.region.empty()) scope.region = options.region;
  while (endpoint.ends_with('/')) endpoint.pop_back();
  SKERRY_ASSIGN(auto credentials, read_credentials(key_file));
  std::shared_ptr<net::TlsContext> tls;
  if (endpoint.starts_with("https://")) {
    if (ca_file.empty()) {
      return fail(Code::kInvalidArgument,
                  "an https endpoint needs --ca-file, the certificate to trust");
    }
    SKERRY_ASSIGN(
        tls, net::TlsContext::client({.ca_file = ca_file, .certificate_file = "", .key_file = ""}));
  }
  return FleetClient(std::move(endpoint), std::move(credentials), std::move(scope), std::move(tls));
}

Result<net::HttpResponse> FleetClient::send(net::HttpRequest request, const std::string& service,
                                            net::FetchOptions options) {
  const std::string host = endpoint_.substr(endpoint_.find("//") + 2);
  SKERRY_TRY(net::sigv4_sign(request, host, credentials_, {scope_.region, service},
                             io::RealClock().wall_ms()));
  const std::string url = endpoint_ + request.target;
  std::optional<Result<net::HttpResponse>> response;
  io::TaskScope scope;
  scope.spawn(fetch(http_.get(), url, std::move(request), std::move(options), &response));
  while (!response) loop_->run_for(1000);
  if (!*response) {
    const Error& error = response->error();
    return fail(error.code(), "cannot reach the fleet at " + endpoint_ + " (" + error.message() +
                                  "): is it running? `skerry up` starts it");
  }
  if ((*response)->status >= 300) return fail(error_of(**response));
  return std::move(**response);
}

Result<json> FleetClient::call(ApiCall call) {
  net::HttpRequest request;
  request.method = call.method;
  request.target = call.path;
  char separator = '?';
  for (const auto& [name, value] : call.query) {
    request.target += separator + net::percent_encode(name) + "=" + net::percent_encode(value);
    separator = '&';
  }
  for (auto& [name, value] : call.headers) request.headers.add(name, value);
  if (!call.body.empty()) request.headers.add("Content-Type", "application/json");
  request.body = std::move(call.body);
  SKERRY_ASSIGN(const auto response, send(std::move(request), call.service));
  if (response.body.empty()) return json::object();
  auto answer = formats::parse_json(response.body, {.size_bytes = 64 << 20, .depth = 64});
  if (!answer) return fail(answer.error().with_context("answer of the fleet"));
  return answer;
}

Result<json> FleetClient::list(ApiCall first, const std::string& member) {
  json all = json::array();
  std::string token;
  do {
    ApiCall next = first;
    if (!token.empty()) next.query.emplace_back("nextToken", token);
    SKERRY_ASSIGN(json page, call(std::move(next)));
    for (json& element : page[member]) all.push_back(std::move(element));
    const json& next_token = page["nextToken"];
    token = next_token.is_string() ? next_token.get<std::string>() : "";
  } while (!token.empty());
  return all;
}

Result<void> FleetClient::put_object(const std::string& bucket, const std::string& key,
                                     const UploadContent& content) {
  net::HttpRequest request;
  request.method = "PUT";
  request.target =
      "/artifacts/" + net::percent_encode(bucket) + "/" + net::percent_encode(key, "/");
  request.headers.add("Content-Type", "application/octet-stream");
  SKERRY_ASSIGN(const std::string digest, content.sha256_hex());
  request.headers.add("X-Amz-Content-Sha256", digest);
  net::FetchOptions options;
  options.timeout_ms = kUploadTimeoutMs;
  options.body = [&content](uint64_t offset) { return read_piece(content, offset); };
  options.body_bytes = content.size_bytes();
  SKERRY_TRY(send(std::move(request), "s3", std::move(options)));
  return {};
}

void add_failure(const json& effective, json& out) {
  if (effective.contains("reason")) out["reason"] = effective["reason"];
  const json details = effective.value("statusDetails", json::object());
  for (const auto& [member, key] :
       {std::pair("errorStack", "error_stack"), std::pair("errorTypes", "error_types")}) {
    if (details.contains(member) && !details[member].empty()) out[key] = details[member];
  }
}

}  // namespace skerry::cli
