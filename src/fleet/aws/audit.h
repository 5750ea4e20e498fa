// What the audit log keeps of a request that changes something.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "fleet/access/access_store.h"
#include "fleet/aws/api.h"

namespace skerry::fleet::aws {

// Without time and request id. Of `body` as much as tells what was asked: long texts shortened,
// passwords left out, a few kilobytes in all.
AuditEntry audit_entry(const Identity& who, const Route& route, std::string_view target,
                       const nlohmann::json& body);

}  // namespace skerry::fleet::aws
