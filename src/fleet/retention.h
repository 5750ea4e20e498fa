// What is forgotten, and when: ended executions of superseded deployments, and such deployments
// once nothing is left of them, and what models did, after 90 days; the audit log after 400 days.
// What a target should run now is never forgotten.
#pragma once

#include <cstdint>

#include "fleet/store_pool.h"
#include "io/env.h"
#include "io/task.h"

namespace skerry::fleet {

inline constexpr int64_t kRetentionMs = int64_t{90} * 24 * 3600 * 1000;
inline constexpr int64_t kAuditRetentionMs = int64_t{400} * 24 * 3600 * 1000;

// Runs until its scope ends: at once, then every hour.
io::Task<void> keep_pruning(io::Env& env, StorePool& stores);

}  // namespace skerry::fleet
