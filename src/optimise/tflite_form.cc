// Passes by name, most of them off by default.
#include "optimise/tflite_form.h"

#include "optimise/pass.h"

namespace skerry::optimise {

Result<void> to_tflite_form(graph::Graph& graph) {
  SKERRY_TRY(
      run_passes(graph, {.only = {"fold-affine", "signed-activations", "propagate-quantisation",
                                  "make-qlinear", "dequantise-constants", "dead-code"}}));
  return {};
}

}  // namespace skerry::optimise
