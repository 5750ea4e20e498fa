// From a graph to a program: what the files lower_….cc share. Internal to this folder.
#pragma once

#include <array>
#include <unordered_map>

#include "compile/interface.h"
#include "compile/lower.h"
#include "compile/program.h"
#include "compile/regions.h"
#include "graph/graph.h"

namespace skerry::compile {

using graph::Graph;
using graph::Node;
using graph::Value;

struct Padding {
  std::array<int64_t, 2> before{}, after{};  // rows, columns
  bool is_none() const { return before == std::array<int64_t, 2>{} && before == after; }
};

class Lowering {
 public:
  Lowering(const Graph& graph, const Interface& interface, Program& program,
           const WaysByLayer* ways)
      : graph_(graph), interface_(interface), program_(program), tuned_(ways) {}
  Result<void> run();

  Program& program() { return program_; }
  const Target& target() const { return *program_.target; }
  bool may_be_sparse() const { return program_.may_be_sparse; }

  // The view of a value that is lowered or constant.
  const View& view(const Value& value);
  void set_view(const Value& value, View view) { views_[&value] = std::move(view); }
  // A constant's bytes; null for anything else.
  static const graph::Constant* constant(const Value* value) {
    return value == nullptr ? nullptr : value->constant();
  }

  // The value with its channels last, [N, C, W] as an image of one row, in a storage with room for
  // `padding`. A copy is made where there is none. `in_arena`: it may be read over its end.
  Result<View> image(const Value& value, const Padding& padding, int64_t padding_value,
                     bool in_arena);
  // A new one for a result.
  View new_image(const Value& value);
  // An image as a value of this rank sees it.
  static View as_value(View image, size_t rank);
  // The value as a dense row of numbers in the order of its shape.
  Result<View> row_major(const Value& value);
  // A new storage for a result, dense, in the order of its shape.
  View new_row_major(const Value& value, const std::vector<int64_t>& shape);
  // Memory for one step.
  View new_scratch(DataType type, int64_t count);
  // The same with `count` for each share of the step, and the text for one.
  View new_shared_scratch(DataType type, int64_t count);
  static std::string scratch_of(const Program& program, const View& scratch, const Share& share);
  // The same elements under another shape.
  static View reshaped(View view, std::vector<int64_t> shape);

  // The way in which a layer is computed: the first, if the caller has named no other of them.
  Way choose(std::string layer, std::vector<Way> ways, const LayerSizes& sizes = {});

  Step& add_step(std::string kernel, const Region& region, std::vector<size_t> reads,
                 std::vector<size_t> writes);
  Result<void> copy(const View& from, const View& to, const std::string& why);

 private:
  Result<void> lower_inputs();
  Result<void> lower_outputs();
  Result<void> lower_output(const Value& output);
  Result<void> lower_states();
  Result<View> image_in_place(const View& view, const Padding& padding, int64_t padding_value,
                              bool in_arena);

  const Graph& graph_;
  const Interface& interface_;
  Program& program_;
  const WaysByLayer* tuned_;
  std::unordered_map<const Value*, View> views_;
  size_t counted_constants_ = 0;  // bytes of those that steps have, or that are values
  size_t value_constants_ = 0;    // of those that are values, since the last step
};

std::vector<int64_t> shape_of(const Value& value);  // all sizes are known
std::unexpected<Error> refuse(const Node& node, const std::string& why);

// One row for each operator that has a kernel or plain loops.
using LowerFunction = Result<void> (*)(Lowering&, const Region&);
LowerFunction find_lowering(const Region& region);

Result<void> lower_conv(Lowering& lowering, const Region& region);     // lower_conv.cc
Result<void> lower_product(Lowering& lowering, const Region& region);  // Gemm, MatMul
Result<void> lower_pool(Lowering& lowering, const Region& region);     // lower_pool.cc
Result<void> lower_softmax(Lowering& lowering, const Region& region);
Result<void> lower_reduce(Lowering& lowering, const Region& region);
Result<void> lower_arg(Lowering& lowering, const Region& region);          // ArgMax, ArgMin
Result<void> lower_elementwise(Lowering& lowering, const Region& region);  // lower_elementwise.cc
bool is_elementwise(graph::Op op);
Result<void> lower_reshape(Lowering& lowering, const Region& region);  // lower_movement.cc
Result<void> lower_transpose(Lowering& lowering, const Region& region);
Result<void> lower_concat(Lowering& lowering, const Region& region);
Result<void> lower_slice(Lowering& lowering, const Region& region);
Result<void> lower_pad(Lowering& lowering, const Region& region);
Result<void> lower_gather(Lowering& lowering, const Region& region);

Result<void> lower_qlinear_conv(Lowering& lowering, const Region& region);  // lower_bytes.cc
Result<void> lower_add_bytes(Lowering& lowering, const Region& region);
Result<void> lower_average_bytes(Lowering& lowering, const Region& region);  // lower_pool_bytes.cc
Result<void> lower_max_pool_bytes(Lowering& lowering, const Region& region);
// Limits and zero point of a result, as kernels/requantise.h takes them.
std::string range_text(Limits limits, int64_t zero);
Result<void> lower_table(Lowering& lowering, const Region& region);  // lower_quantise.cc
Result<void> lower_quantise(Lowering& lowering, const Region& region);
Result<void> lower_dequantise(Lowering& lowering, const Region& region);
Result<void> lower_quantise_dynamic(Lowering& lowering, const Region& region);
Result<void> lower_product_bytes(Lowering& lowering, const Region& region);  // MatMulInteger

// Nested loops as text. Each operand has a name and a stride for each dimension.
struct Operand {
  std::string declaration;  // "const float* a = …"
  std::string name;
  std::vector<int64_t> strides;
};
// `body` is given each operand's element as text. A share is one of the outermost loop.
std::string loops(std::vector<int64_t> shape, std::vector<Operand> operands,
                  const std::function<std::string(const std::vector<std::string>&)>& body,
                  const Share& share = {});
// Numbers by dimension of a value, with what lies outermost in memory first: the order in which
// loops over a result go.
class MemoryOrder {
 public:
  explicit MemoryOrder(const View& view);
  std::vector<int64_t> operator()(const std::vector<int64_t>& by_dimension) const;

 private:
  std::vector<size_t> dims_;
};

// The same for a body that takes whole rows: elements are the first ones of a row, `count` follow
// each other in all operands. Absent where they do not.
std::optional<std::string> row_loops(
    std::vector<int64_t> shape, std::vector<Operand> operands,
    const std::function<std::string(const std::vector<std::string>&, int64_t count)>& body,
    const Share& share = {});
// Strides of a view as seen from `shape`, to which it is broadcast.
std::vector<int64_t> broadcast_strides(const Program& program, const View& view,
                                       const std::vector<int64_t>& shape);

}  // namespace skerry::compile
