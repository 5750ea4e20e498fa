// The Runtime interface: loads a model and runs it. One folder per implementation; null/ is the
// smallest, to copy. Every implementation passes runtime/conformance_test.cc.
#pragma once

#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "runtime/model_source.h"
#include "tensor/tensor.h"

namespace skerry::runtime {

using tensor::Tensor;
using tensor::TensorSpec;
using tensor::TensorView;

// What a part of a model takes, as the runtime itself measures it: a layer, or several that it has
// made one.
struct LayerTime {
  std::string name;  // of a node of the model, or one that the runtime gave
  std::string op;    // as the runtime calls it
  double us = 0;     // of a usual run
  bool operator==(const LayerTime&) const = default;
};

// A loaded model.
class Model {
 public:
  virtual ~Model() = default;
  virtual const std::vector<TensorSpec>& inputs() const = 0;
  virtual const std::vector<TensorSpec>& outputs() const = 0;
  // True where a run's time depends on the shapes of its inputs alone: no loop that an input's
  // value ends, no output whose size an input's value says.
  virtual bool is_bounded() const { return false; }
  // What the model holds in memory now, as the runtime counts it: weights, and what runs keep; 0
  // where it does not count. Asked after each run by the thread that ran it, so cheap.
  virtual uint64_t memory_bytes() const { return 0; }
  // Of all runs since it was loaded, in the order in which they run, where it was loaded with
  // LoadOptions::profile_directory. Ends the measuring: to be called once. kUnsupported where the
  // runtime does not measure layers.
  virtual Result<std::vector<LayerTime>> layer_times() {
    return fail(Code::kUnsupported, "the runtime does not say what its layers take");
  }
  // Every input once, in any order. Outputs: those named in `wanted` in that order, all where it is
  // empty. kInvalidArgument names the input and what was expected; kInternal carries the runtime's
  // own message; kCancelled where `stop` was requested and the runtime could end the run.
  virtual Result<std::vector<Tensor>> run(std::span<const TensorView> inputs,
                                          std::span<const std::string> wanted,
                                          const std::stop_token& stop = {}) = 0;
};

struct LoadOptions {
  int threads = 1;                              // of one run()
  uint64_t max_file_bytes = uint64_t{4} << 30;  // of each file of the package
  // Layers are measured, which makes runs slower; runtimes put files into this folder. "": they are
  // not.
  std::string profile_directory = {};
};

// What a runtime's models can do; the conformance suite holds it to this.
struct Capabilities {
  bool thread_safe = false;    // run() of one model from several threads at once
  bool interruptible = false;  // a stop request ends even a run that would never end
  bool several_files = false;  // reads more of a package than its main file
  bool batching = false;       // a dimension that the model leaves open may differ from run to run
  bool stateful = false;       // a run may depend on the runs before it
  bool empty_tensors = true;   // a dimension may be 0
  bool wide_integers = true;   // INT64 takes more than 32 bits
  bool counts_memory = false;  // Model::memory_bytes() is not 0
  bool measures_layers = false;         // Model::layer_times(), where that is asked for
  std::vector<tensor::DataType> types;  // of inputs and outputs
};

class Runtime {
 public:
  virtual ~Runtime() = default;
  virtual std::string_view name() const = 0;  // "onnxruntime"
  virtual std::string version() const = 0;    // the vendor's
  virtual Capabilities capabilities() const = 0;
  // Thread-safe. Untrusted bytes: a damaged model is kCorrupt, an operator it lacks kUnsupported.
  // Every file that it uses is verified before any of it is run. Errors begin with the main file.
  Result<std::unique_ptr<Model>> load(const ModelSource& source, const LoadOptions& options) {
    auto model = load_files(source, options);
    if (!model) return fail(model.error().with_context(source.main_file()));
    return model;
  }

 private:
  virtual Result<std::unique_ptr<Model>> load_files(const ModelSource& source,
                                                    const LoadOptions& options) = 0;
};

}  // namespace skerry::runtime
