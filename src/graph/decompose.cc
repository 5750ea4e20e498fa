// Parts are put before the node, then stand for its outputs.
#include "graph/decompose.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "graph/evaluation.h"
#include "graph/inference.h"

namespace skerry::graph {
namespace {

constexpr size_t kMask = 3, kPastKey = 4, kPastValue = 5;

Constant scalar(DataType type, double value) {
  Array wide{.type = DataType::kFp64, .shape = {}};
  wide.bytes.resize(sizeof(value));
  std::memcpy(wide.bytes.data(), &value, sizeof(value));
  tensor::Tensor made = convert_float(wide, type).to_tensor("");
  return *Constant::make(type, {}, std::move(made.bytes));
}

int64_t int_or(const Node& node, std::string_view name, int64_t otherwise) {
  const Attribute* found = node.find(name);
  return found != nullptr ? std::get<int64_t>(*found) : otherwise;
}

class AttentionParts {
 public:
  explicit AttentionParts(Node& node) : node_(node), type_(node.input(0)->type().element) {}

  // What stands for each output; empty where it stays, and then nothing was made.
  Result<std::vector<Value*>> make() {
    if (!learn_sizes()) return std::vector<Value*>{};
    SKERRY_ASSIGN(Value * q, by_head(0, q_heads_));
    SKERRY_ASSIGN(Value * k, by_head(1, kv_heads_));
    SKERRY_ASSIGN(Value * v, by_head(2, kv_heads_));
    if (node_.input(kPastKey) != nullptr) {
      SKERRY_ASSIGN(k, add("Concat", {node_.input(kPastKey), k}, {{"axis", int64_t{2}}}));
      SKERRY_ASSIGN(v, add("Concat", {node_.input(kPastValue), v}, {{"axis", int64_t{2}}}));
    }
    std::vector<Value*> results = {nullptr, k, v, nullptr};
    SKERRY_ASSIGN(k, for_all_heads(k, k_size_));
    SKERRY_ASSIGN(v, for_all_heads(v, v_size_));
    SKERRY_ASSIGN(Value * weights, weights_of(q, k, results[3]));
    SKERRY_ASSIGN(results[0], add("MatMul", {weights, v}));
    if (rank_ == 3) {
      SKERRY_ASSIGN(results[0], add("Transpose", {results[0]}, {{"perm", kSwapHeads}}));
      SKERRY_ASSIGN(results[0], add("Reshape", {results[0], ints({0, 0, q_heads_ * v_size_})}));
    }
    return results;
  }

 private:
  const std::vector<int64_t> kSwapHeads = {0, 2, 1, 3};

  // False where one that is needed is not known.
  bool learn_sizes() {
    const auto& q = node_.input(0)->type().shape;
    const auto& k = node_.input(1)->type().shape;
    const auto& v = node_.input(2)->type().shape;
    if (!q || !k || !v || node_.input(1)->type().element != node_.input(2)->type().element) {
      return false;
    }
    rank_ = q->size();
    q_heads_ = rank_ == 3 ? int_or(node_, "q_num_heads", 0) : (*q)[1].size();
    kv_heads_ = rank_ == 3 ? int_or(node_, "kv_num_heads", 0) : (*k)[1].size();
    const auto size_of = [&](const Dim& dim, int64_t heads) {
      return dim.is_fixed() && rank_ == 3 ? dim.size() / heads : dim.size();
    };
    k_size_ = q->back().is_fixed() ? size_of(q->back(), q_heads_) : 0;
    v_size_ = v->back().is_fixed() ? size_of(v->back(), kv_heads_) : 0;
    const bool heads_known = rank_ == 3 || ((*q)[1].is_fixed() && (*k)[1].is_fixed());
    if (!heads_known) {
      // The same name is the same number; it is never asked for.
      if (!(*q)[1].same_as((*k)[1])) return false;
      q_heads_ = kv_heads_ = 0;
    }
    const bool shared = q_heads_ != kv_heads_;
    const bool k_matters = shared || node_.find("scale") == nullptr;
    const bool v_matters = shared || rank_ == 3;
    return (k_size_ > 0 || !k_matters) && (v_size_ > 0 || !v_matters);
  }

  Value* ints(const std::vector<int64_t>& values) {
    return &node_.graph().add_constant(node_.name() + ".shape", Constant::of_ints(values));
  }
  Value* number(double value) {
    return &node_.graph().add_constant(node_.name() + ".c", scalar(type_, value));
  }

  Result<Value*> add(Op op, std::vector<Value*> inputs, Attributes attributes = {}) {
    return inference_.add_before(node_, op, std::move(inputs), std::move(attributes));
  }

  // [batch, heads, length, size]
  Result<Value*> by_head(size_t input, int64_t heads) {
    Value* value = node_.input(input);
    if (rank_ == 4) {  // an output needs a value of its own
      const Value* present = input > 0 ? node_.output(input) : nullptr;
      return present == nullptr || node_.input(kPastKey) != nullptr ? value
                                                                    : add("Identity", {value});
    }
    SKERRY_ASSIGN(Value * apart, add("Reshape", {value, ints({0, 0, heads, -1})}));
    return add("Transpose", {apart}, {{"perm", kSwapHeads}});
  }

  // Each head of K or V as often as heads of Q read it.
  Result<Value*> for_all_heads(Value* value, int64_t size) {
    if (q_heads_ == kv_heads_) return value;
    SKERRY_ASSIGN(Value * row, add("Unsqueeze", {value, ints({2})}));
    SKERRY_ASSIGN(Value * rows, add("Expand", {row, ints({1, 1, q_heads_ / kv_heads_, 1, 1})}));
    return add("Reshape", {rows, ints({0, q_heads_, -1, size})});
  }

  // Softmax of the scores; `shown` is the stage that the node shows of them.
  Result<Value*> weights_of(Value* q, Value* k, Value*& shown) {
    const int64_t stage = int_or(node_, "qk_matmul_output_mode", 0);
    SKERRY_ASSIGN(Value * turned,
                  add("Transpose", {k}, {{"perm", std::vector<int64_t>{0, 1, 3, 2}}}));
    SKERRY_ASSIGN(Value * scores, add("MatMul", {q, turned}));
    const Attribute* scale = node_.find("scale");
    const double factor =
        scale != nullptr ? std::get<float>(*scale) : 1 / std::sqrt(static_cast<double>(k_size_));
    SKERRY_ASSIGN(scores, add("Mul", {scores, number(factor)}));
    if (stage == 0) shown = scores;
    if (const double cap = node_.float_of("softcap"); cap > 0) {
      SKERRY_ASSIGN(scores, add("Div", {scores, number(cap)}));
      SKERRY_ASSIGN(scores, add("Tanh", {scores}));
      SKERRY_ASSIGN(scores, add("Mul", {scores, number(cap)}));
    }
    if (stage == 1) shown = scores;
    if (node_.int_of("is_causal") != 0) {
      SKERRY_ASSIGN(scores, without_later_keys(q, k, scores));
    }
    Value* mask = node_.input(kMask);
    if (mask != nullptr && mask->type().element == DataType::kBool) {
      SKERRY_ASSIGN(scores, add("Where", {mask, scores, number(kNothing)}));
    } else if (mask != nullptr) {
      SKERRY_ASSIGN(scores, add("Add", {scores, mask}));
    }
    if (stage == 2) shown = scores;
    SKERRY_ASSIGN(Value * weights, add("Softmax", {scores}, {{"axis", int64_t{-1}}}));
    if (mask != nullptr && !is_finite(*mask)) {
      SKERRY_ASSIGN(Value * empty, add("IsNaN", {weights}));
      SKERRY_ASSIGN(weights, add("Where", {empty, number(0), weights}));
    }
    if (stage == 3) shown = weights;
    return weights;
  }

  // A constant that takes no key away altogether.
  static bool is_finite(const Value& mask) {
    if (mask.constant() == nullptr) return false;
    const auto numbers = Array::from(mask.constant()->view()).to_doubles();
    const bool is_bool = mask.type().element == DataType::kBool;
    return std::ranges::all_of(
        numbers, [&](double number) { return is_bool ? number != 0 : std::isfinite(number); });
  }

  // A query sees the keys of the past and those up to its own place.
  Result<Value*> without_later_keys(Value* q, Value* k, Value* scores) {
    SKERRY_ASSIGN(Value * queries, length_of(q));
    SKERRY_ASSIGN(Value * keys, length_of(k));
    SKERRY_ASSIGN(Value * shape, add("Concat", {queries, keys}, {{"axis", int64_t{0}}}));
    SKERRY_ASSIGN(Value * ones,
                  add("ConstantOfShape", {shape},
                      {{"value", Constant::of(DataType::kFp32, {1}, std::vector<float>{1})}}));
    std::vector<Value*> triangle = {ones};
    if (node_.input(kPastKey) != nullptr) {
      SKERRY_ASSIGN(Value * past, length_of(node_.input(kPastKey)));
      SKERRY_ASSIGN(past, add("Reshape", {past, ints({})}));
      triangle.push_back(past);
    }
    SKERRY_ASSIGN(Value * seen, add("Trilu", triangle, {{"upper", int64_t{0}}}));
    SKERRY_ASSIGN(seen, add("Cast", {seen}, {{"to", DataType::kBool}}));
    return add("Where", {seen, scores, number(kNothing)});
  }

  Result<Value*> length_of(Value* tokens) {
    const auto& shape = tokens->type().shape;
    if (shape && (*shape)[2].is_fixed()) return ints({(*shape)[2].size()});
    return add("Shape", {tokens}, {{"start", int64_t{2}}, {"end", int64_t{3}}});
  }

  static constexpr double kNothing = -std::numeric_limits<double>::infinity();

  Node& node_;
  DataType type_;
  TypeInference inference_;
  size_t rank_ = 0;
  int64_t q_heads_ = 0, kv_heads_ = 0, k_size_ = 0, v_size_ = 0;
};

}  // namespace

Result<size_t> decompose_attention(Graph& graph) {
  std::vector<Node*> nodes;
  for (const auto& node : graph.nodes()) nodes.push_back(node.get());
  size_t count = 0;
  for (Node* node : nodes) {
    for (const auto& inner : node->subgraphs()) {
      SKERRY_ASSIGN(const size_t inside, decompose_attention(*inner));
      count += inside;
    }
    if (node->op() != "Attention") continue;
    SKERRY_ASSIGN(const std::vector<Value*> parts, AttentionParts(*node).make());
    if (parts.empty()) continue;
    for (size_t i = 0; i < node->outputs().size(); ++i) {
      if (node->output(i) == nullptr) continue;
      graph.swap_names(*node->output(i), *parts[i]);
      node->output(i)->replace_uses(*parts[i]);
    }
    graph.erase(*node);
    ++count;
  }
  return count;
}

}  // namespace skerry::graph
