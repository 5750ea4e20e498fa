// Binomial tails, and walking thresholds until the promise can no longer be made.
#include "hybrid/risk.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

namespace skerry::hybrid {
namespace {

double log_choose(uint64_t n, uint64_t k) {
  const auto a = static_cast<double>(n), b = static_cast<double>(k);
  return std::lgamma(a + 1) - std::lgamma(b + 1) - std::lgamma(a - b + 1);
}

// The sum of the probabilities from `from` to `to`.
double binomial_sum(uint64_t from, uint64_t to, uint64_t trials, double rate) {
  if (rate <= 0) return from == 0 ? 1 : 0;
  if (rate >= 1) return to == trials ? 1 : 0;
  double sum = 0;
  for (uint64_t k = from; k <= to; ++k) {
    sum += std::exp(log_choose(trials, k) + static_cast<double>(k) * std::log(rate) +
                    static_cast<double>(trials - k) * std::log1p(-rate));
  }
  return std::min(1.0, sum);
}

// The rate in 0–1 where `is_above` turns true.
double bisect(const std::function<bool(double)>& is_above) {
  double low = 0, high = 1;
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (is_above(middle) ? high : low) = middle;
  }
  return high;
}

double share(uint64_t part, size_t all) {
  return all == 0 ? 0 : static_cast<double>(part) / static_cast<double>(all);
}

CascadeThreshold measure(const std::vector<CascadeItem>& items, double threshold) {
  uint64_t lost = 0, escalated = 0, right = 0, smaller = 0, bigger = 0;
  for (const CascadeItem& item : items) {
    const bool asks = !(item.confidence >= threshold);
    escalated += asks ? 1 : 0;
    lost += !asks && !item.smaller_right && item.bigger_right ? 1 : 0;
    right += (asks ? item.bigger_right : item.smaller_right) ? 1 : 0;
    smaller += item.smaller_right ? 1 : 0;
    bigger += item.bigger_right ? 1 : 0;
  }
  const size_t all = items.size();
  return {threshold,         share(lost, all),    share(escalated, all),
          share(right, all), share(smaller, all), share(bigger, all)};
}

}  // namespace

double binomial_at_most(uint64_t hits, uint64_t trials, double rate) {
  if (hits >= trials) return 1;
  return binomial_sum(0, hits, trials, rate);
}

double binomial_at_least(uint64_t hits, uint64_t trials, double rate) {
  if (hits == 0) return 1;
  return binomial_sum(hits, trials, trials, rate);
}

Interval rate_interval(uint64_t hits, uint64_t trials, double confidence) {
  if (trials == 0) return {};
  const double tail = (1 - confidence) / 2;
  Interval interval;
  if (hits > 0) {
    interval.low = bisect([&](double p) { return binomial_at_least(hits, trials, p) >= tail; });
  }
  if (hits < trials) {
    interval.high = bisect([&](double p) { return binomial_at_most(hits, trials, p) <= tail; });
  }
  return interval;
}

Result<CascadeThreshold> tune_cascade(std::vector<CascadeItem> items, double risk, double delta) {
  if (risk <= 0 || risk >= 1 || delta <= 0 || delta >= 1) {
    return fail(Code::kInvalidArgument, "the risk and its probability must be between 0 and 1");
  }
  const double needed = std::ceil(std::log(delta) / std::log1p(-risk));
  if (static_cast<double>(items.size()) < needed) {
    return fail(
        Code::kInvalidArgument,
        fmt::format("{} labelled items are too few to promise a risk of {}: it takes {:.0f} "
                    "at least",
                    items.size(), risk, needed));
  }
  std::ranges::sort(items, std::greater(), &CascadeItem::confidence);
  // From asking always, where nothing is lost, downwards: what is lost only grows, so that the
  // first threshold for which the promise cannot be made ends the walk, and needs no correction for
  // those before.
  double threshold = std::numeric_limits<double>::infinity();
  uint64_t lost = 0;
  for (size_t i = 0; i < items.size();) {
    const double next = items[i].confidence;
    for (; i < items.size() && items[i].confidence == next; ++i) {
      lost += !items[i].smaller_right && items[i].bigger_right ? 1 : 0;
    }
    if (std::isnan(next) || binomial_at_most(lost, items.size(), risk) > delta) break;
    threshold = next;
  }
  return measure(items, threshold);
}

Result<FilterThreshold> tune_filter(std::vector<FilterItem> items, double recall, double delta) {
  if (recall <= 0 || recall >= 1 || delta <= 0 || delta >= 1) {
    return fail(Code::kInvalidArgument, "the recall and its probability must be between 0 and 1");
  }
  const auto wanted = static_cast<uint64_t>(std::ranges::count(items, true, &FilterItem::wanted));
  const double needed = std::ceil(std::log(delta) / std::log(recall));
  if (static_cast<double>(wanted) < needed) {
    return fail(
        Code::kInvalidArgument,
        fmt::format("{} wanted items are too few to promise a recall of {}: it takes {:.0f} "
                    "at least",
                    wanted, recall, needed));
  }
  std::ranges::sort(items, {}, &FilterItem::score);
  // From uploading all upwards: what is missed only grows.
  FilterThreshold best{-std::numeric_limits<double>::infinity(), 1, 1};
  uint64_t missed = 0;
  for (size_t i = 0; i < items.size();) {
    const double score = items[i].score;
    if (binomial_at_most(missed, wanted, 1 - recall) > delta) break;
    best = {score, 1 - share(missed, wanted), 1 - share(i, items.size())};
    for (; i < items.size() && items[i].score == score; ++i) missed += items[i].wanted ? 1 : 0;
  }
  return best;
}

Recall estimate_recall(uint64_t flagged_wanted, uint64_t unflagged, uint64_t sampled,
                       uint64_t sampled_wanted, double confidence) {
  const auto found = static_cast<double>(flagged_wanted), rest = static_cast<double>(unflagged);
  const auto recall = [&](double missed_rate) {
    const double all = found + missed_rate * rest;
    return all == 0 ? 1 : found / all;
  };
  const Interval missed = rate_interval(sampled_wanted, sampled, confidence);
  return {recall(sampled == 0 ? 0 : share(sampled_wanted, sampled)),
          {recall(missed.high), recall(missed.low)}};
}

}  // namespace skerry::hybrid
