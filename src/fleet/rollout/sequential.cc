// Each interval is the set of values that a mixture martingale has not yet refuted: those for which
// (likelihood averaged over a prior) / (likelihood at the value) has stayed below 1 / alpha.
// Ville's inequality bounds the chance that the true value is ever refuted by alpha.
#include "fleet/rollout/sequential.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace skerry::fleet::rollout {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr int kBisections = 80;
constexpr double kPrior = 0.5;  // Jeffreys: no value of the rate is hard to find
// The number of observations at which mean_interval is tightest. Any choice is valid.
constexpr double kTightestAt = 500;

double log_beta(double a, double b) {
  return std::lgamma(a) + std::lgamma(b) - std::lgamma(a + b);
}

double log_choose(int64_t n, int64_t k) {
  return std::lgamma(static_cast<double>(n) + 1) - std::lgamma(static_cast<double>(k) + 1) -
         std::lgamma(static_cast<double>(n - k) + 1);
}

// Where `refuted` changes between `inside`, which is not refuted, and `outside`.
template <class Refuted>
double edge(double inside, double outside, Refuted refuted) {
  for (int i = 0; i < kBisections; ++i) {
    const double middle = (inside + outside) / 2;
    (refuted(middle) ? outside : inside) = middle;
  }
  return outside;  // the conservative side
}

// x log y, 0 where x is.
double x_log_y(double x, double y) {
  return x == 0 ? 0 : x * std::log(y);
}

double log_mixture(const Counted& counted) {
  return log_beta(counted.events + kPrior, counted.trials - counted.events + kPrior) -
         log_beta(kPrior, kPrior);
}

double log_likelihood(const Counted& counted, double p) {
  return x_log_y(counted.events, p) + x_log_y(counted.trials - counted.events, 1 - p);
}

}  // namespace

Interval proportion_interval(double events, double trials, double alpha) {
  if (trials <= 0) return {0, 1};
  const double k = events, rest = trials - events;
  const double mixture = log_mixture({events, trials});
  const double bar = -std::log(alpha);
  const auto refuted = [&](double p) {
    return mixture - x_log_y(k, p) - x_log_y(rest, 1 - p) >= bar;
  };
  const double seen = k / (k + rest);
  return {events == 0 ? 0 : edge(seen, 0, refuted), rest == 0 ? 1 : edge(seen, 1, refuted)};
}

double log_evidence_above(const Counted& first, const Counted& second, double tolerance) {
  if (first.trials <= 0 || second.trials <= 0) return 0;
  const double mixture = log_mixture(first) + log_mixture(second);
  const double seen_first = first.events / first.trials;
  const double seen_second = second.events / second.trials;
  const auto likelihood = [&](double p) {  // on the edge of the hypothesis
    return log_likelihood(first, std::fmin(1, p + tolerance)) + log_likelihood(second, p);
  };
  if (seen_first <= seen_second + tolerance) {
    return mixture - log_likelihood(first, seen_first) - log_likelihood(second, seen_second);
  }
  // Concave, with its top between what the two say.
  double low = seen_second, high = seen_first - tolerance;
  for (int i = 0; i < kBisections; ++i) {
    const double left = low + (high - low) / 3, right = high - (high - low) / 3;
    (likelihood(left) < likelihood(right) ? low : high) =
        likelihood(left) < likelihood(right) ? left : right;
  }
  return mixture - likelihood((low + high) / 2);
}

Interval rate_interval(double events, double exposure, double alpha, double dispersion) {
  if (exposure <= 0) return {0, kInfinity};
  const double k = events / dispersion, t = exposure / dispersion;
  const double mixture = std::lgamma(k + kPrior) - std::lgamma(kPrior) -
                         (k + kPrior) * std::log1p(t);  // the prior is Gamma(1/2, 1)
  const double bar = -std::log(alpha);
  const auto refuted = [&](double rate) { return mixture - x_log_y(k, rate) + rate * t >= bar; };
  const double seen = k / t;
  double beyond = seen + 1 / t;
  while (!refuted(beyond)) beyond *= 2;
  return {k == 0 ? 0 : edge(seen, 0, refuted), edge(seen, beyond, refuted)};
}

void Moments::add(double value) {
  ++count;
  sum += value;
  squares += value * value;
}

void Moments::merge(const Moments& other) {
  count += other.count;
  sum += other.sum;
  squares += other.squares;
}

double Moments::mean() const {
  return count == 0 ? 0 : sum / static_cast<double>(count);
}

double Moments::variance() const {
  if (count < 2) return 0;
  const double n = static_cast<double>(count);
  return std::fmax(0, (squares - sum * sum / n) / (n - 1));
}

Interval mean_interval(const Moments& moments, double alpha) {
  if (moments.count < kLeastObservations) return {-kInfinity, kInfinity};
  const double n = static_cast<double>(moments.count);
  const double twice_log = -2 * std::log(alpha);
  const double rho2 = (twice_log + std::log(twice_log + 1)) / kTightestAt;
  const double width = std::sqrt(moments.variance() * 2 * (n * rho2 + 1) / (n * n * rho2) *
                                 std::log(std::sqrt(n * rho2 + 1) / alpha));
  return {moments.mean() - width, moments.mean() + width};
}

int64_t counted_of(int64_t first) {
  return first - first / 6;
}

double log_chance_of(const Ranks& ranks) {
  if (ranks.first <= 0 || ranks.second <= 0) return 0;
  // So many of both together are as bad as that; by chance at least `counted` of them are of the
  // first cohort: the tail of a hypergeometric distribution.
  const int64_t worst = ranks.beyond + ranks.counted;
  const double all = log_choose(ranks.first + ranks.second, worst);
  double chance = 0;
  for (int64_t i = ranks.counted; i <= std::min(ranks.first, worst); ++i) {
    if (worst - i > ranks.second) continue;
    chance += std::exp(log_choose(ranks.first, i) + log_choose(ranks.second, worst - i) - all);
  }
  // 1 / (n (n + 1)) adds up to 1 over all n.
  const double n = static_cast<double>(ranks.first);
  return std::fmin(0, std::log(chance) + std::log(n * (n + 1)));
}

}  // namespace skerry::fleet::rollout
