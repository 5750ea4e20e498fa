// The Greengrass data plane as a client: JSON over mTLS HTTPS, downloads by pre-signed URL.
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "nucleus/cloud.h"
#include "nucleus/s3_source.h"

namespace skerry::nucleus {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxReplyBytes = 4 << 20;
constexpr uint64_t kMaxErrorBytes = 64 << 10;  // of an answer that is not the artifact
constexpr size_t kMaxPages = 100;

// The Error for an HTTP answer that is not a success, with the server's own message.
Error error_of(const net::HttpResponse& response, const std::string& what) {
  std::string message = what + ": HTTP " + std::to_string(response.status);
  auto body = json::parse(response.body, nullptr, false);
  if (body.is_object()) {
    for (const char* key : {"message", "Message"}) {
      if (body.contains(key) && body[key].is_string())
        message += ": " + body[key].get<std::string>();
    }
  }
  switch (response.status) {
    case 401:
    case 403:
      return {Code::kPermissionDenied, message};
    case 404:
      return {Code::kNotFound, message};
    case 408:
    case 429:
      return {Code::kUnavailable, message};
    default:
      return {response.status >= 500 ? Code::kUnavailable : Code::kInvalidArgument, message};
  }
}

Error malformed(const std::string& what) {
  return {Code::kCorrupt, what + ": the control plane's answer is not what the protocol says"};
}

// One download on its way to a sink.
struct Incoming {
  DownloadSink* sink;
  uint64_t offset;  // asked for, then that of the answer
  uint64_t remaining_bytes = 0;
  bool begun = false;

  Result<void> on_head(const net::HttpResponse& head) {
    if (head.status != 200 && head.status != 206) return {};
    std::string_view length = head.headers.get("Content-Length");
    const auto parsed =
        std::from_chars(length.data(), length.data() + length.size(), remaining_bytes);
    if (length.empty() || parsed.ec != std::errc()) {
      return fail(Code::kCorrupt, "download: the server does not say how long the artifact is");
    }
    if (head.status == 200) offset = 0;
    return {};
  }
  io::Task<Result<void>> begin() {
    if (std::exchange(begun, true)) co_return Result<void>();
    co_return co_await sink->begin(offset, remaining_bytes);
  }
  io::Task<Result<void>> write(std::string bytes) {
    SKERRY_CO_TRY(co_await begin());
    co_return co_await sink->write(std::move(bytes));
  }
};

// The groups of one page of thingGroups.
Result<void> add_groups(const json& reply, std::vector<std::string>& groups) {
  const auto list = reply.find("thingGroups");
  if (list == reply.end() || !list->is_array()) return fail(malformed("thingGroups"));
  for (const json& group : *list) {
    if (!group.is_object() || !group.contains("thingGroupName") ||
        !group["thingGroupName"].is_string()) {
      return fail(malformed("thingGroups"));
    }
    groups.push_back("thinggroup/" + group["thingGroupName"].get<std::string>());
  }
  return {};
}

class HttpCloud : public Cloud {
 public:
  HttpCloud(net::HttpClient& client, HttpCloudOptions options)
      : client_(client), options_(std::move(options)) {}

  io::Task<Result<std::vector<std::string>>> thing_groups() override {
    const std::string path = "coreDevices/" + options_.thing.str() + "/thingGroups";
    std::vector<std::string> groups;
    std::string page = path;
    for (size_t pages = 1;; ++pages) {
      SKERRY_CO_ASSIGN(json reply, co_await call("GET", page, ""));
      SKERRY_CO_TRY(add_groups(reply, groups));
      const auto next = reply.find("nextToken");
      if (next == reply.end() || next->is_null()) co_return groups;
      if (!next->is_string() || pages == kMaxPages) co_return fail(malformed("thingGroups"));
      page = path + "?nextToken=" + net::percent_encode(next->get<std::string>());
    }
  }

  io::Task<Result<Candidate>> resolve(ComponentName name,
                                      std::map<std::string, std::string> requirements) override {
    json request = {
        {"componentCandidates",
         {{{"componentName", name.str()}, {"versionRequirements", requirements}}}},
        {"platform", {{"name", "linux"}, {"attributes", options_.platform.attributes()}}}};
    SKERRY_CO_ASSIGN(json reply,
                     co_await call("POST", "resolveComponentCandidates", request.dump()));
    const auto& list = reply.find("resolvedComponentVersions");
    if (list == reply.end() || !list->is_array() || list->size() != 1)
      co_return fail(malformed("resolveComponentCandidates"));
    const json& found = (*list)[0];
    for (const char* key : {"arn", "componentName", "componentVersion", "recipe"}) {
      if (!found.is_object() || !found.contains(key) || !found[key].is_string()) {
        co_return fail(malformed("resolveComponentCandidates"));
      }
    }
    if (found["componentName"].get<std::string>() != name.str())
      co_return fail(malformed("resolveComponentCandidates"));
    SKERRY_CO_ASSIGN(std::string recipe, base64_decode(found["recipe"].get<std::string>()));
    co_return Candidate{found["arn"].get<std::string>(), name,
                        found["componentVersion"].get<std::string>(), std::move(recipe)};
  }

  io::Task<Result<std::string>> artifact_url(std::string component_arn,
                                             std::string artifact) override {
    std::string path = "components/" + net::percent_encode(component_arn) + "/artifacts/" +
                       net::percent_encode(artifact, "/");
    SKERRY_CO_ASSIGN(json reply, co_await call("GET", path, ""));
    if (!reply.contains("preSignedUrl") || !reply["preSignedUrl"].is_string())
      co_return fail(malformed("artifacts"));
    co_return reply["preSignedUrl"].get<std::string>();
  }

  io::Task<Result<void>> download(std::string url, uint64_t offset, DownloadSink* sink) override {
    net::HttpRequest request;
    if (offset > 0) request.headers.set("Range", "bytes=" + std::to_string(offset) + "-");
    Incoming incoming{sink, offset};
    net::FetchOptions fetch;
    fetch.max_body_bytes = kMaxErrorBytes;  // what goes to the sink is the sink's to limit
    fetch.on_head = [&incoming](const net::HttpResponse& head) { return incoming.on_head(head); };
    fetch.sink = [&incoming](std::string bytes) { return incoming.write(std::move(bytes)); };
    SKERRY_CO_ASSIGN(const auto response,
                     co_await get(std::move(url), std::move(request), std::move(fetch)));
    if (response.status != 200 && response.status != 206)
      co_return fail(error_of(response, "download"));
    co_return co_await incoming.begin();  // of an artifact without a byte
  }

 private:
  io::Task<Result<net::HttpResponse>> get(std::string url, net::HttpRequest request,
                                          net::FetchOptions fetch) {
    if (!url.starts_with(S3Source::kScheme))
      return client_.fetch(std::move(url), std::move(request), std::move(fetch));
    if (!options_.s3) return no_role(std::move(url));
    return options_.s3->get(std::move(url), std::move(request), std::move(fetch));
  }

  static io::Task<Result<net::HttpResponse>> no_role(std::string url) {
    co_return fail(Code::kFailedPrecondition,
                   url +
                       " is read with the credentials of a role: set iotCredEndpoint and "
                       "iotRoleAlias in the device's configuration");
  }

  io::Task<Result<json>> call(std::string method, std::string path, std::string body) {
    net::HttpRequest request;
    request.method = std::move(method);
    request.headers.set("x-amzn-iot-thingname", options_.thing.str());
    if (!body.empty()) request.headers.set("Content-Type", "application/json");
    request.body = std::move(body);
    net::FetchOptions fetch;
    fetch.max_body_bytes = kMaxReplyBytes;
    SKERRY_CO_ASSIGN(auto response,
                     co_await client_.fetch(options_.data_plane_url + "/greengrass/v2/" + path,
                                            std::move(request), std::move(fetch)));
    std::string what = path.substr(0, path.find('/'));
    if (response.status < 200 || response.status > 299) co_return fail(error_of(response, what));
    json reply = json::parse(response.body, nullptr, false);
    if (!reply.is_object()) co_return fail(malformed(what));
    co_return reply;
  }

  net::HttpClient& client_;
  HttpCloudOptions options_;
};

}  // namespace

std::unique_ptr<Cloud> make_http_cloud(net::HttpClient& client, HttpCloudOptions options) {
  return std::make_unique<HttpCloud>(client, std::move(options));
}

}  // namespace skerry::nucleus
