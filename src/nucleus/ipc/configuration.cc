// GetConfiguration, UpdateConfiguration, SubscribeToConfigurationUpdate. Reading is open to every
// component, of every component; writing is for one's own, and never for accessControl and skerry.
#include <cmath>
#include <nlohmann/json.hpp>

#include "formats/json_pointer.h"
#include "formats/json_ptr.h"
#include "formats/node.h"
#include "nucleus/component_sandbox.h"
#include "nucleus/ipc/operations.h"

namespace skerry::nucleus {
namespace {

using nlohmann::json;

constexpr std::string_view kAccessControl = "accessControl";

// The component that is asked about: the caller where the request names none.
std::expected<ComponentName, IpcError> component_of(const IpcCall& call) {
  const auto found = call.request.find("componentName");
  if (found == call.request.end() || found->is_null()) return call.caller;
  if (!found->is_string()) return call.invalid("componentName must be a string");
  return ComponentName(found->get<std::string>());
}

std::unexpected<IpcError> key_not_found(const ComponentName& component, const KeyPath& path) {
  return std::unexpected(IpcError{kResourceNotFound, "Key not found", "configuration",
                                  component.str() + formats::json_pointer(path)});
}

// A key of what a component may do, which deployments alone set.
bool touches(const KeyPath& path, const json& value, std::string_view reserved) {
  if (!path.empty()) return formats::equal_ignoring_case(path[0], reserved);
  if (!value.is_object()) return false;
  for (const auto& [key, child] : value.items()) {
    if (formats::equal_ignoring_case(key, reserved)) return true;
  }
  return false;
}

// Seconds since 1970 with a fraction, as the SDKs send them, in milliseconds.
std::expected<int64_t, IpcError> timestamp_of(const IpcCall& call) {
  const auto found = call.request.find("timestamp");
  if (found == call.request.end() || !found->is_number()) {
    return call.invalid("timestamp is required: seconds since 1970 as a number");
  }
  const double seconds = found->get<double>();
  if (!(seconds >= 0 && seconds < 1e12)) {
    return call.invalid("timestamp is out of range: seconds since 1970 as a number");
  }
  return std::llround(seconds * 1000);
}

}  // namespace

IpcOutcome get_configuration(const IpcCall& call) {
  SKERRY_IPC_ASSIGN(const ComponentName component, component_of(call));
  SKERRY_IPC_ASSIGN(const KeyPath path, call.key_path());
  const ConfigTree& tree = call.context.config.tree();
  const ConfigTree::Kind kind = tree.kind(component, path);
  if (kind == ConfigTree::Kind::kAbsent) return key_not_found(component, path);
  // Written as text: the tree holds its leaves as text, and this is the busiest operation.
  std::string body = R"({"componentName":)" + json_string(component.str()) + R"(,"value":)";
  if (kind == ConfigTree::Kind::kLeaf) body += "{" + json_string(path.back()) + ":";
  tree.append_json(component, path, body);
  if (kind == ConfigTree::Kind::kLeaf) body += '}';
  body += '}';
  call.stream.respond("aws.greengrass#GetConfigurationResponse", body);
  return {};
}

IpcOutcome update_configuration(const IpcCall& call) {
  SKERRY_IPC_ASSIGN(const KeyPath path, call.key_path());
  SKERRY_IPC_ASSIGN(const int64_t timestamp_ms, timestamp_of(call));
  const auto value = call.request.find("valueToMerge");
  if (value == call.request.end()) return call.invalid("valueToMerge is required");
  for (const std::string_view reserved : {kAccessControl, kReservedKey}) {
    if (!touches(path, *value, reserved)) continue;
    return call.invalid("Config update is not allowed for following fields [" +
                        std::string(reserved) + "]");
  }
  call.context.config.update(
      call.caller, path, *value, timestamp_ms,
      [&config = call.context.config, caller = call.caller, path, timestamp_ms,
       bad_request = call.bad_request, stream = call.stream](const auto& changed) {
        if (!changed) {
          const bool is_bad_request = changed.error().code() == Code::kInvalidArgument;
          const std::string_view shape = is_bad_request ? bad_request : kServiceError;
          send_error(stream, {shape, changed.error().message(), {}, {}});
        } else if (changed->empty() && config.tree().modified_ms(caller, path) > timestamp_ms) {
          send_error(stream,
                     {kFailedUpdateCondition,
                      "Proposed timestamp is older than the config's latest modified timestamp",
                      {},
                      {}});
        } else {
          stream.respond("aws.greengrass#UpdateConfigurationResponse", "{}");
        }
      });
  return {};
}

IpcOutcome subscribe_to_configuration_update(const IpcCall& call) {
  SKERRY_IPC_ASSIGN(const ComponentName component, component_of(call));
  SKERRY_IPC_ASSIGN(const KeyPath path, call.key_path());
  ConfigStore& config = call.context.config;
  if (config.tree().kind(component, path) == ConfigTree::Kind::kAbsent) {
    return key_not_found(component, path);
  }
  call.stream.start("aws.greengrass#SubscribeToConfigurationUpdateResponse", "{}");
  ConfigStore::Watch watch = config.watch(
      component, path,
      [stream = call.stream](const ComponentName& changed_component, const KeyPath& changed) {
        const json event = {{"configurationUpdateEvent",
                             {{"componentName", changed_component.str()}, {"keyPath", changed}}}};
        stream.send("aws.greengrass#ConfigurationUpdateEvents", formats::json_text(event));
      });
  call.stream.on_closed([watch = std::move(watch)] {});  // the watch ends with its stream
  return {};
}

}  // namespace skerry::nucleus
