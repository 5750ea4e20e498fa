// Graphs to ONNX models. What is exported is imported again as the same graph; what ONNX has no
// place for (graph/onnx/properties.h) goes as metadata that other programs pass over.
#pragma once

#include <optional>
#include <string>

#include "graph/graph.h"

namespace skerry::graph::onnx {

inline constexpr int64_t kOldestExported = 21;
inline constexpr int64_t kNewestExported = 23;

struct ExportOptions {
  // Absent: the oldest of those above that has every operator of the graph. Attention goes as its
  // parts into a set that lacks it.
  std::optional<int64_t> opset = {};
  // Constants of at least that many bytes go into a second file, PATH.data, which belongs to the
  // model from then on. Absent: only where the model would be larger than protobuf can say (2 GiB).
  std::optional<uint64_t> external_from = {};
};

// kInvalidArgument where the operator set lacks an operator of the graph, naming the node. A crash
// leaves the old files or the new model.
Result<void> export_file(const Graph& graph, const std::string& path,
                         const ExportOptions& options = {});

// All in one; kResourceExhausted above 2 GiB.
Result<tensor::Bytes> export_bytes(const Graph& graph, const ExportOptions& options = {});

}  // namespace skerry::graph::onnx
