// Models in files of any form that graphs come from and go to: ONNX, TensorFlow
// Lite, and graphs as text.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "graph/graph.h"
#include "graph/onnx/export.h"

namespace skerry::graph {

struct ModelFile {
  std::unique_ptr<Graph> graph;
  std::string format;    // "ONNX", "TFLite", "text"
  int64_t opset = 0;     // of ONNX
  std::string producer;  // as far as the file says
  uint64_t bytes = 0;    // of the file and of those that it refers to
};

// Which form it has, the content says. Errors name the path, and the nodes that are not supported.
Result<ModelFile> read_model_file(const std::string& path);

// By the ending of the name: .onnx, .tflite, or .graph for text; kInvalidArgument for others.
Result<void> write_model_file(const Graph& graph, const std::string& path,
                              const onnx::ExportOptions& options = {});

}  // namespace skerry::graph
