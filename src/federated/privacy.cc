// The accountant works with logarithms throughout: the terms span hundreds of orders of magnitude.
#include "federated/privacy.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace skerry::federated {
namespace {

// Orders of divergence that are kept: by tenths where small ones decide, then whole ones.
const std::vector<double>& orders() {
  static const std::vector<double> kOrders = [] {
    std::vector<double> made;
    for (int tenths = 11; tenths < 110; ++tenths) made.push_back(1 + (tenths - 10) / 10.0);
    for (int whole = 11; whole <= 512; ++whole) made.push_back(whole);
    return made;
  }();
  return kOrders;
}

constexpr double kNothing = -std::numeric_limits<double>::infinity();  // log 0

double log_add(double a, double b) {
  const double larger = std::max(a, b);
  if (larger == kNothing) return larger;
  return larger + std::log1p(std::exp(std::min(a, b) - larger));
}

// a > b, or nothing is left.
double log_subtract(double a, double b) {
  if (b == kNothing) return a;
  return a > b ? b + std::log(std::expm1(a - b)) : kNothing;
}

double log_erfc(double x) {
  const double value = std::erfc(x);
  if (value > 0) return std::log(value);
  // Asymptotically, where it underflows.
  return -x * x - std::log(x) - std::log(std::numbers::pi) / 2 - 0.5 / (x * x);
}

double log_binomial(double n, double k) {
  return std::lgamma(n + 1) - std::lgamma(k + 1) - std::lgamma(n - k + 1);
}

double whole_order(double share, double variance, double order) {
  double sum = kNothing;
  for (double k = 0; k <= order; ++k) {
    sum = log_add(sum, log_binomial(order, k) + (order - k) * std::log1p(-share) +
                           k * std::log(share) + (k * k - k) / (2 * variance));
  }
  return sum / (order - 1);
}

// A series on each side of the point where both densities are equal (Mironov, Talwar and Zhang,
// 2019, section 3.3).
double broken_order(double share, double variance, double order) {
  const double middle = variance * std::log(1 / share - 1) + 0.5;
  const double width = std::sqrt(2 * variance);
  double left = kNothing;
  double right = kNothing;
  double binomial = 1;  // of the order over i; its sign alternates in the end
  for (double i = 0; i < 10000; ++i) {
    if (i > 0) binomial *= (order - i + 1) / i;
    const double j = order - i;
    const double weight = std::log(std::abs(binomial));
    const double a = weight + i * std::log(share) + j * std::log1p(-share) +
                     (i * i - i) / (2 * variance) + std::log(0.5) + log_erfc((i - middle) / width);
    const double b = weight + j * std::log(share) + i * std::log1p(-share) +
                     (j * j - j) / (2 * variance) + std::log(0.5) + log_erfc((middle - j) / width);
    left = binomial > 0 ? log_add(left, a) : log_subtract(left, a);
    right = binomial > 0 ? log_add(right, b) : log_subtract(right, b);
    if (std::max(a, b) < -30) break;
  }
  return log_add(left, right) / (order - 1);
}

// Of one round.
double divergence(double share, double multiplier, double order) {
  if (share <= 0) return 0;
  if (multiplier <= 0) return std::numeric_limits<double>::infinity();
  const double variance = multiplier * multiplier;
  if (share >= 1) return order / (2 * variance);
  return order == std::floor(order) ? whole_order(share, variance, order)
                                    : broken_order(share, variance, order);
}

}  // namespace

Accountant::Accountant() : spent_(orders().size(), 0) {}

std::vector<double> Accountant::cost(double share, double multiplier) {
  std::vector<double> cost;
  for (const double order : orders()) cost.push_back(divergence(share, multiplier, order));
  return cost;
}

void Accountant::add(const std::vector<double>& cost) {
  for (size_t i = 0; i < spent_.size(); ++i) spent_[i] += cost[i];
}

void Accountant::add(double share, double multiplier, double rounds) {
  std::vector<double> all = cost(share, multiplier);
  for (double& one : all) one *= rounds;
  add(all);
}

double Accountant::epsilon(double delta, Conversion conversion) const {
  double least = std::numeric_limits<double>::infinity();
  if (std::ranges::all_of(spent_, [](double spent) { return spent == 0; })) return 0;
  for (size_t i = 0; i < spent_.size(); ++i) {
    const double alpha = orders()[i];
    const double more =
        conversion == Conversion::kClassic
            ? -std::log(delta) / (alpha - 1)
            : std::log((alpha - 1) / alpha) - (std::log(delta) + std::log(alpha)) / (alpha - 1);
    least = std::min(least, spent_[i] + more);
  }
  return std::max(least, 0.0);
}

void Accountant::restore(std::vector<double> spent) {
  if (spent.size() == spent_.size()) spent_ = std::move(spent);
}

double multiplier_beside_count(double multiplier, double count_deviation) {
  if (multiplier <= 0) return 0;
  const double of_count = 2 * count_deviation;
  const double left = 1 / (multiplier * multiplier) - 1 / (of_count * of_count);
  return left > 0 ? 1 / std::sqrt(left) : std::numeric_limits<double>::infinity();
}

void add_noise(Vector& vector, double deviation, io::Random& random) {
  if (deviation <= 0) return;
  for (float& value : vector) {
    const double u = 1 - random.uniform();  // (0, 1]
    const double v = random.uniform();
    const double normal = std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * v);
    value = static_cast<float>(static_cast<double>(value) + deviation * normal);
  }
}

}  // namespace skerry::federated
