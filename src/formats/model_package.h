// The model package: a folder with a model file and model.json, which says what runs it, what its
// bytes are, and which inputs and outputs callers may rely on. docs/data/model-package.md shows
// one.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "tensor/tensor.h"

namespace skerry::formats {

inline constexpr std::string_view kModelManifestFile = "model.json";

// What an input is in the trial run.
struct WarmupInput {
  std::optional<std::vector<int64_t>> shape;
  // Of all elements where it is one, of one each where it is more; BYTES inputs take strings.
  std::vector<double> numbers;  // booleans as 0 and 1
  std::vector<std::string> strings;
  std::string file;  // of the package: the only element of a BYTES input, the bytes of a UINT8 one

  bool operator==(const WarmupInput&) const = default;
};

// What becomes of a score before it is a probability.
enum class ScoreActivation { kNone, kSoftmax, kSigmoid };
std::string_view name_of(ScoreActivation activation);  // "softmax"

// Which output says how likely each class is, along its last dimension; one score alone says how
// likely class 1 of two is. The service counts predictions and confidences by it.
struct ModelScores {
  std::string output;
  ScoreActivation activation = ScoreActivation::kNone;
  bool operator==(const ModelScores&) const = default;
};

// Requests run together, one behind the other along the first dimension of every input and output,
// which the contract leaves open. The author promises that no row of an output depends on others.
struct ModelBatching {
  int64_t max_rows = 0;                 // 2 or more
  std::vector<int64_t> preferred_rows;  // enough to run before the delay has passed
  int64_t max_delay_ms = 0;             // that a request waits for others
  std::optional<int64_t> max_queued;    // requests that may wait
  bool operator==(const ModelBatching&) const = default;
};

struct ModelPackage {
  std::string name;  // a component name's letters, as it becomes part of URLs
  std::string version;
  std::string runtime;            // "onnxruntime"
  std::string runtime_component;  // that brings it; "" where it is not said
  std::string file;               // in the same folder
  std::string sha256;             // of the file, 64 lower-case hex digits
  std::vector<tensor::TensorSpec> inputs;
  std::vector<tensor::TensorSpec> outputs;
  // More files that the runtime needs, such as an ONNX model's external data: path below the folder
  // and SHA-256.
  std::map<std::string, std::string> files;
  // Inputs of the trial run, by name: for what zeros make invalid, such as a sample rate, and for
  // shapes that cannot be guessed.
  std::map<std::string, WarmupInput> warmup;
  std::optional<ModelScores> scores;
  std::optional<ModelBatching> batching;
  std::vector<std::string> finite;  // outputs in which NaN or infinity is the model's failure
  int64_t max_inference_ms = 0;     // of one inference; 0: what the service says
  bool trial_optional = false;      // served although no trial run succeeds
};

// Untrusted. Files lie in the package's folder or below, tensors are unique by name, `warmup` names
// inputs and gives values of their type and shapes that the contract allows.
Result<ModelPackage> parse_model_package(std::string_view text);

// Indented JSON that parse_model_package reads back to the same value.
std::string to_text(const ModelPackage& package);

}  // namespace skerry::formats
