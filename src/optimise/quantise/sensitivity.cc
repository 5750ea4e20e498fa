// One quantised graph for each layer.
#include "optimise/quantise/sensitivity.h"

#include <algorithm>
#include <cmath>

#include "graph/executor.h"

namespace skerry::optimise {
namespace {

using Outputs = std::vector<tensor::Tensor>;

Result<std::vector<Outputs>> run_all(const graph::Graph& graph, std::span<const Sample> samples) {
  graph::Executor executor(graph);
  std::vector<Outputs> all;
  for (const Sample& sample : samples) {
    SKERRY_ASSIGN(Outputs outputs, executor.run(tensor::views_of(sample)));
    all.push_back(std::move(outputs));
  }
  return all;
}

}  // namespace

double relative_error(std::span<const tensor::Tensor> a, std::span<const tensor::Tensor> b) {
  double distance = 0;
  double size = 0;
  if (a.size() != b.size()) return INFINITY;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].type == tensor::DataType::kBytes) continue;
    const auto x = graph::Array::from(a[i].view()).to_doubles();
    const auto y = graph::Array::from(b[i].view()).to_doubles();
    if (x.size() != y.size()) return INFINITY;
    for (size_t k = 0; k < x.size(); ++k) {
      if (x[k] == y[k] || (std::isnan(x[k]) && std::isnan(y[k]))) continue;
      distance += (x[k] - y[k]) * (x[k] - y[k]);
    }
    for (const double value : x) size += std::isfinite(value) ? value * value : 0;
  }
  if (!std::isfinite(distance)) return INFINITY;
  return distance == 0 ? 0 : size == 0 ? INFINITY : std::sqrt(distance / size);
}

Result<std::vector<Sensitivity>> sensitivities(const graph::Graph& graph,
                                               const Calibration& calibration,
                                               std::span<const Sample> samples,
                                               const StaticOptions& options,
                                               const std::function<void(size_t)>& progress) {
  SKERRY_ASSIGN(const std::vector<Outputs> wanted, run_all(graph, samples));
  const std::vector<std::string> layers = quantisable_layers(graph);
  std::vector<Sensitivity> found;
  for (const std::string& layer : layers) {
    StaticOptions alone = options;
    for (const auto& node : graph.nodes()) {
      if (node->name() != layer) alone.keep_float.insert(node->name());
    }
    const auto copy = graph.clone();
    SKERRY_TRY(quantise_static(*copy, calibration, alone));
    SKERRY_ASSIGN(const std::vector<Outputs> given, run_all(*copy, samples));
    Sensitivity one{.layer = layer};
    for (size_t i = 0; i < samples.size(); ++i) {
      one.error = std::max(one.error, relative_error(wanted[i], given[i]));
    }
    found.push_back(one);
    if (progress) progress(found.size());
  }
  std::ranges::sort(found, [](const Sensitivity& a, const Sensitivity& b) {
    return a.error != b.error ? a.error > b.error : a.layer < b.layer;
  });
  return found;
}

}  // namespace skerry::optimise
