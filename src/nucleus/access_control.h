// Who may do what over IPC: the accessControl of a component's configuration, parsed and asked.
//
//   {service: {policyId: {policyDescription, operations[], resources[]}}}
//
// The principal is the component that declares it. In a resource `*` stands for anything, also
// across
// '/'; `${*}`, `${?}` and `${$}` are those characters; a bare `?` is refused. For the service
// aws.greengrass.ipc.mqttproxy the MQTT wildcards `+` and `#` work as whole levels, too; elsewhere
// they are plain characters.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "nucleus/config_store.h"

namespace skerry::nucleus {

inline constexpr std::string_view kPubSubService = "aws.greengrass.ipc.pubsub";
inline constexpr std::string_view kMqttProxyService = "aws.greengrass.ipc.mqttproxy";
inline constexpr std::string_view kLifecycleService = "aws.greengrass.ipc.lifecycle";
inline constexpr std::string_view kShadowService = "aws.greengrass.ShadowManager";
inline constexpr std::string_view kSecretService = "aws.greengrass.SecretManager";
inline constexpr std::string_view kClientDevicesService = "aws.greengrass.clientdevices.Auth";
inline constexpr std::string_view kCliService = "aws.greengrass.Cli";

// One resource of a policy.
class ResourcePattern {
 public:
  // kInvalidArgument on a bare `?`.
  static Result<ResourcePattern> parse(std::string_view text, bool mqtt_wildcards);
  // `resource` is what is asked for: a topic, or a topic filter of a subscription. A filter is
  // covered where everything it could match is: `#` by `#` or `*`, but not by `+`.
  bool matches(std::string_view resource) const;

 private:
  enum class Kind : uint8_t { kCharacter, kAnything, kLevel, kSubtree };
  struct Token {
    Kind kind;
    char character = 0;
  };
  std::vector<Token> tokens_;
};

class AccessPolicies {
 public:
  // Takes what is right and lists the rest in problems(): a mistake never widens what is allowed.
  static AccessPolicies parse(const nlohmann::json& access_control);
  bool allow(std::string_view service, std::string_view operation, std::string_view resource) const;
  const std::vector<std::string>& problems() const { return problems_; }

 private:
  struct Policy {
    std::string service;
    std::vector<std::string> operations;
    std::vector<ResourcePattern> resources;
  };
  std::vector<Policy> policies_;
  std::vector<std::string> problems_;
};

// The policies of all components as they stand in the store; parsed again where they changed.
class AccessControl {
 public:
  explicit AccessControl(const ConfigStore& store) : store_(store) {}
  // kPermissionDenied names principal, operation and resource.
  Result<void> check(const ComponentName& principal, std::string_view service,
                     std::string_view operation, std::string_view resource);

 private:
  struct Entry {
    uint64_t version = 0;  // of the store, when `text` was read
    std::string text;
    AccessPolicies policies;
  };
  const ConfigStore& store_;
  std::map<ComponentName, Entry> entries_;
};

}  // namespace skerry::nucleus
