// Field by field; the numbers are the positions of fields in their tables.
#include "graph/tflite/schema.h"

#include <fmt/format.h>

#include <algorithm>

namespace skerry::graph::tflite {
namespace {

constexpr uint32_t kIdentifier = 0x334c4654;    // "TFL3"
constexpr size_t kMaxListed = size_t{1} << 20;  // numbers of one list
constexpr size_t kMaxTables = size_t{1}
                              << 16;  // tensors, operators: a table may stand in a list twice
constexpr size_t kMaxName = 256;      // and a name be that of many tensors

template <class T>
std::vector<int64_t> integers(FlatBuffer& file, size_t table, unsigned field) {
  const auto list = file.vector(table, field, sizeof(T));
  std::vector<int64_t> values;
  if (list.count > kMaxListed) file.refuse();
  for (size_t i = 0; file.ok() && i < list.count; ++i) {
    values.push_back(static_cast<int64_t>(file.read<T>(list.first + i * sizeof(T))));
  }
  return values;
}

std::vector<float> floats(FlatBuffer& file, size_t table, unsigned field) {
  const auto list = file.vector(table, field, 4);
  std::vector<float> values;
  if (list.count > kMaxListed) file.refuse();
  for (size_t i = 0; file.ok() && i < list.count; ++i) {
    values.push_back(file.read<float>(list.first + i * 4));
  }
  return values;
}

// Calls on_table for each table of a vector of them.
template <class F>
void for_each_table(FlatBuffer& file, size_t table, unsigned field, F&& on_table) {
  const auto list = file.vector(table, field, 4);
  if (list.count > kMaxTables) file.refuse();
  for (size_t i = 0; file.ok() && i < list.count; ++i) {
    on_table(file.follow(list.first + 4 * i));
  }
}

// Of one of the three widths that the union of index vectors has.
std::vector<int64_t> index_vector(FlatBuffer& file, size_t table, unsigned type_field) {
  const auto at = file.field(table, type_field + 1);
  if (!at) return {};
  const size_t vector = file.follow(*at);
  switch (file.scalar<uint8_t>(table, type_field)) {
    case 1:
      return integers<int32_t>(file, vector, 0);
    case 2:
      return integers<uint16_t>(file, vector, 0);
    case 3:
      return integers<uint8_t>(file, vector, 0);
    default:
      file.refuse();
      return {};
  }
}

Sparsity sparsity_of(FlatBuffer& file, size_t table) {
  Sparsity sparsity{.order = integers<int32_t>(file, table, 0),
                    .block_map = integers<int32_t>(file, table, 1)};
  for_each_table(file, table, 2, [&](size_t dimension) {
    Sparsity::Dimension made;
    made.is_dense = file.scalar<int8_t>(dimension, 0) == 0;
    made.size = file.scalar<int32_t>(dimension, 1);
    made.segments = index_vector(file, dimension, 2);
    made.indices = index_vector(file, dimension, 4);
    sparsity.dimensions.push_back(std::move(made));
  });
  return sparsity;
}

TensorTable tensor_of(FlatBuffer& file, size_t table) {
  TensorTable tensor{.name = file.string(table, 3).substr(0, kMaxName),
                     .type = file.scalar<int8_t>(table, 1),
                     .shape = integers<int32_t>(file, table, 0),
                     .signature = integers<int32_t>(file, table, 7),
                     .buffer = file.scalar<uint32_t>(table, 2),
                     .is_variable = file.scalar<uint8_t>(table, 5) != 0};
  if (const auto at = file.field(table, 4)) {
    const size_t quantisation = file.follow(*at);
    tensor.scales = floats(file, quantisation, 2);
    tensor.zero_points = integers<int64_t>(file, quantisation, 3);
    tensor.axis = file.scalar<int32_t>(quantisation, 6);
  }
  if (const auto at = file.field(table, 6)) tensor.sparsity = sparsity_of(file, file.follow(*at));
  return tensor;
}

std::vector<int32_t> indices(FlatBuffer& file, size_t table, unsigned field, size_t count) {
  std::vector<int32_t> list;
  for (const int64_t index : integers<int32_t>(file, table, field)) {
    if (index < -1 || index >= static_cast<int64_t>(count)) file.refuse();
    list.push_back(static_cast<int32_t>(index));
  }
  return list;
}

SubgraphTable subgraph_of(FlatBuffer& file, size_t table) {
  SubgraphTable graph{.name = file.string(table, 4).substr(0, kMaxName)};
  for_each_table(file, table, 0,
                 [&](size_t tensor) { graph.tensors.push_back(tensor_of(file, tensor)); });
  const size_t count = graph.tensors.size();
  graph.inputs = indices(file, table, 1, count);
  graph.outputs = indices(file, table, 2, count);
  for_each_table(file, table, 3, [&](size_t node) {
    OperatorTable made{.code = file.scalar<uint32_t>(node, 0),
                       .inputs = indices(file, node, 1, count),
                       .outputs = indices(file, node, 2, count),
                       .intermediates = indices(file, node, 8, count)};
    if (const auto at = file.field(node, 4)) made.options = file.follow(*at);
    graph.operators.push_back(std::move(made));
  });
  return graph;
}

// Of the operators' codes, from 0 on.
constexpr std::string_view kOperatorNames =
    "ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE "
    "EMBEDDING_LOOKUP FLOOR FULLY_CONNECTED HASHTABLE_LOOKUP L2_NORMALIZATION L2_POOL_2D "
    "LOCAL_RESPONSE_NORMALIZATION LOGISTIC LSH_PROJECTION LSTM MAX_POOL_2D MUL RELU "
    "RELU_N1_TO_1 RELU6 RESHAPE RESIZE_BILINEAR RNN SOFTMAX SPACE_TO_DEPTH SVDF TANH "
    "CONCAT_EMBEDDINGS SKIP_GRAM CALL CUSTOM EMBEDDING_LOOKUP_SPARSE PAD "
    "UNIDIRECTIONAL_SEQUENCE_RNN GATHER BATCH_TO_SPACE_ND SPACE_TO_BATCH_ND TRANSPOSE MEAN SUB "
    "DIV SQUEEZE UNIDIRECTIONAL_SEQUENCE_LSTM STRIDED_SLICE BIDIRECTIONAL_SEQUENCE_RNN EXP "
    "TOPK_V2 SPLIT LOG_SOFTMAX DELEGATE BIDIRECTIONAL_SEQUENCE_LSTM CAST PRELU MAXIMUM ARG_MAX "
    "MINIMUM LESS NEG PADV2 GREATER GREATER_EQUAL LESS_EQUAL SELECT SLICE SIN TRANSPOSE_CONV "
    "SPARSE_TO_DENSE TILE EXPAND_DIMS EQUAL NOT_EQUAL LOG SUM SQRT RSQRT SHAPE POW ARG_MIN "
    "FAKE_QUANT REDUCE_PROD REDUCE_MAX PACK LOGICAL_OR ONE_HOT LOGICAL_AND LOGICAL_NOT UNPACK "
    "REDUCE_MIN FLOOR_DIV REDUCE_ANY SQUARE ZEROS_LIKE FILL FLOOR_MOD RANGE "
    "RESIZE_NEAREST_NEIGHBOR LEAKY_RELU SQUARED_DIFFERENCE MIRROR_PAD ABS SPLIT_V UNIQUE CEIL "
    "REVERSE_V2 ADD_N GATHER_ND COS WHERE RANK ELU REVERSE_SEQUENCE MATRIX_DIAG QUANTIZE "
    "MATRIX_SET_DIAG ROUND HARD_SWISH IF WHILE NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5 "
    "SCATTER_ND SELECT_V2 DENSIFY SEGMENT_SUM BATCH_MATMUL PLACEHOLDER CUMSUM CALL_ONCE "
    "BROADCAST_TO RFFT2D CONV_3D IMAG REAL COMPLEX_ABS HASHTABLE HASHTABLE_FIND "
    "HASHTABLE_IMPORT HASHTABLE_SIZE REDUCE_ALL CONV_3D_TRANSPOSE VAR_HANDLE READ_VARIABLE "
    "ASSIGN_VARIABLE";

}  // namespace

std::string operator_name(const OperatorCode& code) {
  if (code.code == 32) return fmt::format("CUSTOM {}", code.custom);
  std::string_view rest = kOperatorNames;
  for (int32_t i = 0; i < code.code && !rest.empty(); ++i) {
    rest.remove_prefix(std::min(rest.find(' '), rest.size() - 1) + 1);
  }
  if (code.code < 0 || rest.empty()) return fmt::format("operator {}", code.code);
  return std::string(rest.substr(0, rest.find(' ')));
}

Result<ModelTable> parse_model(FlatBuffer& file) {
  const size_t model = file.follow(0);
  if (file.size() < 8 || file.read<uint32_t>(4) != kIdentifier ||
      file.scalar<uint32_t>(model, 0) != 3) {
    return fail(Code::kCorrupt, "the file is damaged or no TensorFlow Lite model of version 3");
  }
  if (file.field(model, 8) || file.field(model, 9)) {
    return fail(Code::kUnsupported,
                "tensors have their data in another file; save the model with all data inside");
  }
  ModelTable made{.description = file.string(model, 3)};
  for_each_table(file, model, 1, [&](size_t table) {
    // Codes over 127 came later, in a field of their own.
    made.codes.push_back(
        {std::max<int32_t>(file.scalar<int8_t>(table, 0), file.scalar<int32_t>(table, 3)),
         file.string(table, 1)});
  });
  for_each_table(file, model, 4, [&](size_t table) {
    const auto offset = file.scalar<uint64_t>(table, 1);
    const auto size = file.scalar<uint64_t>(table, 2);
    const auto inside = file.vector(table, 0, 1);
    // Behind the FlatBuffer, in models over 2 GiB; 0 and 1 mean that it is inside.
    if (offset > 1 && (offset > file.size() || size > file.size() - offset)) file.refuse();
    made.buffers.push_back(!file.ok()   ? std::string_view()
                           : offset > 1 ? file.bytes(offset, size)
                                        : file.bytes(inside.first, inside.count));
  });
  for_each_table(file, model, 2, [&](size_t table) {
    made.subgraphs.push_back(subgraph_of(file, table));
    for (const TensorTable& tensor : made.subgraphs.back().tensors) {
      if (tensor.buffer >= made.buffers.size()) file.refuse();
    }
    for (const OperatorTable& node : made.subgraphs.back().operators) {
      if (node.code >= made.codes.size()) file.refuse();
    }
  });
  if (!file.ok() || made.subgraphs.empty()) {
    return fail(Code::kCorrupt, "the file is damaged: what it refers to is not in it");
  }
  return made;
}

Result<DataType> data_type_of(int32_t type) {
  constexpr std::pair<int32_t, DataType> kTypes[] = {
      {0, DataType::kFp32},    {1, DataType::kFp16},    {2, DataType::kInt32},
      {3, DataType::kUint8},   {4, DataType::kInt64},   {6, DataType::kBool},
      {7, DataType::kInt16},   {9, DataType::kInt8},    {10, DataType::kFp64},
      {12, DataType::kUint64}, {15, DataType::kUint32}, {16, DataType::kUint16},
      {17, DataType::kInt4},   {18, DataType::kBf16},   {20, DataType::kUint4},
  };
  for (const auto& [number, made] : kTypes) {
    if (number == type) return made;
  }
  return fail(
      Code::kUnsupported,
      fmt::format("element type {} of TensorFlow Lite (strings, complex numbers, resources) "
                  "is not supported",
                  type));
}

}  // namespace skerry::graph::tflite
