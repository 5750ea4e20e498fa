// Differential privacy of training in rounds: what noise to add, and what it costs (Rényi
// differential privacy of the sampled Gaussian mechanism: Mironov, 2017; Mironov, Talwar and Zhang,
// 2019). Devices are taken to take part each with the same probability, independently.
#pragma once

#include <cstdint>
#include <vector>

#include "federated/update.h"
#include "io/random.h"

namespace skerry::federated {

enum class Conversion {
  kClassic,   // ε = ρ + log(1/δ)/(α−1)
  kImproved,  // ε = ρ + log((α−1)/α) − (log δ + log α)/(α−1): Canonne, Kamath and Steinke, 2020
};

class Accountant {
 public:
  Accountant();

  // A round in which each took part with probability `share` and the noise had `multiplier` times
  // the length that one update may have; so many of them.
  void add(double share, double multiplier, double rounds = 1);
  // The same of what cost() says, which takes a while to find.
  void add(const std::vector<double>& cost);
  static std::vector<double> cost(double share, double multiplier);
  // What is spent at `delta`; infinite where a round had no noise.
  double epsilon(double delta, Conversion conversion = Conversion::kImproved) const;
  // By order, the first of which is 1.1; to be kept over restarts.
  const std::vector<double>& spent() const { return spent_; }
  void restore(std::vector<double> spent);

 private:
  std::vector<double> spent_;  // Rényi divergence by order
};

// The multiplier for vectors beside whose sum a count is told, of halves added and taken away and
// with normal noise of `count_deviation`, so that both together cost what `multiplier` does (Andrew
// et al., 2021, theorem 1). Infinite where the count alone costs more.
double multiplier_beside_count(double multiplier, double count_deviation);

// Normal noise with `deviation`, by the kernel's random numbers where they matter.
void add_noise(Vector& vector, double deviation, io::Random& random);

}  // namespace skerry::federated
