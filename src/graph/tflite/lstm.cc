// LSTMs step by step, of floats and of integers: with peepholes, projections, gates that are
// normalised or coupled, and states that are clipped, as TFLite's converters ask for, of which
// ONNX's LSTM can say some.
//
// Integers compute on reals, rounded and saturated wherever LiteRT keeps an integer
// (EvalInteger8x8_16 in lstm_eval.cc): each part of a gate's sum in 16 bits, both parts of a cell's
// state, what the cell shows, and what is projected. Activations are exact where LiteRT's are
// within two steps of 2⁻¹⁵.
#include <array>

#include "graph/tflite/sequence.h"

namespace skerry::graph::tflite {
namespace {

// Inputs of an LSTM, each for the gates in TFLite's order: input, forget, cell, output. Peepholes
// are of all but the cell's.
constexpr size_t kGates = 4;
constexpr size_t kInputGate = 0, kForgetGate = 1, kCellGate = 2, kOutputGate = 3;
constexpr size_t kWeights = 1, kRecurrent = 5, kPeepholes = 9, kBias = 12, kProjection = 16,
                 kProjectionBias = 17, kHidden = 18, kCell = 19, kNorms = 20;
constexpr size_t kHiddenIntermediate = 4;  // of what the cell shows; before it, those of the gates

constexpr float kNormEpsilon = 1e-8F;  // of variances, in LiteRT

constexpr float kGateScale = 1.0F / 4096;  // of what goes into a gate's activation, in 16 bits

// Which integers stand for reals; nothing where those stay floats.
struct Grid {
  Value* scale = nullptr;
  Value* zero = nullptr;
};

struct LstmOptions {
  int8_t activation = 4;
  float cell_clip = 0, projection_clip = 0;
};

struct LstmState {
  Value* hidden = nullptr;  // [batch, units], or as many as are projected to
  Value* cell = nullptr;    // [batch, units]
};

// One layer: its parts as values, read once.
class Lstm {
 public:
  static Result<Lstm> read(Lowering& lower, const LstmOptions& options);

  // [batch, …, gates · units] of what comes from the input, for all steps at once.
  Result<Value*> from_input(Value* x);
  // `now` is the step's part of that.
  Result<LstmState> step(Value* now, const LstmState& before);

  LstmState state;    // before the first step
  int64_t shown = 0;  // elements of a result

 private:
  explicit Lstm(Lowering& lower) : lower_(&lower) {}
  Result<Value*> of_all_gates(size_t first);
  Result<Value*> optional(size_t i);
  Result<void> check_integers(const LstmOptions& options) const;
  Result<void> read_grids();
  Result<Grid> grid_of(const TensorTable& tensor);
  Result<Value*> rounded(Value* value, const Grid& grid);
  Result<Value*> gate(size_t gate, Value* sum, Value* cell);
  Result<Value*> normalised(size_t gate, Value* sum);
  Result<Value*> next_cell(const std::array<Value*, kGates>& gates, Value* before);
  Result<Value*> clipped(Value* value, float limit);
  Result<Value*> projected(Value* cell_output);

  Lowering* lower_;
  LstmOptions options_;
  bool integers_ = false, coupled_ = false, norms_ = false;
  std::array<Value*, kGates> peepholes_{}, norm_{}, norm_bias_{};
  Value* recurrent_ = nullptr;   // [shown, gates · units]
  Value* projection_ = nullptr;  // [units, shown]
  Value* projection_bias_ = nullptr;
  Grid sums_, cell_, hidden_, result_, active_;  // sums_ of all gates side by side
  std::array<Grid, kGates> sum_;
};

Result<Value*> Lstm::optional(size_t i) {
  return lower_->has(i) ? lower_->real(i) : Result<Value*>(nullptr);
}

// One below the other; of coupled gates there is no input gate.
Result<Value*> Lstm::of_all_gates(size_t first) {
  std::vector<Value*> parts;
  for (size_t gate = coupled_ ? kForgetGate : kInputGate; gate < kGates; ++gate) {
    SKERRY_ASSIGN(Value * part, lower_->real(first + gate));
    parts.push_back(part);
  }
  return lower_->make("Concat", std::move(parts), {{"axis", int64_t{0}}});
}

Result<void> Lstm::check_integers(const LstmOptions& options) const {
  const Lowering& lower = *lower_;
  if (lower.out_table().type != 9 || !is_quantised(lower.out_table())) {
    return lower.refuse("its results are neither floats nor INT8 with a scale");
  }
  if (!lower.has(kCell) || lower.in_table(kCell).type != 7 || !is_quantised(lower.in_table(kCell)))
    return lower.refuse("its cell's state is not INT16 with a scale");
  if (lower.intermediate(kHiddenIntermediate) == nullptr) {
    return lower.refuse("it does not say how what its cell shows is quantised");
  }
  for (size_t gate = 0; gate < kGates && norms_; ++gate) {
    if (!(coupled_ && gate == kInputGate) && lower.intermediate(gate) == nullptr) {
      return lower.refuse("it does not say how the sums of its gates are quantised");
    }
  }
  if (options.activation != 4) return lower.refuse("integers with another activation than tanh");
  return {};
}

Result<Lstm> Lstm::read(Lowering& lower, const LstmOptions& options) {
  Lstm made(lower);
  made.options_ = options;
  made.coupled_ = !lower.has(kWeights);
  made.norms_ = lower.has(kNorms + kForgetGate);
  made.integers_ = lower.out_table().type != 0;
  if (made.integers_) SKERRY_TRY(made.check_integers(options));
  SKERRY_ASSIGN(Value * recurrent, made.of_all_gates(kRecurrent));
  SKERRY_ASSIGN(made.recurrent_, lower.permuted(recurrent, {1, 0}));
  constexpr std::array<size_t, 3> kPeeping = {kInputGate, kForgetGate, kOutputGate};
  for (size_t i = 0; i < kPeeping.size(); ++i) {
    SKERRY_ASSIGN(made.peepholes_[kPeeping[i]], made.optional(kPeepholes + i));
  }
  for (size_t gate = 0; gate < kGates && made.norms_; ++gate) {
    if (made.coupled_ && gate == kInputGate) continue;
    SKERRY_ASSIGN(made.norm_[gate], lower.real(kNorms + gate));
    SKERRY_ASSIGN(made.norm_bias_[gate], lower.real(kBias + gate));
  }
  SKERRY_ASSIGN(made.shown, units_of(lower, kRecurrent + kForgetGate));
  if (lower.has(kProjection)) {
    SKERRY_ASSIGN(Value * weights, lower.real(kProjection));
    SKERRY_ASSIGN(made.projection_, lower.permuted(weights, {1, 0}));
    SKERRY_ASSIGN(made.projection_bias_, made.optional(kProjectionBias));
    SKERRY_ASSIGN(made.shown, units_of(lower, kProjection));
  }
  if (made.integers_) SKERRY_TRY(made.read_grids());
  SKERRY_ASSIGN(made.state.hidden, lower.kept(kHidden));
  SKERRY_ASSIGN(made.state.cell, lower.kept(kCell));
  return made;
}

// Where gates are normalised, the bias comes behind that.
Result<Value*> Lstm::from_input(Value* x) {
  SKERRY_ASSIGN(Value * weights, of_all_gates(kWeights));
  Value* bias = nullptr;
  if (!norms_) {
    SKERRY_ASSIGN(bias, of_all_gates(kBias));
  }
  SKERRY_ASSIGN(Value * sums, product(*lower_, x, weights, bias));
  return rounded(sums, sums_);
}

Result<Grid> Lstm::grid_of(const TensorTable& tensor) {
  SKERRY_ASSIGN(Value * zero, lower_->zero_of(tensor));
  return Grid{lower_->scale_of(tensor), zero};
}

Result<void> Lstm::read_grids() {
  SKERRY_ASSIGN(cell_, grid_of(lower_->in_table(kCell)));
  SKERRY_ASSIGN(hidden_, grid_of(*lower_->intermediate(kHiddenIntermediate)));
  SKERRY_ASSIGN(result_, grid_of(lower_->out_table()));
  const auto zeros = [&](std::vector<int64_t> shape) {
    const auto count = static_cast<size_t>(shape.empty() ? 1 : shape[0]);
    return lower_->constant(
        "zeros", Constant::of(DataType::kInt16, std::move(shape), std::vector<int16_t>(count, 0)));
  };
  active_ = {lower_->scalar(kGateScale), zeros({})};
  sums_ = active_;
  sum_.fill(active_);
  if (!norms_) return {};
  // Each gate has its own.
  SKERRY_ASSIGN(const int64_t units, units_of(*lower_, kRecurrent + kForgetGate));
  std::vector<float> scales;
  for (size_t gate = coupled_ ? kForgetGate : kInputGate; gate < kGates; ++gate) {
    const TensorTable& tensor = *lower_->intermediate(gate);
    SKERRY_ASSIGN(sum_[gate], grid_of(tensor));
    scales.insert(scales.end(), static_cast<size_t>(units), tensor.scales[0]);
  }
  const auto count = static_cast<int64_t>(scales.size());
  sums_ = {lower_->constant("scales", Constant::of(DataType::kFp32, {count}, scales)),
           zeros({count})};
  return {};
}

Result<Value*> Lstm::rounded(Value* value, const Grid& grid) {
  return integers_ ? lower_->on_grid(value, grid.scale, grid.zero) : Result<Value*>(value);
}

Result<Value*> Lstm::normalised(size_t gate, Value* sum) {
  SKERRY_ASSIGN(Value * mean, lower_->make("ReduceMean", {sum, lower_->list({-1})}));
  SKERRY_ASSIGN(Value * centred, lower_->make("Sub", {sum, mean}));
  SKERRY_ASSIGN(Value * squares, lower_->make("Mul", {centred, centred}));
  SKERRY_ASSIGN(Value * variance, lower_->make("ReduceMean", {squares, lower_->list({-1})}));
  SKERRY_ASSIGN(variance, lower_->make("Add", {variance, lower_->scalar(kNormEpsilon)}));
  SKERRY_ASSIGN(Value * deviation, lower_->make("Sqrt", {variance}));
  SKERRY_ASSIGN(Value * even, lower_->make("Div", {centred, deviation}));
  SKERRY_ASSIGN(even, lower_->make("Mul", {even, norm_[gate]}));
  return lower_->make("Add", {even, norm_bias_[gate]});
}

// From its sum to between 0 and 1, or what the activation gives.
Result<Value*> Lstm::gate(size_t gate, Value* sum, Value* cell) {
  if (peepholes_[gate] != nullptr) {
    SKERRY_ASSIGN(Value * seen, lower_->make("Mul", {cell, peepholes_[gate]}));
    SKERRY_ASSIGN(seen, rounded(seen, sum_[gate]));
    SKERRY_ASSIGN(sum, lower_->make("Add", {sum, seen}));
    SKERRY_ASSIGN(sum, rounded(sum, sum_[gate]));
  }
  if (norms_) {
    SKERRY_ASSIGN(sum, normalised(gate, sum));
    SKERRY_ASSIGN(sum, rounded(sum, active_));
  }
  return gate == kCellGate ? lower_->activated(sum, options_.activation)
                           : lower_->make("Sigmoid", {sum});
}

Result<Value*> Lstm::clipped(Value* value, float limit) {
  if (!(limit > 0)) return value;
  return lower_->make("Clip", {value, lower_->scalar(-limit), lower_->scalar(limit)});
}

Result<Value*> Lstm::next_cell(const std::array<Value*, kGates>& gates, Value* before) {
  SKERRY_ASSIGN(Value * old, lower_->make("Mul", {gates[kForgetGate], before}));
  SKERRY_ASSIGN(old, rounded(old, cell_));
  SKERRY_ASSIGN(Value * added, lower_->make("Mul", {gates[kInputGate], gates[kCellGate]}));
  SKERRY_ASSIGN(added, rounded(added, cell_));
  SKERRY_ASSIGN(Value * sum, lower_->make("Add", {old, added}));
  SKERRY_ASSIGN(sum, rounded(sum, cell_));
  return clipped(sum, options_.cell_clip);
}

Result<Value*> Lstm::projected(Value* cell_output) {
  SKERRY_ASSIGN(Value * y, lower_->make("MatMul", {cell_output, projection_}));
  if (projection_bias_ != nullptr) {
    SKERRY_ASSIGN(y, lower_->make("Add", {y, projection_bias_}));
  }
  SKERRY_ASSIGN(y, rounded(y, result_));
  return clipped(y, options_.projection_clip);
}

Result<LstmState> Lstm::step(Value* now, const LstmState& before) {
  SKERRY_ASSIGN(Value * again, lower_->make("MatMul", {before.hidden, recurrent_}));
  SKERRY_ASSIGN(again, rounded(again, sums_));
  SKERRY_ASSIGN(Value * sum, lower_->make("Add", {now, again}));
  SKERRY_ASSIGN(sum, rounded(sum, sums_));
  const auto count = static_cast<int64_t>(kGates - (coupled_ ? 1 : 0));
  SKERRY_ASSIGN(const auto sums,
                lower_->make_many("Split", {sum}, {{"axis", int64_t{1}}, {"num_outputs", count}},
                                  static_cast<size_t>(count)));
  const auto sum_of = [&](size_t gate) { return sums[gate - (coupled_ ? 1 : 0)]; };
  std::array<Value*, kGates> gates{};
  SKERRY_ASSIGN(gates[kForgetGate], gate(kForgetGate, sum_of(kForgetGate), before.cell));
  if (coupled_) {
    SKERRY_ASSIGN(gates[kInputGate], lower_->make("Sub", {lower_->scalar(1), gates[kForgetGate]}));
  } else {
    SKERRY_ASSIGN(gates[kInputGate], gate(kInputGate, sum_of(kInputGate), before.cell));
  }
  SKERRY_ASSIGN(gates[kCellGate], gate(kCellGate, sum_of(kCellGate), before.cell));
  LstmState next;
  SKERRY_ASSIGN(next.cell, next_cell(gates, before.cell));
  SKERRY_ASSIGN(gates[kOutputGate], gate(kOutputGate, sum_of(kOutputGate), next.cell));
  SKERRY_ASSIGN(Value * active, lower_->activated(next.cell, options_.activation));
  SKERRY_ASSIGN(next.hidden, lower_->make("Mul", {gates[kOutputGate], active}));
  SKERRY_ASSIGN(next.hidden, rounded(next.hidden, hidden_));
  if (projection_ == nullptr) return next;
  SKERRY_ASSIGN(next.hidden, projected(next.hidden));
  return next;
}

}  // namespace

Result<void> sequence_lstm(Lowering& lower) {
  SKERRY_ASSIGN(Value * x, lower.real(0));
  SKERRY_ASSIGN(const Sequence sequence, sequence_of(lower, *x, lower.small_option(3) != 0));
  if (lower.small_option(5) != 0) return lower.refuse("its recurrent weights are diagonal");
  SKERRY_ASSIGN(Lstm layer, Lstm::read(lower, {.activation = lower.small_option(0, 4),
                                               .cell_clip = lower.real_option(1),
                                               .projection_clip = lower.real_option(2)}));
  SKERRY_ASSIGN(Value * from_input, layer.from_input(x));
  LstmState state = layer.state;
  std::vector<Value*> made;
  for (int64_t at = 0; at < sequence.steps; ++at) {
    SKERRY_ASSIGN(Value * now, at_step(lower, sequence, at, from_input));
    SKERRY_ASSIGN(state, layer.step(now, state));
    made.push_back(state.hidden);
  }
  SKERRY_TRY(lower.keep(kHidden, state.hidden));
  SKERRY_TRY(lower.keep(kCell, state.cell));
  SKERRY_ASSIGN(Value * y, together(lower, sequence, std::move(made), layer.shown));
  return lower.set_real(y);
}

}  // namespace skerry::graph::tflite
