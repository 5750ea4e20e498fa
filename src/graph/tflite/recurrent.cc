// Recurrent layers of floats, step by step: TFLite clips the state of an LSTM's cell, as Keras's
// converter asks it to, which ONNX's LSTM cannot say. What a layer keeps from one run to the next
// is a variable (state.cc).
#include "graph/tflite/lowering.h"

namespace skerry::graph::tflite {
namespace {

constexpr int64_t kMaxSteps = 1024;  // of a sequence, each some ten nodes

// A sequence [batch, steps, …], or [steps, batch, …].
struct Sequence {
  int64_t steps = 0;
  int64_t axis = 1;  // of the steps
};

Result<Sequence> sequence_of(const Lowering& lower, const Value& x, bool time_major) {
  const Sequence sequence{.axis = time_major ? 0 : 1};
  const auto& shape = x.type().shape;
  if (!shape || shape->size() != 3) return lower.refuse("its input has no three dimensions");
  const Dim& steps = (*shape)[static_cast<size_t>(sequence.axis)];
  if (!steps.is_fixed() || steps.size() < 1 || steps.size() > kMaxSteps) {
    return lower.refuse("it has {} steps; 1 to {} are read", to_string(steps), kMaxSteps);
  }
  return Sequence{steps.size(), sequence.axis};
}

// x·Wᵀ + bias, for all steps at once.
Result<Value*> product(Lowering& lower, Value* x, Value* weights, Value* bias) {
  SKERRY_ASSIGN(Value * turned, lower.permuted(weights, {1, 0}));
  SKERRY_ASSIGN(Value * y, lower.make("MatMul", {x, turned}));
  return bias != nullptr ? lower.make("Add", {y, bias}) : y;
}

// What step `at` takes from the input and from what the step before has made.
Result<Value*> sum_at(Lowering& lower, const Sequence& sequence, int64_t at, Value* from_input,
                      Value* before, Value* weights_turned) {
  SKERRY_ASSIGN(Value * now, lower.make("Gather", {from_input, lower.scalar_int(at)},
                                        {{"axis", sequence.axis}}));
  SKERRY_ASSIGN(Value * again, lower.make("MatMul", {before, weights_turned}));
  return lower.make("Add", {now, again});
}

// Of weights [units, …].
Result<int64_t> units_of(const Lowering& lower, size_t weights) {
  if (lower.has(weights) && lower.in_table(weights).shape.size() == 2) {
    return lower.in_table(weights).shape[0];
  }
  return lower.refuse("its weights are no matrix");
}

// [batch, units] of each step, as a sequence.
Result<Value*> together(Lowering& lower, const Sequence& sequence, std::vector<Value*> made,
                        int64_t units) {
  SKERRY_ASSIGN(Value * rows, lower.make("Concat", std::move(made), {{"axis", sequence.axis}}));
  const std::vector<int64_t> shape = sequence.axis == 0
                                         ? std::vector<int64_t>{sequence.steps, -1, units}
                                         : std::vector<int64_t>{-1, sequence.steps, units};
  return lower.make("Reshape", {rows, lower.list(shape)});
}

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
    SKERRY_ASSIGN(Value * sum, sum_at(lower, sequence, at, from_input, hidden, turned));
    SKERRY_ASSIGN(hidden, lower.activated(sum, lower.small_option(1)));
    made.push_back(hidden);
  }
  SKERRY_TRY(lower.keep(kState, hidden));
  SKERRY_ASSIGN(const int64_t units, units_of(lower, 2));
  SKERRY_ASSIGN(Value * y, together(lower, sequence, std::move(made), units));
  return lower.set(0, y);
}

// Inputs of an LSTM, each for the gates in TFLite's order: input, forget, cell, output.
constexpr size_t kWeights = 1, kRecurrent = 5, kPeephole = 9, kBias = 12, kProjection = 16,
                 kHidden = 18, kCell = 19, kNorms = 20, kNormsEnd = 24;

Result<Value*> of_all_gates(Lowering& lower, size_t first) {
  std::vector<Value*> parts;
  for (size_t gate = 0; gate < 4; ++gate) {
    SKERRY_ASSIGN(Value * part, lower.real(first + gate));
    parts.push_back(part);
  }
  return lower.make("Concat", std::move(parts), {{"axis", int64_t{0}}});
}

Result<void> check_lstm(const Lowering& lower) {
  if (!lower.has(kWeights)) return lower.refuse("its input gate is made of the forget gate");
  for (size_t i = kPeephole; i < kBias; ++i) {
    if (lower.has(i)) return lower.refuse("its gates look at the cell (peepholes)");
  }
  if (lower.has(kProjection)) return lower.refuse("it projects its results");
  for (size_t i = kNorms; i < kNormsEnd; ++i) {
    if (lower.has(i)) return lower.refuse("its gates are normalised");
  }
  return check_floats(lower);
}

struct LstmState {
  Value* hidden = nullptr;
  Value* cell = nullptr;
};

// `sum` is what goes into all gates.
Result<LstmState> lstm_step(Lowering& lower, Value* sum, Value* cell, int8_t activation,
                            float clip) {
  SKERRY_ASSIGN(
      const auto gates,
      lower.make_many("Split", {sum}, {{"axis", int64_t{1}}, {"num_outputs", int64_t{4}}}, 4));
  SKERRY_ASSIGN(Value * input, lower.make("Sigmoid", {gates[0]}));
  SKERRY_ASSIGN(Value * forget, lower.make("Sigmoid", {gates[1]}));
  SKERRY_ASSIGN(Value * candidate, lower.activated(gates[2], activation));
  SKERRY_ASSIGN(Value * output, lower.make("Sigmoid", {gates[3]}));
  SKERRY_ASSIGN(Value * old, lower.make("Mul", {forget, cell}));
  SKERRY_ASSIGN(Value * added, lower.make("Mul", {input, candidate}));
  SKERRY_ASSIGN(Value * next, lower.make("Add", {old, added}));
  if (clip > 0) {
    SKERRY_ASSIGN(next, lower.make("Clip", {next, lower.scalar(-clip), lower.scalar(clip)}));
  }
  SKERRY_ASSIGN(Value * shown, lower.activated(next, activation));
  SKERRY_ASSIGN(Value * hidden, lower.make("Mul", {output, shown}));
  return LstmState{hidden, next};
}

Result<void> sequence_lstm(Lowering& lower) {
  SKERRY_TRY(check_lstm(lower));
  SKERRY_ASSIGN(Value * x, lower.real(0));
  SKERRY_ASSIGN(const Sequence sequence, sequence_of(lower, *x, lower.small_option(3) != 0));
  SKERRY_ASSIGN(Value * weights, of_all_gates(lower, kWeights));
  SKERRY_ASSIGN(Value * recurrent, of_all_gates(lower, kRecurrent));
  SKERRY_ASSIGN(Value * bias, of_all_gates(lower, kBias));
  SKERRY_ASSIGN(Value * from_input, product(lower, x, weights, bias));
  SKERRY_ASSIGN(Value * turned, lower.permuted(recurrent, {1, 0}));
  LstmState state;
  SKERRY_ASSIGN(state.hidden, lower.kept(kHidden));
  SKERRY_ASSIGN(state.cell, lower.kept(kCell));
  std::vector<Value*> made;
  for (int64_t at = 0; at < sequence.steps; ++at) {
    SKERRY_ASSIGN(Value * sum, sum_at(lower, sequence, at, from_input, state.hidden, turned));
    SKERRY_ASSIGN(
        state, lstm_step(lower, sum, state.cell, lower.small_option(0, 4), lower.real_option(1)));
    made.push_back(state.hidden);
  }
  SKERRY_TRY(lower.keep(kHidden, state.hidden));
  SKERRY_TRY(lower.keep(kCell, state.cell));
  SKERRY_ASSIGN(const int64_t units, units_of(lower, kRecurrent));
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
