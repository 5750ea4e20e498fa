// What `skerry model bench` and `skerry model optimise` share: data and engines on the command
// line.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"
#include "optimise/measure/measure.h"

namespace skerry::cli {

struct DataOptions {
  std::string data, labels;
  std::string pipeline;  // makes the inputs of a file; "": by the model's input
  optimise::Preprocess preprocess;
};
void add_data_options(CLI::App& command, DataOptions& options);

// As optimise::parse_engine() reads it.
std::string to_text(const optimise::EngineSpec& engine);

inline constexpr const char* kEngineHelp =
    "NAME=PATH of a runtime's library (onnxruntime=…/libonnxruntime.so, litert=…/libLiteRt.so, "
    "openvino=…/libopenvino_c.so), compiled, or reference";

}  // namespace skerry::cli
