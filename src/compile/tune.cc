// The search with what measures here, and its result as a file has it.
#include "compile/tune.h"

#include <fmt/format.h>

#include "compile/compiler.h"
#include "compile/layer_measurer.h"
#include "runtime/compiled/artifact.h"

namespace skerry::compile {

Result<Tuned> tune(const graph::Graph& graph, const TuneOptions& options) {
  const Target& target = *options.target;
  const uint64_t missing = target.cpu_features & ~runtime::cpu_features_here();
  if (options.ssh_host.empty() && missing != 0) {
    return fail(Code::kUnsupported,
                fmt::format("{} cannot be measured here, as this machine has no {}: name one that "
                            "runs it (--ssh)",
                            target.name, runtime::names_of_features(missing)));
  }
  SKERRY_ASSIGN(const Prepared prepared, prepare(graph, options.interface));
  SKERRY_ASSIGN(const auto measurer,
                LayerMeasurer::open(
                    prepared, target,
                    options.ssh_host.empty() ? launch_here() : launch_by_ssh(options.ssh_host)));
  Tuned tuned{.tuning = {.target = std::string(target.name), .kernels = kernels_version()},
              .layers = measurer->layers(),
              .sizes = measurer->sizes()};
  if (tuned.layers.empty()) {
    return fail(Code::kUnsupported, "none of its layers can be computed in more than one way");
  }
  SKERRY_ASSIGN(tuned.search, search(tuned.layers, *measurer, options.search));
  tuned.tuning.machine = measurer->machine();
  for (size_t i = 0; i < tuned.layers.size(); ++i) {
    const SearchResult::Layer& layer = tuned.search.layers[i];
    tuned.tuning.layers[tuned.layers[i].layer] = {tuned.layers[i].ways[layer.way], layer.us,
                                                  layer.usual_us};
  }
  return tuned;
}

}  // namespace skerry::compile
