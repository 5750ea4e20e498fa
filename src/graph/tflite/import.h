// TensorFlow Lite models to graphs. Operators become those of ONNX, with channels first where those
// want it; 8- and 16-bit ones become QLinear operators with rounding = "litert", whose results are
// those of LiteRT's reference kernels bit by bit (graph/tflite/README.md says which).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "graph/graph.h"

namespace skerry::graph::tflite {

struct ImportOptions {
  uint64_t max_file_bytes = uint64_t{4} << 30;
};

struct Imported {
  std::unique_ptr<Graph> graph;
  std::string description;
  uint64_t bytes = 0;
};

// kNotFound, kCorrupt, kInvalidArgument, or kUnsupported, naming the operators.
Result<Imported> import_file(const std::string& path, const ImportOptions& options = {});
Result<Imported> import_bytes(std::shared_ptr<const tensor::Bytes> bytes);

}  // namespace skerry::graph::tflite
