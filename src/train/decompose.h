// Operators whose gradients are those of their parts: they become parts before differentiation.
#pragma once

#include "train/builder.h"

namespace skerry::train {

// A batch norm that learns: what its running statistics become.
struct RunningStatistic {
  Value* before = nullptr;  // an input of the graph
  Value* after = nullptr;
};

struct DecomposeOptions {
  // Batch norms whose statistics are inputs of the graph normalise by those of the batch.
  std::vector<RunningStatistic>* statistics = nullptr;
};

// Norms, LSTM and global maxima become arithmetic; MaxPool says where its maxima are. What the
// graph computes stays, but for batch norms that learn.
Result<void> decompose(Graph& graph, const DecomposeOptions& options = {});

namespace internal {

// LSTM, one step of time after the other.
Result<void> unroll_lstm(Node& node);

}  // namespace internal

}  // namespace skerry::train
