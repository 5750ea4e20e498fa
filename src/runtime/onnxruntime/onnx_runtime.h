// ONNX Runtime (https://onnxruntime.ai) as its vendor ships it, on the CPU.
#pragma once

#include <memory>
#include <string>

#include "runtime/runtime.h"

namespace skerry::runtime {

// Loads the shared library at `library_path` (1.21 or newer). Models may outlive the runtime. They
// are .onnx files of tensors only, without bfloat16 and complex types; external data of the main
// graph's initializers comes from files of the package.
Result<std::unique_ptr<Runtime>> open_onnx_runtime(const std::string& library_path);

}  // namespace skerry::runtime
