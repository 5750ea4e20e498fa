// Matrix products in the one form that everything behind it looks for: Gemm with its bias, and
// transposes as flags; and 1×1 convolutions from and to it.
#include <algorithm>

#include "optimise/passes/passes.h"

namespace skerry::optimise {
namespace {

bool is_matrix(const Value* value) {
  return value != nullptr && value->type().shape && value->type().rank() == 2;
}

// Add(MatMul(a, b), c) of matrices, where c is no larger than the product.
Result<bool> absorb_bias(Node& node) {
  if (node.op() != "Add" || !tensor::is_float(node.output(0)->type().element)) return false;
  for (const size_t side : {size_t{0}, size_t{1}}) {
    const Node* product = made_only_for_here(node.input(side), "MatMul");
    if (product == nullptr || !is_matrix(product->input(0)) || !is_matrix(product->input(1))) {
      continue;
    }
    if (constant_of(node.input(1 - side)) == nullptr) continue;  // a residual stays an Add
    if (!same_type(node.input(side)->type(), node.output(0)->type())) continue;
    SKERRY_ASSIGN(Value * made,
                  insert(node, "Gemm", {product->input(0), product->input(1), node.input(1 - side)},
                         {}, node.output(0)->name()));
    take_over(*node.output(0), *made);
    return true;
  }
  return false;
}

// Gemm(Transpose(a), b): the flag.
Result<bool> absorb_transpose(Node& node) {
  if (node.op() != "Gemm") return false;
  for (const size_t side : {size_t{0}, size_t{1}}) {
    const Node* transpose = made_by(node.input(side), "Transpose");
    if (transpose == nullptr || !is_matrix(transpose->input(0))) continue;
    const auto perm = transpose->ints_of("perm");
    if (!perm.empty() && perm != std::vector<int64_t>{1, 0}) continue;
    const char* flag = side == 0 ? "transA" : "transB";
    node.set_attribute(flag, int64_t{node.int_of(flag) == 0 ? 1 : 0});
    node.set_input(side, transpose->input(0));
    return true;
  }
  return false;
}

// Weights [M, C, 1, 1] on [N, C, 1, 1]: Gemm of [N, C] and [M, C] transposed.
Result<bool> to_gemm(Node& node) {
  if (node.op() != "Conv" || node.int_of("group") != 1) return false;
  const Constant* weights = constant_of(node.input(1));
  const auto& x = node.input(0)->type().shape;
  if (weights == nullptr || !x || x->size() < 3 || node.output(0)->uses().empty()) return false;
  for (size_t axis = 2; axis < x->size(); ++axis) {
    if (!(*x)[axis].is(1) || weights->shape()[axis] != 1) return false;
  }
  const auto pads = node.ints_of("pads");
  if (std::ranges::any_of(pads, [](int64_t pad) { return pad != 0; })) return false;
  const int64_t out = weights->shape()[0];
  const int64_t in = weights->shape()[1];
  std::vector<int64_t> back(x->size(), 1);
  back[0] = -1;
  back[1] = out;
  Value& flat = add_constant(node, node.name() + ".flat", Constant::of_ints({-1, in}));
  Value& image = add_constant(node, node.name() + ".image", Constant::of_ints(back));
  SKERRY_ASSIGN(Constant matrix,
                Constant::make(weights->type(), {out, in},
                               {weights->bytes().begin(), weights->bytes().end()}));
  Value& b = add_constant(node, node.input(1)->name(), std::move(matrix));
  SKERRY_ASSIGN(Value * a, insert(node, "Reshape", {node.input(0), &flat}));
  std::vector<Value*> inputs = {a, &b};
  if (node.input(2) != nullptr) inputs.push_back(node.input(2));
  SKERRY_ASSIGN(Value * product, insert(node, "Gemm", inputs, {{"transB", int64_t{1}}}));
  const Type type = node.output(0)->type();
  SKERRY_ASSIGN(Value * made,
                insert(node, "Reshape", {product, &image}, {}, node.output(0)->name()));
  made->set_type(type);
  take_over(*node.output(0), *made);
  return true;
}

bool is_plain_gemm(const Node& node) {
  return node.op() == "Gemm" && node.int_of("transA") == 0 && node.float_of("alpha") == 1 &&
         node.float_of("beta") == 1;
}

Result<bool> to_convolution(Node& node) {
  if (!is_plain_gemm(node) || node.output(0)->uses().empty()) return false;
  const Constant* weights = constant_of(node.input(1));
  if (weights == nullptr || !tensor::is_float(weights->type())) return false;
  const bool transposed = node.int_of("transB") != 0;
  const int64_t out = weights->shape()[transposed ? 0 : 1];
  const int64_t in = weights->shape()[transposed ? 1 : 0];
  const Constant* bias = constant_of(node.input(2));
  std::vector<double> offsets;
  if (node.input(2) != nullptr) {
    const auto given = bias != nullptr ? per_channel(*bias, 2, 1, out) : std::nullopt;
    if (!given) return false;
    offsets = *given;
  }
  const std::vector<double> numbers = numbers_of(*weights);
  std::vector<double> kernel(numbers.size());
  for (size_t i = 0; i < kernel.size(); ++i) {
    const auto m = static_cast<int64_t>(i) / in;
    const auto c = static_cast<int64_t>(i) % in;
    kernel[i] = numbers[static_cast<size_t>(transposed ? m * in + c : c * out + m)];
  }
  Value& image = add_constant(node, node.name() + ".image", Constant::of_ints({-1, in, 1, 1}));
  Value& flat = add_constant(node, node.name() + ".flat", Constant::of_ints({-1, out}));
  Value& w =
      add_constant(node, node.input(1)->name(), floats(weights->type(), {out, in, 1, 1}, kernel));
  SKERRY_ASSIGN(Value * x, insert(node, "Reshape", {node.input(0), &image}));
  std::vector<Value*> inputs = {x, &w};
  if (!offsets.empty()) {
    inputs.push_back(
        &add_constant(node, node.input(2)->name(), floats(weights->type(), {out}, offsets)));
  }
  SKERRY_ASSIGN(Value * conv, insert(node, "Conv", inputs));
  const Type type = node.output(0)->type();
  SKERRY_ASSIGN(Value * made, insert(node, "Reshape", {conv, &flat}, {}, node.output(0)->name()));
  made->set_type(type);
  take_over(*node.output(0), *made);
  return true;
}

}  // namespace

Result<size_t> make_gemm(Graph& graph) {
  return rewrite_nodes(graph, [](Node& node) -> Result<bool> {
    if (node.output(0) == nullptr || node.output(0)->uses().empty()) return false;
    SKERRY_ASSIGN(const bool absorbed, absorb_bias(node));
    return absorbed ? Result<bool>(true) : absorb_transpose(node);
  });
}

Result<size_t> convolution_to_gemm(Graph& graph) {
  return rewrite_nodes(graph, to_gemm);
}

Result<size_t> gemm_to_convolution(Graph& graph) {
  return rewrite_nodes(graph, to_convolution);
}

}  // namespace skerry::optimise
