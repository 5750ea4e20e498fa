// The geometry that convolutions and pools share: a window that steps over the spatial axes of
// [batch, channels, spatial…].
#pragma once

#include "graph/ops/common.h"

namespace skerry::graph::ops {

struct Window {
  std::vector<int64_t> kernel, strides, dilations;
  std::vector<int64_t> pads_begin, pads_end;  // explicit ones; set by resolve_padding() else
  std::string auto_pad;
  bool ceil_mode = false;

  // What the dilated kernel covers along `axis`.
  int64_t extent(size_t axis) const { return (kernel[axis] - 1) * dilations[axis] + 1; }
};

// From attributes; `kernel` where kernel_shape is not set (convolutions: the weights' shape).
// Refuses lists of another length than `spatial`, and sizes that are not positive.
Result<Window> window_of(const Inference& inference, size_t spatial, std::vector<int64_t> kernel);

// Pads that auto_pad means for an input of this size, along one axis.
void resolve_padding(Window& window, size_t axis, int64_t input_size);

// Output size along one axis of an input that may be open.
Result<Dim> output_size(const Inference& inference, Window& window, size_t axis, const Dim& input);

// The window of a node that the shape function has accepted, for known input sizes.
Window resolved_window(const Evaluation& run, std::vector<int64_t> kernel,
                       std::span<const int64_t> input_spatial);

// Calls f(kernel index, input offset) for every place of the window at `output_index` that lies
// inside the input; both are flat row-major offsets in space.
template <class F>
void for_each_in_window(const Window& window, std::span<const int64_t> input,
                        std::span<const int64_t> output_index, F&& f) {
  const size_t rank = input.size();
  std::vector<int64_t> at(rank, 0);
  const int64_t count = product(window.kernel);
  for (int64_t k = 0; k < count; ++k) {
    int64_t offset = 0;
    bool inside = true;
    for (size_t axis = 0; axis < rank; ++axis) {
      const int64_t place = output_index[axis] * window.strides[axis] +
                            at[axis] * window.dilations[axis] - window.pads_begin[axis];
      inside = inside && place >= 0 && place < input[axis];
      offset = offset * input[axis] + place;
    }
    if (inside) f(k, offset);
    for (size_t axis = rank; axis-- > 0;) {
      if (++at[axis] < window.kernel[axis]) break;
      at[axis] = 0;
    }
  }
}

}  // namespace skerry::graph::ops
