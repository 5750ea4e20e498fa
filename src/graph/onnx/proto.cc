// One function a message: which field goes where.
#include "graph/onnx/proto.h"

#include <fmt/format.h>

#include <array>
#include <bit>

#include "base/check.h"
#include "base/protobuf.h"

namespace skerry::graph::onnx {
namespace {

constexpr size_t kMaxSymbol = 200;  // longer names of dimensions are taken as unknown

std::unexpected<Error> damaged() {
  return fail(Code::kCorrupt, "the file is damaged or no ONNX model");
}

// Calls on_field for every field of a message.
template <class F>
Result<void> read_fields(std::string_view bytes, F&& on_field) {
  ProtobufReader reader(bytes);
  while (!reader.at_end()) {
    const auto field = reader.next();
    if (!field) return damaged();
    SKERRY_TRY(on_field(*field));
  }
  return {};
}

// Repeated numbers, packed or not. `fixed`: bytes of each; 0 for varints.
template <class Add>
Result<void> read_numbers(const ProtobufField& field, int fixed, Add&& add) {
  if (!field.is_message) {
    add(field.value);
    return {};
  }
  ProtobufReader reader(field.bytes);
  while (!reader.at_end()) {
    const auto value = fixed > 0 ? reader.fixed(fixed) : reader.varint();
    if (!value) return damaged();
    add(*value);
  }
  return {};
}

float as_float(uint64_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits));
}

// A StringStringEntryProto.
Result<void> read_entry(std::map<std::string_view, std::string_view>& entries,
                        std::string_view bytes) {
  std::string_view key;
  std::string_view value;
  SKERRY_TRY(read_fields(bytes, [&](const ProtobufField& field) -> Result<void> {
    if (field.number == 1) key = field.bytes;
    if (field.number == 2) value = field.bytes;
    return {};
  }));
  entries[key] = value;
  return {};
}

}  // namespace

Result<TensorProto> parse_tensor(std::string_view bytes) {
  TensorProto tensor;
  const auto number = [&](uint64_t value) { tensor.numbers.push_back(value); };
  SKERRY_TRY(read_fields(bytes, [&](const ProtobufField& field) -> Result<void> {
    switch (field.number) {
      case 1:
        return read_numbers(
            field, 0, [&](uint64_t value) { tensor.dims.push_back(static_cast<int64_t>(value)); });
      case 2:
        tensor.data_type = static_cast<int64_t>(field.value);
        return {};
      case 4:  // floats and (10) doubles: packed, they are what raw bytes are
      case 10:
        if (!field.is_message) return read_numbers(field, 0, number);
        tensor.raw = field.bytes;
        tensor.has_raw = true;
        return {};
      case 5:
      case 7:
      case 11:
        return read_numbers(field, 0, number);
      case 6:
        tensor.strings.push_back(field.bytes);
        return {};
      case 8:
        tensor.name = field.bytes;
        return {};
      case 9:
        tensor.raw = field.bytes;
        tensor.has_raw = true;
        return {};
      case 13:
        return read_entry(tensor.external, field.bytes);
      case 14:
        tensor.is_external = field.value == 1;
        return {};
      default:
        return {};
    }
  }));
  return tensor;
}

namespace {

Result<AttributeProto> parse_attribute(std::string_view bytes) {
  AttributeProto attribute;
  SKERRY_TRY(read_fields(bytes, [&](const ProtobufField& field) -> Result<void> {
    switch (field.number) {
      case 1:
        attribute.name = field.bytes;
        return {};
      case 2:
        attribute.f = as_float(field.value);
        return {};
      case 3:
        attribute.i = static_cast<int64_t>(field.value);
        return {};
      case 4:
        attribute.s = field.bytes;
        return {};
      case 5: {
        SKERRY_ASSIGN(attribute.t, parse_tensor(field.bytes));
        return {};
      }
      case 6:
        attribute.g = field.bytes;
        return {};
      case 7:
        return read_numbers(field, 4,
                            [&](uint64_t value) { attribute.floats.push_back(as_float(value)); });
      case 8:
        return read_numbers(field, 0, [&](uint64_t value) {
          attribute.ints.push_back(static_cast<int64_t>(value));
        });
      case 9:
        attribute.strings.push_back(field.bytes);
        return {};
      case 20:
        attribute.type = static_cast<int64_t>(field.value);
        return {};
      case 21:
        attribute.reference = field.bytes;
        return {};
      default:
        return {};
    }
  }));
  return attribute;
}

Result<NodeProto> parse_node(std::string_view bytes) {
  NodeProto node;
  SKERRY_TRY(read_fields(bytes, [&](const ProtobufField& field) -> Result<void> {
    switch (field.number) {
      case 1:
        node.inputs.push_back(field.bytes);
        return {};
      case 2:
        node.outputs.push_back(field.bytes);
        return {};
      case 3:
        node.name = field.bytes;
        return {};
      case 4:
        node.op_type = field.bytes;
        return {};
      case 5: {
        SKERRY_ASSIGN(auto attribute, parse_attribute(field.bytes));
        node.attributes.push_back(std::move(attribute));
        return {};
      }
      case 7:
        node.domain = field.bytes == "ai.onnx" ? "" : field.bytes;
        return {};
      case 8:
        node.overload = field.bytes;
        return {};
      case 9:
        return read_entry(node.properties, field.bytes);
      default:
        return {};
    }
  }));
  return node;
}

Result<Dim> parse_dim(std::string_view bytes) {
  Dim dim;
  SKERRY_TRY(read_fields(bytes, [&](const ProtobufField& field) -> Result<void> {
    const auto size = static_cast<int64_t>(field.value);
    if (field.number == 1 && !field.is_message && size >= 0) dim = Dim(size);
    const bool is_name = !field.bytes.empty() && field.bytes.size() <= kMaxSymbol;
    if (field.number == 2 && is_name) dim = Dim::named(std::string(field.bytes));
    return {};
  }));
  return dim;
}

Result<void> parse_tensor_type(ValueProto& value, std::string_view bytes) {
  return read_fields(bytes, [&](const ProtobufField& field) -> Result<void> {
    if (field.number == 1) value.element = static_cast<int64_t>(field.value);
    if (field.number != 2) return {};
    value.shape.emplace();
    return read_fields(field.bytes, [&](const ProtobufField& part) -> Result<void> {
      if (part.number != 1) return {};
      SKERRY_ASSIGN(Dim dim, parse_dim(part.bytes));
      value.shape->push_back(std::move(dim));
      return {};
    });
  });
}

Result<ValueProto> parse_value(std::string_view bytes) {
  ValueProto value;
  SKERRY_TRY(read_fields(bytes, [&](const ProtobufField& field) -> Result<void> {
    if (field.number == 1) value.name = field.bytes;
    if (field.number == 4) return read_entry(value.properties, field.bytes);
    if (field.number != 2) return {};
    return read_fields(field.bytes, [&](const ProtobufField& kind) -> Result<void> {
      constexpr std::array<std::string_view, 10> kKinds = {
          "", "tensor", "", "", "sequence", "map", "", "", "sparse tensor", "optional"};
      if (kind.number >= kKinds.size() || kKinds[kind.number].empty()) return {};
      value.kind = kKinds[kind.number];
      return kind.number == 1 ? parse_tensor_type(value, kind.bytes) : Result<void>();
    });
  }));
  return value;
}

Result<void> read_opset(std::map<std::string_view, int64_t>& opsets, std::string_view bytes) {
  std::string_view domain;
  int64_t version = 0;
  SKERRY_TRY(read_fields(bytes, [&](const ProtobufField& field) -> Result<void> {
    if (field.number == 1) domain = field.bytes == "ai.onnx" ? "" : field.bytes;
    if (field.number == 2) version = static_cast<int64_t>(field.value);
    return {};
  }));
  opsets[domain] = version;
  return {};
}

template <class T, class Parse>
Result<void> append(std::vector<T>& list, Parse parse, std::string_view bytes) {
  SKERRY_ASSIGN(T parsed, parse(bytes));
  list.push_back(std::move(parsed));
  return {};
}

Result<FunctionProto> parse_function(std::string_view bytes) {
  FunctionProto function;
  SKERRY_TRY(read_fields(bytes, [&](const ProtobufField& field) -> Result<void> {
    switch (field.number) {
      case 1:
        function.name = field.bytes;
        return {};
      case 4:
        function.inputs.push_back(field.bytes);
        return {};
      case 5:
        function.outputs.push_back(field.bytes);
        return {};
      case 7:
        return append(function.nodes, parse_node, field.bytes);
      case 9:
        return read_opset(function.opsets, field.bytes);
      case 10:
        function.domain = field.bytes == "ai.onnx" ? "" : field.bytes;
        return {};
      case 11:
        return append(function.defaults, parse_attribute, field.bytes);
      case 13:
        function.overload = field.bytes;
        return {};
      default:
        return {};
    }
  }));
  return function;
}

}  // namespace

Result<GraphProto> parse_graph(std::string_view bytes) {
  GraphProto graph;
  SKERRY_TRY(read_fields(bytes, [&](const ProtobufField& field) -> Result<void> {
    switch (field.number) {
      case 1:
        return append(graph.nodes, parse_node, field.bytes);
      case 2:
        graph.name = field.bytes;
        return {};
      case 5:
        return append(graph.initializers, parse_tensor, field.bytes);
      case 11:
        return append(graph.inputs, parse_value, field.bytes);
      case 12:
        return append(graph.outputs, parse_value, field.bytes);
      case 15:
        return fail(Code::kUnsupported, "the model has sparse initialisers; save them dense");
      default:
        return {};
    }
  }));
  return graph;
}

Result<ModelProto> parse_model(std::string_view bytes) {
  ModelProto model;
  bool has_graph = false;
  SKERRY_TRY(read_fields(bytes, [&](const ProtobufField& field) -> Result<void> {
    switch (field.number) {
      case 1:
        model.ir_version = static_cast<int64_t>(field.value);
        return {};
      case 2:
        model.producer = field.bytes;
        return {};
      case 3:
        model.producer_version = field.bytes;
        return {};
      case 7:
        model.graph = field.bytes;
        has_graph = true;
        return {};
      case 8:
        return read_opset(model.opsets, field.bytes);
      case 25:
        return append(model.functions, parse_function, field.bytes);
      default:
        return {};
    }
  }));
  if (!has_graph)
    return fail(Code::kCorrupt, "the file is damaged or no ONNX model: it has no graph");
  return model;
}

namespace {

struct ElementType {
  int64_t number;
  DataType type;
};

constexpr ElementType kElementTypes[] = {
    {1, DataType::kFp32},    {2, DataType::kUint8}, {3, DataType::kInt8},   {4, DataType::kUint16},
    {5, DataType::kInt16},   {6, DataType::kInt32}, {7, DataType::kInt64},  {8, DataType::kBytes},
    {9, DataType::kBool},    {10, DataType::kFp16}, {11, DataType::kFp64},  {12, DataType::kUint32},
    {13, DataType::kUint64}, {16, DataType::kBf16}, {21, DataType::kUint4}, {22, DataType::kInt4},
};

}  // namespace

Result<DataType> data_type_of(int64_t number) {
  for (const ElementType& row : kElementTypes) {
    if (row.number == number) return row.type;
  }
  return fail(Code::kUnsupported,
              fmt::format("element type {} of ONNX (complex numbers, 8-bit floats) is not "
                          "supported",
                          number));
}

int64_t number_of(DataType type) {
  for (const ElementType& row : kElementTypes) {
    if (row.type == type) return row.number;
  }
  check_failed("number_of", "an element type without a number in ONNX", __FILE__, __LINE__);
}

}  // namespace skerry::graph::onnx
