// Convolutions: float, integer, quantised, transposed. Sums of floats are taken in double.
#include <cmath>

#include "graph/ops/common.h"
#include "graph/ops/families.h"
#include "graph/ops/quantisation.h"
#include "graph/ops/requantise.h"
#include "graph/ops/window.h"

namespace skerry::graph::ops {
namespace {

// Shapes of X [N, C, spatial…] and W [M, C/group, kernel…], at these inputs.
Result<void> infer_conv_shape(Inference& inference, size_t x, size_t w, DataType element) {
  inference.set(0, element);
  if (!inference.ranked(x) || !inference.ranked(w)) return {};
  const Shape& input = inference.shape(x);
  const auto weights = sizes_of(inference.type(w));
  if (input.size() < 3) {
    return inference.refuse("takes [batch, channels, spatial…], it is given {}",
                            to_string(inference.type(x)));
  }
  if (!weights) return {};
  if (weights->size() != input.size()) {
    return inference.refuse("its weights are {} for an input {}", to_string(inference.type(w)),
                            to_string(inference.type(x)));
  }
  const int64_t group = inference.node().int_of("group");
  const bool channels_fit = !input[1].is_fixed() || (*weights)[1] * group == input[1].size();
  if (group < 1 || (*weights)[0] % group != 0 || !channels_fit) {
    return inference.refuse("{} groups do not go with input {} and weights {}", group,
                            to_string(inference.type(x)), to_string(inference.type(w)));
  }
  const size_t spatial = input.size() - 2;
  SKERRY_ASSIGN(Window window,
                window_of(inference, spatial, {weights->begin() + 2, weights->end()}));
  if (!std::equal(window.kernel.begin(), window.kernel.end(), weights->begin() + 2)) {
    return inference.refuse("kernel_shape is not that of its weights {}",
                            to_string(inference.type(w)));
  }
  Shape shape = {input[0], Dim((*weights)[0])};
  for (size_t axis = 0; axis < spatial; ++axis) {
    SKERRY_ASSIGN(const Dim size, output_size(inference, window, axis, input[axis + 2]));
    shape.push_back(size);
  }
  inference.set(0, element, std::move(shape));
  return {};
}

// One number for each output channel.
Result<void> check_bias(const Inference& inference, size_t bias, size_t w) {
  const auto count = inference.has(bias) ? count_of(inference.type(bias)) : std::nullopt;
  const auto weights = sizes_of(inference.type(w));
  if (!count || !weights || weights->empty() || *count == (*weights)[0]) return {};
  return inference.refuse("its bias has {} numbers for {} channels", *count, (*weights)[0]);
}

Result<void> infer_conv(Inference& inference) {
  SKERRY_TRY(inference.same_element(0, 1));
  SKERRY_TRY(inference.same_element(0, 2));
  SKERRY_TRY(check_bias(inference, 2, 1));
  return infer_conv_shape(inference, 0, 1, inference.element(0));
}

// Weights [out, in, places…] without their zero points as [group][place][in][out of the group], so
// that the innermost loop is over sums that do not wait for each other.
template <class W, class Acc>
std::vector<Acc> weights_by_place(const Array& w, int64_t group, std::span<const int64_t> w_zero) {
  const int64_t places = product(std::span(w.shape).subspan(2));
  const int64_t channels = w.shape[1];
  const int64_t per_group = w.shape[0] / group;
  const auto ws = w.as<W>();
  std::vector<Acc> turned(ws.size());
  size_t from = 0;
  for (int64_t m = 0; m < w.shape[0]; ++m) {
    const auto zero = static_cast<Acc>(w_zero.empty() ? 0 : w_zero[w_zero.size() > 1 ? m : 0]);
    for (int64_t c = 0; c < channels; ++c) {
      for (int64_t k = 0; k < places; ++k) {
        const int64_t row = (m / per_group * places + k) * channels + c;
        turned[static_cast<size_t>(row * per_group + m % per_group)] =
            static_cast<Acc>(ws[from++]) - zero;
      }
    }
  }
  return turned;
}

// value(channel of the output, its flat index, sum over the window of x·w).
template <class X, class W, class Acc, class XF, class Store>
void convolve(const Window& window, const Array& x, const Array& w, const Array& out, int64_t group,
              XF&& x_minus_zero, std::span<const int64_t> w_zero, Store&& store) {
  const std::span<const int64_t> x_space = std::span(x.shape).subspan(2);
  const std::span<const int64_t> out_space = std::span(out.shape).subspan(2);
  const int64_t x_size = product(x_space);
  const int64_t w_size = product(std::span(w.shape).subspan(2));
  const int64_t out_size = product(out_space);
  const int64_t channels = w.shape[1];
  const int64_t per_group = w.shape[0] / group;
  const auto xs = x.as<X>();
  const auto turned = weights_by_place<W, Acc>(w, group, w_zero);
  std::vector<Acc> sums(static_cast<size_t>(per_group));
  for (int64_t n = 0; n < x.shape[0]; ++n) {
    for (int64_t g = 0; g < group; ++g) {
      Walk<1> walk(out_space, {strides_of(out_space)});
      const int64_t first = n * x.shape[1] + g * channels;
      for (int64_t o = 0; o < out_size; ++o, walk.next()) {
        std::ranges::fill(sums, Acc{0});
        for_each_in_window(window, x_space, walk.index(), [&](int64_t k, int64_t at) {
          for (int64_t c = 0; c < channels; ++c) {
            const Acc value = x_minus_zero(xs[static_cast<size_t>((first + c) * x_size + at)]);
            const Acc* row =
                &turned[static_cast<size_t>(((g * w_size + k) * channels + c) * per_group)];
            for (size_t m = 0; m < sums.size(); ++m) sums[m] += value * row[m];
          }
        });
        for (int64_t m = 0; m < per_group; ++m) {
          const int64_t channel = g * per_group + m;
          store(channel, static_cast<size_t>((n * w.shape[0] + channel) * out_size + o),
                sums[static_cast<size_t>(m)]);
        }
      }
    }
  }
}

Window conv_window(const Evaluation& run, const Array& x, const Array& w) {
  return resolved_window(run, {w.shape.begin() + 2, w.shape.end()}, std::span(x.shape).subspan(2));
}

Result<void> conv(Evaluation& run) {
  const Window window = conv_window(run, run.in(0), run.in(1));
  return visit_float(run, run.in(0).type, [&]<class T>(T) -> Result<void> {
    const auto out = run.out(0).as<T>();
    const auto widen = [](T value) { return static_cast<double>(value); };
    convolve<T, T, double>(window, run.in(0), run.in(1), run.out(0), run.node().int_of("group"),
                           widen, {}, [&](int64_t m, size_t at, double sum) {
                             const double bias =
                                 run.has(2) ? run.in(2).as<T>()[static_cast<size_t>(m)] : 0;
                             out[at] = static_cast<T>(sum + bias);
                           });
    return {};
  });
}

Dim output_channels(const Inference& inference, size_t w) {
  return inference.ranked(w) && inference.rank(w) > 0 ? inference.shape(w)[0] : Dim();
}

Result<void> infer_conv_integer(Inference& inference) {
  SKERRY_TRY(check_count(inference, 2, Dim(1)));
  SKERRY_TRY(check_count(inference, 3, output_channels(inference, 1)));
  return infer_conv_shape(inference, 0, 1, DataType::kInt32);
}

Result<void> conv_integer(Evaluation& run) {
  const Window window = conv_window(run, run.in(0), run.in(1));
  const int64_t zero = run.has(2) ? run.in(2).to_ints()[0] : 0;
  const auto w_zero = run.has(3) ? run.in(3).to_ints() : std::vector<int64_t>();
  const auto out = run.out(0).as<int32_t>();
  return visit_integer(run, run.in(0).type, [&]<class X>(X) -> Result<void> {
    return visit_integer(run, run.in(1).type, [&]<class W>(W) -> Result<void> {
      const auto shifted = [zero](X value) { return static_cast<int64_t>(value) - zero; };
      convolve<X, W, int64_t>(
          window, run.in(0), run.in(1), run.out(0), run.node().int_of("group"), shifted, w_zero,
          [&](int64_t, size_t at, int64_t sum) { out[at] = static_cast<int32_t>(sum); });
      return {};
    });
  });
}

Result<void> infer_qlinear_conv(Inference& inference) {
  for (const size_t i : {1u, 2u, 6u, 7u}) SKERRY_TRY(check_count(inference, i, Dim(1)));
  for (const size_t i : {4u, 5u}) {
    SKERRY_TRY(check_count(inference, i, output_channels(inference, 3)));
  }
  SKERRY_TRY(check_bias(inference, 8, 3));
  SKERRY_TRY(check_rounding(inference));
  return infer_conv_shape(inference, 0, 3, inference.element(7));
}

// x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, B?
Result<void> qlinear_conv(Evaluation& run) {
  const Window window = conv_window(run, run.in(0), run.in(3));
  const int64_t zero = run.in(2).to_ints()[0];
  const auto w_zero = run.in(5).to_ints();
  const Requantiser requantiser(run.node(), run.in(0).type, run.in(1).to_doubles()[0],
                                run.in(4).to_doubles(), run.in(6).to_doubles()[0],
                                run.in(7).to_ints()[0]);
  const auto bias = run.has(8) ? run.in(8).to_ints() : std::vector<int64_t>();
  return visit_integer(run, run.in(0).type, [&]<class X>(X) -> Result<void> {
    return visit_integer(run, run.in(3).type, [&]<class W>(W) -> Result<void> {
      const auto shifted = [zero](X value) { return static_cast<int64_t>(value) - zero; };
      convolve<X, W, int64_t>(window, run.in(0), run.in(3), run.out(0), run.node().int_of("group"),
                              shifted, w_zero, [&](int64_t m, size_t at, int64_t sum) {
                                const auto channel = static_cast<size_t>(m);
                                if (!bias.empty()) sum += bias[channel];
                                requantiser.store(run.out(0), at, channel, sum);
                              });
      return {};
    });
  });
}

// --- Transposed ---------------------------------------------------------------------------------

// X [N, C, in…], W [C, M/group, kernel…]; sets pads from output_shape or auto_pad.
Result<std::vector<Dim>> transposed_sizes(const Inference& inference, Window& window,
                                          const Shape& input) {
  const size_t spatial = input.size() - 2;
  auto output_padding = inference.node().ints_of("output_padding");
  output_padding.resize(spatial, 0);
  const auto wanted = inference.node().ints_of("output_shape");
  if (!wanted.empty() && wanted.size() != spatial) {
    return inference.refuse("output_shape has {} numbers, the input {} spatial axes", wanted.size(),
                            spatial);
  }
  std::vector<Dim> sizes;
  for (size_t axis = 0; axis < spatial; ++axis) {
    const Dim& in = input[axis + 2];
    if (!in.is_fixed()) {
      sizes.push_back(wanted.empty() ? Dim() : Dim(wanted[axis]));
      continue;
    }
    const int64_t full =
        window.strides[axis] * (in.size() - 1) + output_padding[axis] + window.extent(axis);
    const bool same = window.auto_pad.starts_with("SAME");
    if (!wanted.empty() || same) {
      const int64_t target = wanted.empty() ? in.size() * window.strides[axis] : wanted[axis];
      const int64_t total = std::max<int64_t>(0, full - target);
      const int64_t half = total / 2;
      window.pads_begin[axis] = window.auto_pad == "SAME_UPPER" ? half : total - half;
      window.pads_end[axis] = total - window.pads_begin[axis];
      sizes.emplace_back(target);
    } else {
      sizes.emplace_back(full - window.pads_begin[axis] - window.pads_end[axis]);
    }
    if (sizes.back().size() < 0) return inference.refuse("its padding leaves no output");
  }
  return sizes;
}

Result<void> infer_conv_transpose(Inference& inference) {
  SKERRY_TRY(inference.same_element(0, 1));
  inference.set(0, inference.element(0));
  const auto weights = sizes_of(inference.type(1));
  if (!inference.ranked(0) || !weights) return {};
  const Shape& input = inference.shape(0);
  const int64_t group = inference.node().int_of("group");
  if (input.size() < 3 || weights->size() != input.size() || group < 1 ||
      (input[1].is_fixed() && input[1].size() != (*weights)[0]) || (*weights)[0] % group != 0) {
    return inference.refuse("{} groups do not go with input {} and weights {}", group,
                            to_string(inference.type(0)), to_string(inference.type(1)));
  }
  SKERRY_ASSIGN(Window window,
                window_of(inference, input.size() - 2, {weights->begin() + 2, weights->end()}));
  SKERRY_ASSIGN(const auto sizes, transposed_sizes(inference, window, input));
  const auto bias = inference.has(2) ? count_of(inference.type(2)) : std::nullopt;
  SKERRY_TRY(inference.same_element(0, 2));
  if (bias && *bias != (*weights)[1] * group) {
    return inference.refuse("its bias has {} numbers for {} channels", *bias,
                            (*weights)[1] * group);
  }
  Shape shape = {input[0], times(Dim((*weights)[1]), Dim(group))};
  shape.insert(shape.end(), sizes.begin(), sizes.end());
  inference.set(0, inference.element(0), std::move(shape));
  return {};
}

Result<void> conv_transpose(Evaluation& run) {
  const Array& x = run.in(0);
  const Array& w = run.in(1);
  Array& out = run.out(0);
  const Inference inference(run.node(), {}, {});
  SKERRY_ASSIGN(Window window,
                window_of(inference, x.rank() - 2, {w.shape.begin() + 2, w.shape.end()}));
  SKERRY_TRY(transposed_sizes(inference, window, fixed_shape(x.shape)));
  const std::span<const int64_t> x_space = std::span(x.shape).subspan(2);
  const std::span<const int64_t> out_space = std::span(out.shape).subspan(2);
  const int64_t x_size = product(x_space);
  const int64_t out_size = product(out_space);
  const int64_t w_size = product(window.kernel);
  const int64_t group = run.node().int_of("group");
  const int64_t in_per_group = x.shape[1] / group;
  const int64_t out_per_group = w.shape[1];
  return visit_float(run, x.type, [&]<class T>(T) -> Result<void> {
    std::vector<double> sums(out.count(), 0);
    for (int64_t n = 0; n < x.shape[0]; ++n) {
      for (int64_t c = 0; c < x.shape[1]; ++c) {
        Walk<1> walk(x_space, {strides_of(x_space)});
        for (int64_t i = 0; i < x_size; ++i, walk.next()) {
          const double value = x.as<T>()[static_cast<size_t>((n * x.shape[1] + c) * x_size + i)];
          // Seen from the input, the window steps over the output.
          for_each_in_window(window, out_space, walk.index(), [&](int64_t k, int64_t at) {
            for (int64_t m = 0; m < out_per_group; ++m) {
              const int64_t channel = c / in_per_group * out_per_group + m;
              sums[static_cast<size_t>((n * out.shape[1] + channel) * out_size + at)] +=
                  value * w.as<T>()[static_cast<size_t>((c * out_per_group + m) * w_size + k)];
            }
          });
        }
      }
    }
    for (size_t i = 0; i < sums.size(); ++i) {
      const auto channel = static_cast<int64_t>(i) / std::max<int64_t>(out_size, 1) % out.shape[1];
      const double bias = run.has(2) ? run.in(2).as<T>()[static_cast<size_t>(channel)] : 0;
      out.as<T>()[i] = static_cast<T>(sums[i] + bias);
    }
    return {};
  });
}

// Output elements times the weights of one output channel.
template <size_t W>
std::optional<int64_t> conv_macs(const Node& node) {
  const auto out = count_of(node.output(0)->type());
  const auto weights = sizes_of(node.input(W)->type());
  if (!out || !weights || weights->empty() || (*weights)[0] == 0) return {};
  return *out * (product(*weights) / (*weights)[0]);
}

std::optional<int64_t> transpose_macs(const Node& node) {
  const auto in = count_of(node.input(0)->type());
  const auto weights = sizes_of(node.input(1)->type());
  if (!in || !weights || weights->empty() || (*weights)[0] == 0) return {};
  return *in * (product(*weights) / (*weights)[0]);
}

constexpr const char* kAttributes =
    "auto_pad:string=NOTSET dilations:ints group:int=1 kernel_shape:ints pads:ints strides:ints";

constexpr const char* kQuantisedAttributes =
    "auto_pad:string=NOTSET dilations:ints group:int=1 kernel_shape:ints pads:ints strides:ints "
    "rounding:string=even";

}  // namespace

std::span<const OperatorRow> convolution_rows() {
  static const OperatorRow kRows[] = {
      {"Conv", "X W B? -> Y", kAttributes, infer_conv, conv, conv_macs<1>},
      {"ConvInteger", "x w x_zero_point? w_zero_point? -> y", kAttributes, infer_conv_integer,
       conv_integer, conv_macs<1>},
      {"QLinearConv",
       "x x_scale:f x_zero_point w w_scale:f w_zero_point y_scale:f y_zero_point B?:i -> y",
       kQuantisedAttributes, infer_qlinear_conv, qlinear_conv, conv_macs<3>},
      {"ConvTranspose", "X W B? -> Y",
       "auto_pad:string=NOTSET dilations:ints group:int=1 kernel_shape:ints output_padding:ints "
       "output_shape:ints pads:ints strides:ints",
       infer_conv_transpose, conv_transpose, transpose_macs},
  };
  return kRows;
}

}  // namespace skerry::graph::ops
