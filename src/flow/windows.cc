// Holds what the next window still needs, and no more.
#include "flow/windows.h"

#include <algorithm>

namespace skerry::flow {

void Windows::reset() {
  held_.assign(static_cast<size_t>(config_.before), 0);
  skip_ = 0;
  number_ = 0;
}

void Windows::push(std::span<const float> samples, const OnWindow& on_window) {
  const int64_t skipped = std::min(skip_, static_cast<int64_t>(samples.size()));
  skip_ -= skipped;
  held_.insert(held_.end(), samples.begin() + skipped, samples.end());
  int64_t at = 0;
  const auto end = static_cast<int64_t>(held_.size());
  for (; at + config_.size <= end; at += config_.stride) {
    on_window(std::span(held_).subspan(static_cast<size_t>(at), static_cast<size_t>(config_.size)),
              number_++);
  }
  const int64_t gone = std::min(at, end);
  held_.erase(held_.begin(), held_.begin() + gone);
  skip_ += at - gone;
}

}  // namespace skerry::flow
