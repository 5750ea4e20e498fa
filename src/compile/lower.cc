// The walk over the graph: regions, views, and the table of operators.
#include "compile/lower.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "compile/lowering.h"

namespace skerry::compile {
namespace {

struct Row {
  graph::Op op;
  LowerFunction lower;
};

constexpr Row kRows[] = {
    {"Conv", lower_conv},
    {"Gemm", lower_product},
    {"MatMul", lower_product},
    {"MaxPool", lower_pool},
    {"AveragePool", lower_pool},
    {"GlobalAveragePool", lower_pool},
    {"GlobalMaxPool", lower_pool},
    {"Softmax", lower_softmax},
    {"ReduceMean", lower_reduce},
    {"ReduceSum", lower_reduce},
    {"ReduceMax", lower_reduce},
    {"ReduceMin", lower_reduce},
    {"ReduceProd", lower_reduce},
    {"ArgMax", lower_arg},
    {"ArgMin", lower_arg},
    {"Reshape", lower_reshape},
    {"Flatten", lower_reshape},
    {"Squeeze", lower_reshape},
    {"Unsqueeze", lower_reshape},
    {"Identity", lower_reshape},
    {"Dropout", lower_reshape},
    {"Transpose", lower_transpose},
    {"Concat", lower_concat},
    {"Slice", lower_slice},
    {"Pad", lower_pad},
    {"Gather", lower_gather},
    {"QLinearConv", lower_qlinear_conv},
    {"QuantizeLinear", lower_quantise},
    {"DequantizeLinear", lower_dequantise},
    {"DynamicQuantizeLinear", lower_quantise_dynamic},
    {"MatMulInteger", lower_product_bytes},
};

}  // namespace

LowerFunction find_lowering(const Region& region) {
  switch (region.kind) {
    case RegionKind::kAddBytes:
      return lower_add_bytes;
    case RegionKind::kAverageBytes:
      return lower_average_bytes;
    case RegionKind::kTable:
      return lower_table;
    case RegionKind::kOperator:
      break;
  }
  const graph::Op op = region.main->op();
  for (const Row& row : kRows) {
    if (row.op == op) return row.lower;
  }
  return is_elementwise(op) ? lower_elementwise : nullptr;
}

std::vector<int64_t> shape_of(const Value& value) {
  const auto sizes = graph::sizes_of(value.type());
  SKERRY_CHECK(sizes.has_value(), "lowering has looked at the shapes");
  return *sizes;
}

std::unexpected<Error> refuse(const Node& node, const std::string& why) {
  return fail(Code::kUnsupported, node.describe() + ": " + why);
}

// --- Views --------------------------------------------------------------------------------------

namespace {

View view_of_dense(size_t storage, const std::vector<int64_t>& shape) {
  View view{.storage = storage, .shape = shape, .dims = shape};
  view.axes.resize(shape.size());
  std::iota(view.axes.begin(), view.axes.end(), 0);
  return view;
}

// [N, C, H, W] from [N, C, W].
std::vector<int64_t> image_shape(const std::vector<int64_t>& shape) {
  if (shape.size() == 3) return {shape[0], shape[1], 1, shape[2]};
  return shape;
}

// Of the dimensions N, C, H, W in memory N, H, W, C.
const std::vector<size_t> kChannelsLast = {0, 3, 1, 2};

View with_one_row(View view) {
  if (!view.reshaped && view.dims.size() == 4) {  // as made here: the row is there
    view.shape = image_shape(view.shape);
    view.axes = kChannelsLast;
    return view;
  }
  view.shape = {view.shape[0], view.shape[1], 1, view.shape[2]};
  // The new dimension stands before the columns.
  const size_t at = view.axes[2];
  view.dims.insert(view.dims.begin() + static_cast<int64_t>(at), 1);
  if (!view.starts.empty()) view.starts.insert(view.starts.begin() + static_cast<int64_t>(at), 0);
  for (size_t& axis : view.axes) axis += axis >= at ? 1 : 0;
  view.axes.insert(view.axes.begin() + 2, at);
  view.reshaped = true;
  return view;
}

}  // namespace

View Lowering::as_value(View image, size_t rank) {
  if (rank == 3) {
    image.shape.erase(image.shape.begin() + 2);
    image.axes = {0, 3, 2};
  }
  return image;
}

View Lowering::reshaped(View view, std::vector<int64_t> shape) {
  View result = view_of_dense(view.storage, shape);
  result.reshaped = true;
  return result;
}

const View& Lowering::view(const Value& value) {
  const auto found = views_.find(&value);
  if (found != views_.end()) return found->second;
  const graph::Constant* constant = value.constant();
  SKERRY_CHECK(constant != nullptr, "values are lowered in order");
  Storage storage{.name = value.name(), .type = constant->type(), .dims = constant->shape()};
  storage.before.resize(storage.dims.size());
  storage.after.resize(storage.dims.size());
  storage.is_dense = true;
  storage.place = Place::kConstant;
  const size_t before = program_.constants.bytes().size();
  storage.offset = program_.constants.add(constant->bytes());
  value_constants_ += program_.constants.bytes().size() - before;
  program_.storages.push_back(std::move(storage));
  return views_[&value] = view_of_dense(program_.storages.size() - 1, constant->shape());
}

View Lowering::new_row_major(const Value& value, const std::vector<int64_t>& shape) {
  Storage storage{.name = value.name(), .type = value.type().element, .dims = shape};
  storage.before.resize(shape.size());
  storage.after.resize(shape.size());
  program_.storages.push_back(std::move(storage));
  return view_of_dense(program_.storages.size() - 1, shape);
}

View Lowering::new_scratch(DataType type, int64_t count) {
  Storage storage{.name = "scratch", .type = type, .dims = {count}, .before = {0}, .after = {0}};
  storage.is_dense = true;
  program_.storages.push_back(std::move(storage));
  return view_of_dense(program_.storages.size() - 1, {count});
}

View Lowering::new_shared_scratch(DataType type, int64_t count) {
  constexpr int64_t kLine = tensor::kAlignment;  // elements: whole lines of the cache
  return new_scratch(type, (count + kLine - 1) / kLine * kLine * program_.max_threads);
}

std::string Lowering::scratch_of(const Program& program, const View& scratch, const Share& share) {
  const int64_t count = scratch.shape[0] / program.max_threads;
  return fmt::format("{} + {}", program.pointer(scratch, true), share.number * count);
}

View Lowering::new_image(const Value& value) {
  const std::vector<int64_t> shape = image_shape(shape_of(value));
  View view = new_row_major(value, {shape[0], shape[2], shape[3], shape[1]});
  program_.storages[view.storage].is_image = true;
  view.axes = kChannelsLast;
  view.shape = shape;
  return view;
}

// The view itself, where it has its channels last already and its storage can have the padding.
Result<View> Lowering::image_in_place(const View& given, const Padding& padding,
                                      int64_t padding_value, bool in_arena) {
  const auto no = [] { return fail(Code::kFailedPrecondition, "another layout"); };
  Storage& storage = program_.storages[given.storage];
  View view = given.shape.size() == 3 ? with_one_row(given) : given;
  if (in_arena && storage.place != Place::kArena) return no();
  const bool wants_padding =
      padding.before != std::array<int64_t, 2>{} || padding.after != std::array<int64_t, 2>{};
  if (storage.is_image && !given.reshaped && given.starts.empty() && view.axes == kChannelsLast) {
    if (wants_padding && (storage.is_dense || storage.place != Place::kArena)) return no();
    if (wants_padding && storage.has_padding() && storage.padding_value != padding_value) {
      return no();
    }
    if (wants_padding) storage.padding_value = padding_value;
    for (size_t i = 0; i < 2; ++i) {
      storage.before[i + 1] = std::max(storage.before[i + 1], padding.before[i]);
      storage.after[i + 1] = std::max(storage.after[i + 1], padding.after[i]);
    }
    return view;
  }
  if (wants_padding || storage.has_padding() || !view.starts.empty()) return no();
  // Another order is the same one where the dimensions that differ have one element.
  std::vector<size_t> order;
  for (const size_t dim : {0u, 2u, 3u, 1u}) {
    if (view.shape[dim] != 1) order.push_back(view.axes[dim]);
  }
  if (!std::ranges::is_sorted(order)) return no();
  storage.is_dense = true;
  View result = reshaped(view, {view.shape[0], view.shape[2], view.shape[3], view.shape[1]});
  result.shape = view.shape;
  result.axes = kChannelsLast;
  return result;
}

Result<View> Lowering::image(const Value& value, const Padding& padding, int64_t padding_value,
                             bool in_arena) {
  const View given = view(value);
  if (auto found = image_in_place(given, padding, padding_value, in_arena)) return found;
  const View made = new_image(value);
  const View target = as_value(made, given.shape.size());
  SKERRY_TRY(copy(given, target, value.name()));
  // Whoever wants an image later takes this one; the others see no difference.
  if (program_.storages[given.storage].place != Place::kConstant) set_view(value, target);
  return image_in_place(made, padding, padding_value, in_arena);
}

Result<View> Lowering::row_major(const Value& value) {
  const View given = view(value);
  Storage& storage = program_.storages[given.storage];
  if (program_.is_row_major(given)) {
    storage.is_dense = true;
    return reshaped(given, given.shape);
  }
  View made = new_row_major(value, given.shape);
  program_.storages[made.storage].is_dense = true;
  SKERRY_TRY(copy(given, made, value.name()));
  return made;
}

// --- Steps --------------------------------------------------------------------------------------

Step& Lowering::add_step(std::string kernel, const Region& region, std::vector<size_t> reads,
                         std::vector<size_t> writes) {
  Step step{.kernel = std::move(kernel), .reads = std::move(reads), .writes = std::move(writes)};
  for (const Node* node : region.nodes) step.nodes.push_back(node->describe());
  // What was added since the last step and is no value is this one's alone; a copy has none.
  if (!region.nodes.empty()) {
    const size_t constants = program_.constants.bytes().size();
    step.constant_bytes =
        static_cast<int64_t>(constants - counted_constants_ - std::exchange(value_constants_, 0));
    counted_constants_ = constants;
  }
  program_.steps.push_back(std::move(step));
  return program_.steps.back();
}

Way Lowering::choose(std::string layer, std::vector<Way> ways, const LayerSizes& sizes) {
  Choice choice{.layer = std::move(layer), .ways = std::move(ways), .sizes = sizes};
  if (tuned_ != nullptr) {
    const auto tuned = tuned_->find(choice.layer);
    const auto way =
        tuned == tuned_->end() ? choice.ways.end() : std::ranges::find(choice.ways, tuned->second);
    choice.is_tuned = way != choice.ways.end();
    if (choice.is_tuned) choice.chosen = static_cast<size_t>(way - choice.ways.begin());
  }
  program_.choices.push_back(std::move(choice));
  return program_.choices.back().ways[program_.choices.back().chosen];
}

Result<void> Lowering::copy(const View& from, const View& to, const std::string& why) {
  Step& step = add_step("copy", {}, {from.storage}, {to.storage});
  step.nodes.push_back("layout of '" + why + "'");
  step.is_exact = true;
  step.value_bytes = program_.bytes_seen(from) + program_.bytes_seen(to);
  step.shared_call = [&program = program_, from, to](const Share& share) {
    const MemoryOrder order(to);
    const std::string_view type = c_type(program.storage(to).type);
    return loops(
        order(to.shape),
        {{fmt::format("{}* y = {};", type, program.pointer(to, true)), "y",
          order(program.strides(to))},
         {fmt::format("const {}* x = {};", type, program.pointer(from, false)), "x",
          order(program.strides(from))}},
        [](const auto& at) { return at[0] + " = " + at[1] + ";"; }, share);
  };
  return {};
}

Result<void> Lowering::lower_inputs() {
  program_.states.resize(interface_.states.size());
  for (size_t i = 0; i < graph_.inputs().size(); ++i) {
    const Value& input = *graph_.inputs()[i];
    if (c_type(input.type().element).empty()) {
      return fail(Code::kUnsupported, fmt::format("the input '{}' is {}, which compiled models do "
                                                  "not take",
                                                  input.name(), to_string(input.type())));
    }
    View view = new_row_major(input, shape_of(input));
    Storage& storage = program_.storages[view.storage];
    storage.is_dense = true;
    if (const StatePair* state = interface_.state_of_input(i)) {
      storage.place = Place::kState;
      storage.offset = program_.state_bytes;
      const auto bytes = static_cast<size_t>(storage.size_bytes());
      program_.state_bytes +=
          (bytes + tensor::kAlignment - 1) / tensor::kAlignment * tensor::kAlignment;
      program_.states[static_cast<size_t>(state - interface_.states.data())] = view.storage;
    } else {
      storage.place = Place::kInput;
      storage.index = program_.inputs.size();
      program_.inputs.push_back(view.storage);
    }
    set_view(input, std::move(view));
  }
  return {};
}

Result<void> Lowering::lower_output(const Value& output) {
  const View from = view(output);
  Storage& storage = program_.storages[from.storage];
  bool is_read = false;
  for (const Step& step : program_.steps) is_read |= std::ranges::count(step.reads, from.storage);
  int64_t count = 1;
  for (const int64_t size : from.shape) count *= size;
  const bool whole =
      count * static_cast<int64_t>(tensor::size_of(storage.type)) == storage.size_bytes();
  if (storage.place == Place::kArena && !is_read && whole && program_.is_row_major(from)) {
    storage.place = Place::kOutput;
    storage.index = program_.outputs.size();
    program_.outputs.push_back(from.storage);
    return {};
  }
  View to = new_row_major(output, from.shape);
  Storage& made = program_.storages[to.storage];
  made.place = Place::kOutput;
  made.index = program_.outputs.size();
  program_.outputs.push_back(to.storage);
  return copy(from, to, output.name());
}

// Once nothing reads the old state any more; what one takes from another goes through the arena.
Result<void> Lowering::lower_states() {
  std::vector<View> made;
  for (const StatePair& pair : interface_.states) {
    const Value& output = *graph_.outputs()[pair.output];
    View from = view(output);
    if (program_.storages[from.storage].place == Place::kState) {
      const View kept = new_row_major(output, from.shape);
      SKERRY_TRY(copy(from, kept, output.name()));
      from = kept;
    }
    made.push_back(from);
  }
  for (size_t i = 0; i < made.size(); ++i) {
    const StatePair& pair = interface_.states[i];
    SKERRY_TRY(
        copy(made[i], view(*graph_.inputs()[pair.input]), graph_.outputs()[pair.output]->name()));
  }
  return {};
}

Result<void> Lowering::lower_outputs() {
  for (size_t i = 0; i < graph_.outputs().size(); ++i) {
    if (interface_.state_of_output(i) != nullptr) continue;
    SKERRY_TRY(lower_output(*graph_.outputs()[i]));
  }
  return lower_states();
}

Result<void> Lowering::run() {
  SKERRY_TRY(lower_inputs());
  const Regions regions = find_regions(graph_);
  for (const auto& node : graph_.nodes()) {
    const auto region = regions.find(node.get());
    if (region == regions.end()) continue;  // a part of a later one, or not needed
    for (const auto& output : region->second.nodes.back()->outputs()) {
      if (output == nullptr) continue;
      if (!graph::sizes_of(output->type())) {
        return refuse(*node, "the shape of its output '" + output->name() + "' is " +
                                 to_string(output->type()) + ", which depends on values");
      }
      if (c_type(output->type().element).empty()) {
        return refuse(*node,
                      "makes " + to_string(output->type()) + ", which compiled models do not have");
      }
    }
    const LowerFunction lower = find_lowering(region->second);
    if (lower == nullptr) {
      return refuse(*region->second.main,
                    "the compiler has neither a kernel nor plain loops for this operator");
    }
    const size_t first_step = program_.steps.size(), first_choice = program_.choices.size();
    SKERRY_TRY(lower(*this, region->second));
    for (size_t i = first_choice; i < program_.choices.size(); ++i) {
      program_.choices[i].first_step = first_step;
      program_.choices[i].end_step = program_.steps.size();
    }
  }
  return lower_outputs();
}

Result<std::unique_ptr<Program>> lower(const Graph& graph, const Interface& interface,
                                       const Target& target, const LowerOptions& options) {
  auto program = std::make_unique<Program>();
  program->target = &target;
  program->may_be_sparse = options.may_be_sparse;
  program->max_threads = options.max_threads;
  program->name = graph.name;
  SKERRY_TRY(Lowering(graph, interface, *program, options.ways).run());
  return program;
}

// --- Loops --------------------------------------------------------------------------------------

std::vector<int64_t> broadcast_strides(const Program& program, const View& view,
                                       const std::vector<int64_t>& shape) {
  std::vector<int64_t> strides(shape.size(), 0);
  const auto own = program.strides(view);
  const size_t lead = shape.size() - own.size();
  for (size_t i = 0; i < own.size(); ++i) {
    if (view.shape[i] != 1) strides[lead + i] = own[i];
  }
  return strides;
}

namespace {

// Neighbours that every operand steps through as one become one.
void collapse(std::vector<int64_t>& shape, std::vector<Operand>& operands) {
  for (size_t i = shape.size(); i-- > 0;) {
    const auto drop = [&] {
      shape.erase(shape.begin() + static_cast<int64_t>(i));
      for (Operand& each : operands)
        each.strides.erase(each.strides.begin() + static_cast<int64_t>(i));
    };
    if (shape[i] == 1) {
      drop();
      continue;
    }
    if (i + 1 >= shape.size()) continue;
    const bool joins = std::ranges::all_of(operands, [&](const Operand& each) {
      return each.strides[i] == each.strides[i + 1] * shape[i + 1];
    });
    if (!joins) continue;
    shape[i + 1] *= shape[i];
    drop();
  }
}

}  // namespace

std::string loops(std::vector<int64_t> shape, std::vector<Operand> operands,
                  const std::function<std::string(const std::vector<std::string>&)>& body,
                  const Share& share) {
  collapse(shape, operands);
  const auto range_at = [&](size_t dim) {
    // A single row is cut between lines of the cache.
    constexpr int64_t kLine = 64;
    return dim > 0 ? Range{0, shape[dim]}
                   : range_of(share, shape[0], shape.size() == 1 ? kLine : 1);
  };
  if (shape.empty() ? share.number > 0 : range_at(0).count == 0) return "";
  std::string text;
  for (const Operand& each : operands) text += "  " + each.declaration + "\n";
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i + 1 == shape.size()) text += "#pragma GCC ivdep\n";
    const auto [first, count] = range_at(i);
    text += fmt::format("  for (int i{0} = {1}; i{0} < {2}; ++i{0})\n", i, first, first + count);
  }
  std::vector<std::string> elements;
  for (const Operand& each : operands) {
    std::string at;
    for (size_t i = 0; i < shape.size(); ++i) {
      if (each.strides[i] == 0) continue;
      at += fmt::format("{}i{} * {}", at.empty() ? "" : " + ", i, each.strides[i]);
    }
    elements.push_back(fmt::format("{}[{}]", each.name, at.empty() ? "0" : at));
  }
  return text + "    { " + body(elements) + " }\n";
}

MemoryOrder::MemoryOrder(const View& view) : dims_(view.axes.size()) {
  std::iota(dims_.begin(), dims_.end(), 0);
  std::ranges::sort(dims_, std::less(), [&](size_t dim) { return view.axes[dim]; });
}

std::vector<int64_t> MemoryOrder::operator()(const std::vector<int64_t>& by_dimension) const {
  std::vector<int64_t> result;
  for (const size_t dim : dims_) result.push_back(by_dimension[dim]);
  return result;
}

std::optional<std::string> row_loops(
    std::vector<int64_t> shape, std::vector<Operand> operands,
    const std::function<std::string(const std::vector<std::string>&, int64_t count)>& body,
    const Share& share) {
  collapse(shape, operands);
  const auto follows = [](const Operand& each) { return each.strides.back() == 1; };
  if (shape.empty() || !std::ranges::all_of(operands, follows)) return {};
  const int64_t count = shape.back();
  shape.pop_back();
  for (Operand& each : operands) each.strides.pop_back();
  return loops(
      std::move(shape), std::move(operands),
      [&](const std::vector<std::string>& elements) { return body(elements, count); }, share);
}

}  // namespace skerry::compile
