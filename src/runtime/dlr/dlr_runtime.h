// DLR (https://github.com/neo-ai/neo-ai-dlr), the runtime of models that SageMaker Neo has
// compiled, as its vendor ships it, on the CPU.
#pragma once

#include <memory>
#include <string>

#include "runtime/runtime.h"

namespace skerry::runtime {

// Loads the shared library libdlr.so (release 1) at `library_path`. Models may outlive the runtime.
// A model's main file is its graph, compiled_model.json or whatever it is called; the package has
// one *.params and one *.so beside it, and may have one *.meta, which names the outputs. The shared
// object is native code: it runs with this process's rights.
Result<std::unique_ptr<Runtime>> open_dlr(const std::string& library_path);

}  // namespace skerry::runtime
