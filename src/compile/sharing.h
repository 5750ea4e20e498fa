// Which steps of a run several threads share: those where that pays.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "compile/program.h"
#include "runtime/compiled/compiled_runtime.h"

namespace skerry::compile {

// Steps that are worth sharing by the target's rates get as many shares as the program may have
// threads. `is_measured`: keep_what_pays() follows, so the less sure ones, too.
void share_by_estimate(Program& program, bool is_measured);
void share_all(Program& program);  // every step that can be

// Measures `library`, which is this program built with SKERRY_PROFILE: steps that take longer with
// threads than without are made whole again.
Result<void> keep_what_pays(Program& program, const runtime::CompiledLibrary& library,
                            const std::vector<const void*>& inputs);

// Microseconds, of turns without and with threads: the least, and what half of them take at most.
struct TurnTimes {
  double alone_us = 0, shared_us = 0;
  double alone_median_us = 0, shared_median_us = 0;
};
// Of starts, each with threads and memory of its own. Threads pay where nearly every start says so,
// by its least as well as by its median: on a machine at work a second thread may be fast once and
// late as a rule.
bool threads_pay(const std::vector<TurnTimes>& starts);

// A whole run, in several starts.
std::vector<TurnTimes> run_times(const SkerryCompiledModel& model,
                                 const std::vector<const void*>& inputs);

}  // namespace skerry::compile
