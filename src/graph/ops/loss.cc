// Losses over classes: scores [N, C, d…], labels [N, d…], a weight for each class.
#include <cmath>

#include "graph/ops/common.h"
#include "graph/ops/families.h"

namespace skerry::graph::ops {
namespace {

Result<void> infer_loss(Inference& inference) {
  const std::string& reduction = inference.node().string_of("reduction");
  if (reduction != "none" && reduction != "mean" && reduction != "sum") {
    return inference.refuse("reduction '{}' is unknown", reduction);
  }
  SKERRY_TRY(inference.same_element(0, 2));
  const std::optional<Shape> labels = inference.type(1).shape;
  inference.set(0, inference.element(0), reduction == "none" ? labels : Shape());
  inference.set(1, inference.element(0), inference.type(0).shape);
  const auto scores = sizes_of(inference.type(0));
  const auto targets = sizes_of(inference.type(1));
  if (!scores || !targets) return {};
  std::vector<int64_t> expected = *scores;
  if (expected.size() < 2) return inference.refuse("its scores are no [batch, classes, …]");
  expected.erase(expected.begin() + 1);
  const auto weights = inference.has(2) ? count_of(inference.type(2)) : std::nullopt;
  if (expected != *targets || (weights && *weights != (*scores)[1])) {
    return inference.refuse("scores {} and labels {} do not go together",
                            to_string(inference.type(0)), to_string(inference.type(1)));
  }
  return {};
}

// Logarithms of the softmax over the classes.
std::vector<double> log_softmax(const Array& scores) {
  std::vector<double> values = scores.to_doubles();
  const AxisView view = view_along(scores.shape, 1);
  for (int64_t o = 0; o < view.outer * view.inner; ++o) {
    const int64_t first = o / view.inner * view.size * view.inner + o % view.inner;
    const auto at = [&](int64_t k) -> double& {
      return values[static_cast<size_t>(first + k * view.inner)];
    };
    double largest = -INFINITY;
    double sum = 0;
    for (int64_t k = 0; k < view.size; ++k) largest = std::max(largest, at(k));
    for (int64_t k = 0; k < view.size; ++k) sum += std::exp(at(k) - largest);
    for (int64_t k = 0; k < view.size; ++k) at(k) -= largest + std::log(sum);
  }
  return values;
}

Result<void> store_loss(Evaluation& run, const std::vector<double>& log_probabilities) {
  const auto labels = run.in(1).to_ints();
  const auto weights = run.has(2) ? run.in(2).to_doubles() : std::vector<double>();
  const Attribute* ignored = run.node().find("ignore_index");
  const AxisView view = view_along(run.in(0).shape, 1);
  std::vector<double> losses;
  double weight_sum = 0;
  for (size_t i = 0; i < labels.size(); ++i) {
    losses.push_back(0);
    if (ignored != nullptr && labels[i] == std::get<int64_t>(*ignored)) continue;
    if (labels[i] < 0 || labels[i] >= view.size)
      return run.refuse("label {} of {}", labels[i], view.size);
    const double weight = weights.empty() ? 1 : weights[static_cast<size_t>(labels[i])];
    const auto at = static_cast<int64_t>(i);
    const int64_t from = (at / view.inner * view.size + labels[i]) * view.inner + at % view.inner;
    losses.back() = -weight * log_probabilities[static_cast<size_t>(from)];
    weight_sum += weight;
  }
  const std::string& reduction = run.node().string_of("reduction");
  return visit_float(run, run.in(0).type, [&]<class T>(T) -> Result<void> {
    if (reduction == "none") {
      for (size_t i = 0; i < losses.size(); ++i) run.out(0).as<T>()[i] = static_cast<T>(losses[i]);
      return {};
    }
    double sum = 0;
    for (const double loss : losses) sum += loss;
    run.out(0).as<T>()[0] = static_cast<T>(reduction == "mean" ? sum / weight_sum : sum);
    return {};
  });
}

Result<void> negative_log_likelihood(Evaluation& run) {
  return store_loss(run, run.in(0).to_doubles());
}

Result<void> cross_entropy(Evaluation& run) {
  const auto log_probabilities = log_softmax(run.in(0));
  SKERRY_TRY(visit_float(run, run.in(0).type, [&]<class T>(T) -> Result<void> {
    for (size_t i = 0; run.wants(1) && i < log_probabilities.size(); ++i) {
      run.out(1).as<T>()[i] = static_cast<T>(log_probabilities[i]);
    }
    return {};
  }));
  return store_loss(run, log_probabilities);
}

constexpr const char* kLossAttributes = "ignore_index:int reduction:string=mean";

}  // namespace

std::span<const OperatorRow> loss_rows() {
  static const OperatorRow kRows[] = {
      {"NegativeLogLikelihoodLoss", "input:f target:i weight? -> loss", kLossAttributes, infer_loss,
       negative_log_likelihood},
      {"SoftmaxCrossEntropyLoss", "scores:f labels:i weights? -> output log_prob?", kLossAttributes,
       infer_loss, cross_entropy},
  };
  return kRows;
}

}  // namespace skerry::graph::ops
