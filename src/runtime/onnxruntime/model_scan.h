// A look at an ONNX file before ONNX Runtime sees it.
#pragma once

#include <string_view>

#include "base/error.h"

namespace skerry::runtime {

// kCorrupt where the bytes are no whole ONNX protobuf; kUnsupported where a tensor's data stands in
// another file: such a model could read any file of the device, and its digest would not cover it.
Result<void> check_self_contained(std::string_view model);

}  // namespace skerry::runtime
