// The inference service, asked by many threads at once: each has a loop and a connection of its
// own.
#pragma once

#include <string>

#include "base/error.h"
#include "net/http.h"

namespace skerry::gateway {

class Backend {
 public:
  // `base`: "http://host:port", or "unix:/run/infer.sock:".
  explicit Backend(std::string base) : base_(std::move(base)) {}

  // Thread-safe; waits for the answer, whatever its status. kUnavailable or kTimeout without one.
  Result<net::HttpResponse> ask(net::HttpRequest request, int64_t timeout_ms) const;

 private:
  const std::string base_;
};

}  // namespace skerry::gateway
