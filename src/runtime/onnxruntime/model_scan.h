// A look at an ONNX file before ONNX Runtime sees it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace skerry::runtime {

struct ModelScan {
  // Where tensors keep their data outside of the model: paths as the model writes them, sorted.
  std::vector<std::string> external_files;
  // No operator's time or output size depends on values: see Model::is_bounded().
  bool is_bounded = true;
};

// kCorrupt where the bytes are no whole ONNX protobuf; kUnsupported where a tensor that is no
// initializer of the main graph has its data in another file: ONNX Runtime would open it by itself.
Result<ModelScan> scan_model(std::string_view model);

}  // namespace skerry::runtime
