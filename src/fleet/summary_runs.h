// Which summaries of a thing were taken: each counts once, however often and late it comes. The
// functions work in the transaction they are called in.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"
#include "base/named_type.h"

namespace skerry::fleet {

class Database;

// False where it was taken before. Of the newest 8 runs of a thing it is known which came
// (formats::SequenceWindow); runs are random texts, those of different kinds do not meet.
Result<bool> take_sequence(Database& database, const ThingName& thing, const std::string& run,
                           uint64_t sequence, int64_t now_ms);

}  // namespace skerry::fleet
