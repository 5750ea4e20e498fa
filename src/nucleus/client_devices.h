// Devices behind this one (client devices), which a broker component asks about: who they are, and
// what they may do. The registry is the configuration of aws.greengrass.clientdevices.Auth:
//
//   deviceGroups:                     as the reference has it
//     definitions: {GROUP: {selectionRule: "thingName: press-* OR thingName: saw-1", policyName:
//     P}} policies: {P: {STATEMENT: {operations: [mqtt:publish], resources: ["mqtt:topic:a/*"]}}}
//   clientDevices: {THING: {certificatePem: "…"}}      or certificateId: its SHA-256 in hex
//
// Tokens live in memory: after a restart a client device shows its certificate again.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "io/clock.h"
#include "io/random.h"
#include "nucleus/config_store.h"

namespace skerry::nucleus {

// Whether "thingName: a* OR (thingName: b AND …)" names the thing; kInvalidArgument where it cannot
// be read. `*` stands for any text.
Result<bool> selects(std::string_view rule, const std::string& thing);

class ClientDevices {
 public:
  static constexpr size_t kMaxTokens =
      2'500;  // the reference's; a new one takes the oldest's place

  explicit ClientDevices(const ConfigStore& config) : config_(config) {}

  // The thing that shows this certificate; kPermissionDenied where it is none of ours, or expired.
  Result<std::string> thing_of(const std::string& certificate_pem, int64_t now_ms) const;
  // A token of the client, once its certificate is good.
  Result<std::string> token_for(const std::string& client_id, const std::string& certificate_pem,
                                io::Random& random, int64_t now_ms);
  // kNotFound: no such token; kInvalidArgument: `operation` or `resource` is none.
  Result<bool> allows(const std::string& token, std::string_view operation,
                      std::string_view resource) const;

 private:
  nlohmann::json registry(const char* part) const;

  const ConfigStore& config_;
  std::map<std::string, std::string> things_;  // by token
  std::deque<std::string> tokens_;             // oldest first
};

}  // namespace skerry::nucleus
