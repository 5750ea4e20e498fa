// Walking the trees; a walk that is longer than there are nodes goes round in a circle.
#include "graph/ops/trees.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace skerry::graph::ops {

Result<Trees> Trees::from(const Evaluation& run, const std::string& prefix, size_t targets) {
  Trees trees;
  trees.targets_ = targets;
  if (prefix == "target") trees.aggregate_ = run.node().string_of("aggregate_function");
  for (const std::string_view known : {"SUM", "AVERAGE", "MIN", "MAX"}) {
    if (trees.aggregate_ == known) break;
    if (known == "MAX") return run.refuse("aggregate_function '{}' is unknown", trees.aggregate_);
  }
  const auto base = run.node().floats_of("base_values");
  trees.base_.assign(base.begin(), base.end());
  if (!base.empty() && base.size() != targets && base.size() != 1) {
    return run.refuse("{} base values for {} targets", base.size(), targets);
  }
  SKERRY_TRY(trees.add_nodes(run));
  SKERRY_TRY(trees.add_weights(run, prefix));
  return trees;
}

Result<void> Trees::add_nodes(const Evaluation& run) {
  const Node& node = run.node();
  const auto ids = node.ints_of("nodes_nodeids");
  const auto tree_ids = node.ints_of("nodes_treeids");
  const auto features = node.ints_of("nodes_featureids");
  const auto modes = node.strings_of("nodes_modes");
  const auto values = node.floats_of("nodes_values");
  const auto yes = node.ints_of("nodes_truenodeids");
  const auto no = node.ints_of("nodes_falsenodeids");
  const auto missing = node.ints_of("nodes_missing_value_tracks_true");
  const size_t count = ids.size();
  if (count == 0 || tree_ids.size() != count || features.size() != count || modes.size() != count ||
      values.size() != count || yes.size() != count || no.size() != count ||
      (!missing.empty() && missing.size() != count)) {
    return run.refuse("its lists of nodes are of different lengths");
  }
  for (size_t i = 0; i < count; ++i) {
    if (!index_.emplace(std::pair(tree_ids[i], ids[i]), i).second) {
      return run.refuse("node {} of tree {} is there twice", ids[i], tree_ids[i]);
    }
  }
  constexpr std::string_view kModes[] = {"LEAF",       "BRANCH_LT", "BRANCH_LEQ", "BRANCH_GT",
                                         "BRANCH_GTE", "BRANCH_EQ", "BRANCH_NEQ"};
  std::vector<bool> is_child(count, false);
  for (size_t i = 0; i < count; ++i) {
    Branch branch{.value = values[i]};
    const auto mode = std::ranges::find(kModes, modes[i]);
    if (mode == std::end(kModes)) return run.refuse("mode '{}' is unknown", modes[i]);
    branch.mode = static_cast<Mode>(mode - std::begin(kModes));
    branch.missing_is_true = !missing.empty() && missing[i] != 0;
    if (branch.mode != Mode::kLeaf) {
      const auto on_yes = index_.find({tree_ids[i], yes[i]});
      const auto on_no = index_.find({tree_ids[i], no[i]});
      if (on_yes == index_.end() || on_no == index_.end() || features[i] < 0) {
        return run.refuse("node {} of tree {} leads nowhere", ids[i], tree_ids[i]);
      }
      branch.feature = static_cast<size_t>(features[i]);
      branch.yes = on_yes->second;
      branch.no = on_no->second;
      is_child[branch.yes] = is_child[branch.no] = true;
    }
    nodes_.push_back(std::move(branch));
  }
  // The first node of each tree that is nobody's child.
  std::set<int64_t> rooted;
  for (size_t i = 0; i < count; ++i) {
    if (!is_child[i] && rooted.insert(tree_ids[i]).second) roots_.push_back(i);
  }
  return {};
}

Result<void> Trees::add_weights(const Evaluation& run, const std::string& prefix) {
  const auto ids = run.node().ints_of(prefix + "_ids");
  const auto node_ids = run.node().ints_of(prefix + "_nodeids");
  const auto tree_ids = run.node().ints_of(prefix + "_treeids");
  const auto weights = run.node().floats_of(prefix + "_weights");
  if (ids.size() != weights.size() || node_ids.size() != ids.size() ||
      tree_ids.size() != ids.size()) {
    return run.refuse("its lists of weights are of different lengths");
  }
  std::set<int64_t> used;
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto node = index_.find({tree_ids[i], node_ids[i]});
    if (node == index_.end() || ids[i] < 0 || ids[i] >= static_cast<int64_t>(targets_)) {
      return run.refuse("a weight of node {} of tree {} leads nowhere", node_ids[i], tree_ids[i]);
    }
    nodes_[node->second].weights.emplace_back(static_cast<size_t>(ids[i]), weights[i]);
    used.insert(ids[i]);
    all_positive_ = all_positive_ && weights[i] >= 0;
  }
  if (used.size() == 1) only_target_ = static_cast<size_t>(*used.begin());
  return {};
}

bool Trees::holds(const Branch& branch, double feature) {
  const auto x = static_cast<float>(feature);
  if (std::isnan(x) && branch.missing_is_true) return true;
  switch (branch.mode) {
    case Mode::kLess:
      return x < branch.value;
    case Mode::kLessOrEqual:
      return x <= branch.value;
    case Mode::kGreater:
      return x > branch.value;
    case Mode::kGreaterOrEqual:
      return x >= branch.value;
    case Mode::kEqual:
      return x == branch.value;
    default:
      return x != branch.value;
  }
}

Result<size_t> Trees::leaf(const Evaluation& run, size_t root, std::span<const double> x) const {
  size_t at = root;
  for (size_t steps = 0; nodes_[at].mode != Mode::kLeaf; ++steps) {
    if (steps > nodes_.size()) return run.refuse("a tree goes round in a circle");
    if (nodes_[at].feature >= x.size()) {
      return run.refuse("feature {} of {}", nodes_[at].feature, x.size());
    }
    at = holds(nodes_[at], x[nodes_[at].feature]) ? nodes_[at].yes : nodes_[at].no;
  }
  return at;
}

Result<std::vector<double>> Trees::evaluate(const Evaluation& run,
                                            std::span<const double> x) const {
  std::vector<double> scores(targets_, 0);
  std::vector<bool> touched(targets_, false);
  for (const size_t root : roots_) {
    SKERRY_ASSIGN(const size_t at, leaf(run, root, x));
    for (const auto& [target, weight] : nodes_[at].weights) {
      double& score = scores[target];
      if (aggregate_ == "MIN") {
        score = touched[target] ? std::min(score, weight) : weight;
      } else if (aggregate_ == "MAX") {
        score = touched[target] ? std::max(score, weight) : weight;
      } else {
        score += weight;
      }
      touched[target] = true;
    }
  }
  for (size_t k = 0; k < scores.size(); ++k) {
    if (aggregate_ == "AVERAGE") scores[k] /= static_cast<double>(roots_.size());
    if (!base_.empty()) scores[k] += base_[k % base_.size()];
  }
  return scores;
}

}  // namespace skerry::graph::ops
