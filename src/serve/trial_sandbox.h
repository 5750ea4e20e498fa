// What a process may still do that tries a model which nobody has tried before.
#pragma once

#include "base/error.h"

namespace skerry::serve {

// For the rest of this process: no sockets, no other programs, no signals to others, no reading of
// other processes' memory. Files and threads stay. An error where the kernel cannot do it; the
// process goes on without then.
Result<void> enter_trial_sandbox();

}  // namespace skerry::serve
