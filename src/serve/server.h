// The inference server put together: runtimes, repository, protocol, listeners, and its end.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "io/clock.h"
#include "io/files.h"
#include "io/loop.h"
#include "runtime/runtimes.h"
#include "serve/summary_publisher.h"

namespace skerry::serve {

struct ServerOptions {
  std::string version;
  std::string socket_path;  // "" for none
  uint32_t socket_mode = 0660;
  std::string http_address = "127.0.0.1";
  std::optional<uint16_t> http_port;  // 0: the kernel chooses
  std::shared_ptr<runtime::Runtimes> runtimes;
  size_t threads = 1;  // of each model, for inferences that are not short
  int threads_per_inference = 1;
  size_t max_queued = 256;
  int64_t inference_timeout_ms = 60'000;
  int64_t load_timeout_ms = 300'000;
  uint64_t max_model_bytes = uint64_t{4} << 30;
  uint64_t trial_memory_bytes = 0;  // 0: by the package's size, see trial_memory_limit()
  uint64_t memory_bytes = 0;        // that all models may hold; 0: no limit
  bool evict = false;               // beyond it idle models make room
  uint64_t max_body_bytes = 64 << 20;
  int64_t drain_timeout_ms = 10'000;
  std::string state_file;  // "" for none
  bool repository_over_tcp = false;
  std::string access_file;      // of rules, read again on SIGHUP; "" for none
  rpc::NucleusAddress nucleus;  // that summaries go to
  int64_t summary_interval_ms = 60'000;
};

// Serves until SIGTERM or SIGINT, then finishes the requests in flight, for drain_timeout_ms at
// most (a second signal ends it at once). `on_ready` is called once with the port that HTTP listens
// on, when the models of the last run are loaded as well. Inferences and loads that do not end may
// still run on threads of their own when it returns: leave the process without static destructors.
Result<void> run_server(io::RealLoop& loop, io::Files& files, io::Clock& clock,
                        const ServerOptions& options,
                        std::function<void(std::optional<uint16_t> http_port)> on_ready);

}  // namespace skerry::serve
