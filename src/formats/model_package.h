// The model package: a folder with a model file and model.json, which says what runs it, what its
// bytes are, and which inputs and outputs callers may rely on.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace skerry::formats {

inline constexpr std::string_view kModelManifestFile = "model.json";

struct ModelTensor {
  std::string name;
  std::string datatype;        // its name in the Open Inference Protocol: "FP32", "INT64", …
  std::vector<int64_t> shape;  // -1: any size

  bool operator==(const ModelTensor&) const = default;
};

struct ModelPackage {
  std::string name;  // a component name's letters, as it becomes part of URLs
  std::string version;
  std::string runtime;  // "onnxruntime"
  std::string file;     // in the same folder
  std::string sha256;   // of the file, 64 lower-case hex digits
  std::vector<ModelTensor> inputs;
  std::vector<ModelTensor> outputs;
  // What fills an input in the trial run at loading; zeros where it is not named here. For inputs
  // that zeros make invalid, such as a sample rate.
  std::map<std::string, double> warmup;
};

// Untrusted. The file may not name another folder, tensors are unique by name,
// `warmup` names numeric inputs.
Result<ModelPackage> parse_model_package(std::string_view text);

// Indented JSON that parse_model_package reads back to the same value.
std::string to_text(const ModelPackage& package);

}  // namespace skerry::formats
