// Samples cut into windows of one length, which may overlap or leave some out.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace skerry::flow {

struct WindowConfig {
  int64_t size = 0;    // samples
  int64_t stride = 0;  // from the begin of one to the next
  int64_t before = 0;  // zeros before the first sample, as a model that hears context wants them
  int64_t rate = 0;    // samples a second that the windows have, whatever the source has
};

class Windows {
 public:
  explicit Windows(const WindowConfig& config) : config_(config) { reset(); }
  // A recording begins.
  void reset();
  // `on_window` gets each window that is whole now, and its number.
  using OnWindow = std::function<void(std::span<const float> samples, int64_t number)>;
  void push(std::span<const float> samples, const OnWindow& on_window);

 private:
  WindowConfig config_;
  std::vector<float> held_;
  int64_t skip_ = 0;  // samples before the next window, where strides are longer than windows
  int64_t number_ = 0;
};

}  // namespace skerry::flow
