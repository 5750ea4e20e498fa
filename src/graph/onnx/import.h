// ONNX models (opset 7 to 23) to graphs, with every operator in its newest form, functions inlined,
// initialisers as constants, and types inferred.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "graph/graph.h"

namespace skerry::graph::onnx {

struct ImportOptions {
  uint64_t max_file_bytes = uint64_t{4} << 30;  // of the model and of each file of external data
};

struct UnsupportedNode {
  std::string op;    // "com.microsoft.FusedMatMul"
  std::string node;  // its name, or that of its first output
  std::string why;
};

struct Imported {
  std::unique_ptr<Graph> graph;
  int64_t ir_version = 0;
  int64_t opset = 0;
  std::string producer;
  uint64_t bytes = 0;  // of all files
};

// The file and what it refers to below its folder; no other file is opened. kNotFound, kCorrupt,
// kInvalidArgument or kUnsupported, naming the node.
Result<Imported> import_file(const std::string& path, const ImportOptions& options = {});

// A model in memory. External data comes from `directory`; "" refuses it.
Result<Imported> import_bytes(std::shared_ptr<const tensor::Bytes> bytes,
                              const std::string& directory, const ImportOptions& options = {});

// The nodes of a model that import refuses for their operator, without importing anything.
Result<std::vector<UnsupportedNode>> unsupported_nodes(const tensor::Bytes& bytes);

}  // namespace skerry::graph::onnx
