// Recurrent layers of floats, step by step. What a layer keeps from one run to the next is a
// variable (state.cc).
#include "graph/tflite/lowering.h"
#include "graph/tflite/sequence.h"

namespace skerry::graph::tflite {
namespace {

Result<void> check_floats(const Lowering& lower) {
  if (lower.out_table().type == 0) return {};
  return lower.refuse("its results are integers; only those of floats are read");
}

// input, weights [units, in], recurrent weights [units, units], bias, state.
Result<void> sequence_rnn(Lowering& lower) {
  constexpr size_t kState = 4;
  SKERRY_TRY(check_floats(lower));
  SKERRY_ASSIGN(Value * x, lower.real(0));
  SKERRY_ASSIGN(const Sequence sequence, sequence_of(lower, *x, lower.small_option(0) != 0));
  SKERRY_ASSIGN(Value * weights, lower.real(1));
  SKERRY_ASSIGN(Value * recurrent, lower.real(2));
  SKERRY_ASSIGN(Value * bias, lower.real(3));
  SKERRY_ASSIGN(Value * from_input, product(lower, x, weights, bias));
  SKERRY_ASSIGN(Value * turned, lower.permuted(recurrent, {1, 0}));
  SKERRY_ASSIGN(Value * hidden, lower.kept(kState));
  std::vector<Value*> made;
  for (int64_t at = 0; at < sequence.steps; ++at) {
    SKERRY_ASSIGN(Value * now, at_step(lower, sequence, at, from_input));
    SKERRY_ASSIGN(Value * again, lower.make("MatMul", {hidden, turned}));
    SKERRY_ASSIGN(Value * sum, lower.make("Add", {now, again}));
    SKERRY_ASSIGN(hidden, lower.activated(sum, lower.small_option(1)));
    made.push_back(hidden);
  }
  SKERRY_TRY(lower.keep(kState, hidden));
  SKERRY_ASSIGN(const int64_t units, units_of(lower, 2));
  SKERRY_ASSIGN(Value * y, together(lower, sequence, std::move(made), units));
  return lower.set(0, y);
}

// A layer whose weights are products of two of lower rank, one over features and one over the last
// steps: input [batch, in], feature weights [filters, in], time weights [filters, memory], bias,
// state [batch, filters · memory].
Result<void> svdf(Lowering& lower) {
  constexpr size_t kBiasAt = 3, kState = 4;
  SKERRY_TRY(check_floats(lower));
  SKERRY_ASSIGN(const int64_t filters, units_of(lower, 2));
  const int64_t memory = lower.in_table(2).shape[1];
  const int64_t rank = lower.option(0);
  if (rank < 1 || filters % rank != 0 || memory < 1) {
    return lower.refuse("its weights do not go with rank {}", rank);
  }
  SKERRY_ASSIGN(Value * x, lower.real(0));
  SKERRY_ASSIGN(Value * features, lower.real(1));
  SKERRY_ASSIGN(Value * time, lower.real(2));
  SKERRY_ASSIGN(Value * state, lower.kept(kState));
  SKERRY_ASSIGN(Value * now, product(lower, x, features, nullptr));
  SKERRY_ASSIGN(now, lower.make("Unsqueeze", {now, lower.list({2})}));
  SKERRY_ASSIGN(state, lower.make("Reshape", {state, lower.list({-1, filters, memory})}));
  SKERRY_ASSIGN(Value * newer, lower.make("Slice", {state, lower.list({1}), lower.list({memory}),
                                                    lower.list({2})}));
  SKERRY_ASSIGN(state, lower.make("Concat", {newer, now}, {{"axis", int64_t{2}}}));
  SKERRY_ASSIGN(Value * weighted, lower.make("Mul", {state, time}));
  SKERRY_ASSIGN(Value * sums,
                lower.make("ReduceSum", {weighted, lower.list({2})}, {{"keepdims", int64_t{0}}}));
  SKERRY_ASSIGN(sums, lower.make("Reshape", {sums, lower.list({-1, filters / rank, rank})}));
  SKERRY_ASSIGN(Value * y,
                lower.make("ReduceSum", {sums, lower.list({2})}, {{"keepdims", int64_t{0}}}));
  if (lower.has(kBiasAt)) {
    SKERRY_ASSIGN(Value * bias, lower.real(kBiasAt));
    SKERRY_ASSIGN(y, lower.make("Add", {y, bias}));
  }
  SKERRY_ASSIGN(state, lower.make("Reshape", {state, lower.list({-1, filters * memory})}));
  SKERRY_TRY(lower.keep(kState, state));
  SKERRY_ASSIGN(y, lower.activated(y, lower.small_option(1)));
  return lower.set(0, y);
}

}  // namespace

std::span<const Row> recurrent_rows() {
  static const Row kRows[] = {
      {27, "SVDF", svdf},
      {35, "UNIDIRECTIONAL_SEQUENCE_RNN", sequence_rnn},
      {44, "UNIDIRECTIONAL_SEQUENCE_LSTM", sequence_lstm},
  };
  return kRows;
}

}  // namespace skerry::graph::tflite
