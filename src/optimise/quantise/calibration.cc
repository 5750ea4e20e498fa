// Calibration by the reference executor.
#include "optimise/quantise/calibration.h"

#include "graph/executor.h"

namespace skerry::optimise {

const Observer* Calibration::find(const graph::Value& value) const {
  const auto found = values.find(value.name());
  return found == values.end() || found->second.count() == 0 ? nullptr : &found->second;
}

Result<Calibration> calibrate(const graph::Graph& graph, std::span<const Sample> samples,
                              const std::function<void(size_t)>& progress) {
  if (samples.empty()) {
    return fail(Code::kInvalidArgument, "calibration needs at least one sample: give --data");
  }
  Calibration calibration;
  const auto observe = [&](const graph::Value& value, const graph::Array& array) {
    if (array.type == graph::DataType::kFp32) calibration.values[value.name()].add(array);
  };
  graph::Executor executor(graph, {.observe = observe});
  for (size_t i = 0; i < samples.size(); ++i) {
    for (const auto& input : graph.inputs()) {
      for (const tensor::Tensor& tensor : samples[i]) {
        if (tensor.name == input->name()) observe(*input, graph::Array::from(tensor.view()));
      }
    }
    SKERRY_TRY(executor.run(tensor::views_of(samples[i])));
    if (progress) progress(i + 1);
  }
  return calibration;
}

}  // namespace skerry::optimise
