// The runtime for ONNX, OpenVINO's IR and TensorFlow Lite models through the vendor's
// libopenvino_c.
#pragma once

#include <memory>
#include <string>

#include "runtime/runtime.h"

namespace skerry::runtime {

// `library_path`: libopenvino_c.so, with the vendor's other libraries beside it.
Result<std::unique_ptr<Runtime>> open_openvino(const std::string& library_path);

}  // namespace skerry::runtime
