// Amazon resource names, as far as fleet and device exchange them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/named_type.h"
#include "formats/version.h"

namespace skerry::formats {

// arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE, where RESOURCE may hold more colons.
struct Arn {
  std::string partition = "aws";
  std::string service;
  std::string region;
  std::string account;
  std::string resource;

  static Result<Arn> parse(std::string_view text);
  std::string str() const;
  bool operator==(const Arn&) const = default;
};

// Where a fleet says it is.
struct ArnScope {
  std::string region = "eu-west-1";
  std::string account = "000000000000";
};

// What a deployment is for: one thing or one thing group.
struct Target {
  enum class Kind { kThing, kThingGroup };
  Kind kind = Kind::kThing;
  std::string name;

  auto operator<=>(const Target&) const = default;
};

struct ComponentVersionId {
  ComponentName name;
  Version version;
};

// A revision of what a target should run.
struct ConfigurationId {
  Target target;
  int64_t revision = 0;
};

std::string component_arn(const ArnScope& scope, const ComponentName& name);
std::string component_version_arn(const ArnScope& scope, const ComponentVersionId& id);
std::string target_arn(const ArnScope& scope, const Target& target);
std::string configuration_arn(const ArnScope& scope, const ConfigurationId& id);

// kInvalidArgument on every other kind of ARN. Region and account are not compared with anything.
Result<ComponentName> parse_component_arn(std::string_view text);
Result<ComponentVersionId> parse_component_version_arn(std::string_view text);
Result<Target> parse_target_arn(std::string_view text);
Result<ConfigurationId> parse_configuration_arn(std::string_view text);

}  // namespace skerry::formats
