// How sure a classifier is, from its scores: larger is surer.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace skerry::hybrid {

enum class Measure {
  kMaxProbability,  // of the winning class, 0 to 1
  kMargin,          // its distance to the second one, 0 to 1
  kEntropy,         // 1 - H / ln K: 1 is sure, 0 is none the wiser
  kEnergy,          // T·ln Σ exp(z / T) of the logits (Liu et al., 2020): no upper end
};
std::optional<Measure> find_measure(std::string_view name);  // "max", "margin", "entropy", "energy"

// `scores` of one item and at least one class; temperature above 0. Probabilities count as the
// logits that gave them. NaN among the scores is no confidence at all: -infinity.
struct Scores {
  std::span<const double> values;
  bool are_logits = true;
};
double confidence_of(Measure measure, const Scores& scores, double temperature);
size_t winner_of(std::span<const double> scores);  // the first of the largest

// The temperature in 0.05–20 under which `labels` are likeliest (Guo et al., 2017); rows of
// `classes` logits.
double fit_temperature(std::span<const double> logits, size_t classes,
                       std::span<const size_t> labels);

}  // namespace skerry::hybrid
