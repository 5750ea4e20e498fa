// Pruning. Structured: whole channels go, together with everything that depends on them, and what
// is left is an ordinary dense model. Unstructured: weights become zero in the patterns for which
// sparse kernels exist; shapes stay.
#pragma once

#include "optimise/quantise/calibration.h"

namespace skerry::optimise {

struct ChannelPruning {
  double share = 0.25;      // of the channels that may go
  int64_t multiple_of = 4;  // channels that a layer keeps: kernels like even numbers
};

struct PruneReport {
  size_t groups = 0;    // of channels that come and go together
  size_t channels = 0;  // that could go
  size_t removed = 0;
};

// Removes the channels that contribute least to what reads them: the mean magnitude that data has
// seen times the weights behind (without data: the weights before times those behind). The mean of
// what goes is added to the biases behind. Where channels meet in a sum they go together; what
// reaches an output, or an operator that is not known, stays. kInvalidArgument for a share outside
// [0, 1).
Result<PruneReport> prune_channels(graph::Graph& graph, const ChannelPruning& options,
                                   const Calibration* calibration = nullptr);

enum class SparsePattern {
  kUnstructured,  // the smallest weights of a layer
  kTwoOfFour,     // two of each four neighbours along the inner dimension
  kBlocks,        // blocks of 1×4 along it
};

// Sets the least weights of layers to zero; `share` is of kUnstructured and kBlocks. The number of
// zeros made.
Result<size_t> prune_weights(graph::Graph& graph, SparsePattern pattern, double share = 0.5);

}  // namespace skerry::optimise
