// What moves elements and computes nothing: mostly another view of the same memory.
#include <fmt/format.h>

#include <algorithm>

#include "compile/lowering.h"
#include "graph/evaluation.h"

namespace skerry::compile {

Result<void> lower_reshape(Lowering& lowering, const Region& region) {
  const Node& node = *region.main;
  if (node.output(1) != nullptr) return refuse(node, "its second output has no code");
  const auto shape = shape_of(*region.output);
  if (shape == shape_of(*node.input(0))) {
    lowering.set_view(*region.output, lowering.view(*node.input(0)));
    return {};
  }
  SKERRY_ASSIGN(const View x, lowering.row_major(*node.input(0)));
  lowering.set_view(*region.output, Lowering::reshaped(x, shape));
  return {};
}

Result<void> lower_transpose(Lowering& lowering, const Region& region) {
  const View x = lowering.view(*region.main->input(0));
  std::vector<int64_t> order = region.main->ints_of("perm");
  if (order.empty()) {
    for (size_t i = x.shape.size(); i-- > 0;) order.push_back(static_cast<int64_t>(i));
  }
  View y = x;
  for (size_t i = 0; i < order.size(); ++i) {
    y.shape[i] = x.shape[static_cast<size_t>(order[i])];
    y.axes[i] = x.axes[static_cast<size_t>(order[i])];
  }
  lowering.set_view(*region.output, std::move(y));
  return {};
}

namespace {

// A part of a view: `sizes` elements from `starts` along each dimension.
View part_of(const View& view, const std::vector<int64_t>& starts,
             const std::vector<int64_t>& sizes) {
  View part = view;
  part.shape = sizes;
  if (part.starts.empty()) part.starts.resize(part.dims.size(), 0);
  for (size_t i = 0; i < sizes.size(); ++i) part.starts[part.axes[i]] += starts[i];
  return part;
}

}  // namespace

Result<void> lower_concat(Lowering& lowering, const Region& region) {
  const Node& node = *region.main;
  const auto shape = shape_of(*region.output);
  const int64_t given = node.int_of("axis");
  const auto axis =
      static_cast<size_t>(given < 0 ? given + static_cast<int64_t>(shape.size()) : given);
  const View first = lowering.view(*node.input(0));
  const Storage& storage = lowering.program().storage(first);
  const bool image = storage.is_image && !first.reshaped && first.starts.empty();
  const View y = image ? Lowering::as_value(lowering.new_image(*region.output), shape.size())
                       : lowering.new_row_major(*region.output, shape);
  std::vector<int64_t> starts(shape.size(), 0);
  for (const Value* input : node.inputs()) {
    const View x = lowering.view(*input);
    SKERRY_TRY(lowering.copy(x, part_of(y, starts, x.shape), input->name()));
    starts[axis] += x.shape[axis];
  }
  lowering.set_view(*region.output, y);
  return {};
}

Result<void> lower_slice(Lowering& lowering, const Region& region) {
  const Node& node = *region.main;
  const View x = lowering.view(*node.input(0));
  const auto rank = static_cast<int64_t>(x.shape.size());
  std::vector<std::vector<int64_t>> given;
  for (size_t i = 1; i < 5; ++i) {
    const graph::Constant* constant = Lowering::constant(node.input(i));
    if (node.input(i) != nullptr && constant == nullptr)
      return refuse(node, "its limits are no constants");
    given.push_back(constant == nullptr ? std::vector<int64_t>() : *graph::ints_of(*constant));
  }
  std::vector<int64_t> starts(x.shape.size(), 0);
  for (size_t i = 0; i < given[0].size(); ++i) {
    const int64_t axis = given[2].empty() ? static_cast<int64_t>(i) : given[2][i];
    const auto at = static_cast<size_t>(axis < 0 ? axis + rank : axis);
    if (!given[3].empty() && given[3][i] != 1)
      return refuse(node, "steps other than 1 have no code");
    const int64_t from = given[0][i] < 0 ? given[0][i] + x.shape[at] : given[0][i];
    starts[at] = std::clamp<int64_t>(from, 0, x.shape[at]);
  }
  lowering.set_view(*region.output, part_of(x, starts, shape_of(*region.output)));
  return {};
}

Result<void> lower_pad(Lowering& lowering, const Region& region) {
  const Node& node = *region.main;
  const graph::Constant* pads = Lowering::constant(node.input(1));
  const graph::Constant* value = Lowering::constant(node.input(2));
  if (node.string_of("mode") != "constant" || pads == nullptr || node.input(3) != nullptr ||
      (node.input(2) != nullptr && value == nullptr)) {
    return refuse(node, "there is code for constant padding along all axes only");
  }
  const View x = lowering.view(*node.input(0));
  const auto counts = *graph::ints_of(*pads);
  const std::vector<int64_t> starts(counts.begin(),
                                    counts.begin() + static_cast<int64_t>(x.shape.size()));
  if (std::ranges::any_of(counts, [](int64_t n) { return n < 0; })) {
    return refuse(node, "negative padding has no code");
  }
  Program& program = lowering.program();
  const auto shape = shape_of(*region.output);
  const View y = lowering.new_row_major(*region.output, shape);
  const double number = value == nullptr ? 0 : graph::Array::from(value->view()).to_doubles()[0];
  const std::string_view type = c_type(program.storage(y).type);
  const std::string fill = type == "float" ? literal(static_cast<float>(number))
                                           : fmt::format("{}", static_cast<int64_t>(number));
  Step& step = lowering.add_step("loop", region, {}, {y.storage});
  step.call = [&program, y, shape, type, fill] {
    return loops(
        shape,
        {{fmt::format("{}* y = {};", type, program.pointer(y, true)), "y", program.strides(y)}},
        [&](const auto& at) { return fmt::format("{} = {};", at[0], fill); });
  };
  SKERRY_TRY(lowering.copy(x, part_of(y, starts, x.shape), region.output->name()));
  lowering.set_view(*region.output, y);
  return {};
}

// The one step that can fail: an index may be out of range.
Result<void> lower_gather(Lowering& lowering, const Region& region) {
  const Node& node = *region.main;
  const View x = lowering.view(*node.input(0));
  const View at = lowering.view(*node.input(1));
  Program& program = lowering.program();
  const DataType index_type = program.storage(at).type;
  if (index_type != DataType::kInt64 && index_type != DataType::kInt32) {
    return refuse(node, "its indices are neither INT32 nor INT64");
  }
  const int64_t given = node.int_of("axis");
  const auto rank = static_cast<int64_t>(x.shape.size());
  const auto axis = static_cast<size_t>(given < 0 ? given + rank : given);
  const auto shape = shape_of(*region.output);
  const View y = lowering.new_row_major(*region.output, shape);
  lowering.set_view(*region.output, y);
  Step& step = lowering.add_step("loop", region, {x.storage, at.storage}, {y.storage});
  step.may_fail = true;
  step.value_bytes = 2 * program.bytes_seen(y) + program.bytes_seen(at);
  step.call = [&program, x, at, y, axis, shape] {
    const auto own = program.strides(x);
    const auto of_index = program.strides(at);
    std::vector<int64_t> from(shape.size(), 0), index(shape.size(), 0);
    for (size_t i = 0; i < axis; ++i) from[i] = own[i];
    for (size_t i = 0; i < of_index.size(); ++i) index[axis + i] = of_index[i];
    for (size_t i = axis + 1; i < own.size(); ++i) from[i + of_index.size() - 1] = own[i];
    const std::string_view type = c_type(program.storage(y).type);
    return loops(
        shape,
        {{fmt::format("{}* y = {};", type, program.pointer(y, true)), "y", program.strides(y)},
         {fmt::format("const {}* x = {};", type, program.pointer(x, false)), "x", from},
         {fmt::format("const {}* index = {};", c_type(program.storage(at).type),
                      program.pointer(at, false)),
          "index", index}},
        [&](const auto& element) {
          return fmt::format(
              "int64_t at = {2}; if (at < 0) at += {3}; "
              "if (at < 0 || at >= {3}) return SKERRY_COMPILED_BAD_INDEX; "
              "{0} = (&{1})[at * {4}];",
              element[0], element[1], element[2], x.shape[axis], own[axis]);
        });
  };
  return {};
}

}  // namespace skerry::compile
