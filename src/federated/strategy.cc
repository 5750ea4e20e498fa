// Means (FedAvg: McMahan et al., 2017; FedNova: Wang et al., 2020; FedBuff: Nguyen et al., 2022;
// SCAFFOLD: Karimireddy et al., 2020), server optimisers (FedAdam, FedYogi, FedAdagrad: Reddi et
// al., 2021), and those that outlast malicious updates (median and trimmed mean: Yin et al., 2018;
// Krum: Blanchard et al., 2017).
#include "federated/strategy.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace skerry::federated {
namespace {

double real(float value) {
  return static_cast<double>(value);
}

class Mean : public Strategy {
 public:
  explicit Mean(const StrategyOptions& options) : options_(options) {}
  std::string_view name() const override { return options_.name; }

  void begin(std::span<const Source> sources) override {
    weights_.clear();
    for (const Source& source : sources)
      weights_.push_back(options_.equal_weights ? 1 : source.examples);
    const double sum = std::accumulate(weights_.begin(), weights_.end(), 0.0);
    for (double& weight : weights_) weight = sum > 0 ? weight / sum : 0;
    // FedNova: each update in units of its own steps, then their mean number of steps.
    if (options_.name != "fednova") return;
    double mean_steps = 0;
    for (size_t i = 0; i < sources.size(); ++i) mean_steps += weights_[i] * sources[i].steps;
    for (size_t i = 0; i < sources.size(); ++i) {
      weights_[i] *= mean_steps / std::max(sources[i].steps, 1.0);
    }
  }

  void combine(std::span<const Vector> pieces, size_t, std::span<float> out) override {
    for (size_t k = 0; k < out.size(); ++k) {
      out[k] = static_cast<float>(options_.server_rate * mean_of(pieces, k));
    }
  }

 protected:
  double mean_of(std::span<const Vector> pieces, size_t k) const {
    double sum = 0;
    for (size_t i = 0; i < pieces.size(); ++i) sum += weights_[i] * real(pieces[i][k]);
    return sum;
  }

  StrategyOptions options_;
  std::vector<double> weights_;
};

// The mean of a buffer of updates, of which those of old models count less.
class Buffered : public Mean {
 public:
  using Mean::Mean;
  void begin(std::span<const Source> sources) override {
    weights_.clear();
    for (const Source& source : sources) {
      weights_.push_back(1 / std::sqrt(1 + source.staleness) / static_cast<double>(sources.size()));
    }
  }
  bool is_asynchronous() const override { return true; }
};

// The mean for the model, which is the vector's first half; for the control variate behind it what
// the mean of those of all devices changes by.
class Scaffold : public Mean {
 public:
  Scaffold(const StrategyOptions& options, size_t size) : Mean(options), parameters_(size / 2) {}

  void begin(std::span<const Source> sources) override {
    const auto count = static_cast<double>(std::max<size_t>(sources.size(), 1));
    weights_.assign(sources.size(), 1 / count);
    share_ = count / static_cast<double>(std::max<size_t>(options_.devices, 1));
  }
  void combine(std::span<const Vector> pieces, size_t offset, std::span<float> out) override {
    for (size_t k = 0; k < out.size(); ++k) {
      const double rate = offset + k < parameters_ ? options_.server_rate : share_;
      out[k] = static_cast<float>(rate * mean_of(pieces, k));
    }
  }

 private:
  size_t parameters_;
  double share_ = 1;
};

// The mean as if it were a gradient.
class ServerOptimiser : public Mean {
 public:
  ServerOptimiser(const StrategyOptions& options, size_t size)
      : Mean(options),
        first_(size, 0),
        second_(size, static_cast<float>(options.tau * options.tau)) {}

  void combine(std::span<const Vector> pieces, size_t offset, std::span<float> out) override {
    for (size_t k = 0; k < out.size(); ++k) {
      const double delta = mean_of(pieces, k);
      const double square = delta * delta;
      float& first = first_[offset + k];
      float& second = second_[offset + k];
      first = static_cast<float>(options_.beta1 * real(first) + (1 - options_.beta1) * delta);
      second = static_cast<float>(next_second(real(second), square));
      out[k] = static_cast<float>(options_.server_rate * real(first) /
                                  (std::sqrt(real(second)) + options_.tau));
    }
  }

  std::vector<Vector*> memory() override { return {&first_, &second_}; }

 private:
  double next_second(double second, double square) const {
    if (options_.name == "fedadagrad") return second + square;
    if (options_.name == "fedadam") return options_.beta2 * second + (1 - options_.beta2) * square;
    const double sign = second > square ? 1 : second < square ? -1 : 0;  // fedyogi
    return second - (1 - options_.beta2) * square * sign;
  }

  Vector first_, second_;
};

// The mean of what is left when the outermost are taken away at each coordinate; all but the middle
// for the median.
class Trimmed : public Strategy {
 public:
  explicit Trimmed(const StrategyOptions& options) : options_(options) {}
  std::string_view name() const override { return options_.name; }
  void begin(std::span<const Source> sources) override {
    const size_t count = sources.size();
    const size_t most = count == 0 ? 0 : (count - 1) / 2;
    cut_ = options_.name == "median"
               ? most
               : std::min(most, static_cast<size_t>(
                                    std::ceil(options_.trimmed * static_cast<double>(count))));
  }

  void combine(std::span<const Vector> pieces, size_t, std::span<float> out) override {
    std::vector<float> column(pieces.size());
    for (size_t k = 0; k < out.size(); ++k) {
      for (size_t i = 0; i < pieces.size(); ++i) column[i] = pieces[i][k];
      std::ranges::sort(column);
      double sum = 0;
      for (size_t i = cut_; i < column.size() - cut_; ++i) sum += real(column[i]);
      const auto left = static_cast<double>(column.size() - 2 * cut_);
      out[k] = static_cast<float>(options_.server_rate * sum / left);
    }
  }

 private:
  StrategyOptions options_;
  size_t cut_ = 0;
};

// The mean of the updates that are nearest to the most others (multi-Krum).
class Krum : public Strategy {
 public:
  explicit Krum(const StrategyOptions& options) : options_(options) {}
  std::string_view name() const override { return "krum"; }
  void begin(std::span<const Source> sources) override {
    count_ = sources.size();
    distances_.assign(count_ * count_, 0);
    chosen_.clear();
  }
  bool looks_first() const override { return true; }

  void look(std::span<const Vector> pieces) override {
    for (size_t i = 0; i < count_; ++i) {
      for (size_t j = i + 1; j < count_; ++j) {
        double sum = 0;
        for (size_t k = 0; k < pieces[i].size(); ++k) {
          const double difference = real(pieces[i][k]) - real(pieces[j][k]);
          sum += difference * difference;
        }
        distances_[i * count_ + j] += sum;
        distances_[j * count_ + i] += sum;
      }
    }
  }

  void combine(std::span<const Vector> pieces, size_t, std::span<float> out) override {
    if (chosen_.empty()) choose();
    for (size_t k = 0; k < out.size(); ++k) {
      double sum = 0;
      for (const size_t i : chosen_) sum += real(pieces[i][k]);
      out[k] = static_cast<float>(options_.server_rate * sum / static_cast<double>(chosen_.size()));
    }
  }

 private:
  void choose() {
    const size_t bad = std::min(options_.malicious > 0 ? options_.malicious : count_ / 5,
                                count_ > 2 ? (count_ - 2) / 2 : 0);
    const size_t near = count_ > bad + 2 ? count_ - bad - 2 : 1;
    std::vector<std::pair<double, size_t>> scores;
    for (size_t i = 0; i < count_; ++i) {
      std::vector<double> row(distances_.begin() + static_cast<std::ptrdiff_t>(i * count_),
                              distances_.begin() + static_cast<std::ptrdiff_t>((i + 1) * count_));
      row.erase(row.begin() + static_cast<std::ptrdiff_t>(i));
      std::ranges::sort(row);
      double sum = 0;
      for (size_t j = 0; j < std::min(near, row.size()); ++j) sum += row[j];
      scores.emplace_back(sum, i);
    }
    std::ranges::sort(scores);
    for (size_t i = 0; i < std::max<size_t>(count_ - bad, 1); ++i)
      chosen_.push_back(scores[i].second);
  }

  StrategyOptions options_;
  size_t count_ = 0;
  std::vector<double> distances_;
  std::vector<size_t> chosen_;
};

constexpr StrategyKind kKinds[] = {
    {"fedavg", "the mean, by amounts of data"},
    {"fedprox", "the same; devices are held near the model that they were given"},
    {"scaffold", "the mean; devices correct their steps by how their rows differ from all others'"},
    {"fednova", "the mean in units of steps: for devices that train unequally long"},
    {"fedbuff", "the mean of the first updates that come, of whatever round: nobody waits"},
    {"fedadam", "Adam on the server"},
    {"fedyogi", "Yogi on the server"},
    {"fedadagrad", "Adagrad on the server"},
    {"median", "the median of each number: outlasts fewer than half malicious devices"},
    {"trimmed-mean", "the mean of each number without the outermost"},
    {"krum", "the mean of those updates that are nearest to each other"},
};

}  // namespace

std::span<const StrategyKind> strategies() {
  return kKinds;
}

Result<std::unique_ptr<Strategy>> make_strategy(const StrategyOptions& options, size_t size) {
  const std::string& name = options.name;
  std::unique_ptr<Strategy> made;
  if (name == "fedavg" || name == "fedprox" || name == "fednova") {
    made = std::make_unique<Mean>(options);
  } else if (name == "scaffold") {
    made = std::make_unique<Scaffold>(options, size);
  } else if (name == "fedbuff") {
    made = std::make_unique<Buffered>(options);
  } else if (name == "fedadam" || name == "fedyogi" || name == "fedadagrad") {
    made = std::make_unique<ServerOptimiser>(options, size);
  } else if (name == "median" || name == "trimmed-mean") {
    made = std::make_unique<Trimmed>(options);
  } else if (name == "krum") {
    made = std::make_unique<Krum>(options);
  }
  if (made) return made;
  std::vector<std::string_view> names;
  for (const StrategyKind& kind : kKinds) names.push_back(kind.name);
  return fail(Code::kInvalidArgument,
              fmt::format("there is no strategy '{}'; there are {}", name, fmt::join(names, ", ")));
}

}  // namespace skerry::federated
