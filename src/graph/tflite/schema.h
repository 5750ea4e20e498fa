// The tables of .tflite files (schema.fbs of TensorFlow Lite, version 3) as far as they are read:
// views into the file's bytes.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/flatbuffer.h"
#include "graph/constant.h"

namespace skerry::graph::tflite {

struct OperatorCode {
  int32_t code = 0;
  std::string_view custom;
};

// How the elements that a sparse tensor holds lie in the dense one.
struct Sparsity {
  struct Dimension {
    bool is_dense = true;
    int64_t size = 0;               // of a dense one
    std::vector<int64_t> segments;  // of a sparse one: where each of its rows begins
    std::vector<int64_t> indices;
  };
  std::vector<int64_t> order;      // of the dimensions, then of the blocks
  std::vector<int64_t> block_map;  // dimension that each block divides
  std::vector<Dimension> dimensions;
};

struct TensorTable {
  std::string_view name;
  int32_t type = 0;
  std::vector<int64_t> shape;
  std::vector<int64_t> signature;  // with -1 for what may change; empty: as shape
  uint32_t buffer = 0;
  std::vector<float> scales;
  std::vector<int64_t> zero_points;
  int32_t axis = 0;
  bool is_variable = false;
  std::optional<Sparsity> sparsity;
};

struct OperatorTable {
  uint32_t code = 0;
  std::vector<int32_t> inputs, outputs;  // -1: an optional one that is not there
  std::vector<int32_t> intermediates;    // tensors that say how what it makes inside is quantised
  std::optional<size_t> options;         // where the table of its options stands
};

struct SubgraphTable {
  std::string_view name;
  std::vector<TensorTable> tensors;
  std::vector<int32_t> inputs, outputs;
  std::vector<OperatorTable> operators;
};

struct ModelTable {
  std::vector<OperatorCode> codes;
  std::vector<SubgraphTable> subgraphs;
  std::vector<std::string_view> buffers;
  std::string_view description;
};

// kCorrupt where the bytes are no whole model; kUnsupported where tensors lie in other files.
Result<ModelTable> parse_model(FlatBuffer& file);

std::string operator_name(const OperatorCode& code);  // "CONV_2D", "CUSTOM TFLite_Detection"

// kUnsupported for those that graphs do not have.
Result<DataType> data_type_of(int32_t type);

}  // namespace skerry::graph::tflite
