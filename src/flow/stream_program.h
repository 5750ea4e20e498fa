// `skerry-infer stream`: a stream as a process, a component's or by hand.
#pragma once

#include <string>

#include "base/error.h"
#include "io/loop.h"

namespace skerry::flow {

struct StreamOptions {
  std::string config_file;     // "": the component's configuration, key "stream"
  std::string socket;          // the inference service's
  std::string server;          // its HTTP address instead
  std::string token_file;      // "": SKERRY_INFER_TOKEN, where it is set
  int64_t report_ms = 60'000;  // between reports on standard output; 0: at the end alone
};

// Until the stream's source has ended, SIGTERM or SIGINT. Reads of a pipe that never end may still
// be under way when it returns: leave the process without static destructors.
Result<void> run_stream(io::RealLoop& loop, const StreamOptions& options);

}  // namespace skerry::flow
