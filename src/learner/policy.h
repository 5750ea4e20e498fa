// What a device insists on, whatever the control plane asks: with how much data it takes part,
// when, and what never leaves it. The rows themselves never do.
#pragma once

#include <cstdint>
#include <string>

#include "federated/messages.h"
#include "federated/update.h"
#include "io/files.h"

namespace skerry::learner {

struct LocalPolicy {
  size_t fewest_rows = 1;     // with less data it does not take part
  double longest_update = 0;  // it is clipped to that at least; 0: as asked
  double least_noise = 0;     // that the server has to promise
  bool only_secure = false;   // no update of this device's alone, whatever is asked
  size_t fewest_peers = 2;    // with secure aggregation: among fewer it does not hide
  bool tells_counts = true;   // how many rows, how many steps, which loss
  uint64_t most_model_bytes = uint64_t{256} << 20;
  double most_load = 0;  // of the machine (1 minute) for it to train; 0: any
  bool only_on_mains = false;
};

// kPermissionDenied says which rule forbids it, kFailedPrecondition that there are too few rows.
Result<void> check(const LocalPolicy& policy, const federated::TaskMessage& task, size_t rows);
// Takes away what does not leave the device.
void apply(const LocalPolicy& policy, federated::Update& update);
void apply(const LocalPolicy& policy, federated::Evaluation& evaluation);
// The last look at what is about to be sent, as the server will read it. kPermissionDenied where it
// is more than the policy allows.
Result<void> check_outgoing(const LocalPolicy& policy, const federated::TaskMessage& task,
                            std::string_view encoded);
// Why this is no time to train; "" where it is.
std::string busy_with(const LocalPolicy& policy, io::Files& files);

}  // namespace skerry::learner
