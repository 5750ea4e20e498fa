// Where a stream's answers go, each a line of JSON.
#pragma once

#include <memory>
#include <string>

#include "flow/flow_config.h"
#include "io/loop.h"
#include "io/pool.h"
#include "net/http_client.h"
#include "rpc/nucleus_client.h"

namespace skerry::flow {

class Sink {
 public:
  virtual ~Sink() = default;
  // Returns once it is taken over. An error that is not retryable is about this line alone.
  virtual io::Task<Result<void>> send(const std::string& line) = 0;
};

// The references outlive the sink.
std::unique_ptr<Sink> make_sink(io::Loop& loop, io::Pool& pool, net::HttpClient& http,
                                rpc::NucleusAddress nucleus, const SinkConfig& config);

}  // namespace skerry::flow
