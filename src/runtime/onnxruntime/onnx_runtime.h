// ONNX Runtime (https://onnxruntime.ai) as its vendor ships it, on the CPU.
#pragma once

#include <memory>
#include <string>

#include "io/files.h"
#include "runtime/runtime.h"

namespace skerry::runtime {

// Loads the shared library at `library_path` (1.21 or newer). `files` outlives the runtime; models
// may outlive it. Models: .onnx files with all data inside, tensors only, no bfloat16 or complex
// types.
Result<std::unique_ptr<Runtime>> open_onnx_runtime(io::Files& files,
                                                   const std::string& library_path);

}  // namespace skerry::runtime
