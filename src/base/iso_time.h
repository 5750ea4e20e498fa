// 2026-11-28T02:31:00.250Z: ISO 8601 in UTC, with milliseconds.
#pragma once

#include <cstdint>
#include <string>

namespace skerry {

std::string iso_time(int64_t ms);  // since 1970-01-01T00:00:00Z

}  // namespace skerry
