// The inference service, asked by many threads at once: each has a loop and a connection of its
// own.
#pragma once

#include <functional>
#include <string>

#include "base/error.h"
#include "net/http.h"

namespace skerry::gateway {

class Backend {
 public:
  // `base`: "http://host:port", or "unix:/run/infer.sock:".
  explicit Backend(std::string base) : base_(std::move(base)) {}

  // Thread-safe; waits for the answer, whatever its status. kUnavailable or kTimeout without one.
  // kCancelled soon after `is_cancelled` says so: the connection is closed, by which the service
  // knows that nobody waits any more.
  Result<net::HttpResponse> ask(net::HttpRequest request, int64_t timeout_ms,
                                const std::function<bool()>& is_cancelled) const;

 private:
  const std::string base_;
};

}  // namespace skerry::gateway
