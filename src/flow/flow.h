// A stream, put together: source → windows → model, with state from one window to the next → sinks.
// Every window is inferred, failed or dropped, and counted as one of them.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "flow/flow_config.h"
#include "flow/model_client.h"
#include "flow/sink.h"
#include "flow/source.h"
#include "io/pool.h"
#include "net/bearer_token.h"

namespace skerry::flow {

struct FlowReport {
  uint64_t windows = 0;  // that the source gave
  uint64_t inferred = 0;
  uint64_t failed = 0;   // that the model refused
  uint64_t dropped = 0;  // for which there was no time, as "drop" says
  uint64_t told = 0;     // lines for each sink
  uint64_t unsent = 0;   // lines that a sink refused or had no time for
  int64_t p50_us = 0;    // of the last inferences
  std::string to_json() const;
};

class Flow {
 public:
  // `service`: "unix:/run/infer.sock:" or "http://host:port". The token is for it alone.
  Flow(io::Loop& loop, FlowConfig config, const std::string& service, net::BearerToken token,
       rpc::NucleusAddress nucleus);
  ~Flow();

  // Until the source has ended and all lines are sent; fails where the configuration does not fit
  // the model, the source cannot be read, or the service does not let this client in.
  io::Task<Result<void>> run();
  FlowReport report() const;

 private:
  struct Outlet;
  io::Task<void> feed();
  io::Task<Result<void>> wait_for_model();
  io::Task<void> infer(Item item);
  Result<std::vector<tensor::Tensor>> inputs_of(Item item);
  io::Task<void> tell(const Item& item, const ModelClient::Answer& answer);
  io::Task<void> serve_outlet(Outlet* outlet);

  io::Loop& loop_;
  const FlowConfig config_;
  io::ThreadPool reads_{"stream-in", 1};
  io::ThreadPool writes_{"stream-out", 1};
  std::unique_ptr<net::HttpClient> http_;
  std::unique_ptr<net::HttpClient> sink_http_;
  ModelClient model_;
  std::unique_ptr<Source> source_;
  Queue<Item> items_;
  std::list<Outlet> outlets_;
  Result<void> source_ended_;
  Result<void> let_in_;  // what the service said
  std::vector<tensor::Tensor> constants_;
  std::vector<tensor::Tensor> state_;  // for the next window, by the model's names
  FlowReport counts_;
  std::vector<int64_t> last_us_;  // of the last inferences
  io::TaskScope tasks_;
};

}  // namespace skerry::flow
