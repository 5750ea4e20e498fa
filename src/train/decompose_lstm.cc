// LSTM as ONNX has it (gates in the order i, o, f, c), for each direction and step of time.
#include <algorithm>

#include "train/decompose.h"

namespace skerry::train::internal {
namespace {

struct Direction {
  Value* inputs;     // X·Wᵀ + both biases for all steps: [T, N, 4H]
  Value* recurrent;  // Rᵀ: [H, 4H]
  Value* hidden;     // [N, H]
  Value* cell;
};

class Lstm {
 public:
  explicit Lstm(Node& node) : node_(node), make_(node.graph(), &node) {
    const Sizes x = sizes_of(*node.input(0));
    time_ = x[0];
    batch_ = x[1];
    hidden_ = sizes_of(*node.input(2))[2];
    directions_ = sizes_of(*node.input(1))[0];
  }

  void run() {
    std::vector<Value*> hidden;
    std::vector<Value*> cell;
    std::vector<std::vector<Value*>> steps(static_cast<size_t>(directions_));
    for (int64_t d = 0; d < directions_; ++d) {
      Direction one = direction(d);
      auto& outputs = steps[static_cast<size_t>(d)];
      const bool backwards = node_.string_of("direction") == "reverse" || d == 1;
      for (int64_t t = 0; t < time_; ++t) {
        step(one, backwards ? time_ - 1 - t : t);
        outputs.push_back(make_.reshape(one.hidden, {1, 1, batch_, hidden_}));
      }
      if (backwards) std::ranges::reverse(outputs);
      hidden.push_back(make_.reshape(one.hidden, {1, batch_, hidden_}));
      cell.push_back(make_.reshape(one.cell, {1, batch_, hidden_}));
    }
    if (node_.output(0) != nullptr) {
      std::vector<Value*> of_directions;
      of_directions.reserve(steps.size());
      for (const auto& outputs : steps) of_directions.push_back(joined(outputs, 0));
      node_.output(0)->replace_uses(*joined(of_directions, 1));
    }
    if (node_.output(1) != nullptr) node_.output(1)->replace_uses(*joined(hidden, 0));
    if (node_.output(2) != nullptr) node_.output(2)->replace_uses(*joined(cell, 0));
  }

 private:
  Value* joined(const std::vector<Value*>& parts, int64_t axis) {
    return parts.size() == 1 ? parts[0] : make_.op("Concat", parts, {{"axis", axis}});
  }

  // Slice `d` of the first axis, which is dropped.
  Value* of_direction(Value* value, int64_t d) {
    Sizes shape = sizes_of(*value);
    shape.erase(shape.begin());
    return make_.reshape(make_.slice(value, {d}, {d + 1}, {0}), shape);
  }

  Value* initial(size_t input, int64_t d) {
    return node_.input(input) != nullptr ? of_direction(node_.input(input), d)
                                         : make_.filled({batch_, hidden_}, 0);
  }

  Direction direction(int64_t d) {
    Value* inputs = make_.matmul(node_.input(0), make_.swap(of_direction(node_.input(1), d), 0, 1));
    if (node_.input(3) != nullptr) {
      Value* both = of_direction(node_.input(3), d);
      inputs = make_.add(inputs, make_.slice(both, {0}, {4 * hidden_}, {0}));
      inputs = make_.add(inputs, make_.slice(both, {4 * hidden_}, {8 * hidden_}, {0}));
    }
    return {inputs, make_.swap(of_direction(node_.input(2), d), 0, 1), initial(5, d),
            initial(6, d)};
  }

  void step(Direction& one, int64_t t) {
    Value* x = make_.reshape(make_.slice(one.inputs, {t}, {t + 1}, {0}), {batch_, 4 * hidden_});
    Value* all = make_.add(x, make_.matmul(one.hidden, one.recurrent));
    const auto gate = [&](int64_t index, Op op) {
      return make_.op(op, {make_.slice(all, {index * hidden_}, {(index + 1) * hidden_}, {1})});
    };
    Value* in = gate(0, "Sigmoid");
    Value* out = gate(1, "Sigmoid");
    Value* forget = gate(2, "Sigmoid");
    Value* candidate = gate(3, "Tanh");
    one.cell = make_.add(make_.mul(forget, one.cell), make_.mul(in, candidate));
    one.hidden = make_.mul(out, make_.op("Tanh", {one.cell}));
  }

  Node& node_;
  Builder make_;
  int64_t time_, batch_, hidden_, directions_;
};

bool is_plain(const Node& node) {
  for (const Value* input : node.inputs()) {
    if (input != nullptr && !graph::sizes_of(input->type())) return false;
  }
  return node.input(4) == nullptr && node.input(7) == nullptr && node.int_of("layout") == 0 &&
         node.int_of("input_forget") == 0 && node.strings_of("activations").empty() &&
         node.find("clip") == nullptr;
}

}  // namespace

Result<void> unroll_lstm(Node& node) {
  if (!is_plain(node)) return {};  // differentiation refuses it where a gradient leads through it
  Lstm(node).run();
  node.graph().erase(node);
  return {};
}

}  // namespace skerry::train::internal
