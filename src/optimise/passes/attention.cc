// Attention from its parts and into them:
//   Softmax(scale · Q·Kᵀ + mask) · V
// with the scale on the product or on either factor, a mask that is added, or that chooses between
// the scores and −∞, and zeros for rows without a key. Of three dimensions it is one head.
//
// Off by default: in ONNX Runtime 1.32 the operator takes as long as its parts (4 to 8 % less
// with a mask), and other engines and operator sets before 23 have none.
#include <algorithm>
#include <cmath>
#include <limits>

#include "graph/decompose.h"
#include "optimise/passes/passes.h"

namespace skerry::optimise {
namespace {

// Steps over products with scalars that only this is made of, and multiplies them into `scale`.
Value* unscaled(Value* value, double& scale) {
  while (true) {
    const Node* node = value->producer();
    if (node == nullptr || !has_one_use(*value)) return value;
    const auto left = node->op() == "Mul" ? scalar_of(node->input(0)) : std::nullopt;
    const bool scales = node->op() == "Mul" || node->op() == "Div";
    const auto right = scales ? scalar_of(node->input(1)) : std::nullopt;
    Value* next = left ? node->input(1) : node->input(0);
    if ((!left && !right) || !same_type(next->type(), value->type())) return value;
    scale = node->op() == "Div" ? scale / *right : scale * left.value_or(right.value_or(1));
    value = next;
  }
}

// The Softmax over the last axis that `weights` comes from, which nobody else reads; a guard
// Where(IsNaN(p), 0, p) may stand between.
Node* softmax_of(Value* weights) {
  if (!has_one_use(*weights)) return nullptr;
  Node* node = weights->producer();
  if (node != nullptr && node->op() == "Where") {
    Value* inner = node->input(2);
    const Node* empty = made_only_for_here(node->input(0), "IsNaN");
    if (empty == nullptr || empty->input(0) != inner || inner->uses().size() != 2 ||
        inner->is_graph_output() || scalar_of(node->input(1)).value_or(1) != 0) {
      return nullptr;
    }
    node = inner->producer();
  }
  if (node == nullptr || node->op() != "Softmax") return nullptr;
  const Type& type = node->output(0)->type();
  const int64_t axis = node->int_of("axis");
  const bool is_last = type.shape && (axis == -1 || axis + 1 == static_cast<int64_t>(type.rank()));
  return is_last ? node : nullptr;
}

struct Scores {
  Value* value = nullptr;
  Value* mask = nullptr;
};

// The two sides of what masks scores.
std::vector<Scores> sides_of(const Value* masked) {
  if (const Node* add = made_only_for_here(masked, "Add")) {
    return {{add->input(0), add->input(1)}, {add->input(1), add->input(0)}};
  }
  const Node* where = made_only_for_here(masked, "Where");
  if (where != nullptr && scalar_of(where->input(2)) == -std::numeric_limits<double>::infinity()) {
    return {{where->input(1), where->input(0)}};
  }
  return {};
}

struct Match {
  Value* q = nullptr;
  Node* transpose = nullptr;  // makes Kᵀ
  Value* mask = nullptr;
  double scale = 1;
};

std::optional<Match> match_scores(const Scores& scores) {
  Match match{.mask = scores.mask};
  const Node* product = made_only_for_here(unscaled(scores.value, match.scale), "MatMul");
  if (product == nullptr) return {};
  match.q = unscaled(product->input(0), match.scale);
  match.transpose = made_by(unscaled(product->input(1), match.scale), "Transpose");
  if (match.transpose == nullptr || !match.q->type().shape) return {};
  return match;
}

std::optional<Match> match_softmax(const Node& softmax) {
  if (const auto plain = match_scores({softmax.input(0), nullptr})) return plain;
  for (const Scores& scores : sides_of(softmax.input(0))) {
    if (!same_type(scores.value->type(), softmax.input(0)->type())) continue;
    if (const auto masked = match_scores(scores)) return masked;
  }
  return {};
}

// As many batches and heads in each, and no broadcasting between them.
bool go_together(const Type& q, const Type& turned_k, const Type& v) {
  if (!turned_k.shape || !v.shape || (q.rank() != 3 && q.rank() != 4)) return false;
  if (turned_k.rank() != q.rank() || v.rank() != q.rank()) return false;
  if (q.element != v.element) return false;
  for (size_t i = 0; i + 2 < q.rank(); ++i) {
    const graph::Dim& dim = (*q.shape)[i];
    if (!dim.same_as((*turned_k.shape)[i]) || !dim.same_as((*v.shape)[i])) return false;
  }
  return true;
}

// K from Kᵀ: the same transpose with its last two axes the other way round.
Result<Value*> keys_of(Node& before, const Node& transpose) {
  const size_t rank = transpose.input(0)->type().rank();
  std::vector<int64_t> perm = transpose.ints_of("perm");
  if (perm.empty()) {
    for (size_t i = rank; i-- > 0;) perm.push_back(static_cast<int64_t>(i));
  }
  std::swap(perm[rank - 1], perm[rank - 2]);
  if (std::ranges::is_sorted(perm)) return transpose.input(0);
  return insert(before, "Transpose", {transpose.input(0)}, {{"perm", perm}});
}

// ONNX Runtime takes a mask whose last two dimensions are those of the scores. One of [batch,
// queries, keys] has no place for heads.
Result<Value*> mask_for(Node& before, Value* mask, const Match& match, const Value& scores) {
  const graph::Shape& wanted = *scores.type().shape;
  const size_t rank = wanted.size();
  const graph::Shape& have = *mask->type().shape;
  const size_t lead = rank - have.size();
  const bool fits = have.size() >= 2 && have.back().same_as(wanted.back()) &&
                    have[have.size() - 2].same_as(wanted[rank - 2]);
  if (!fits) {
    const auto size_at = [&](Value* value, size_t axis) -> Result<Value*> {
      const graph::Dim& dim = (*value->type().shape)[axis];
      if (dim.is_fixed()) {
        return &add_constant(before, "mask.size", Constant::of_ints({dim.size()}));
      }
      const auto start = static_cast<int64_t>(axis);
      return insert(before, "Shape", {value}, {{"start", start}, {"end", start + 1}});
    };
    SKERRY_ASSIGN(Value * queries, size_at(match.q, rank - 2));
    SKERRY_ASSIGN(Value * keys, size_at(match.transpose->output(0), rank - 1));
    SKERRY_ASSIGN(Value * sizes, insert(before, "Concat", {queries, keys}, {{"axis", int64_t{0}}}));
    SKERRY_ASSIGN(mask, insert(before, "Expand", {mask, sizes}));
  }
  if (rank == 3 && lead == 0 && !have[0].is(1)) {
    Value& axis = add_constant(before, "mask.axis", Constant::of_ints({1}));
    SKERRY_ASSIGN(mask, insert(before, "Unsqueeze", {mask, &axis}));
  }
  return mask;
}

bool is_mask_for(const Value* mask, const Value& scores) {
  const auto& shape = mask->type().shape;
  return shape && shape->size() <= scores.type().rank() &&
         (mask->type().element == DataType::kBool || mask->type().element == scores.type().element);
}

Result<bool> fuse_attention(Node& node) {
  if (node.op() != "MatMul" || node.output(0)->uses().empty()) return false;
  const Node* softmax = softmax_of(node.input(0));
  const auto match = softmax != nullptr ? match_softmax(*softmax) : std::nullopt;
  if (!match || !(match->scale > 0)) return false;
  const Value& scores = *softmax->input(0);
  const Type& q = match->q->type();
  if (!go_together(q, match->transpose->output(0)->type(), node.input(1)->type())) return false;
  if (match->mask != nullptr && !is_mask_for(match->mask, scores)) return false;
  SKERRY_ASSIGN(Value * k, keys_of(node, *match->transpose));
  std::vector<Value*> inputs = {match->q, k, node.input(1)};
  if (match->mask != nullptr) {
    SKERRY_ASSIGN(Value * mask, mask_for(node, match->mask, *match, scores));
    inputs.push_back(mask);
  }
  Attributes attributes;
  const graph::Dim& size = q.shape->back();
  const auto scale = static_cast<float>(match->scale);
  const double usual = size.is_fixed() ? 1 / std::sqrt(static_cast<double>(size.size())) : 0;
  if (std::abs(match->scale - usual) > 1e-6 * usual) attributes["scale"] = scale;
  if (q.rank() == 3) attributes["q_num_heads"] = attributes["kv_num_heads"] = int64_t{1};
  SKERRY_ASSIGN(Value * made, insert(node, "Attention", std::move(inputs), std::move(attributes),
                                     node.output(0)->name()));
  take_over(*node.output(0), *made);
  return true;
}

}  // namespace

Result<size_t> recognise_attention(Graph& graph) {
  return rewrite_nodes(graph, fuse_attention);
}

Result<size_t> decompose_attention(Graph& graph) {
  SKERRY_ASSIGN(const size_t count, graph::decompose_attention(graph));
  if (count > 0) sweep(graph);
  return count;
}

}  // namespace skerry::optimise
