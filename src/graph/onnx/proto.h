// The messages of ONNX files (onnx.proto) as far as they are read: views into the file's bytes.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "graph/constant.h"

namespace skerry::graph::onnx {

struct TensorProto {
  std::string_view name;
  std::vector<int64_t> dims;
  int64_t data_type = 0;
  std::string_view raw;
  bool has_raw = false;
  std::vector<uint64_t> numbers;  // of the typed fields: varints, or floats as their bits
  std::vector<std::string_view> strings;
  bool is_external = false;
  std::map<std::string_view, std::string_view> external;
};

struct AttributeProto {
  std::string_view name;
  std::string_view reference;  // of a function's parameter
  int64_t type = 0;
  float f = 0;
  int64_t i = 0;
  std::string_view s;
  std::optional<TensorProto> t;
  std::string_view g;  // a GraphProto
  std::vector<float> floats;
  std::vector<int64_t> ints;
  std::vector<std::string_view> strings;
};

struct NodeProto {
  std::string_view name, op_type, domain, overload;
  std::vector<std::string_view> inputs, outputs;
  std::vector<AttributeProto> attributes;
  std::map<std::string_view, std::string_view> properties;
};

struct ValueProto {
  std::string_view name;
  std::string_view kind;  // "tensor", or what it is instead
  int64_t element = 0;
  std::optional<Shape> shape;
  std::map<std::string_view, std::string_view> properties;
};

struct GraphProto {
  std::string_view name;
  std::vector<NodeProto> nodes;
  std::vector<TensorProto> initializers;
  std::vector<ValueProto> inputs, outputs;
};

struct FunctionProto {
  std::string_view name, domain, overload;
  std::vector<std::string_view> inputs, outputs;
  std::vector<AttributeProto> defaults;
  std::vector<NodeProto> nodes;
  std::map<std::string_view, int64_t> opsets;
};

struct ModelProto {
  int64_t ir_version = 0;
  std::string_view producer, producer_version;
  std::map<std::string_view, int64_t> opsets;  // by domain, "" for ai.onnx
  std::string_view graph;
  std::vector<FunctionProto> functions;
};

// kCorrupt where the bytes are no such message.
Result<ModelProto> parse_model(std::string_view bytes);
Result<GraphProto> parse_graph(std::string_view bytes);
Result<TensorProto> parse_tensor(std::string_view bytes);

// ONNX's number of an element type; kUnsupported for those that graphs do not have.
Result<DataType> data_type_of(int64_t number);
int64_t number_of(DataType type);

}  // namespace skerry::graph::onnx
