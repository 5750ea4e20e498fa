// Choices from a seed, the same on every machine, which the standard distributions are not.
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>
#include <numeric>
#include <random>
#include <vector>

namespace skerry::train {

class Draw {
 public:
  // `stream` tells apart what one seed is used for.
  explicit Draw(uint64_t seed, uint64_t stream = 0)
      : random_(seed * 0x9E3779B97F4A7C15U + (stream + 1) * 0xBF58476D1CE4E5B9U) {}

  uint64_t next() { return random_(); }
  uint64_t below(uint64_t limit) { return random_() % limit; }                 // limit > 0
  double uniform() { return static_cast<double>(random_() >> 11) * 0x1p-53; }  // [0, 1)
  double normal() {
    const double length = std::sqrt(-2 * std::log(1 - uniform()));
    return length * std::cos(2 * std::numbers::pi * uniform());
  }
  std::vector<size_t> permutation(size_t count) {
    std::vector<size_t> order(count);
    std::iota(order.begin(), order.end(), 0);
    for (size_t i = count; i > 1; --i) std::swap(order[i - 1], order[below(i)]);
    return order;
  }

 private:
  std::mt19937_64 random_;
};

}  // namespace skerry::train
