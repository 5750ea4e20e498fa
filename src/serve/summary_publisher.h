// Brings summaries to the fleet: through the nucleus that runs this program as a component
// (PublishToIoTCore with QoS 1), which keeps them while it is offline. Any Greengrass nucleus will
// do; the recipe has to allow the topic (docs/data/inference-summary.md).
#pragma once

#include <cstdint>
#include <string>

#include "io/clock.h"
#include "io/loop.h"
#include "io/task.h"
#include "rpc/nucleus_client.h"
#include "serve/summaries.h"

namespace skerry::serve {

class SummaryPublisher {
 public:
  // The references outlive it.
  SummaryPublisher(io::Loop& loop, io::Clock& clock, Summaries& summaries,
                   rpc::NucleusAddress nucleus, int64_t interval_ms)
      : loop_(loop),
        clock_(clock),
        summaries_(summaries),
        nucleus_(std::move(nucleus)),
        interval_ms_(interval_ms) {}

  // Every interval, the first after `first_ms`: the devices of a fleet do not all speak at once.
  io::Task<void> run(int64_t first_ms);
  // What was counted until now, and what still waits; what cannot be sent stays. Returns after some
  // seconds where the nucleus is silent. One at a time.
  io::Task<void> flush();

 private:
  io::Task<Result<void>> send_waiting();

  io::Loop& loop_;
  io::Clock& clock_;
  Summaries& summaries_;
  const rpc::NucleusAddress nucleus_;
  const int64_t interval_ms_;
  bool flushing_ = false;
  bool failing_ = false;
};

}  // namespace skerry::serve
