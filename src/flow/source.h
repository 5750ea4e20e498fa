// Where a stream's data come from.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "flow/flow_config.h"
#include "flow/queue.h"
#include "io/loop.h"
#include "io/pool.h"
#include "rpc/nucleus_client.h"
#include "tensor/tensor.h"

namespace skerry::flow {

// A window of samples (FP32 [n]) or of frames (flow/frames.h), or the whole content of a file or
// message (one element of BYTES).
struct Item {
  std::string source;             // file's name, or topic
  int64_t number = 0;             // of the window in it
  std::optional<double> start_s;  // of the window in it, where there is a rate
  bool begins = false;            // nothing before it belongs to it: state starts anew
  tensor::Tensor content;
  // Of a message that came with MQTT 5's properties: where its answer is wanted, and what goes with
  // that.
  std::string response_topic;
  std::string correlation_data;
};

class Source {
 public:
  virtual ~Source() = default;
  // Sends items until there are no more; fails where there will never be any.
  virtual io::Task<Result<void>> run(Queue<Item>& items) = 0;
};

// `pool` reads files and pipes; a read of a pipe may never end. Both references outlive the source.
std::unique_ptr<Source> make_source(io::Loop& loop, io::Pool& pool, rpc::NucleusAddress nucleus,
                                    const FlowConfig& config);

}  // namespace skerry::flow
