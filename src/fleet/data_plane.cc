// The data plane's four calls, as the stock nuclei make them.
#include "fleet/data_plane.h"

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "base/encoding.h"
#include "base/log_limit.h"
#include "federated/messages.h"
#include "fleet/aws/router.h"
#include "fleet/components.h"
#include "formats/canonical_recipe.h"
#include "formats/json_ptr.h"
#include "formats/names.h"
#include "formats/public_components.h"
#include "formats/renewal.h"

namespace skerry::fleet {
namespace {

using nlohmann::json;
using Requirements = std::map<std::string, formats::VersionRange>;

constexpr size_t kMaxGroupsPerPage = 100;
constexpr size_t kMaxRequestBytes = 256 << 10;
// Stock nuclei ask for one candidate at a time.
constexpr size_t kMaxCandidates = 100;
constexpr size_t kMaxRequirements = 200;

net::HttpResponse error_of(const Error& error) {
  switch (error.code()) {
    case Code::kInvalidArgument:
      return aws::error_response(400, "ValidationException", error.message());
    case Code::kNotFound:
      return aws::error_response(404, "ResourceNotFoundException", error.message());
    case Code::kPermissionDenied:
      return aws::error_response(403, "AccessDeniedException", error.message());
    case Code::kResourceExhausted:
      return aws::error_response(429, "ThrottlingException", error.message());
    default:
      static log::Limit limit;
      limit.write(log::Level::kError, "data-plane", "request failed", {{"error", error.message()}});
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

Result<Requirements> requirements_of(const json& candidate) {
  Requirements requirements;
  const auto given = candidate.find("versionRequirements");
  if (given == candidate.end() || !given->is_object()) return requirements;
  if (given->size() > kMaxRequirements) {
    return fail(Code::kInvalidArgument,
                "versionRequirements: more than " + std::to_string(kMaxRequirements) + " of them");
  }
  for (const auto& [dependent, requirement] : given->items()) {
    if (!requirement.is_string()) {
      return fail(Code::kInvalidArgument, "versionRequirements: " + dependent + ": no string");
    }
    auto range = formats::VersionRange::parse(requirement.get<std::string>());
    if (!range) return fail(range.error().with_context("versionRequirements: " + dependent));
    requirements.emplace(dependent, std::move(*range));
  }
  return requirements;
}

json resolved(const formats::ArnScope& scope, const ComponentName& name, const std::string& version,
              const std::string& recipe) {
  return {{"arn", formats::component_arn(scope, name) + ":versions:" + version},
          {"componentName", name.str()},
          {"componentVersion", version},
          {"recipe", base64_encode(recipe)},
          {"vendorGuidance", "ACTIVE"}};
}

// The highest of `versions` that fits, with the recipe of a component that nuclei provide.
Result<json> resolve_provided(const formats::ArnScope& scope, const ComponentName& name,
                              const std::vector<formats::Version>& versions,
                              const Requirements& requirements) {
  const auto fits = [&](const formats::Version& version) {
    return std::ranges::all_of(requirements,
                               [&](const auto& one) { return one.second.matches(version); });
  };
  const auto version = std::ranges::find_if(versions, fits);
  if (version == versions.end()) {
    return fail(Code::kNotFound,
                "component " + name.str() + " is provided by the nucleus, in no version that fits");
  }
  return resolved(scope, name, version->str(), formats::provided_recipe(name, *version));
}

// A stock nucleus names its own version and, told 404, stays what it is: a recipe of ours must not
// take the place of its own. Another is told the version that its status reported.
Result<std::string> version_of_nucleus(Store& store, const ThingName& thing,
                                       const json& candidate) {
  const auto named = candidate.find("componentVersion");
  if (named != candidate.end() && !named->is_null()) {
    return fail(Code::kNotFound,
                "the nucleus itself does not exist here: the device keeps its own");
  }
  SKERRY_ASSIGN(const auto core, store.find_core_device(thing));
  return core.nucleus_version;
}

std::optional<std::string> component_name_in(const json& candidate) {
  if (!candidate.is_object()) return std::nullopt;
  const auto name = candidate.find("componentName");
  if (name == candidate.end() || !name->is_string()) return std::nullopt;
  return name->get<std::string>();
}

Result<void> check_names(const json& candidates) {
  std::set<std::string> names;
  for (const json& candidate : candidates) {
    const auto name = component_name_in(candidate);
    if (!name) {
      return fail(Code::kInvalidArgument, "componentCandidates: each needs a componentName");
    }
    if (!names.insert(*name).second) {
      return fail(Code::kInvalidArgument, "componentCandidates: " + *name + " stands there twice");
    }
  }
  return {};
}

// Fails unless the component version's recipe names the artifact.
Result<ArtifactName> artifact_of_component(Store& store, const formats::ComponentVersionId& id,
                                           const std::string& text) {
  SKERRY_ASSIGN(ArtifactName name, parse_artifact_name(text));
  SKERRY_ASSIGN(auto component, store.find_component(id.name, id.version.str()));
  SKERRY_ASSIGN(auto recipe, formats::parse_recipe(component.recipe_json));
  for (const formats::Manifest& manifest : recipe.manifests) {
    for (const formats::Artifact& artifact : manifest.artifacts) {
      if (artifact.uri == name.uri()) return name;
    }
  }
  return fail(Code::kNotFound, id.name.str() + " " + id.version.str() + " has no artifact " + text);
}

}  // namespace

const DataPlane::Route DataPlane::kRoutes[] = {
    {"GET", "/greengrass/v2/coreDevices/{thing}/thingGroups", &DataPlane::thing_groups},
    {"POST", "/greengrass/v2/resolveComponentCandidates", &DataPlane::resolve_candidates},
    {"GET", "/greengrass/v2/components/{arn}/artifacts/{name+}", &DataPlane::artifact},
    {"GET", "/role-aliases/{alias}/credentials", &DataPlane::role_credentials},
};

io::Task<net::HttpResponse> DataPlane::handle(net::HttpRequest request) {
  const std::string& certificate = request.peer.certificate_sha256;
  const ActiveCertificates::Use* use = certificates_.use_of(certificate);
  const ThingName* thing = use ? &use->thing : nullptr;
  const bool is_expired = use && use->expires_ms <= clock_.wall_ms();
  // Our CA has signed it, whatever became of it since.
  const ThingName asking = thing ? *thing : ThingName(certificate);
  const bool learns = learning_ && request.target.starts_with(federated::kLearningPath);
  const bool renews = renew_ && request.method == "POST" && request.target == formats::kRenewalPath;
  const double per_unit = learns ? kLearningBytesPerUnit : kBytesPerUnit;
  const double units = 1 + static_cast<double>(request.body.size()) / per_unit;
  if (!budget_.spend(asking, renews ? kRenewalUnits : units)) {
    if (budget_.first_refusal(asking)) {
      log::warn("data-plane", "too many requests; refusing some", {{"thing", asking.str()}});
    }
    co_return error_of(Error(Code::kResourceExhausted, "too many requests; try again later"));
  }
  const bool is_known = thing != nullptr;
  if (renews && is_known) co_return co_await renew(asking, std::move(request));
  if (is_expired) {
    net::HttpResponse refused =
        error_of(Error(Code::kPermissionDenied, "this certificate has ended: renew it"));
    refused.closes = true;  // the next connection may be with another one
    co_return refused;
  }
  if (learns && is_known) co_return co_await learning_(asking, std::move(request));
  auto answered = co_await stores_.read(
      [this, is_known, device = Device{asking, certificate},
       request = std::move(request)](Store& store) -> Result<net::HttpResponse> {
        if (!is_known) return error_of(refusal(store, device.certificate_id));
        return answer(store, device, request);
      });
  co_return answered ? std::move(*answered) : error_of(answered.error());
}

io::Task<net::HttpResponse> DataPlane::renew(ThingName thing, net::HttpRequest request) {
  const json body = json::parse(request.body, nullptr, false);
  const json csr = body.is_object() ? body.value("certificateSigningRequest", json()) : json();
  if (!csr.is_string()) {
    co_return error_of(Error(Code::kInvalidArgument,
                             "certificateSigningRequest is required and must be a string"));
  }
  auto renewed = co_await stores_.write(
      [renew = renew_, thing, csr = csr.get<std::string>(),
       caller = request.peer.certificate_sha256](Store& store) -> Result<std::string> {
        return renew(store, thing, csr, caller);
      });
  if (!renewed) co_return error_of(renewed.error());
  log::info("data-plane", "a device has a new certificate", {{"thing", thing.str()}});
  net::HttpResponse answer = answer_of(json{{"certificatePem", *renewed}});
  answer.closes = true;
  co_return answer;
}

Error DataPlane::refusal(Store& store, const std::string& certificate_id) {
  auto certificate = store.find_certificate(certificate_id);
  if (!certificate && certificate.error().code() != Code::kNotFound) return certificate.error();
  std::string what = "not registered";
  if (certificate) {
    what = certificate->status == CertificateStatus::kActive
               ? "not attached to a thing"
               : std::string(to_string(certificate->status));
  }
  return {Code::kPermissionDenied, "this certificate is " + what};
}

net::HttpResponse DataPlane::answer(Store& store, const Device& device,
                                    const net::HttpRequest& request) {
  const std::string_view path = net::split_target(request.target).first;
  for (const Route& route : kRoutes) {
    if (route.method != request.method) continue;
    if (auto values = aws::match_path(route.path, path)) {
      return (this->*route.handler)(store, device, *values, request);
    }
  }
  return error_of(
      Error(Code::kNotFound, "the data plane has no " + request.method + " " + std::string(path)));
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

Result<json> DataPlane::resolve_all(Store& store, const Device& device, std::string_view text) {
  // nucleus lite sends the NUL at the end of its buffer along.
  while (text.ends_with('\0')) text.remove_suffix(1);
  auto body = formats::parse_json(text, {.size_bytes = kMaxRequestBytes, .depth = 16});
  if (!body) return fail(Code::kInvalidArgument, "request body: " + body.error().message());
  if (!body->is_object() || !body->contains("componentCandidates") ||
      !(*body)["componentCandidates"].is_array()) {
    return fail(Code::kInvalidArgument, "componentCandidates: must be a list");
  }
  const json& candidates = (*body)["componentCandidates"];
  if (candidates.size() > kMaxCandidates) {
    return fail(Code::kInvalidArgument, "componentCandidates: more than " +
                                            std::to_string(kMaxCandidates) +
                                            ": ask for them in several requests");
  }
  SKERRY_ASSIGN(auto platform, platform_of(*body));
  SKERRY_TRY(check_names(candidates));
  json answer = {{"resolvedComponentVersions", json::array()}};
  for (const json& candidate : candidates) {
    SKERRY_ASSIGN(json resolved, resolve_one(store, device, candidate, platform));
    answer["resolvedComponentVersions"].push_back(std::move(resolved));
  }
  return answer;
}

Result<json> DataPlane::resolve_one(Store& store, const Device& device, const json& candidate,
                                    const formats::PlatformAttributes& platform) {
  SKERRY_ASSIGN(ComponentName name,
                formats::parse_component_name(component_name_in(candidate).value_or("")));
  SKERRY_ASSIGN(const Requirements requirements, requirements_of(candidate));
  if (formats::is_built_in(name)) {
    SKERRY_ASSIGN(const std::string version, version_of_nucleus(store, device.thing, candidate));
    SKERRY_ASSIGN(auto parsed, formats::Version::parse(version));
    return resolve_provided(scope_, name, {std::move(parsed)}, requirements);
  }
  if (formats::is_provided(name)) {
    const auto runtime = platform.find("runtime");
    if (!formats::is_provided_by(runtime == platform.end() ? "" : runtime->second, name)) {
      return fail(Code::kNotFound, "component " + name.str() +
                                       " is a plugin that AWS publishes for its nucleus, and this "
                                       "fleet does not have it; skerryd provides it by itself");
    }
    return resolve_provided(scope_, name, formats::provided_versions(name), requirements);
  }
  SKERRY_ASSIGN(const auto within, device_scope_.ranges(store, device.thing, name));
  if (within.empty()) {
    // Nothing here says whether it is published for others.
    return fail(Code::kNotFound, "component " + name.str() +
                                     " does not exist for this device: no deployment that targets "
                                     "it needs it");
  }
  SKERRY_ASSIGN(auto component, resolve(store, name, requirements, platform, within));
  SKERRY_ASSIGN(const std::string recipe, formats::canonical_recipe(component.recipe_json));
  return resolved(scope_, component.name, component.version, recipe);
}

net::HttpResponse DataPlane::resolve_candidates(Store& store, const Device& device,
                                                const Parameters&,
                                                const net::HttpRequest& request) {
  return answer_of(resolve_all(store, device, request.body));
}

net::HttpResponse DataPlane::artifact(Store& store, const Device& device, const Parameters& path,
                                      const net::HttpRequest&) {
  auto id = formats::parse_component_version_arn(path.at("arn"));
  if (!id) return error_of(id.error());
  auto included = device_scope_.includes(store, device.thing, id->name, id->version);
  if (!included) return error_of(included.error());
  if (!*included) {
    return error_of(Error(Code::kNotFound, path.at("arn") +
                                               " does not exist for this device: no deployment "
                                               "that targets it needs it"));
  }
  auto name = artifact_of_component(store, *id, path.at("name"));
  if (!name) return error_of(name.error());
  auto url = presign_(store, name->sha256);
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
