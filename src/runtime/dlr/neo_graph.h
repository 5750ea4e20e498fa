// What a model compiled by SageMaker Neo is made of, read and checked before DLR and the model's
// own code see any of it: neither looks at indices or sizes. Internal to this folder.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "tensor/tensor.h"

namespace skerry::runtime {

struct NeoGraph {
  std::vector<tensor::TensorSpec> inputs;   // what the graph takes and the weights do not give
  std::vector<tensor::TensorSpec> outputs;  // in the graph's order
  std::vector<std::string> functions;       // of the shared object, each once
  uint64_t storage_bytes = 0;               // that DLR allocates: weights and intermediate results
  std::string text;                         // the graph again, of which there is one reading only
};

// `json` is the graph of TVM's executor, `params` its weights, `meta` what Neo says of the model:
// "" where the package has no such file. Without it outputs are called output0, output1, …
// kCorrupt where one is damaged or they do not fit each other, kUnsupported for other devices than
// the CPU and for element types that the protocol lacks.
Result<NeoGraph> read_neo_graph(std::string_view json, std::string_view params,
                                std::string_view meta);

// kCorrupt where `file` is no shared object of 64 bits, or not all of one: mapping half of one ends
// the process.
Result<void> check_shared_object(std::string_view file);

}  // namespace skerry::runtime
