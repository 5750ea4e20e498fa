// Regions: products first, from the end, then what ends with QuantizeLinear, then the rest.
#include "compile/regions.h"

#include <algorithm>
#include <unordered_set>

namespace skerry::compile {
namespace {

using graph::Constant;
using graph::Graph;
using graph::Node;
using graph::Value;
using tensor::DataType;

const Constant* constant_of(const Value* value) {
  return value == nullptr ? nullptr : value->constant();
}

bool is_product(const Node& node) {
  if (node.op() == "Conv" || node.op() == "QLinearConv") return true;
  return (node.op() == "Gemm" || node.op() == "MatMul") && constant_of(node.input(1)) != nullptr;
}

// A constant of one number for each of the last dimension of `value`.
bool is_row_of(const Value& constant, const Value& value) {
  if (constant.constant() == nullptr || !value.type().shape || value.type().shape->empty()) {
    return false;
  }
  const auto& shape = constant.constant()->shape();
  const auto count = static_cast<int64_t>(constant.constant()->count());
  return !shape.empty() && shape.back() == count && value.type().shape->back().is(count);
}

const Node* only_reader(const Value& value) {
  if (value.uses().size() != 1 || value.uses()[0].node == nullptr) return nullptr;
  const Node* reader = value.uses()[0].node;
  return &reader->graph() == &value.graph() ? reader : nullptr;
}

const Node* maker_of(const Value* value, graph::Op op) {
  const Node* node = value == nullptr ? nullptr : value->producer();
  return node != nullptr && node->op() == op ? node : nullptr;
}

bool same_shape(const Value& a, const Value& b) {
  return sizes_of(a.type()) && sizes_of(a.type()) == sizes_of(b.type());
}

bool is_bytes(const Value* value) {
  return value != nullptr && value->type().element == DataType::kUint8;
}

class Finder {
 public:
  explicit Finder(const Graph& graph) : graph_(graph) {}

  Regions find() {
    // From the end: of two convolutions that are added, the later one takes the sum in.
    for (auto node = graph_.nodes().rbegin(); node != graph_.nodes().rend(); ++node) {
      if (is_product(**node) && !inside_.contains(node->get())) add_product(**node);
    }
    for (const auto& node : graph_.nodes()) {
      if (node->op() == "QuantizeLinear" && !inside_.contains(node.get())) add_quantise(*node);
    }
    for (const auto& node : graph_.nodes()) {
      if (inside_.contains(node.get()) || regions_.contains(node.get())) continue;
      // Dequantised values that only regions take, as the bytes they were, are made for nobody.
      const bool is_read =
          node->op() != "DequantizeLinear" ||
          std::ranges::any_of(node->outputs(), [&](const auto& output) {
            return output && std::ranges::any_of(output->uses(), [&](const graph::Use& use) {
                     return use.node == nullptr || !takes_bytes_.contains(use.node);
                   });
          });
      if (is_read) {
        regions_[node.get()] = {
            .main = node.get(), .nodes = {node.get()}, .output = node->output(0)};
      }
    }
    return std::move(regions_);
  }

 private:
  bool taken(const Node& node) const { return inside_.contains(&node) || regions_.contains(&node); }

  void append(Region& region, const Node& node) {
    inside_.insert(region.nodes.back());
    region.nodes.push_back(&node);
    region.output = node.output(0);
  }

  void add_product(const Node& node) {
    Region region{.main = &node, .nodes = {&node}, .output = node.output(0)};
    if (is_bytes(region.output)) {
      join_bytes(region);
    } else if (region.output->type().element == DataType::kFp32) {
      while (join(region)) {
      }
    }
    regions_[region.nodes.back()] = std::move(region);
  }

  // One more of what reads the result alone: an addition, then limits.
  bool join(Region& region) {
    const bool limited = region.low || region.high;
    const Node* next = only_reader(*region.output);
    if (next == nullptr || taken(*next) || limited) return false;
    if (next->op() == "Relu") {
      region.low = 0.0f;
    } else if (next->op() == "Clip") {
      const Constant* low = constant_of(next->input(1));
      const Constant* high = constant_of(next->input(2));
      const bool fixed = (next->input(1) == nullptr || low != nullptr) &&
                         (next->input(2) == nullptr || high != nullptr);
      if (!fixed || next->input(0) != region.output) return false;
      if (low != nullptr) region.low = low->as<float>()[0];
      if (high != nullptr) region.high = high->as<float>()[0];
    } else if (next->op() == "Add" && region.added == nullptr && region.bias == nullptr) {
      const Value& other = *next->input(next->input(0) == region.output ? 1 : 0);
      if (region.main->op() == "MatMul" && is_row_of(other, *region.output)) {
        region.bias = other.constant();
      } else if (region.main->op() == "Conv" && !is_depthwise(*region.main) &&
                 &other != region.output && other.constant() == nullptr &&
                 same_shape(other, *region.output)) {
        region.added = &other;
      } else {
        return false;
      }
    } else {
      return false;
    }
    append(region, *next);
    return true;
  }

  std::optional<Limits> join_limits(Region& region) {
    const Node* next = only_reader(*region.output);
    if (next == nullptr || taken(*next) || next->op() != "Clip") return {};
    Limits limits = limits_of(DataType::kUint8);
    for (const size_t i : {1u, 2u}) {
      if (next->input(i) == nullptr) continue;
      const auto limit = zero_of(next->input(i));
      if (!limit) return {};
      (i == 1 ? limits.low : limits.high) = *limit;
    }
    append(region, *next);
    return limits;
  }

  // Limits, then the sum with another 8-bit value, then limits.
  void join_bytes(Region& region) {
    region.limits = join_limits(region);
    if (is_depthwise(*region.main)) return;
    const Node* own = only_reader(*region.output);
    if (own == nullptr || taken(*own) || own->op() != "DequantizeLinear" || !scale_of(*own)) return;
    const Node* add = only_reader(*own->output(0));
    if (add == nullptr || taken(*add) || add->op() != "Add") return;
    const Node* other =
        maker_of(add->input(add->input(0) == own->output(0) ? 1 : 0), "DequantizeLinear");
    const Node* quantise = only_reader(*add->output(0));
    if (other == nullptr || other == own || quantise == nullptr || taken(*quantise)) return;
    if (!is_sum(*own, *other, *add, *quantise)) return;
    append(region, *own);
    append(region, *add);
    append(region, *quantise);
    takes_bytes_.insert(add);
    region.sum = ByteSum{.own = own, .other = other, .quantise = quantise};
    region.sum->limits = join_limits(region);
  }

  static bool is_sum(const Node& a, const Node& b, const Node& add, const Node& quantise) {
    const auto of_a = scale_of(a), of_b = scale_of(b), of_y = scale_of(quantise);
    return of_a && of_b && of_y && of_y->scale == 1 && is_bytes(a.input(0)) &&
           is_bytes(b.input(0)) && is_bytes(quantise.output(0)) &&
           same_shape(*a.output(0), *add.output(0)) && same_shape(*b.output(0), *add.output(0));
  }

  void add_quantise(const Node& quantise) {
    const Node* last = quantise.input(0)->producer();
    if (last == nullptr || !scale_of(quantise) || only_reader(*last->output(0)) == nullptr) return;
    if (taken(*last)) return;
    Region region{.output = quantise.output(0)};
    if (find_sum(region, *last, quantise) || find_average(region, *last, quantise) ||
        find_table(region, quantise)) {
      for (const Node* node : region.nodes) {
        takes_bytes_.insert(node);
        if (node != &quantise) inside_.insert(node);
      }
      if (region.kind == RegionKind::kAddBytes) region.limits = join_limits(region);
      regions_[region.nodes.back()] = std::move(region);
    }
  }

  bool find_sum(Region& region, const Node& add, const Node& quantise) {
    if (add.op() != "Add") return false;
    const Node* a = maker_of(add.input(0), "DequantizeLinear");
    const Node* b = maker_of(add.input(1), "DequantizeLinear");
    if (a == nullptr || b == nullptr || !is_sum(*a, *b, add, quantise)) return false;
    region.kind = RegionKind::kAddBytes;
    region.main = &add;
    region.nodes = {&add, &quantise};
    region.sum = ByteSum{.own = a, .other = b, .quantise = &quantise};
    return true;
  }

  bool find_average(Region& region, const Node& last, const Node& quantise) {
    const Node* pool = &last;
    if (last.op() == "Mul") {
      pool = number_of(last.input(1)) ? last.input(0)->producer() : nullptr;
      if (pool == nullptr || only_reader(*pool->output(0)) == nullptr) return false;
    }
    if (pool->op() != "GlobalAveragePool" && pool->op() != "AveragePool") return false;
    if (pool->op() == "AveragePool" && pool->int_of("count_include_pad") != 0) return false;
    const Node* from = maker_of(pool->input(0), "DequantizeLinear");
    const auto x = from == nullptr ? std::nullopt : scale_of(*from);
    if (!x || x->scale != 1 || scale_of(quantise)->scale != 1 || !is_bytes(from->input(0)) ||
        !is_bytes(quantise.output(0))) {
      return false;
    }
    region.kind = RegionKind::kAverageBytes;
    region.main = pool;
    region.nodes = {pool};
    if (&last != pool) region.nodes.push_back(&last);
    region.nodes.push_back(&quantise);
    region.source = from->input(0);
    return true;
  }

  // Operators of one operand, and of constants of one number.
  static const Value* only_operand(const Node& node) {
    const Value* operand = nullptr;
    for (const Value* input : node.inputs()) {
      if (input == nullptr || (input->constant() != nullptr && input->constant()->count() == 1))
        continue;
      if (operand != nullptr || input->constant() != nullptr) return nullptr;
      operand = input;
    }
    constexpr graph::Op kUnary[] = {
        "Relu", "Clip",        "Sigmoid",   "Tanh",     "HardSwish",  "Add",  "Sub",  "Mul",
        "Div",  "HardSigmoid", "LeakyRelu", "Elu",      "Exp",        "Erf",  "Sqrt", "Neg",
        "Abs",  "Gelu",        "Log",       "Softplus", "Reciprocal", "PRelu"};
    return std::ranges::count(kUnary, node.op()) > 0 ? operand : nullptr;
  }

  bool find_table(Region& region, const Node& quantise) {
    std::vector<const Node*> nodes = {&quantise};
    const Value* value = quantise.input(0);
    while (true) {
      const Node* node = value->producer();
      if (node == nullptr || taken(*node)) return false;
      if (node->op() == "DequantizeLinear") {
        const DataType from = node->input(0)->type().element;
        if (!scale_of(*node) || (from != DataType::kUint8 && from != DataType::kInt8)) return false;
        nodes.push_back(node);
        region.source = node->input(0);
        break;
      }
      const Value* operand = only_operand(*node);
      if (operand == nullptr || only_reader(*value) == nullptr || !same_shape(*operand, *value))
        return false;
      nodes.push_back(node);
      value = operand;
    }
    // What is shared with others is computed for them, too.
    const Node* first = nodes.back();
    std::ranges::reverse(nodes);
    region.kind = RegionKind::kTable;
    region.main = &quantise;
    region.nodes = std::move(nodes);
    if (first->output(0)->uses().size() > 1) region.nodes.erase(region.nodes.begin());
    return true;
  }

  const Graph& graph_;
  Regions regions_;
  std::unordered_set<const Node*> inside_;       // of a region that ends later
  std::unordered_set<const Node*> takes_bytes_;  // reads dequantised values as the bytes they were
};

}  // namespace

bool is_depthwise(const Node& conv) {
  const Constant* w = constant_of(conv.input(conv.op() == "Conv" ? 1 : 3));
  return w != nullptr && w->shape().size() > 2 && w->shape()[1] == 1 &&
         conv.int_of("group") == w->shape()[0] && w->shape()[0] > 1;
}

Regions find_regions(const Graph& graph) {
  return Finder(graph).find();
}

}  // namespace skerry::compile
