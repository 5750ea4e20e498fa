// Convolutions are each other's gradients: by the input it is the transposed convolution of what
// comes back, by the weights a convolution of the input with it, strides and dilations swapped.
#include <algorithm>

#include "graph/ops/window.h"
#include "train/gradient.h"

namespace skerry::train {
namespace {

using graph::ops::Window;

Result<Window> window_for(const Backward& back, const Sizes& space) {
  const Sizes weights = sizes_of(*back.in(1));
  const graph::Inference inference(back.node(), {}, {});
  SKERRY_ASSIGN(Window window, graph::ops::window_of(inference, space.size(),
                                                     {weights.begin() + 2, weights.end()}));
  for (size_t axis = 0; axis < space.size(); ++axis) resolve_padding(window, axis, space[axis]);
  return window;
}

Sizes pads_of(const Window& window) {
  Sizes pads = window.pads_begin;
  pads.insert(pads.end(), window.pads_end.begin(), window.pads_end.end());
  return pads;
}

Sizes space_of(const Value& value) {
  const Sizes sizes = sizes_of(value);
  return {sizes.begin() + 2, sizes.end()};
}

// [N, groups·C, space…] to [C, groups·N, space…].
Value* channels_first(Builder& make, Value* value, int64_t groups) {
  const Sizes sizes = sizes_of(*value);
  const int64_t batch = sizes[0];
  const int64_t channels = sizes[1] / groups;
  Sizes split = {batch, groups, channels};
  Sizes perm = {2, 1, 0};
  Sizes joined = {channels, groups * batch};
  for (size_t i = 2; i < sizes.size(); ++i) {
    split.push_back(sizes[i]);
    perm.push_back(static_cast<int64_t>(i) + 1);
    joined.push_back(sizes[i]);
  }
  return make.reshape(make.transpose(make.reshape(value, split), perm), joined);
}

// d/dW of Conv(x, W) where `dy` comes back: [M, C/groups, kernel…].
Value* weights_gradient(Builder& make, Value* x, Value* dy, const Window& window, int64_t groups) {
  Value* out = make.op("Conv", {channels_first(make, x, groups), make.swap(dy, 0, 1)},
                       {{"pads", pads_of(window)},
                        {"strides", window.dilations},
                        {"dilations", window.strides},
                        {"group", groups}});
  // Where the stride leaves a rest of the input unread, there are more places than weights.
  const Sizes space = space_of(*out);
  if (space != window.kernel) {
    Sizes axes;
    for (size_t i = 0; i < space.size(); ++i) axes.push_back(static_cast<int64_t>(i) + 2);
    out = make.slice(out, Sizes(space.size(), 0), window.kernel, axes);
  }
  return make.swap(out, 0, 1);
}

Sizes all_but_channels(size_t rank) {
  Sizes axes = {0};
  for (size_t i = 2; i < rank; ++i) axes.push_back(static_cast<int64_t>(i));
  return axes;
}

Result<void> conv(Backward& back) {
  Value* dy = back.gradient();
  const Sizes space = space_of(*back.in(0));
  const Sizes out = space_of(*back.out());
  const int64_t groups = back.node().int_of("group");
  SKERRY_ASSIGN(const Window window, window_for(back, space));
  if (back.wants(0)) {
    Sizes rest;
    for (size_t i = 0; i < space.size(); ++i) {
      rest.push_back(space[i] - ((out[i] - 1) * window.strides[i] - window.pads_begin[i] -
                                 window.pads_end[i] + window.extent(i)));
    }
    back.give(0, back.make.op("ConvTranspose", {dy, back.in(1)},
                              {{"pads", pads_of(window)},
                               {"strides", window.strides},
                               {"dilations", window.dilations},
                               {"group", groups},
                               {"output_padding", rest}}));
  }
  if (back.wants(1)) back.give(1, weights_gradient(back.make, back.in(0), dy, window, groups));
  if (back.wants(2)) back.give(2, back.make.sum(dy, all_but_channels(back.rank()), false));
  return {};
}

// The roles of input and output are exchanged.
Result<void> conv_transpose(Backward& back) {
  Value* dy = back.gradient();
  const Sizes in = space_of(*back.in(0));
  const Sizes out = space_of(*back.out());
  const int64_t groups = back.node().int_of("group");
  SKERRY_ASSIGN(Window window, window_for(back, in));
  const bool explicit_pads =
      back.node().string_of("auto_pad") == "NOTSET" && back.node().ints_of("output_shape").empty();
  if (!explicit_pads) return back.refuse("its padding is chosen by its output's size");
  if (back.wants(0)) {
    Value* dx = back.make.op("Conv", {dy, back.in(1)},
                             {{"pads", pads_of(window)},
                              {"strides", window.strides},
                              {"dilations", window.dilations},
                              {"group", groups}});
    Sizes axes;
    for (size_t i = 0; i < in.size(); ++i) axes.push_back(static_cast<int64_t>(i) + 2);
    if (space_of(*dx) != in) dx = back.make.slice(dx, Sizes(in.size(), 0), in, axes);
    back.give(0, dx);
  }
  if (back.wants(1)) back.give(1, weights_gradient(back.make, dy, back.in(0), window, groups));
  if (back.wants(2)) back.give(2, back.make.sum(dy, all_but_channels(back.rank()), false));
  return {};
}

}  // namespace

std::span<const GradientRule> convolution_rules() {
  static const GradientRule kRules[] = {{"Conv", conv}, {"ConvTranspose", conv_transpose}};
  return kRules;
}

}  // namespace skerry::train
