// Three passes that are off by default, in order.
#include "optimise/tflite_form.h"

#include "optimise/pass.h"

namespace skerry::optimise {

Result<void> to_tflite_form(graph::Graph& graph) {
  SKERRY_TRY(run_passes(graph, {.only = {"signed-activations", "propagate-quantisation",
                                         "make-qlinear", "dead-code"}}));
  // Of layers whose results are floats.
  SKERRY_TRY(run_passes(graph, {.only = {"dequantise-constants", "dead-code"}}));
  return {};
}

}  // namespace skerry::optimise
