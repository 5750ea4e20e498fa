// What ONNX Runtime's profiler wrote. Internal to this folder.
#pragma once

#include <string>
#include <vector>

#include "runtime/runtime.h"

namespace skerry::runtime {

// The nodes of a session in the order of their first run, each with its median over all runs but
// the first, which also allocates. kCorrupt where the file is none of ONNX Runtime's profiles.
Result<std::vector<LayerTime>> read_profile(const std::string& path);

// The same from the text of one.
Result<std::vector<LayerTime>> parse_profile(std::string_view text);

}  // namespace skerry::runtime
