// Where each storage lies in the arena.
#pragma once

#include "compile/program.h"

namespace skerry::compile {

// Sets offsets, `same_as` of what can be computed in place, arena_bytes and arena_lower_bound.
// kResourceExhausted where the arena would be larger than `max_bytes`.
Result<void> plan(Program& program, uint64_t max_bytes);

}  // namespace skerry::compile
