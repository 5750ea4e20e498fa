// A child process from its start to its end, on a thread that does nothing else meanwhile. For
// event loops there is io/processes.h.
#pragma once

#include <stop_token>
#include <string>

#include "io/processes.h"

namespace skerry::io {

struct FinishedProcess {
  ExitStatus status;
  std::string out;  // of standard output, the first `max_out_bytes`
  std::string err;  // of standard error, the last 4 KiB
};

// Runs `spec` (without control groups) in a session of its own and waits. A stop request kills it:
// kCancelled. The child dies with the calling thread.
Result<FinishedProcess> run_process(const ProcessSpec& spec, size_t max_out_bytes,
                                    const std::stop_token& stop);

}  // namespace skerry::io
