// The Open Inference Protocol over gRPC in a process of its own, before an inference service that
// knows only HTTP: a device that needs no gRPC carries none of it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/error.h"

namespace skerry::gateway {

struct GatewayOptions {
  std::string service = "http://127.0.0.1:8000";  // or "unix:/run/infer.sock:"
  std::string address = "127.0.0.1";
  uint16_t port = 8001;  // 0: a free one
  int threads = 64;      // requests at once; more get RESOURCE_EXHAUSTED
  int max_message_mb = 64;
};

// Serves until SIGTERM or SIGINT; requests in flight then have some seconds. `on_ready` gets the
// port. kUnavailable where the address cannot be had.
Result<void> run_gateway(const GatewayOptions& options,
                         const std::function<void(uint16_t port)>& on_ready);

}  // namespace skerry::gateway
