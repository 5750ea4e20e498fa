// Elements by index: gradients are added where the elements came from; and Resize, whose places are
// found by resizing the rows of an identity.
#include <algorithm>

#include "graph/executor.h"
#include "train/gradient.h"

namespace skerry::train {
namespace {

Value* scatter(Backward& back, const Sizes& shape, Value* indices, Value* updates, size_t axis) {
  return back.make.op("ScatterElements", {back.make.filled(shape, 0), indices, updates},
                      {{"axis", static_cast<int64_t>(axis)}, {"reduction", std::string("add")}});
}

// The axis goes to the front, so that rows are taken: [size, rest].
Result<void> gather(Backward& back) {
  Builder& make = back.make;
  const size_t axis = back.axis();
  const Sizes data = sizes_of(*back.in(0));
  const auto taken = static_cast<int64_t>(sizes_of(*back.in(1)).size());
  const int64_t count = count_of(*back.in(1));
  const auto rank = static_cast<int64_t>(sizes_of(*back.out()).size());
  Sizes perm;
  for (int64_t i = 0; i < taken; ++i) perm.push_back(static_cast<int64_t>(axis) + i);
  for (int64_t i = 0; i < rank; ++i) {
    if (std::ranges::find(perm, i) == perm.end()) perm.push_back(i);
  }
  const int64_t rest = count_of(*back.in(0)) / data[axis];
  Value* rows = make.reshape(make.transpose(back.gradient(), perm), {count, rest});
  Value* indices = make.expand(make.reshape(back.in(1), {count, 1}), {count, rest});
  Value* sums = scatter(back, {data[axis], rest}, indices, rows, 0);
  Sizes moved = {data[axis]};
  Sizes inverse(data.size());
  int64_t next = 1;
  for (size_t i = 0; i < data.size(); ++i) {
    if (i != axis) moved.push_back(data[i]);
    inverse[i] = i == axis ? 0 : next++;
  }
  back.give(0, make.transpose(make.reshape(sums, moved), inverse));
  return {};
}

Result<void> gather_elements(Backward& back) {
  back.give(0, scatter(back, sizes_of(*back.in(0)), back.in(1), back.gradient(), back.axis()));
  return {};
}

// [in, out] of one axis: what becomes of each unit row. `node` says how.
Result<std::vector<float>> resize_matrix(const Node& node, int64_t in, int64_t out) {
  Graph graph;
  Builder make(graph);
  Value& rows = graph.add_input("rows", {DataType::kFp32, graph::fixed_shape(Sizes{in, 1, 1, in})});
  graph::Attributes attributes = node.attributes();
  attributes.erase("axes");
  graph::NodeSpec spec{.op = "Resize",
                       .inputs = {&rows, nullptr, nullptr, make.ints({in, 1, 1, out})},
                       .outputs = {"out"},
                       .attributes = std::move(attributes)};
  Node& made = graph.add_node(std::move(spec));
  graph::TypeInference inference;
  SKERRY_TRY(inference.infer(made));
  graph.add_output(*made.output(0));
  std::vector<float> identity(static_cast<size_t>(in * in), 0);
  for (int64_t i = 0; i < in; ++i) identity[static_cast<size_t>(i * in + i)] = 1;
  const auto unit = Constant::of(DataType::kFp32, {in, 1, 1, in}, identity);
  tensor::TensorView view = unit.view();
  view.name = "rows";
  graph::Executor executor(graph);
  SKERRY_ASSIGN(const auto outputs, executor.run({&view, 1}));
  const auto numbers = graph::Array::from(outputs[0].view()).to_doubles();
  return std::vector<float>(numbers.begin(), numbers.end());
}

// dX = Rᵀ dY for each axis that changes its size.
Result<void> resize(Backward& back) {
  Builder& make = back.make;
  const std::string& how = back.node().string_of("coordinate_transformation_mode");
  const bool separable = how != "tf_crop_and_resize" && back.node().int_of("antialias") == 0 &&
                         back.node().string_of("keep_aspect_ratio_policy") == "stretch";
  if (!separable) return back.refuse("it crops, or smooths, or keeps an aspect ratio");
  if (!back.wants(0)) return {};
  const Sizes in = sizes_of(*back.in(0));
  const Sizes out = sizes_of(*back.out());
  Value* dx = back.gradient();
  for (size_t axis = 0; axis < in.size(); ++axis) {
    if (in[axis] == out[axis]) continue;
    // Scales that do not divide leave another rest than sizes would.
    const Value* scales = back.in(2);
    if (scales != nullptr && out[axis] % in[axis] != 0 && in[axis] % out[axis] != 0) {
      return back.refuse("its scale is no whole number");
    }
    SKERRY_ASSIGN(const auto matrix, resize_matrix(back.node(), in[axis], out[axis]));
    std::vector<float> turned(matrix.size());
    for (int64_t i = 0; i < in[axis]; ++i) {
      for (int64_t o = 0; o < out[axis]; ++o) {
        turned[static_cast<size_t>(o * in[axis] + i)] =
            matrix[static_cast<size_t>(i * out[axis] + o)];
      }
    }
    const size_t last = in.size() - 1;
    Value* moved = axis == last ? dx : make.swap(dx, axis, last);
    moved = make.matmul(moved, make.floats({out[axis], in[axis]}, turned));
    dx = axis == last ? moved : make.swap(moved, axis, last);
  }
  back.give(0, dx);
  return {};
}

}  // namespace

std::span<const GradientRule> index_rules() {
  static const GradientRule kRules[] = {
      {"Gather", gather}, {"GatherElements", gather_elements}, {"Resize", resize}};
  return kRules;
}

}  // namespace skerry::train
