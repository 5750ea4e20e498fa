// Amazon resource names: building and parsing.
#include "formats/arn.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>

#include "formats/names.h"

namespace skerry::formats {
namespace {

constexpr std::string_view kThing = "thing/";
constexpr std::string_view kThingGroup = "thinggroup/";
constexpr std::string_view kComponents = "components:";
constexpr std::string_view kVersions = ":versions:";
constexpr std::string_view kConfiguration = "configuration:";

std::unexpected<Error> not_an_arn(std::string_view text, std::string_view form) {
  return fail(Code::kInvalidArgument,
              fmt::format("'{}' is not of the form {}", text.substr(0, 256), form));
}

// The rest of an ARN's resource after `prefix`, where service and prefix are the right ones.
std::optional<std::string> resource_of(std::string_view text, std::string_view service,
                                       std::string_view prefix) {
  auto arn = Arn::parse(text);
  if (!arn || arn->service != service || !arn->resource.starts_with(prefix)) return std::nullopt;
  return arn->resource.substr(prefix.size());
}

// "thing/T" or "thinggroup/G".
Result<Target> parse_target(std::string_view text) {
  if (text.starts_with(kThing)) {
    SKERRY_ASSIGN(auto name, parse_thing_name(text.substr(kThing.size())));
    return Target{Target::Kind::kThing, name.str()};
  }
  if (text.starts_with(kThingGroup)) {
    SKERRY_ASSIGN(auto name, parse_thing_group_name(text.substr(kThingGroup.size())));
    return Target{Target::Kind::kThingGroup, name.str()};
  }
  return not_an_arn(text, "thing/NAME or thinggroup/NAME");
}

std::string target_text(const Target& target) {
  return fmt::format("{}{}", target.kind == Target::Kind::kThing ? kThing : kThingGroup,
                     target.name);
}

std::string greengrass_arn(const ArnScope& scope, std::string resource) {
  return Arn{"aws", "greengrass", scope.region, scope.account, std::move(resource)}.str();
}

}  // namespace

Result<Arn> Arn::parse(std::string_view text) {
  constexpr size_t kMaxLength = 2048;
  constexpr std::string_view kForm = "arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE";
  if (text.size() > kMaxLength || !text.starts_with("arn:")) return not_an_arn(text, kForm);
  std::string_view rest = text.substr(4);
  Arn arn;
  for (std::string* field : {&arn.partition, &arn.service, &arn.region, &arn.account}) {
    const size_t colon = rest.find(':');
    if (colon == std::string_view::npos) return not_an_arn(text, kForm);
    *field = rest.substr(0, colon);
    rest.remove_prefix(colon + 1);
  }
  if (arn.partition.empty() || arn.service.empty() || rest.empty()) return not_an_arn(text, kForm);
  arn.resource = rest;
  return arn;
}

std::string Arn::str() const {
  return fmt::format("arn:{}:{}:{}:{}:{}", partition, service, region, account, resource);
}

std::string component_arn(const ArnScope& scope, const ComponentName& name) {
  return greengrass_arn(scope, fmt::format("{}{}", kComponents, name.str()));
}

std::string component_version_arn(const ArnScope& scope, const ComponentVersionId& id) {
  return greengrass_arn(
      scope, fmt::format("{}{}{}{}", kComponents, id.name.str(), kVersions, id.version.str()));
}

std::string target_arn(const ArnScope& scope, const Target& target) {
  return Arn{"aws", "iot", scope.region, scope.account, target_text(target)}.str();
}

std::string configuration_arn(const ArnScope& scope, const ConfigurationId& id) {
  return greengrass_arn(
      scope, fmt::format("{}{}:{}", kConfiguration, target_text(id.target), id.revision));
}

Result<ComponentName> parse_component_arn(std::string_view text) {
  auto name = resource_of(text, "greengrass", kComponents);
  if (!name || name->contains(':')) {
    return not_an_arn(text, "arn:aws:greengrass:REGION:ACCOUNT:components:NAME");
  }
  return parse_component_name(*name);
}

Result<ComponentVersionId> parse_component_version_arn(std::string_view text) {
  auto resource = resource_of(text, "greengrass", kComponents);
  const size_t split = resource ? resource->find(kVersions) : std::string::npos;
  if (split == std::string::npos) {
    return not_an_arn(text, "arn:aws:greengrass:REGION:ACCOUNT:components:NAME:versions:VERSION");
  }
  SKERRY_ASSIGN(auto name, parse_component_name(resource->substr(0, split)));
  SKERRY_ASSIGN(auto version, Version::parse(resource->substr(split + kVersions.size())));
  return ComponentVersionId{std::move(name), std::move(version)};
}

Result<Target> parse_target_arn(std::string_view text) {
  auto resource = resource_of(text, "iot", "");
  if (!resource) return not_an_arn(text, "arn:aws:iot:REGION:ACCOUNT:thing[group]/NAME");
  return parse_target(*resource);
}

Result<ConfigurationId> parse_configuration_arn(std::string_view text) {
  auto resource = resource_of(text, "greengrass", kConfiguration);
  // Names may hold colons: the revision is what follows the last one.
  const size_t colon = resource ? resource->rfind(':') : std::string::npos;
  if (colon != std::string::npos) {
    const char* begin = resource->data() + colon + 1;
    const char* end = resource->data() + resource->size();
    ConfigurationId id;
    const auto [stop, error] = std::from_chars(begin, end, id.revision);
    if (error == std::errc() && stop == end && id.revision >= 0) {
      SKERRY_ASSIGN(id.target, parse_target(std::string_view(*resource).substr(0, colon)));
      return id;
    }
  }
  return not_an_arn(text,
                    "arn:aws:greengrass:REGION:ACCOUNT:configuration:thing[group]/NAME:REVISION");
}

}  // namespace skerry::formats
