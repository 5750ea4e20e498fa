// A deployment that this device's operator asks for, without any fleet: what CreateLocalDeployment
// says, as a deployment document and what it does to the roots of its target.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <set>
#include <string>

#include "base/error.h"
#include "base/named_type.h"
#include "formats/deployment.h"

namespace skerry::nucleus {

// The target of local deployments that name no group, as the reference calls it.
inline constexpr std::string_view kLocalTarget = "LOCAL_DEPLOYMENT";

struct LocalRequest {
  std::string target{kLocalTarget};  // or "thinggroup/G"
  // Components to add, and those that are only to be configured: neither id nor time yet.
  formats::Deployment document;
  // Of the target's roots; the others stay.
  std::set<ComponentName> added, removed;
  // Components whose runWith the request says; that of others stays.
  std::set<ComponentName> run_with;
};

// The folders of a request; empty where it names none.
struct LocalFolders {
  std::string recipes, artifacts;
};

// The body of CreateLocalDeployment, untrusted. kInvalidArgument names what is wrong in it.
Result<LocalRequest> parse_local_request(const nlohmann::json& body);
Result<LocalFolders> parse_local_folders(const nlohmann::json& body);

// As a record of the device's state has it (docs/data/journal.md).
nlohmann::json to_json(const LocalRequest& request);
Result<LocalRequest> local_request_from(const nlohmann::json& record);

}  // namespace skerry::nucleus
