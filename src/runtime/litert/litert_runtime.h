// LiteRT (https://ai.google.dev/edge/litert), once TensorFlow Lite, as its vendor ships it, on the
// CPU.
#pragma once

#include <memory>
#include <string>

#include "runtime/runtime.h"

namespace skerry::runtime {

// Loads the shared library libLiteRt.so (version 2) at `library_path`. Models may outlive the
// runtime. They are .tflite files with all data inside, without strings; of several signatures the
// one called "serving_default" is taken, or the first. Quantised tensors are what they are in the
// model: INT8 goes in and out as INT8.
Result<std::unique_ptr<Runtime>> open_litert(const std::string& library_path);

}  // namespace skerry::runtime
