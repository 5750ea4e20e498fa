// How updates become a new model. A strategy sees them a piece of the vector at a time, all of them
// side by side, so that memory does not grow with the model times the devices.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "federated/update.h"

namespace skerry::federated {

struct StrategyOptions {
  std::string name = "fedavg";
  double server_rate = 1;  // of the mean update; of fedadam and its kin 0.03 is usual
  double beta1 = 0.9, beta2 = 0.99, tau = 1e-3;
  double trimmed = 0.2;        // share of updates that trimmed-mean leaves out at each end
  size_t malicious = 0;        // how many updates krum expects to be; 0: a fifth
  bool equal_weights = false;  // devices count the same however much data they have
  size_t devices = 0;          // of scaffold: that there are
};

// What is known of an update beside its vector.
struct Source {
  double examples = 1, steps = 1;
  double staleness = 0;  // rounds that were committed since it was given the model
};

class Strategy {
 public:
  virtual ~Strategy() = default;
  virtual std::string_view name() const = 0;
  // A round begins, with updates from these.
  virtual void begin(std::span<const Source> sources) = 0;
  // A strategy that has to see all of all updates first gets every piece here before.
  virtual bool looks_first() const { return false; }
  virtual void look(std::span<const Vector>) {}
  // Writes how `out`, the piece of the model from `offset` on, changes.
  virtual void combine(std::span<const Vector> pieces, size_t offset, std::span<float> out) = 0;
  // Devices train on whatever model there is when they ask, and a round waits for none of them.
  virtual bool is_asynchronous() const { return false; }
  // What it keeps from round to round, as long as the model or empty; to survive a restart.
  virtual std::vector<Vector*> memory() { return {}; }
};

struct StrategyKind {
  std::string_view name, what;
};
std::span<const StrategyKind> strategies();

// For a model of `size` numbers. kInvalidArgument lists the names there are.
Result<std::unique_ptr<Strategy>> make_strategy(const StrategyOptions& options, size_t size);

}  // namespace skerry::federated
