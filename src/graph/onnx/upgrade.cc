// One row for each change between versions; those of one operator in order.
#include "graph/onnx/upgrade.h"

#include <array>

namespace skerry::graph::onnx {

void Pending::set_input(size_t i, Value* value) {
  if (spec.inputs.size() <= i) spec.inputs.resize(i + 1, nullptr);
  spec.inputs[i] = value;
}

Value* Pending::constant(Constant value) {
  return &graph->add_constant(spec.name + "/constant", std::move(value));
}

std::optional<Attribute> Pending::take(std::string_view name) {
  const auto found = spec.attributes.find(name);
  if (found == spec.attributes.end()) return {};
  Attribute value = std::move(found->second);
  spec.attributes.erase(found);
  return value;
}

std::optional<std::vector<int64_t>> Pending::take_ints(std::string_view name) {
  const auto value = take(name);
  if (!value || !std::holds_alternative<std::vector<int64_t>>(*value)) return {};
  return std::get<std::vector<int64_t>>(*value);
}

namespace {

// An attribute that became an input.
template <size_t Input>
Result<void> ints_to_input(Pending& node, std::string_view name) {
  if (const auto values = node.take_ints(name)) {
    node.set_input(Input, node.constant(Constant::of_ints(*values)));
  }
  return {};
}

Result<void> axes_to_input(Pending& node) {
  return ints_to_input<1>(node, "axes");
}

Result<void> split_to_input(Pending& node) {
  return ints_to_input<1>(node, "split");
}

// A number of the type of input 0.
Value* number_like(Pending& node, float value) {
  if (node.input(0) == nullptr) return node.constant(Constant::of_float(value));
  switch (node.input(0)->type().element) {
    case DataType::kFp64:
      return node.constant(
          Constant::of(DataType::kFp64, {}, std::vector<double>{static_cast<double>(value)}));
    case DataType::kFp16:
      return node.constant(
          Constant::of(DataType::kFp16, {}, std::vector<uint16_t>{tensor::half_bits(value)}));
    default:
      return node.constant(Constant::of_float(value));
  }
}

Result<void> clip_limits(Pending& node) {
  const auto lowest = node.take("min");
  const auto highest = node.take("max");
  if (lowest && std::holds_alternative<float>(*lowest)) {
    node.set_input(1, number_like(node, std::get<float>(*lowest)));
  }
  if (highest && std::holds_alternative<float>(*highest)) {
    node.set_input(2, number_like(node, std::get<float>(*highest)));
  }
  return {};
}

Result<void> dropout_ratio(Pending& node) {
  const auto ratio = node.take("ratio");
  if (ratio && std::holds_alternative<float>(*ratio)) {
    node.set_input(1, number_like(node, std::get<float>(*ratio)));
  }
  return {};
}

Result<void> slice_inputs(Pending& node) {
  SKERRY_TRY(ints_to_input<1>(node, "starts"));
  SKERRY_TRY(ints_to_input<2>(node, "ends"));
  return ints_to_input<3>(node, "axes");
}

Result<void> pad_inputs(Pending& node) {
  SKERRY_TRY(ints_to_input<1>(node, "pads"));
  const auto value = node.take("value");
  if (value && std::holds_alternative<float>(*value)) {
    node.set_input(2, number_like(node, std::get<float>(*value)));
  }
  return {};
}

Result<void> top_k_input(Pending& node) {
  const auto k = node.take("k");
  if (k && std::holds_alternative<int64_t>(*k)) {
    node.set_input(1, node.constant(Constant::of_ints({std::get<int64_t>(*k)})));
  }
  return {};
}

// Softmax over all dimensions from `axis` on: as a matrix, then back.
Result<void> softmax_as_matrix(Pending& node) {
  const auto axis = node.take("axis");
  const int64_t from =
      axis && std::holds_alternative<int64_t>(*axis) ? std::get<int64_t>(*axis) : 1;
  Value* input = node.input(0);
  if (input == nullptr) return {};
  const auto& shape = input->type().shape;
  const auto rank = shape ? static_cast<int64_t>(shape->size()) : -1;
  if (rank >= 0 && (from == rank - 1 || from == -1)) {
    node.spec.attributes["axis"] = int64_t{-1};
    return {};
  }
  SKERRY_ASSIGN(Value * original, node.make("Shape", {input}, {}));
  SKERRY_ASSIGN(Value * matrix, node.make("Flatten", {input}, {{"axis", from}}));
  const Op op = *Op::find(node.op_type);
  SKERRY_ASSIGN(Value * result, node.make(op, {matrix}, {{"axis", int64_t{-1}}}));
  node.op_type = "Reshape";
  node.spec.inputs = {result, original};
  return {};
}

Result<void> upsample(Pending& node) {
  node.op_type = "Resize";
  Value* scales = node.input(1);
  const auto values = node.take("scales");
  if (values && std::holds_alternative<std::vector<float>>(*values)) {
    const auto& list = std::get<std::vector<float>>(*values);
    scales =
        node.constant(Constant::of(DataType::kFp32, {static_cast<int64_t>(list.size())}, list));
  }
  node.spec.inputs = {node.input(0), nullptr, scales};
  node.spec.attributes["coordinate_transformation_mode"] = std::string("asymmetric");
  node.spec.attributes["nearest_mode"] = std::string("floor");
  return {};
}

Result<void> resize_10(Pending& node) {
  node.spec.inputs = {node.input(0), nullptr, node.input(1)};
  node.spec.attributes["coordinate_transformation_mode"] = std::string("asymmetric");
  node.spec.attributes["nearest_mode"] = std::string("floor");
  return {};
}

Result<void> rename_scatter(Pending& node) {
  node.op_type = "ScatterElements";
  return {};
}

// `spatial` 0 (statistics for each element) has no counterpart; momentum of training does not
// matter in inference.
Result<void> batch_norm(Pending& node) {
  const auto spatial = node.take("spatial");
  node.take("is_test");
  if (spatial && *spatial != Attribute(int64_t{1})) {
    return fail(Code::kUnsupported, "statistics for each element (spatial = 0)");
  }
  if (node.spec.outputs.size() > 1) return fail(Code::kUnsupported, "training mode");
  return {};
}

// Before opset 7 the second input had to ask for being broadcast, from the last axis or from
// `axis`.
Result<void> old_broadcast(Pending& node) {
  node.take("broadcast");
  const auto axis = node.take("axis");
  Value* a = node.input(0);
  Value* b = node.input(1);
  const bool slope = node.op_type == "PRelu";
  if ((!axis && !slope) || a == nullptr || b == nullptr) return {};
  if (!a->type().shape || !b->type().shape) return fail(Code::kUnsupported, "an open rank");
  const auto rank = static_cast<int64_t>(a->type().rank());
  const auto own = static_cast<int64_t>(b->type().rank());
  if (slope && (own != 1 || count_of(b->type()) == 1)) return {};
  int64_t at = 1;
  if (!slope && std::holds_alternative<int64_t>(*axis)) at = std::get<int64_t>(*axis);
  std::vector<int64_t> behind;
  for (int64_t i = own; i < rank - (at < 0 ? at + rank : at) && behind.size() < 64; ++i) {
    behind.push_back(i);
  }
  if (behind.empty() || behind.size() > a->type().rank()) return {};
  Value* axes = node.constant(Constant::of_ints(behind));
  SKERRY_ASSIGN(Value * wide, node.make("Unsqueeze", {b, axes}, {}));
  node.set_input(1, wide);
  return {};
}

Result<void> no_batches(Pending&) {
  return fail(Code::kUnsupported, "the form before opset 9, over batches of sequences");
}

Result<void> grid_sample_modes(Pending& node) {
  const auto mode = node.spec.attributes.find("mode");
  if (mode == node.spec.attributes.end()) return {};
  if (mode->second == Attribute(std::string("bilinear"))) mode->second = std::string("linear");
  if (mode->second == Attribute(std::string("bicubic"))) mode->second = std::string("cubic");
  return {};
}

Result<void> dft_axis(Pending& node) {
  const auto axis = node.take("axis");
  const int64_t value =
      axis && std::holds_alternative<int64_t>(*axis) ? std::get<int64_t>(*axis) : 1;
  node.set_input(2, node.constant(Constant::of_int(value)));
  return {};
}

Result<void> roi_align_mode(Pending& node) {
  node.spec.attributes.try_emplace("coordinate_transformation_mode",
                                   std::string("output_half_pixel"));
  return {};
}

// Scale and bias had one number a group.
Result<void> group_norm(Pending& node) {
  const auto groups = node.spec.attributes.find("num_groups");
  const auto count = node.input(1) != nullptr ? count_of(node.input(1)->type()) : std::nullopt;
  const auto& shape = node.input(0) != nullptr ? node.input(0)->type().shape : std::nullopt;
  if (groups == node.spec.attributes.end() || !count || !shape || shape->size() < 2 ||
      !(*shape)[1].is_fixed() || *count == 0) {
    return fail(Code::kUnsupported, "the form before opset 21 with an open number of channels");
  }
  const int64_t repeat = (*shape)[1].size() / *count;
  for (const size_t i : {1u, 2u}) {
    Value* rows = node.constant(Constant::of_ints({-1, 1}));
    SKERRY_ASSIGN(Value * column, node.make("Reshape", {node.input(i), rows}, {}));
    Value* times = node.constant(Constant::of_ints({1, repeat}));
    SKERRY_ASSIGN(Value * repeated, node.make("Tile", {column, times}, {}));
    Value* flat = node.constant(Constant::of_ints({-1}));
    SKERRY_ASSIGN(Value * channels, node.make("Reshape", {repeated, flat}, {}));
    node.set_input(i, channels);
  }
  return {};
}

struct Row {
  std::string_view op;
  int64_t before;  // versions below this one
  Result<void> (*change)(Pending&);
};

constexpr Row kRows[] = {
    {"Add", 7, old_broadcast},
    {"And", 7, old_broadcast},
    {"Div", 7, old_broadcast},
    {"Equal", 7, old_broadcast},
    {"Gemm", 7, old_broadcast},
    {"Greater", 7, old_broadcast},
    {"Less", 7, old_broadcast},
    {"Mul", 7, old_broadcast},
    {"Or", 7, old_broadcast},
    {"PRelu", 7, old_broadcast},
    {"Pow", 7, old_broadcast},
    {"Sub", 7, old_broadcast},
    {"Xor", 7, old_broadcast},
    {"BatchNormalization", 14, batch_norm},
    {"Clip", 11, clip_limits},
    {"DFT", 20, dft_axis},
    {"Dropout", 12, dropout_ratio},
    {"GridSample", 20, grid_sample_modes},
    {"GroupNormalization", 21, group_norm},
    {"Hardmax", 13, softmax_as_matrix},
    {"LogSoftmax", 13, softmax_as_matrix},
    {"Pad", 11, pad_inputs},
    {"ReduceL1", 18, axes_to_input},
    {"ReduceL2", 18, axes_to_input},
    {"ReduceLogSum", 18, axes_to_input},
    {"ReduceLogSumExp", 18, axes_to_input},
    {"ReduceMax", 18, axes_to_input},
    {"ReduceMean", 18, axes_to_input},
    {"ReduceMin", 18, axes_to_input},
    {"ReduceProd", 18, axes_to_input},
    {"ReduceSum", 13, axes_to_input},
    {"ReduceSumSquare", 18, axes_to_input},
    {"Resize", 11, resize_10},
    {"RoiAlign", 16, roi_align_mode},
    {"Scan", 9, no_batches},
    {"Scatter", 24, rename_scatter},
    {"Slice", 10, slice_inputs},
    {"Softmax", 13, softmax_as_matrix},
    {"Split", 13, split_to_input},
    {"Squeeze", 13, axes_to_input},
    {"TopK", 10, top_k_input},
    {"Unsqueeze", 13, axes_to_input},
    {"Upsample", 24, upsample},
};

}  // namespace

Result<void> upgrade(Pending& node) {
  for (const Row& row : kRows) {
    if (row.op == node.op_type && node.version < row.before) return row.change(node);
  }
  return {};
}

}  // namespace skerry::graph::onnx
