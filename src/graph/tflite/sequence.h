// Sequences of fixed length, step by step: what recurrent layers share.
#pragma once

#include "graph/tflite/lowering.h"

namespace skerry::graph::tflite {

// A sequence [batch, steps, …], or [steps, batch, …].
struct Sequence {
  int64_t steps = 0;
  int64_t axis = 1;  // of the steps
};
Result<Sequence> sequence_of(const Lowering& lower, const Value& x, bool time_major);

// x·Wᵀ + bias, for all steps at once; `bias` may be null.
Result<Value*> product(Lowering& lower, Value* x, Value* weights, Value* bias);
Result<Value*> at_step(Lowering& lower, const Sequence& sequence, int64_t at, Value* all);
// Rows of input `weights`, a matrix [units, …].
Result<int64_t> units_of(const Lowering& lower, size_t weights);
// [batch, units] of each step, as a sequence.
Result<Value*> together(Lowering& lower, const Sequence& sequence, std::vector<Value*> made,
                        int64_t units);

// UNIDIRECTIONAL_SEQUENCE_LSTM (lstm.cc).
Result<void> sequence_lstm(Lowering& lower);

}  // namespace skerry::graph::tflite
