// Which of two ways to the same result takes less time here: tried in turns, then the faster one,
// and now and then tried again, as other programs come and go.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace skerry::runtime {

class FasterWay {
 public:
  // 0, or 1 where that is clearly faster. To be followed by took() of it, in any order.
  int next() {
    if (tries_ == kTries && runs_++ == kRunsUntilAgain) {
      tries_ = runs_ = 0;
      counts_ = {};
      faster_.reset();
    }
    if (tries_ < kTries) return tries_++ % 2;
    if (!faster_) faster_ = is_second_faster() ? 1 : 0;
    return *faster_;
  }
  void took(int way, int64_t ns) {
    auto& count = counts_[static_cast<size_t>(way)];
    if (count < kEach) ns_[static_cast<size_t>(way)][count++] = ns;
  }

 private:
  static constexpr size_t kEach = 16;
  static constexpr int kTries = 2 * kEach;
  static constexpr int kRunsUntilAgain = 4096;  // so that trying costs less than a hundredth

  // By its least and by its median, by 3 %: threads that are late now and then are no gain.
  bool is_second_faster() {
    if (counts_[0] == 0 || counts_[1] == 0) return false;
    std::array<int64_t, 2> least{}, median{};
    for (size_t way = 0; way < 2; ++way) {
      const auto end = ns_[way].begin() + static_cast<std::ptrdiff_t>(counts_[way]);
      std::sort(ns_[way].begin(), end);
      least[way] = ns_[way][0];
      median[way] = ns_[way][counts_[way] / 2];
    }
    return least[1] * 100 < least[0] * 97 && median[1] * 100 < median[0] * 97;
  }

  int tries_ = 0, runs_ = 0;
  std::optional<int> faster_;  // of the last tries
  std::array<size_t, 2> counts_ = {};
  std::array<std::array<int64_t, kEach>, 2> ns_ = {};
};

}  // namespace skerry::runtime
