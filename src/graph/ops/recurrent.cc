// RNN, GRU and LSTM, computed in double step by step.
#include <cmath>

#include "graph/ops/common.h"
#include "graph/ops/families.h"

namespace skerry::graph::ops {
namespace {

int64_t gates_of(const Node& node) {
  return node.op() == "LSTM" ? 4 : node.op() == "GRU" ? 3 : 1;
}

// Sizes of a node whose inputs X, W, R are known.
struct Sizes {
  int64_t length = 0, batch = 0, input = 0, hidden = 0, directions = 0;
};

Result<std::optional<Sizes>> sizes_of_cell(const Inference& inference) {
  const Node& node = inference.node();
  const auto x = sizes_of(inference.type(0));
  const auto w = sizes_of(inference.type(1));
  const auto r = sizes_of(inference.type(2));
  const int64_t layout = node.int_of("layout");
  const std::string& direction = node.string_of("direction");
  const int64_t directions = direction == "bidirectional" ? 2 : 1;
  if (layout < 0 || layout > 1 ||
      (directions == 1 && direction != "forward" && direction != "reverse")) {
    return inference.refuse("layout {} or direction '{}' is unknown", layout, direction);
  }
  if (!w || !r || !x) return std::nullopt;
  const int64_t gates = gates_of(node);
  const bool ranks = x->size() == 3 && w->size() == 3 && r->size() == 3;
  const int64_t hidden = ranks ? (*r)[2] : 0;
  const bool fit = ranks && (*w)[0] == directions && (*r)[0] == directions && hidden > 0 &&
                   hidden < (1 << 24) && (*w)[1] == gates * hidden && (*r)[1] == gates * hidden &&
                   (*w)[2] == (*x)[2];
  if (!fit) {
    return inference.refuse("X {}, W {} and R {} do not go together", to_string(inference.type(0)),
                            to_string(inference.type(1)), to_string(inference.type(2)));
  }
  return Sizes{(*x)[layout == 0 ? 0 : 1], (*x)[layout == 0 ? 1 : 0], (*x)[2], hidden, directions};
}

Result<void> check_optional(const Inference& inference, size_t input, int64_t expected) {
  if (!inference.has(input)) return {};
  const auto count = count_of(inference.type(input));
  if (!count || *count == expected) return {};
  return inference.refuse("input {} has {} elements, {} are needed", input, *count, expected);
}

Result<void> infer_cell(Inference& inference) {
  const Node& node = inference.node();
  for (size_t i = 0; i < inference.output_count(); ++i) inference.set(i, inference.element(0));
  SKERRY_ASSIGN(const auto sizes, sizes_of_cell(inference));
  const bool batch_first = node.int_of("layout") != 0;
  Dim length;
  Dim batch;
  Dim hidden;
  if (inference.ranked(0) && inference.rank(0) == 3) {
    length = inference.shape(0)[batch_first ? 1 : 0];
    batch = inference.shape(0)[batch_first ? 0 : 1];
  }
  if (inference.ranked(2) && inference.rank(2) == 3) hidden = inference.shape(2)[2];
  const Dim directions(node.string_of("direction") == "bidirectional" ? 2 : 1);
  const Shape states =
      batch_first ? Shape{batch, directions, hidden} : Shape{directions, batch, hidden};
  inference.set(0, inference.element(0),
                batch_first ? Shape{batch, length, directions, hidden}
                            : Shape{length, directions, batch, hidden});
  for (const size_t i : {1u, 2u}) inference.set(i, inference.element(0), states);
  if (!sizes) return {};
  const int64_t gates = gates_of(node);
  SKERRY_TRY(check_optional(inference, 3, 2 * gates * sizes->hidden * sizes->directions));
  SKERRY_TRY(check_optional(inference, 4, sizes->batch));
  const int64_t state = sizes->directions * sizes->batch * sizes->hidden;
  SKERRY_TRY(check_optional(inference, 5, state));
  SKERRY_TRY(check_optional(inference, 6, state));
  return check_optional(inference, 7, 3 * sizes->hidden * sizes->directions);
}

using Function = std::function<double(double)>;

Result<Function> activation(const Evaluation& run, const std::string& name, double alpha,
                            double beta) {
  if (name == "Sigmoid") return [](double x) { return 1 / (1 + std::exp(-x)); };
  if (name == "Tanh") return [](double x) { return std::tanh(x); };
  if (name == "Relu") return [](double x) { return x > 0 ? x : 0; };
  if (name == "Affine") return [=](double x) { return alpha * x + beta; };
  if (name == "LeakyRelu") return [=](double x) { return x < 0 ? alpha * x : x; };
  if (name == "ThresholdedRelu") return [=](double x) { return x > alpha ? x : 0; };
  if (name == "ScaledTanh") return [=](double x) { return alpha * std::tanh(beta * x); };
  if (name == "HardSigmoid") {
    return [=](double x) { return std::max(0.0, std::min(1.0, alpha * x + beta)); };
  }
  if (name == "Elu") return [=](double x) { return x < 0 ? alpha * std::expm1(x) : x; };
  if (name == "Softsign") return [](double x) { return x / (1 + std::abs(x)); };
  if (name == "Softplus") return [](double x) { return std::log1p(std::exp(x)); };
  return run.refuse("the activation '{}' is unknown", name);
}

Result<std::vector<Function>> activations(const Evaluation& run, size_t directions) {
  auto names = run.node().strings_of("activations");
  if (names.empty()) {
    const Op op = run.node().op();
    for (size_t d = 0; d < directions; ++d) {
      if (op != "RNN") names.emplace_back("Sigmoid");
      names.emplace_back("Tanh");
      if (op == "LSTM") names.emplace_back("Tanh");
    }
  }
  const size_t each = run.node().op() == "LSTM" ? 3 : run.node().op() == "GRU" ? 2 : 1;
  if (names.size() != each * directions) {
    return run.refuse("{} activations for {} directions", names.size(), directions);
  }
  const auto alphas = run.node().floats_of("activation_alpha");
  const auto betas = run.node().floats_of("activation_beta");
  std::vector<Function> functions;
  for (size_t i = 0; i < names.size(); ++i) {
    const bool hard = names[i] == "HardSigmoid";
    const double alpha = i < alphas.size()         ? alphas[i]
                         : hard                    ? 0.2
                         : names[i] == "LeakyRelu" ? 0.01
                                                   : 1;
    const double beta = i < betas.size() ? betas[i] : hard ? 0.5 : 1;
    SKERRY_ASSIGN(Function function, activation(run, names[i], alpha, beta));
    functions.push_back(std::move(function));
  }
  return functions;
}

// One direction's weights and state, as doubles; gates follow each other in W, R and both biases.
struct Cell {
  Sizes sizes;
  int64_t gates = 0;
  std::vector<double> w, r, bias_w, bias_r, peephole;
  std::vector<Function> f;
  double clip = 0;
  bool linear_before_reset = false;
  bool coupled = false;

  double bounded(double x) const { return clip > 0 ? std::max(-clip, std::min(clip, x)) : x; }
  double from_input(int64_t row, const double* x) const {
    double sum = bias_w[static_cast<size_t>(row)];
    for (int64_t i = 0; i < sizes.input; ++i)
      sum += w[static_cast<size_t>(row * sizes.input + i)] * x[i];
    return sum;
  }
  double from_state(int64_t row, const double* h) const {
    double sum = bias_r[static_cast<size_t>(row)];
    for (int64_t i = 0; i < sizes.hidden; ++i) {
      sum += r[static_cast<size_t>(row * sizes.hidden + i)] * h[i];
    }
    return sum;
  }

  void rnn(const double* x, const std::vector<double>& h, std::vector<double>& next) const {
    for (int64_t j = 0; j < sizes.hidden; ++j) {
      next[static_cast<size_t>(j)] = f[0](bounded(from_input(j, x) + from_state(j, h.data())));
    }
  }

  // Gates z, r, h.
  void gru(const double* x, const std::vector<double>& h, std::vector<double>& next) const {
    const int64_t n = sizes.hidden;
    std::vector<double> z(h.size());
    std::vector<double> reset(h.size());
    std::vector<double> gated(h.size());
    for (int64_t j = 0; j < n; ++j) {
      const auto at = static_cast<size_t>(j);
      z[at] = f[0](bounded(from_input(j, x) + from_state(j, h.data())));
      reset[at] = f[0](bounded(from_input(n + j, x) + from_state(n + j, h.data())));
      gated[at] = reset[at] * h[at];
    }
    for (int64_t j = 0; j < n; ++j) {
      const auto at = static_cast<size_t>(j);
      const double recurrent = linear_before_reset ? reset[at] * from_state(2 * n + j, h.data())
                                                   : from_state(2 * n + j, gated.data());
      const double candidate = f[1](bounded(from_input(2 * n + j, x) + recurrent));
      next[at] = (1 - z[at]) * candidate + z[at] * h[at];
    }
  }

  // Gates i, o, f, c; peepholes i, o, f.
  void lstm(const double* x, const std::vector<double>& h, std::vector<double>& c,
            std::vector<double>& next) const {
    const int64_t n = sizes.hidden;
    for (int64_t j = 0; j < n; ++j) {
      const auto at = static_cast<size_t>(j);
      const auto gate = [&](int64_t g) {
        return from_input(g * n + j, x) + from_state(g * n + j, h.data());
      };
      const auto peep = [&](int64_t g) { return peephole[static_cast<size_t>(g * n + j)]; };
      const double in = f[0](bounded(gate(0) + peep(0) * c[at]));
      const double forget = coupled ? 1 - in : f[0](bounded(gate(2) + peep(2) * c[at]));
      c[at] = forget * c[at] + in * f[1](bounded(gate(3)));
      next[at] = f[0](bounded(gate(1) + peep(1) * c[at])) * f[2](c[at]);
    }
  }
};

// Part `index` of `count` equal parts of an input; zeros where it is absent.
std::vector<double> part_of(const Evaluation& run, size_t input, int64_t size, int64_t index) {
  if (!run.has(input)) return std::vector<double>(static_cast<size_t>(size), 0);
  const auto all = run.in(input).to_doubles();
  const auto first = all.begin() + index * size;
  return {first, first + size};
}

Cell cell_of(const Evaluation& run, const Sizes& sizes, int64_t direction,
             const std::vector<Function>& functions) {
  const Node& node = run.node();
  Cell cell{.sizes = sizes, .gates = gates_of(node)};
  const int64_t rows = cell.gates * sizes.hidden;
  cell.w = part_of(run, 1, rows * sizes.input, direction);
  cell.r = part_of(run, 2, rows * sizes.hidden, direction);
  const auto bias = part_of(run, 3, 2 * rows, direction);
  cell.bias_w.assign(bias.begin(), bias.begin() + rows);
  cell.bias_r.assign(bias.begin() + rows, bias.end());
  cell.peephole = part_of(run, 7, 3 * sizes.hidden, direction);
  const size_t each = functions.size() / static_cast<size_t>(sizes.directions);
  const auto first = functions.begin() + direction * static_cast<int64_t>(each);
  cell.f.assign(first, first + static_cast<int64_t>(each));
  if (node.find("clip") != nullptr) cell.clip = node.float_of("clip");
  cell.linear_before_reset = node.op() == "GRU" && node.int_of("linear_before_reset") != 0;
  cell.coupled = node.op() == "LSTM" && node.int_of("input_forget") != 0;
  return cell;
}

// Offsets of [direction][batch] in a state, and of [time][direction][batch] in the sequence.
struct Layout {
  Sizes sizes;
  bool batch_first;
  int64_t state(int64_t d, int64_t b) const {
    return (batch_first ? b * sizes.directions + d : d * sizes.batch + b) * sizes.hidden;
  }
  int64_t output(int64_t t, int64_t d, int64_t b) const {
    return (batch_first ? (b * sizes.length + t) * sizes.directions + d
                        : (t * sizes.directions + d) * sizes.batch + b) *
           sizes.hidden;
  }
  int64_t input(int64_t t, int64_t b) const {
    return (batch_first ? b * sizes.length + t : t * sizes.batch + b) * sizes.input;
  }
};

template <class T>
void store(Evaluation& run, size_t output, int64_t at, const std::vector<double>& values) {
  if (!run.wants(output)) return;
  for (size_t i = 0; i < values.size(); ++i) {
    run.out(output).as<T>()[static_cast<size_t>(at) + i] = static_cast<T>(values[i]);
  }
}

std::vector<double> initial(const Evaluation& run, size_t input, int64_t at, int64_t size) {
  if (!run.has(input)) return std::vector<double>(static_cast<size_t>(size), 0);
  const auto all = run.in(input).to_doubles();
  return {all.begin() + at, all.begin() + at + size};
}

Result<void> run_cell(Evaluation& run) {
  const std::vector<Type> types = {{run.in(0).type, fixed_shape(run.in(0).shape)},
                                   {run.in(1).type, fixed_shape(run.in(1).shape)},
                                   {run.in(2).type, fixed_shape(run.in(2).shape)}};
  const Inference inference(run.node(), {&types[0], &types[1], &types[2]}, {});
  SKERRY_ASSIGN(const auto known, sizes_of_cell(inference));
  const Sizes sizes = *known;
  SKERRY_ASSIGN(const auto functions, activations(run, static_cast<size_t>(sizes.directions)));
  const Layout layout{sizes, run.node().int_of("layout") != 0};
  const auto lengths = run.has(4)
                           ? run.in(4).to_ints()
                           : std::vector<int64_t>(static_cast<size_t>(sizes.batch), sizes.length);
  const auto x = run.in(0).to_doubles();
  return visit_float(run, run.in(0).type, [&]<class T>(T) -> Result<void> {
    for (int64_t d = 0; d < sizes.directions; ++d) {
      const Cell cell = cell_of(run, sizes, d, functions);
      const bool backward = d == 1 || run.node().string_of("direction") == "reverse";
      for (int64_t b = 0; b < sizes.batch; ++b) {
        auto h = initial(run, 5, layout.state(d, b), sizes.hidden);
        auto c = initial(run, 6, layout.state(d, b), sizes.hidden);
        std::vector<double> next = h;
        const int64_t length =
            std::max<int64_t>(0, std::min(lengths[static_cast<size_t>(b)], sizes.length));
        for (int64_t step = 0; step < length; ++step) {
          const int64_t t = backward ? length - 1 - step : step;
          const double* input = x.data() + layout.input(t, b);
          if (cell.gates == 1) cell.rnn(input, h, next);
          if (cell.gates == 3) cell.gru(input, h, next);
          if (cell.gates == 4) cell.lstm(input, h, c, next);
          std::swap(h, next);
          store<T>(run, 0, layout.output(t, d, b), h);
        }
        store<T>(run, 1, layout.state(d, b), h);
        store<T>(run, 2, layout.state(d, b), c);
      }
    }
    return {};
  });
}

std::optional<int64_t> cell_macs(const Node& node) {
  const auto x = sizes_of(node.input(0)->type());
  const auto w = count_of(node.input(1)->type());
  const auto r = count_of(node.input(2)->type());
  if (!x || !w || !r || x->size() != 3) return {};
  return (*x)[0] * (*x)[1] * (*w + *r);
}

}  // namespace

std::span<const OperatorRow> recurrent_rows() {
  static const OperatorRow kRows[] = {
      {"RNN", "X:f W:f R:f B?:f sequence_lens?:i initial_h?:f -> Y? Y_h?",
       "activation_alpha:floats activation_beta:floats activations:strings clip:float "
       "direction:string=forward hidden_size:int layout:int=0",
       infer_cell, run_cell, cell_macs},
      {"GRU", "X:f W:f R:f B?:f sequence_lens?:i initial_h?:f -> Y? Y_h?",
       "activation_alpha:floats activation_beta:floats activations:strings clip:float "
       "direction:string=forward hidden_size:int layout:int=0 linear_before_reset:int=0",
       infer_cell, run_cell, cell_macs},
      {"LSTM", "X:f W:f R:f B?:f sequence_lens?:i initial_h?:f initial_c?:f P?:f -> Y? Y_h? Y_c?",
       "activation_alpha:floats activation_beta:floats activations:strings clip:float "
       "direction:string=forward hidden_size:int input_forget:int=0 layout:int=0",
       infer_cell, run_cell, cell_macs},
  };
  return kRows;
}

}  // namespace skerry::graph::ops
