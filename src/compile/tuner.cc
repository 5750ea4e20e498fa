// Two halves: many ways once, each beside the usual one; then the best few of each layer in several
// starts, and only what is faster in nearly all of them is taken.
#include "compile/tuner.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "base/check.h"

namespace skerry::compile {
namespace {

constexpr size_t kBatch = 4;          // ways of a layer in one run, beside the usual one
constexpr double kSearchShare = 0.5;  // of the time; the rest is for comparing the best
constexpr size_t kSemifinalists = 6, kFinalists = 3;
constexpr int kSemifinals = 2;
constexpr double kSemifinalShare = 0.7;
constexpr int kMostRestarts = 9, kFewestRestarts = 3;
constexpr double kWorthIt = 0.98;  // of the usual time: less is noise, or not worth a line
// Of restarts, how many a way must win.
constexpr double kWins = 0.75;

double median(std::vector<double> values) {
  std::ranges::sort(values);
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

// How unlike two ways are: steps of a doubling along each size.
double distance(const Way& a, const Way& b) {
  constexpr double kOtherOrder = 1, kOtherKernel = 6;
  if (a.sizes.size() != b.sizes.size()) return kOtherKernel;
  double sum = a.name == b.name ? 0 : kOtherOrder;
  for (size_t i = 0; i < a.sizes.size(); ++i) {
    sum += std::abs(std::log2((a.sizes[i] + 1.0) / (b.sizes[i] + 1.0)));
  }
  return sum;
}

// What is known of one layer's ways: times as shares of the usual way's in the same run.
class LayerSearch {
 public:
  LayerSearch(const LayerSpace& space, uint64_t seed)
      : space_(space), shares_(space.ways.size()), random_(seed) {
    shares_[0] = {1};
    // Which of equals is first is the seed's.
    for (size_t i = 0; i < space.ways.size(); ++i) tie_.push_back(random_());
  }

  // One that has not been tried, if there is any: in turns the most promising one and any.
  std::optional<size_t> next() {
    std::vector<size_t> left;
    for (size_t i = 0; i < space_.ways.size(); ++i) {
      if (shares_[i].empty() && !pending_[i]) left.push_back(i);
    }
    if (left.empty()) return {};
    constexpr size_t kAnyEach = 3;
    const bool is_any = ++proposals_ % kAnyEach == 0;
    const Way& like = space_.ways[best(1)[0]];
    const size_t chosen =
        is_any ? left[random_() % left.size()] : *std::ranges::min_element(left, {}, [&](size_t i) {
          return std::pair(promise(i, like), tie_[i]);
        });
    pending_[chosen] = true;
    return chosen;
  }

  void took(size_t way, double us, double usual_us) {
    pending_[way] = false;
    if (way != 0 && usual_us > 0) shares_[way].push_back(us / usual_us);
  }

  std::vector<double> shares() const {
    std::vector<double> shares;
    for (size_t i = 0; i < shares_.size(); ++i) shares.push_back(share(i));
    return shares;
  }
  double share(size_t way) const {
    return shares_[way].empty() ? std::numeric_limits<double>::infinity() : median(shares_[way]);
  }
  // From the best on, at most so many; the usual one may be among them.
  std::vector<size_t> best(size_t count) const {
    std::vector<size_t> order(space_.ways.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::erase_if(order, [&](size_t i) { return shares_[i].empty(); });
    std::ranges::sort(order, {}, [&](size_t i) { return std::pair(share(i), i); });
    order.resize(std::min(order.size(), count));
    return order;
  }
  size_t tried() const {
    return static_cast<size_t>(
        std::ranges::count_if(shares_, [](const auto& each) { return !each.empty(); }) - 1);
  }

 private:
  // Less is better: what costs little by the model, if there is one, or is like the best so far.
  double promise(size_t way, const Way& like) const {
    const double near = distance(space_.ways[way], like);
    if (space_.expected.empty()) return near;
    constexpr double kNearness = 0.05;  // the model decides; of its equals, what is near
    return space_.expected[way] / space_.expected[0] + kNearness * near;
  }

  const LayerSpace& space_;
  std::vector<std::vector<double>> shares_;
  std::vector<bool> pending_ = std::vector<bool>(shares_.size());
  std::mt19937_64 random_;
  std::vector<uint64_t> tie_;
  size_t proposals_ = 0;
};

class Search {
 public:
  Search(const std::vector<LayerSpace>& layers, Measurer& measurer, const SearchOptions& options)
      : layers_(layers), measurer_(measurer), options_(options) {
    for (size_t i = 0; i < layers.size(); ++i) {
      SKERRY_CHECK(!layers[i].ways.empty(), "a layer is computed in some way");
      searches_.emplace_back(layers[i], options.seed * 1'000'003 + i);
    }
  }
  Result<SearchResult> run();

 private:
  Result<bool> try_some();
  std::vector<Assignment> best_of_each(size_t count) const;
  Result<std::vector<std::vector<double>>> measure(const std::vector<Assignment>& candidates);
  Result<void> compare_best(SearchResult& result);
  Result<void> compare_whole(SearchResult& result);
  bool has_time(double share, double for_seconds) {
    return measurer_.seconds() + for_seconds < share * options_.seconds;
  }
  void report(bool is_final) {
    SearchProgress progress{.seconds = measurer_.seconds(), .is_final = is_final};
    double usual = 0, best = 0;
    for (size_t i = 0; i < layers_.size(); ++i) {
      progress.tried += searches_[i].tried();
      progress.ways += layers_[i].ways.size() - 1;
      usual += usual_us_[i];
      best += usual_us_[i] * searches_[i].share(searches_[i].best(1)[0]);
    }
    if (usual > 0) progress.share = best / usual;
    options_.progress(progress);
  }
  Assignment usual() const { return Assignment(layers_.size(), 0); }

  const std::vector<LayerSpace>& layers_;
  Measurer& measurer_;
  const SearchOptions& options_;
  std::vector<LayerSearch> searches_;
  std::vector<double> usual_us_ = std::vector<double>(layers_.size());
};

// Some more ways of each layer, all in one run. False: there are none.
Result<bool> Search::try_some() {
  std::vector<Assignment> candidates = {usual()};
  for (size_t i = 0; i < kBatch; ++i) {
    Assignment next = usual();
    bool is_new = false;
    for (size_t layer = 0; layer < layers_.size(); ++layer) {
      const auto way = searches_[layer].next();
      next[layer] = way.value_or(0);
      is_new = is_new || way.has_value();
    }
    if (is_new) candidates.push_back(std::move(next));
  }
  if (candidates.size() == 1) return false;
  SKERRY_TRY(measure(candidates));
  report(false);
  return true;
}

// The usual ways; then the best of each layer, the second best of each, and so on.
std::vector<Assignment> Search::best_of_each(size_t count) const {
  std::vector<Assignment> candidates(1 + count, usual());
  for (size_t layer = 0; layer < layers_.size(); ++layer) {
    const auto best = searches_[layer].best(count);
    for (size_t rank = 0; rank < best.size(); ++rank) candidates[1 + rank][layer] = best[rank];
  }
  return candidates;
}

Result<std::vector<std::vector<double>>> Search::measure(
    const std::vector<Assignment>& candidates) {
  SKERRY_ASSIGN(auto times, measurer_.measure(candidates));
  for (size_t layer = 0; layer < layers_.size(); ++layer) {
    usual_us_[layer] = times[0][layer];
    for (size_t i = 1; i < candidates.size(); ++i) {
      searches_[layer].took(candidates[i][layer], times[i][layer], times[0][layer]);
    }
  }
  return times;
}

// The best of each layer again, each start in another place: the least of many tries of noise would
// win a single comparison.
Result<void> Search::compare_best(SearchResult& result) {
  const auto semifinal = best_of_each(kSemifinalists);
  for (int i = 0; i < kSemifinals && has_time(kSemifinalShare, 0); ++i) {
    SKERRY_TRY(measure(semifinal));
    report(true);
  }
  const auto candidates = best_of_each(kFinalists);
  // Of each layer, by candidate: times, one of each start.
  std::vector<std::vector<std::vector<double>>> all(
      layers_.size(), std::vector<std::vector<double>>(candidates.size()));
  double last = 0;
  for (int i = 0; i < kMostRestarts; ++i) {
    const double start = measurer_.seconds();
    if (i >= kFewestRestarts && !has_time(0.85, last)) break;
    SKERRY_ASSIGN(const auto times, measure(candidates));
    for (size_t layer = 0; layer < layers_.size(); ++layer) {
      for (size_t c = 0; c < candidates.size(); ++c) all[layer][c].push_back(times[c][layer]);
    }
    last = measurer_.seconds() - start;
    report(true);
  }
  for (size_t layer = 0; layer < layers_.size(); ++layer) {
    SearchResult::Layer& chosen = result.layers[layer];
    const auto& usual_times = all[layer][0];
    chosen = {.way = 0,
              .us = median(usual_times),
              .usual_us = median(usual_times),
              .tried = searches_[layer].tried(),
              .shares = searches_[layer].shares()};
    double least = kWorthIt;
    for (size_t c = 1; c < candidates.size(); ++c) {
      std::vector<double> shares;
      for (size_t i = 0; i < usual_times.size(); ++i) {
        shares.push_back(all[layer][c][i] / usual_times[i]);
      }
      const auto wins = static_cast<double>(
          std::ranges::count_if(shares, [](double share) { return share < 1; }));
      const double share = median(shares);
      if (share >= least || wins < kWins * static_cast<double>(shares.size())) continue;
      least = share;
      chosen.way = candidates[c][layer];
      chosen.us = median(all[layer][c]);
    }
  }
  return {};
}

// Steps that are faster alone may be in each other's way.
Result<void> Search::compare_whole(SearchResult& result) {
  Assignment tuned;
  for (const auto& layer : result.layers) tuned.push_back(layer.way);
  std::vector<double> usual_us, us, shares;
  double last = 0;
  for (int i = 0; i < kMostRestarts; ++i) {
    const double start = measurer_.seconds();
    if (i >= kFewestRestarts && !has_time(1, last)) break;
    SKERRY_ASSIGN(const auto times, measurer_.measure_whole({usual(), tuned}));
    usual_us.push_back(times[0]);
    us.push_back(times[1]);
    shares.push_back(times[1] / times[0]);
    last = measurer_.seconds() - start;
  }
  result.usual_us = median(usual_us);
  result.us = median(us);
  result.restarts = static_cast<int>(shares.size());
  result.is_faster = tuned != usual() && median(shares) < 1;
  if (result.is_faster) return {};
  for (auto& layer : result.layers) {
    layer.way = 0;
    layer.us = layer.usual_us;
  }
  return {};
}

Result<SearchResult> Search::run() {
  SearchResult result;
  result.layers.resize(layers_.size());
  if (layers_.empty()) return result;
  double last = 0;
  for (bool is_first = true; is_first || has_time(kSearchShare, last); is_first = false) {
    const double start = measurer_.seconds();
    SKERRY_ASSIGN(const bool is_more, try_some());
    if (!is_more) break;
    last = measurer_.seconds() - start;
  }
  SKERRY_TRY(compare_best(result));
  SKERRY_TRY(compare_whole(result));
  return result;
}

}  // namespace

Result<SearchResult> search(const std::vector<LayerSpace>& layers, Measurer& measurer,
                            const SearchOptions& options) {
  return Search(layers, measurer, options).run();
}

}  // namespace skerry::compile
