// See lowering.h.
#include "graph/tflite/lowering.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "graph/ops/quantisation.h"
#include "graph/tflite/constants.h"
#include "graph/verify.h"

namespace skerry::graph::tflite {
namespace {

constexpr size_t kMaxRank = 8;
// Weights are copied where they are sparse or have to be in another order; many operators may read
// the same ones.
constexpr uint64_t kMadeForByte = 32;
constexpr uint64_t kMadeAlways = uint64_t{16} << 20;
// A recurrent layer is some nodes for each step, a kilobyte each: an operator of a small file could
// ask for any number of them.
constexpr uint64_t kNodesAlways = uint64_t{1} << 17;
constexpr uint64_t kBytesForNode = 16;

}  // namespace

bool is_quantised(const TensorTable& tensor) {
  return !tensor.scales.empty() && tensor.type != 0 && tensor.type != 1 && tensor.type != 10;
}

bool same_scale(const TensorTable& a, const TensorTable& b) {
  return a.scales == b.scales && a.zero_points == b.zero_points;
}

const Row* row_of(int32_t code) {
  for (const auto& rows :
       {layer_rows(), element_rows(), movement_rows(), recurrent_rows(), state_rows()}) {
    for (const Row& row : rows) {
      if (row.code == code) return &row;
    }
  }
  return nullptr;
}

// --- The operator at hand -----------------------------------------------------------------------

int32_t Lowering::code() const {
  return model_.codes[node_->code].code;
}

const TensorTable& Lowering::in_table(size_t i) const {
  return subgraph_->tensors[static_cast<size_t>(node_->inputs[i])];
}

const TensorTable& Lowering::out_table(size_t i) const {
  return subgraph_->tensors[static_cast<size_t>(node_->outputs[i])];
}

const TensorTable* Lowering::intermediate(size_t i) const {
  if (i >= node_->intermediates.size() || node_->intermediates[i] < 0) return nullptr;
  const TensorTable& tensor = subgraph_->tensors[static_cast<size_t>(node_->intermediates[i])];
  return is_quantised(tensor) ? &tensor : nullptr;
}

int64_t Lowering::option(unsigned index, int64_t otherwise) {
  if (!node_->options) return otherwise;
  return file_.scalar<int32_t>(*node_->options, index, static_cast<int32_t>(otherwise));
}

int8_t Lowering::small_option(unsigned index, int8_t otherwise) {
  return node_->options ? file_.scalar<int8_t>(*node_->options, index, otherwise) : otherwise;
}

float Lowering::real_option(unsigned index, float otherwise) {
  return node_->options ? file_.scalar<float>(*node_->options, index, otherwise) : otherwise;
}

std::vector<int64_t> Lowering::list_option(unsigned index) {
  std::vector<int64_t> values;
  if (!node_->options) return values;
  const auto list = file_.vector(*node_->options, index, 4);
  for (size_t i = 0; file_.ok() && i < list.count && i < kMaxRank; ++i) {
    values.push_back(file_.read<int32_t>(list.first + 4 * i));
  }
  return values;
}

// --- Values -------------------------------------------------------------------------------------

std::string Lowering::text_option(unsigned index) {
  return node_->options ? std::string(file_.string(*node_->options, index)) : "";
}

Result<Type> Lowering::type_of(const TensorTable& tensor) const {
  SKERRY_ASSIGN(const DataType element, data_type_of(tensor.type));
  if (tensor.shape.size() > kMaxRank) return fail(Code::kUnsupported, "it has too many dimensions");
  Shape shape;
  for (size_t i = 0; i < tensor.shape.size(); ++i) {
    const bool open = i < tensor.signature.size() && tensor.signature[i] < 0;
    if (tensor.shape[i] < 0 && !open) {
      return fail(Code::kCorrupt, "a dimension of it is negative");
    }
    shape.push_back(!open ? Dim(tensor.shape[i]) : i == 0 ? Dim::named("batch") : Dim());
  }
  Type type{element, std::move(shape)};
  if (is_quantised(tensor)) {
    auto zeros = tensor.zero_points;
    zeros.resize(tensor.scales.size(), 0);
    type.quantisation = std::make_shared<const Quantisation>(
        Quantisation{tensor.scales, std::move(zeros), tensor.axis});
  }
  return type;
}

Result<void> Lowering::count_made(uint64_t bytes) {
  made_bytes_ += bytes;
  if (made_bytes_ <= kMadeForByte * file_.size() + kMadeAlways) return {};
  return fail(Code::kResourceExhausted, "the model's constants are too large together");
}

Result<Value*> Lowering::constant_of(int32_t index) {
  const TensorTable& tensor = subgraph_->tensors[static_cast<size_t>(index)];
  const std::string_view bytes = model_.buffers[tensor.buffer];
  if (bytes.empty()) {
    return fail(Code::kInvalidArgument,
                fmt::format("the tensor '{}' is read before anything makes it", tensor.name));
  }
  SKERRY_ASSIGN(const DataType element, data_type_of(tensor.type));
  const auto first = reinterpret_cast<const std::byte*>(bytes.data());
  auto constant = tensor.sparsity
                      ? densified(tensor, element, {first, bytes.size()},
                                  kMadeForByte * file_.size() + kMadeAlways - made_bytes_)
                      : Constant::share(element, tensor.shape, {first, bytes.size()}, owner_);
  if (!constant) {
    return fail(constant.error().with_context(fmt::format("tensor '{}'", tensor.name)));
  }
  if (tensor.sparsity) SKERRY_TRY(count_made(constant->bytes().size()));
  return &graph_->add_constant(tensor.name, std::move(*constant));
}

Result<Value*> Lowering::value_of(int32_t index) {
  const auto found = values_.find(index);
  if (found != values_.end()) return found->second;
  SKERRY_ASSIGN(Value * value, constant_of(index));
  values_[index] = value;
  return value;
}

Result<Value*> Lowering::in(size_t i) {
  if (!has(i)) return fail(Code::kInvalidArgument, fmt::format("input {} is missing", i));
  return value_of(node_->inputs[i]);
}

Result<Value*> Lowering::real(size_t i) {
  SKERRY_ASSIGN(Value * value, in(i));
  const TensorTable& tensor = in_table(i);
  if (value->type().element == DataType::kFp16) {
    return make_elementwise("Cast", {value}, {{"to", DataType::kFp32}});
  }
  if (!is_quantised(tensor)) return value;
  SKERRY_ASSIGN(Value * zero, zero_of(tensor));
  return make_elementwise("DequantizeLinear", {value, scale_of(tensor), zero},
                          {{"axis", int64_t{tensor.axis}}});
}

Result<std::vector<int64_t>> Lowering::ints(size_t i) {
  SKERRY_ASSIGN(const Value* value, in(i));
  auto values = value->constant() != nullptr ? ints_of(*value->constant()) : std::nullopt;
  if (!values || values->size() > kMaxRank * 2) {
    return refuse("input {} has to be a short list of constants", i);
  }
  return std::move(*values);
}

Value* Lowering::scalar(float value) {
  return &graph_->add_constant("scalar", Constant::of_float(value));
}

Value* Lowering::scalar_int(int64_t value) {
  return &graph_->add_constant("scalar", Constant::of_int(value));
}

Value* Lowering::list(const std::vector<int64_t>& values) {
  return &graph_->add_constant("list", Constant::of_ints(values));
}

Value* Lowering::constant(std::string name, Constant constant) {
  return &graph_->add_constant(std::move(name), std::move(constant));
}

Value* Lowering::scale_of(const TensorTable& tensor) {
  Value*& made = scales_[&tensor];
  if (made != nullptr) return made;
  std::vector<int64_t> shape;
  if (tensor.scales.size() > 1) shape.push_back(static_cast<int64_t>(tensor.scales.size()));
  made = &graph_->add_constant(fmt::format("{}/scale", tensor.name),
                               Constant::of(DataType::kFp32, std::move(shape), tensor.scales));
  return made;
}

namespace {

Result<Constant> integers_of(DataType type, std::vector<int64_t> shape,
                             const std::vector<int64_t>& values) {
  Array array{.type = type, .shape = shape};
  array.bytes.resize(values.size() * Array::element_size(type));
  for (size_t i = 0; i < values.size(); ++i) ops::store_integer(array, i, values[i]);
  return Constant::make(type, std::move(shape), std::move(array.to_tensor("").bytes));
}

}  // namespace

Result<Value*> Lowering::zero_of(const TensorTable& tensor) {
  Value*& made = zeros_[&tensor];
  if (made != nullptr) return made;
  SKERRY_ASSIGN(const DataType type, data_type_of(tensor.type));
  auto zeros = tensor.zero_points;
  zeros.resize(tensor.scales.size(), zeros.size() == 1 ? zeros[0] : 0);
  std::vector<int64_t> shape;
  if (zeros.size() > 1) shape.push_back(static_cast<int64_t>(zeros.size()));
  SKERRY_ASSIGN(Constant constant, integers_of(type, std::move(shape), zeros));
  made = &graph_->add_constant(fmt::format("{}/zero_point", tensor.name), std::move(constant));
  return made;
}

Result<Value*> Lowering::pair_value(const TensorTable& tensor, int64_t value) {
  SKERRY_ASSIGN(const DataType type, data_type_of(tensor.type));
  SKERRY_ASSIGN(Constant constant, integers_of(type, {}, {value}));
  return &graph_->add_constant(fmt::format("{}/limit", tensor.name), std::move(constant));
}

// --- Nodes --------------------------------------------------------------------------------------

Result<void> Lowering::check_and_infer(Node& node) {
  SKERRY_TRY(check_signature(node));
  return inference_.infer(node);
}

Result<std::vector<Value*>> Lowering::make_many(Op op, std::vector<Value*> inputs,
                                                Attributes attributes, size_t outputs) {
  if (graph_->nodes().size() >= kNodesAlways + file_.size() / kBytesForNode) {
    return fail(Code::kResourceExhausted, "the model becomes too many operators");
  }
  const std::string name(node_->outputs.empty() || node_->outputs[0] < 0 ? "" : out_table().name);
  Node& node = graph_->add_node(
      {.op = op,
       .inputs = std::move(inputs),
       .outputs = std::vector<std::string>(outputs, fmt::format("{}/{}", name, op.name())),
       .attributes = std::move(attributes)});
  SKERRY_TRY(check_and_infer(node));
  std::vector<Value*> made;
  for (const auto& output : node.outputs()) made.push_back(output.get());
  return made;
}

Result<Value*> Lowering::make(Op op, std::vector<Value*> inputs, Attributes attributes) {
  SKERRY_ASSIGN(const auto made, make_many(op, std::move(inputs), std::move(attributes), 1));
  return made[0];
}

Result<Value*> Lowering::make_elementwise(Op op, std::vector<Value*> inputs,
                                          Attributes attributes) {
  std::vector<Value*> twins = inputs;
  bool all = false;
  bool missing = false;
  for (Value*& input : twins) {
    if (input == nullptr || (input->constant() != nullptr && input->constant()->count() == 1)) {
      continue;
    }
    const auto twin = twins_.find(input);
    if (twin == twins_.end()) {
      missing = true;
      break;
    }
    input = twin->second;
    all = true;
  }
  if (!all || missing) return make(op, std::move(inputs), std::move(attributes));
  SKERRY_ASSIGN(Value * value, make(op, std::move(twins), std::move(attributes)));
  return channels_last(value);
}

Result<Value*> Lowering::channels_first(Value* value) {
  const auto found = twins_.find(value);
  if (found != twins_.end()) return found->second;
  SKERRY_ASSIGN(Value * twin,
                make("Transpose", {value}, {{"perm", std::vector<int64_t>{0, 3, 1, 2}}}));
  twins_[value] = twin;
  return twin;
}

Result<Value*> Lowering::channels_last(Value* value) {
  SKERRY_ASSIGN(Value * last,
                make("Transpose", {value}, {{"perm", std::vector<int64_t>{0, 2, 3, 1}}}));
  twins_[last] = value;
  return last;
}

Result<Value*> Lowering::permuted(Value* value, const std::vector<int64_t>& order) {
  if (value->constant() == nullptr) return make("Transpose", {value}, {{"perm", order}});
  const Constant& constant = *value->constant();
  if (constant.shape().size() != order.size()) {
    return refuse("its weights have {} dimensions, not {}", constant.shape().size(), order.size());
  }
  SKERRY_TRY(count_made(constant.bytes().size()));
  SKERRY_ASSIGN(Constant moved, permuted_constant(constant, order));
  return &graph_->add_constant(value->name(), std::move(moved));
}

Result<void> Lowering::set(size_t i, Value* value) {
  if (i >= node_->outputs.size() || node_->outputs[i] < 0) return {};
  if (!values_.emplace(node_->outputs[i], value).second) {
    return fail(Code::kInvalidArgument, fmt::format("'{}' is made twice", out_table(i).name));
  }
  return {};
}

Result<void> Lowering::set_real(Value* value, size_t i) {
  const TensorTable& tensor = out_table(i);
  if (!is_quantised(tensor)) return set(i, value);
  SKERRY_ASSIGN(Value * zero, zero_of(tensor));
  SKERRY_ASSIGN(Value * made, make_elementwise("QuantizeLinear", {value, scale_of(tensor), zero},
                                               {{"rounding", std::string("litert")}}));
  return set(i, made);
}

Result<Value*> Lowering::on_grid(Value* value, Value* scale, Value* zero) {
  const Attributes last = {{"axis", int64_t{-1}}};
  Attributes rounded = last;
  rounded["rounding"] = std::string("litert");
  SKERRY_ASSIGN(Value * stored, make("QuantizeLinear", {value, scale, zero}, rounded));
  return make("DequantizeLinear", {stored, scale, zero}, last);
}

namespace {

struct Limits {
  bool low = false, high = false;
  float lowest = 0, highest = 0;
};

Result<Limits> limits_of(int8_t activation) {
  switch (activation) {
    case 1:
      return Limits{.low = true};
    case 2:
      return Limits{.low = true, .high = true, .lowest = -1, .highest = 1};
    case 3:
      return Limits{.low = true, .high = true, .highest = 6};
    default:
      return fail(Code::kUnsupported,
                  fmt::format("its activation {} is not supported", activation));
  }
}

}  // namespace

Result<Value*> Lowering::activated(Value* value, int8_t activation) {
  if (activation == 0) return value;
  const TensorTable& tensor = out_table();
  const bool quantised = !tensor::is_float(value->type().element) && is_quantised(tensor);
  if (!quantised && activation == 1) return make_elementwise("Relu", {value});
  if (!quantised && activation == 4) return make_elementwise("Tanh", {value});
  SKERRY_ASSIGN(const Limits limits, limits_of(activation));
  if (!quantised) {
    return make_elementwise("Clip", {value, scalar(limits.lowest), scalar(limits.highest)});
  }
  const auto [lowest, highest] = ops::range_of(value->type().element);
  const int64_t zero = tensor.zero_points.empty() ? 0 : tensor.zero_points[0];
  const auto stored = [&](float real) {
    const double scaled = std::round(static_cast<double>(real / tensor.scales[0]));
    return ops::quantise(scaled, zero, value->type().element);
  };
  const int64_t low = limits.low ? stored(limits.lowest) : lowest;
  const int64_t high = limits.high ? stored(limits.highest) : highest;
  if (low == lowest && high == highest) return value;
  SKERRY_ASSIGN(Value * low_value, pair_value(tensor, low));
  SKERRY_ASSIGN(Value * high_value, pair_value(tensor, high));
  return make_elementwise("Clip", {value, low_value, high_value});
}

// --- The whole ----------------------------------------------------------------------------------

Result<void> Lowering::lower_all(const SubgraphTable& graph) {
  for (const OperatorTable& node : graph.operators) {
    node_ = &node;
    const Row* row = row_of(code());
    row_ = row;
    if (row == nullptr) return refuse("operator {} is not supported", code());
    if ((node.outputs.empty() && row->has_output) ||
        std::ranges::find(node.outputs, -1) != node.outputs.end()) {
      return fail(Code::kCorrupt, fmt::format("{} without an output", row->name));
    }
    auto lowered = row->lower(*this);
    if (lowered && !file_.ok())
      lowered = fail(Code::kCorrupt, "its options lie outside of the file");
    if (!lowered) {
      return fail(
          lowered.error().with_context(fmt::format("{} '{}'", row->name, out_table().name)));
    }
  }
  return {};
}

Result<void> Lowering::add_outputs(const SubgraphTable& graph) {
  if (graph.outputs.empty()) return fail(Code::kInvalidArgument, "the graph has no output");
  for (const int32_t index : graph.outputs) {
    if (index < 0) return fail(Code::kCorrupt, "an output is none");
    SKERRY_ASSIGN(Value * value, value_of(index));
    const TensorTable& tensor = graph.tensors[static_cast<size_t>(index)];
    SKERRY_ASSIGN(const Type declared, type_of(tensor));
    // The tensor's name goes from a value that is made for it to the one that it is of.
    Value* named = &graph_->add("Identity", {value}, {}, tensor.name);
    if (value->producer() != nullptr && !value->is_graph_output()) {
      graph_->swap_names(*named, *value);
      graph_->erase(*named->producer());
      named = value;
    } else {
      SKERRY_TRY(inference_.infer(*named->producer()));
    }
    Type type = named->type();
    type.quantisation = declared.quantisation;
    named->set_type(std::move(type));
    graph_->add_output(*named);
  }
  return {};
}

void Lowering::erase_unused() {
  std::vector<Node*> nodes;
  for (const auto& node : graph_->nodes()) nodes.push_back(node.get());
  for (auto node = nodes.rbegin(); node != nodes.rend(); ++node) {
    const bool used = std::ranges::any_of(
        (*node)->outputs(), [](const auto& output) { return output && !output->uses().empty(); });
    if (!used) graph_->erase(**node);
  }
  std::vector<Value*> constants;
  for (const auto& constant : graph_->constants()) constants.push_back(constant.get());
  for (Value* constant : constants) {
    if (constant->uses().empty()) graph_->erase(*constant);
  }
}

Result<std::unique_ptr<Graph>> Lowering::run() {
  graph_ = std::make_unique<Graph>();
  subgraph_ = &model_.subgraphs[0];
  graph_->name = subgraph_->name.empty() ? "main" : std::string(subgraph_->name);
  for (const int32_t index : subgraph_->inputs) {
    if (index < 0) return fail(Code::kCorrupt, "an input is none");
    const TensorTable& tensor = subgraph_->tensors[static_cast<size_t>(index)];
    auto type = type_of(tensor);
    if (!type) return fail(type.error().with_context(fmt::format("'{}'", tensor.name)));
    values_[index] = &graph_->add_input(tensor.name, std::move(*type));
  }
  SKERRY_TRY(lower_all(*subgraph_));
  SKERRY_TRY(add_outputs(*subgraph_));
  SKERRY_TRY(add_state());
  erase_unused();
  SKERRY_TRY(verify(*graph_));
  return std::move(graph_);
}

}  // namespace skerry::graph::tflite
