// The null runtime: a "model" is a small JSON file that declares inputs, outputs and a behaviour.
// It tests everything around a runtime without one, and is the smallest implementation to copy.
//
//   {"null_model": 1,
//    "behaviour": "identity",        output i is a copy of input i ("fail": every run fails)
//    "inputs":  [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
//    "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 4]}]}
#pragma once

#include "io/files.h"
#include "runtime/runtime.h"

namespace skerry::runtime {

class NullRuntime : public Runtime {
 public:
  // `files` outlives the runtime.
  explicit NullRuntime(io::Files& files) : files_(files) {}

  std::string_view name() const override { return "null"; }
  std::string version() const override { return "1"; }
  Result<std::unique_ptr<Model>> load(const std::string& path, const LoadOptions& options) override;

 private:
  io::Files& files_;
};

}  // namespace skerry::runtime
