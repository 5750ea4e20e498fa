// The null runtime: a "model" is a small JSON file that declares inputs, outputs and a behaviour.
// It tests everything around a runtime without one, and is the smallest implementation to copy.
//
//   {"null_model": 1,
//    "behaviour": "identity",        output i is a copy of input i; "fail": every run fails;
//                                    "hang": a run ends when it is told to, at the earliest;
//                                    "crash": a run whose first input is not all zeros takes the
//                                    process down, "crash_load": loading it does; "grow": a run
//                                    takes all memory there is
//    "inputs":  [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
//    "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 4]}]}
#pragma once

#include "runtime/runtime.h"

namespace skerry::runtime {

class NullRuntime : public Runtime {
 public:
  std::string_view name() const override { return "null"; }
  std::string version() const override { return "1"; }
  Capabilities capabilities() const override {
    return {.thread_safe = true,
            .interruptible = true,
            .batching = true,
            .counts_memory = true,
            .types = tensor::all_data_types()};
  }

 private:
  Result<std::unique_ptr<Model>> load_files(const ModelSource& source,
                                            const LoadOptions& options) override;
};

}  // namespace skerry::runtime
