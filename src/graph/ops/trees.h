// Ensembles of decision trees from the parallel lists that ai.onnx.ml keeps them in.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "graph/evaluation.h"

namespace skerry::graph::ops {

class Trees {
 public:
  // `prefix` of the lists with the leaves' weights: "class" or "target".
  static Result<Trees> from(const Evaluation& run, const std::string& prefix, size_t targets);

  // The scores of one sample.
  Result<std::vector<double>> evaluate(const Evaluation& run, std::span<const double> x) const;

  // Where all weights are of one target, that one.
  std::optional<size_t> only_target() const { return only_target_; }
  bool all_positive() const { return all_positive_; }

 private:
  enum class Mode { kLeaf, kLess, kLessOrEqual, kGreater, kGreaterOrEqual, kEqual, kNotEqual };
  struct Branch {
    Mode mode = Mode::kLeaf;
    size_t feature = 0;
    float value = 0;
    bool missing_is_true = false;
    size_t yes = 0, no = 0;                          // indices of nodes
    std::vector<std::pair<size_t, double>> weights;  // of a leaf
  };

  Result<void> add_nodes(const Evaluation& run);
  Result<void> add_weights(const Evaluation& run, const std::string& prefix);
  static bool holds(const Branch& branch, double feature);
  Result<size_t> leaf(const Evaluation& run, size_t root, std::span<const double> x) const;

  size_t targets_ = 0;
  std::string aggregate_ = "SUM";
  std::vector<Branch> nodes_;
  std::vector<size_t> roots_;
  std::vector<double> base_;
  std::map<std::pair<int64_t, int64_t>, size_t> index_;  // by tree and node
  std::optional<size_t> only_target_;
  bool all_positive_ = true;
};

}  // namespace skerry::graph::ops
