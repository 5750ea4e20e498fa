// What stock libdlr (the runtime of SageMaker Neo) needs around a compiled model: a folder with a
// graph of one node, no parameters, and an object that has that node as a function.
// docs/data/dlr-folder.md shows one.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "graph/graph.h"

namespace skerry::compile {

// By file name; the object is compiled.so beside them.
using DlrFiles = std::vector<std::pair<std::string, std::string>>;
inline constexpr const char* kDlrObject = "compiled.so";

DlrFiles dlr_files(const graph::Graph& graph);

// C++ of the function, with memory of its own for each thread that calls it. `tensors`: inputs and
// outputs.
std::string dlr_code(size_t arena_bytes, size_t tensors);
// What the object exports for it.
inline constexpr const char* kDlrExports[] = {"skerry_dlr_run", "__TVMAPISetLastError"};

}  // namespace skerry::compile
