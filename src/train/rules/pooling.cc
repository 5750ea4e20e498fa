// Pools. What a maximum gives back goes to the place that it came from, which the second output of
// MaxPool says (train/decompose.h asks for it); an average gives each place of a window its part.
#include <algorithm>

#include "graph/ops/window.h"
#include "train/gradient.h"

namespace skerry::train {
namespace {

using graph::ops::Window;

Result<void> max_pool(Backward& back) {
  if (back.out(1) == nullptr) return back.refuse("it does not say where its maxima are");
  if (back.node().int_of("storage_order") != 0) return back.refuse("storage_order is not 0");
  Builder& make = back.make;
  const int64_t inputs = count_of(*back.in(0));
  const int64_t outputs = count_of(*back.out());
  Value* flat = make.op("ScatterElements",
                        {make.filled({inputs}, 0), make.reshape(back.out(1), {outputs}),
                         make.reshape(back.gradient(), {outputs})},
                        {{"axis", int64_t{0}}, {"reduction", std::string("add")}});
  back.give(0, make.reshape(flat, sizes_of(*back.in(0))));
  return {};
}

// How many places each window counts: all, or (count_include_pad) those in the padding too.
std::vector<float> counts_of(const Window& window, const Sizes& in, const Sizes& out,
                             bool with_padding) {
  std::vector<float> counts = {1};
  for (size_t axis = 0; axis < in.size(); ++axis) {
    std::vector<float> next;
    const int64_t begin = with_padding ? -window.pads_begin[axis] : 0;
    const int64_t end = with_padding ? in[axis] + window.pads_end[axis] : in[axis];
    for (const float so_far : counts) {
      for (int64_t o = 0; o < out[axis]; ++o) {
        int64_t count = 0;
        for (int64_t k = 0; k < window.kernel[axis]; ++k) {
          const int64_t at =
              o * window.strides[axis] + k * window.dilations[axis] - window.pads_begin[axis];
          count += at >= begin && at < end ? 1 : 0;
        }
        next.push_back(so_far * static_cast<float>(std::max<int64_t>(count, 1)));
      }
    }
    counts = std::move(next);
  }
  return counts;
}

// Every channel is an image of one channel: a transposed convolution with ones.
Result<void> average_pool(Backward& back) {
  Builder& make = back.make;
  const Sizes sizes = sizes_of(*back.in(0));
  const Sizes in(sizes.begin() + 2, sizes.end());
  const Sizes pooled = sizes_of(*back.out());
  const Sizes out(pooled.begin() + 2, pooled.end());
  const graph::Inference inference(back.node(), {}, {});
  SKERRY_ASSIGN(Window window, graph::ops::window_of(inference, in.size(), {}));
  Sizes ones = {1, 1};
  Sizes images = {sizes[0] * sizes[1], 1};
  Sizes one_image = {1, 1};
  Sizes ends;
  Sizes rest;
  Sizes axes;
  Sizes whole = images;
  for (size_t i = 0; i < in.size(); ++i) {
    resolve_padding(window, i, in[i]);
    ones.push_back(window.kernel[i]);
    images.push_back(out[i]);
    one_image.push_back(out[i]);
    axes.push_back(static_cast<int64_t>(i) + 2);
    ends.push_back(window.pads_begin[i] + in[i]);
    // What the windows do not reach at the end.
    const int64_t reached = (out[i] - 1) * window.strides[i] + window.extent(i);
    rest.push_back(std::max<int64_t>(0, window.pads_begin[i] + in[i] - reached));
  }
  Value* counts = make.floats(
      one_image, counts_of(window, in, out, back.node().int_of("count_include_pad") != 0));
  Value* part = make.div(make.reshape(back.gradient(), images), counts);
  // Without pads, and cut: a pad as large as the window is fine then.
  Value* full = make.op("ConvTranspose", {part, make.filled(ones, 1)},
                        {{"strides", window.strides}, {"dilations", window.dilations}});
  const Sizes reached = sizes_of(*full);
  Sizes pads(2 * reached.size(), 0);
  for (size_t i = 0; i < in.size(); ++i) pads[reached.size() + 2 + i] = rest[i];
  if (std::ranges::any_of(rest, [](int64_t n) { return n > 0; })) {
    full = make.op("Pad", {full, make.ints(pads)});
  }
  back.give(0, make.reshape(make.slice(full, window.pads_begin, ends, axes), sizes));
  return {};
}

Result<void> global_average(Backward& back) {
  const Sizes sizes = sizes_of(*back.in(0));
  const auto places =
      static_cast<double>(count_of(*back.in(0))) / static_cast<double>(sizes[0] * sizes[1]);
  back.give(0, back.make.expand(back.make.scale(back.gradient(), 1 / places), sizes));
  return {};
}

}  // namespace

std::span<const GradientRule> pooling_rules() {
  static const GradientRule kRules[] = {
      {"MaxPool", max_pool}, {"AveragePool", average_pool}, {"GlobalAveragePool", global_average}};
  return kRules;
}

}  // namespace skerry::train
