// LSTM, GRU and RNN: the products with the inputs of all times as one, then time by time.
#include <algorithm>

#include "compile/rewriting.h"

namespace skerry::compile {
namespace {

// Each step of time becomes code.
constexpr int64_t kMaxSteps = 128;

struct Cell {
  int64_t length, batch, input, hidden, directions, gates;
};

// Of [directions, gates · hidden, …], the rows of these gates of one direction.
std::vector<float> rows_of(const std::vector<float>& all, const Cell& cell, int64_t direction,
                           int64_t first_gate, int64_t gates, int64_t width, int64_t all_gates) {
  const int64_t from = (direction * all_gates + first_gate) * cell.hidden * width;
  return {all.begin() + from, all.begin() + from + gates * cell.hidden * width};
}

class Unroller {
 public:
  Unroller(Maker& maker, const Cell& cell, int64_t direction)
      : maker_(maker), node_(maker.node()), cell_(cell), direction_(direction) {}

  // Absent states are zero: null.
  void run(const std::vector<float>& w, const std::vector<float>& r, const std::vector<float>& bias,
           bool backwards);
  std::vector<Value*> states;  // [batch, hidden] by time
  Value* hidden = nullptr;
  Value* cell = nullptr;

 private:
  Value* product(Value* x, const std::vector<float>& weights, int64_t rows, int64_t columns,
                 const std::vector<float>& bias) {
    std::vector<Value*> inputs = {x, maker_.floats({rows, columns}, weights)};
    if (!bias.empty()) inputs.push_back(maker_.floats({rows}, bias));
    return maker_.make("Gemm", std::move(inputs), {{"transB", int64_t{1}}});
  }
  Value* gate(Value* sums, int64_t index) {
    return maker_.slice(sums, 1, index * cell_.hidden, (index + 1) * cell_.hidden);
  }
  Value* sum(Value* a, Value* b) { return b == nullptr ? a : maker_.add(a, b); }
  Value* sigmoid(Value* x) { return maker_.make("Sigmoid", {x}); }
  Value* tanh(Value* x) { return maker_.make("Tanh", {x}); }
  Value* initial(size_t input);
  void lstm(Value* x);
  void gru(Value* x);

  Maker& maker_;
  const Node& node_;
  const Cell& cell_;
  int64_t direction_;
  std::vector<float> r_, bias_;  // bias_: of the products with the state, where it stays apart
};

// [batch, hidden] of this direction; null where it is not given.
Value* Unroller::initial(size_t input) {
  if (node_.input(input) == nullptr) return nullptr;
  Value* mine = node_.input(input);
  if (cell_.directions > 1) mine = maker_.slice(mine, 0, direction_, direction_ + 1);
  return maker_.reshape(mine, {cell_.batch, cell_.hidden});
}

void Unroller::lstm(Value* x) {
  Value* of_state =
      hidden == nullptr ? nullptr : product(hidden, r_, 4 * cell_.hidden, cell_.hidden, {});
  Value* sums = sum(x, of_state);
  Value* made = maker_.mul(sigmoid(gate(sums, 0)), tanh(gate(sums, 3)));
  cell = cell == nullptr ? made : maker_.add(maker_.mul(sigmoid(gate(sums, 2)), cell), made);
  hidden = maker_.mul(sigmoid(gate(sums, 1)), tanh(cell));
}

void Unroller::gru(Value* x) {
  const int64_t size = cell_.hidden;
  const bool before = node_.int_of("linear_before_reset") != 0;
  const auto of_last = [&](const std::vector<float>& all) {
    return std::vector<float>(all.end() - size * size, all.end());
  };
  if (hidden == nullptr) {
    hidden = maker_.floats({cell_.batch, size},
                           std::vector<float>(static_cast<size_t>(cell_.batch * size), 0));
  }
  const std::vector<float> first_two(r_.begin(), r_.begin() + 2 * size * size);
  Value* gates = sigmoid(
      maker_.add(maker_.slice(x, 1, 0, 2 * size), product(hidden, first_two, 2 * size, size, {})));
  Value* update = gate(gates, 0);
  Value* reset = gate(gates, 1);
  Value* of_state = before ? maker_.mul(reset, product(hidden, of_last(r_), size, size, bias_))
                           : product(maker_.mul(reset, hidden), of_last(r_), size, size, {});
  Value* made = tanh(maker_.add(gate(x, 2), of_state));
  hidden = maker_.add(maker_.mul(maker_.sub(maker_.number(1), update), made),
                      maker_.mul(update, hidden));
}

void Unroller::run(const std::vector<float>& w, const std::vector<float>& r,
                   const std::vector<float>& bias, bool backwards) {
  const int64_t rows = cell_.gates * cell_.hidden;
  r_ = rows_of(r, cell_, direction_, 0, cell_.gates, cell_.hidden, cell_.gates);
  std::vector<float> of_input;
  if (!bias.empty()) {
    of_input = rows_of(bias, cell_, direction_, 0, cell_.gates, 1, 2 * cell_.gates);
    const auto of_state =
        rows_of(bias, cell_, direction_, cell_.gates, cell_.gates, 1, 2 * cell_.gates);
    // That of a new state is inside the reset, where the product comes before it.
    const bool apart = node_.op() == "GRU" && node_.int_of("linear_before_reset") != 0;
    const int64_t taken = apart ? 2 * cell_.hidden : rows;
    for (int64_t i = 0; i < taken; ++i) {
      of_input[static_cast<size_t>(i)] += of_state[static_cast<size_t>(i)];
    }
    if (apart) bias_.assign(of_state.begin() + taken, of_state.end());
  }
  Value* x = maker_.reshape(node_.input(0), {cell_.length * cell_.batch, cell_.input});
  x = product(x, rows_of(w, cell_, direction_, 0, cell_.gates, cell_.input, cell_.gates), rows,
              cell_.input, of_input);
  hidden = initial(5);
  if (node_.op() == "LSTM") cell = initial(6);
  states.resize(static_cast<size_t>(cell_.length));
  for (int64_t i = 0; i < cell_.length; ++i) {
    const int64_t time = backwards ? cell_.length - 1 - i : i;
    Value* now =
        cell_.length == 1 ? x : maker_.slice(x, 0, time * cell_.batch, (time + 1) * cell_.batch);
    if (node_.op() == "LSTM") {
      lstm(now);
    } else if (node_.op() == "GRU") {
      gru(now);
    } else {
      hidden = tanh(sum(
          now, hidden == nullptr ? nullptr : product(hidden, r_, cell_.hidden, cell_.hidden, {})));
    }
    states[static_cast<size_t>(time)] = hidden;
  }
}

std::optional<Cell> cell_of(const Node& node) {
  const auto x = fp32_shape(node.input(0)), r = known_shape(node.input(2));
  if (!x || !r || node.int_of("layout") != 0 || node.find("clip") != nullptr ||
      !node.strings_of("activations").empty() || node.input(4) != nullptr ||
      node.input(7) != nullptr) {
    return {};
  }
  if (node.op() == "LSTM" && node.int_of("input_forget") != 0) return {};
  const Cell cell{(*x)[0], (*x)[1], (*x)[2], (*r)[2], (*r)[0], (*r)[1] / (*r)[2]};
  if (cell.length < 1 || cell.length * cell.directions > kMaxSteps) return {};
  return cell;
}

Value* joined(Maker& maker, const std::vector<Value*>& values, int64_t axis) {
  return values.size() == 1 ? values[0] : maker.make("Concat", values, {{"axis", axis}});
}

}  // namespace

bool plain_recurrent(Maker& maker) {
  const Node& node = maker.node();
  const auto cell = cell_of(node);
  const auto w = constant_floats(node.input(1)), r = constant_floats(node.input(2));
  const auto bias =
      node.input(3) == nullptr ? std::vector<float>() : constant_floats(node.input(3));
  if (!cell || !w || !r || !bias) return false;
  std::vector<std::vector<Value*>> by_time(static_cast<size_t>(cell->length));
  std::vector<Value*> hidden, cells;
  for (int64_t direction = 0; direction < cell->directions; ++direction) {
    Unroller unroller(maker, *cell, direction);
    unroller.run(*w, *r, *bias, direction == 1 || node.string_of("direction") == "reverse");
    const std::vector<int64_t> shape = {1, cell->batch, cell->hidden};
    for (size_t time = 0; time < by_time.size(); ++time) {
      by_time[time].push_back(
          maker.reshape(unroller.states[time], {1, 1, cell->batch, cell->hidden}));
    }
    hidden.push_back(maker.reshape(unroller.hidden, shape));
    if (unroller.cell != nullptr) cells.push_back(maker.reshape(unroller.cell, shape));
  }
  std::vector<Value*> all;
  for (const auto& directions : by_time) all.push_back(joined(maker, directions, 1));
  maker.replace({joined(maker, all, 0), joined(maker, hidden, 0),
                 cells.empty() ? nullptr : joined(maker, cells, 0)});
  return true;
}

}  // namespace skerry::compile
