// The data plane's four calls, as the stock nuclei make them.
#include "fleet/data_plane.h"

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/log.h"
#include "fleet/aws/router.h"
#include "fleet/components.h"
#include "formats/json_ptr.h"
#include "formats/names.h"

namespace skerry::fleet {
namespace {

using nlohmann::json;

constexpr size_t kMaxGroupsPerPage = 100;
constexpr size_t kMaxRequestBytes = 1 << 20;

net::HttpResponse error_of(const Error& error) {
  switch (error.code()) {
    case Code::kInvalidArgument:
      return aws::error_response(400, "ValidationException", error.message());
    case Code::kNotFound:
      return aws::error_response(404, "ResourceNotFoundException", error.message());
    case Code::kPermissionDenied:
      return aws::error_response(403, "AccessDeniedException", error.message());
    default:
      log::error("data-plane", "request failed", {{"error", error.message()}});
      return aws::error_response(500, "InternalServerException",
                                 "the control plane could not do this; its log says why");
  }
}

// Answers with what `result` holds, an object or an error.
net::HttpResponse answer_of(const Result<json>& result) {
  return result ? net::json_response(200, formats::json_text(*result)) : error_of(result.error());
}

std::string iso8601(int64_t wall_ms) {
  const std::time_t seconds = static_cast<std::time_t>(wall_ms / 1000);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  return std::string(text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts));
}

Result<formats::PlatformAttributes> platform_of(const json& body) {
  formats::PlatformAttributes platform;
  if (!body.contains("platform") || !body["platform"].is_object()) return platform;
  const json& given = body["platform"];
  if (!given.contains("attributes") || given["attributes"].is_null()) return platform;
  if (!given["attributes"].is_object()) {
    return fail(Code::kInvalidArgument, "platform.attributes: must be an object");
  }
  for (const auto& [name, value] : given["attributes"].items()) {
    if (value.is_string()) platform[name] = value.get<std::string>();
  }
  return platform;
}

Result<json> resolve_one(Store& store, const formats::ArnScope& scope, const json& candidate,
                         const formats::PlatformAttributes& platform) {
  if (!candidate.is_object() || !candidate.contains("componentName") ||
      !candidate["componentName"].is_string()) {
    return fail(Code::kInvalidArgument, "componentCandidates: each needs a componentName");
  }
  SKERRY_ASSIGN(ComponentName name,
                formats::parse_component_name(candidate["componentName"].get<std::string>()));
  std::map<std::string, formats::VersionRange> requirements;
  if (candidate.contains("versionRequirements") && candidate["versionRequirements"].is_object()) {
    for (const auto& [dependent, requirement] : candidate["versionRequirements"].items()) {
      if (!requirement.is_string()) {
        return fail(Code::kInvalidArgument, "versionRequirements: " + dependent + ": no string");
      }
      auto range = formats::VersionRange::parse(requirement.get<std::string>());
      if (!range) return fail(range.error().with_context("versionRequirements: " + dependent));
      requirements.emplace(dependent, std::move(*range));
    }
  }
  SKERRY_ASSIGN(auto component, resolve(store, name, requirements, platform));
  return json{{"arn", component_version_arn(scope, component)},
              {"componentName", component.name.str()},
              {"componentVersion", component.version},
              {"recipe", base64_encode(component.recipe_json)},
              {"vendorGuidance", "ACTIVE"}};
}

Result<json> resolve_all(Store& store, const formats::ArnScope& scope, std::string_view text) {
  // nucleus lite sends the NUL at the end of its buffer along.
  while (text.ends_with('\0')) text.remove_suffix(1);
  auto body = formats::parse_json(text, {.size_bytes = kMaxRequestBytes, .depth = 16});
  if (!body) return fail(Code::kInvalidArgument, "request body: " + body.error().message());
  if (!body->is_object() || !body->contains("componentCandidates") ||
      !(*body)["componentCandidates"].is_array()) {
    return fail(Code::kInvalidArgument, "componentCandidates: must be a list");
  }
  SKERRY_ASSIGN(auto platform, platform_of(*body));
  json answer = {{"resolvedComponentVersions", json::array()}};
  for (const json& candidate : (*body)["componentCandidates"]) {
    SKERRY_ASSIGN(json resolved, resolve_one(store, scope, candidate, platform));
    answer["resolvedComponentVersions"].push_back(std::move(resolved));
  }
  return answer;
}

// Fails unless the component version's recipe names the artifact.
Result<ArtifactName> artifact_of_component(Store& store, const std::string& arn,
                                           const std::string& text) {
  SKERRY_ASSIGN(auto id, formats::parse_component_version_arn(arn));
  SKERRY_ASSIGN(ArtifactName name, parse_artifact_name(text));
  SKERRY_ASSIGN(auto component, store.find_component(id.name, id.version.str()));
  SKERRY_ASSIGN(auto recipe, formats::parse_recipe(component.recipe_json));
  for (const formats::Manifest& manifest : recipe.manifests) {
    for (const formats::Artifact& artifact : manifest.artifacts) {
      if (artifact.uri == name.uri()) return name;
    }
  }
  return fail(Code::kNotFound, arn + " has no artifact " + text);
}

}  // namespace

const DataPlane::Route DataPlane::kRoutes[] = {
    {"GET", "/greengrass/v2/coreDevices/{thing}/thingGroups", &DataPlane::thing_groups},
    {"POST", "/greengrass/v2/resolveComponentCandidates", &DataPlane::resolve_candidates},
    {"GET", "/greengrass/v2/components/{arn}/artifacts/{name+}", &DataPlane::artifact},
    {"GET", "/role-aliases/{alias}/credentials", &DataPlane::role_credentials},
};

io::Task<net::HttpResponse> DataPlane::handle(net::HttpRequest request) {
  auto answered = co_await stores_.read(
      [this, request = std::move(request)](Store& store) -> Result<net::HttpResponse> {
        return answer(store, request);
      });
  co_return answered ? std::move(*answered) : error_of(answered.error());
}

net::HttpResponse DataPlane::answer(Store& store, const net::HttpRequest& request) {
  auto device = identify(store, request.peer);
  if (!device) return error_of(device.error());
  const std::string_view path = net::split_target(request.target).first;
  for (const Route& route : kRoutes) {
    if (route.method != request.method) continue;
    if (auto values = aws::match_path(route.path, path)) {
      return (this->*route.handler)(store, *device, *values, request);
    }
  }
  return error_of(
      Error(Code::kNotFound, "the data plane has no " + request.method + " " + std::string(path)));
}

Result<DataPlane::Device> DataPlane::identify(Store& store, const net::Peer& peer) {
  auto certificate = store.find_certificate(peer.certificate_sha256);
  if (!certificate && certificate.error().code() == Code::kNotFound) {
    return fail(Code::kPermissionDenied, "this certificate is not registered");
  }
  if (!certificate) return fail(certificate.error());
  if (certificate->status != CertificateStatus::kActive) {
    return fail(Code::kPermissionDenied,
                "this certificate is " + std::string(to_string(certificate->status)));
  }
  if (certificate->thing.empty() || certificate->thing.str() != peer.certificate_cn) {
    return fail(Code::kPermissionDenied, "this certificate is not attached to a thing");
  }
  return Device{certificate->thing, certificate->id};
}

net::HttpResponse DataPlane::thing_groups(Store& store, const Device& device,
                                          const Parameters& path, const net::HttpRequest& request) {
  if (path.at("thing") != device.thing.str()) {
    return error_of(Error(Code::kPermissionDenied, "a device may ask for its own groups only"));
  }
  auto query = net::parse_query(net::split_target(request.target).second);
  if (!query) return error_of(query.error());
  Page page{kMaxGroupsPerPage, ""};
  for (const auto& [name, value] : *query) {
    if (name != "nextToken") continue;
    auto after = base64_decode(value);
    if (!after) return error_of(Error(Code::kInvalidArgument, "nextToken is not of this list"));
    page.after = *after;
  }
  auto groups = store.list_groups_of_thing(device.thing, page);
  if (!groups) return error_of(groups.error());
  json answer = {{"thingGroups", json::array()}};
  for (const ThingGroupName& name : groups->items) {
    const formats::Target target{formats::Target::Kind::kThingGroup, name.str()};
    answer["thingGroups"].push_back({{"thingGroupName", name.str()},
                                     {"thingGroupArn", formats::target_arn(scope_, target)},
                                     {"rootToParentThingGroups", json::array()}});
  }
  if (!groups->next.empty()) answer["nextToken"] = base64_encode(groups->next);
  return answer_of(answer);
}

net::HttpResponse DataPlane::resolve_candidates(Store& store, const Device&, const Parameters&,
                                                const net::HttpRequest& request) {
  return answer_of(resolve_all(store, scope_, request.body));
}

net::HttpResponse DataPlane::artifact(Store& store, const Device&, const Parameters& path,
                                      const net::HttpRequest&) {
  auto name = artifact_of_component(store, path.at("arn"), path.at("name"));
  if (!name) return error_of(name.error());
  auto url = presign_(name->sha256);
  if (!url) return error_of(url.error());
  return answer_of(json{{"preSignedUrl", *url}});
}

net::HttpResponse DataPlane::role_credentials(Store&, const Device& device, const Parameters& path,
                                              const net::HttpRequest& request) {
  const std::string_view named = request.headers.get("x-amzn-iot-thingname");
  if (!named.empty() && named != device.thing.str()) {
    return error_of(Error(Code::kPermissionDenied,
                          "x-amzn-iot-thingname is not the thing of this certificate"));
  }
  if (path.at("alias") != role_alias_) {
    return error_of(Error(Code::kNotFound, "role alias " + path.at("alias") +
                                               " does not exist, the fleet has " + role_alias_));
  }
  auto issued = credentials_.issue(device.certificate_id);
  return answer_of(json{{"credentials",
                         {{"accessKeyId", issued.credentials.access_key_id},
                          {"secretAccessKey", issued.credentials.secret_access_key},
                          {"sessionToken", issued.credentials.session_token},
                          {"expiration", iso8601(issued.expires_ms)}}}});
}

}  // namespace skerry::fleet
