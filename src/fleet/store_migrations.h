// How the database came to its present shape: every schema change ever released, in order.
#pragma once

#include <cstdint>

#include "base/error.h"

namespace skerry::fleet {

class Database;

// The number of the newest migration this program knows.
int64_t newest_schema_version();
// Brings the database forward to schema `version`, each step in one transaction.
// kFailedPrecondition where the database is already newer than this program.
Result<void> migrate(Database& database, int64_t version);

}  // namespace skerry::fleet
