// A pipeline: steps and models in one file, a graph of named values, run as one model. The runtime
// "pipeline" loads it, so that it is packaged, tried out, switched, measured and served like any
// other model. docs/pipelines.md describes the file.
#pragma once

#include <memory>
#include <string_view>

#include "runtime/runtimes.h"

namespace skerry::pipeline {

// `runtimes` (not owned; outlives its models' loads) gives the runtimes of the models in it.
std::unique_ptr<runtime::Runtime> make_pipeline_runtime(const runtime::Runtimes& runtimes);

inline constexpr std::string_view kRuntimeName = "pipeline";

}  // namespace skerry::pipeline
