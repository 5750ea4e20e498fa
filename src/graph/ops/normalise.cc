// Normalisations. Statistics are taken in double.
#include <cmath>

#include "graph/ops/common.h"
#include "graph/ops/families.h"

namespace skerry::graph::ops {
namespace {

struct Statistics {
  double mean = 0, variance = 0;
};

template <class T>
Statistics statistics_of(std::span<const T> values) {
  Statistics result;
  for (const T value : values) result.mean += value;
  result.mean /= static_cast<double>(values.size());
  for (const T value : values) result.variance += (value - result.mean) * (value - result.mean);
  result.variance /= static_cast<double>(values.size());
  return result;
}

Result<void> check_channels(Inference& inference, size_t first_parameter) {
  if (!inference.ranked(0)) return {};
  if (inference.rank(0) < 2) {
    return inference.refuse("takes [batch, channels, …], it is given {}",
                            to_string(inference.type(0)));
  }
  for (size_t i = first_parameter; i < inference.input_count(); ++i) {
    const auto count = inference.has(i) ? count_of(inference.type(i)) : std::nullopt;
    const Dim& channels = inference.shape(0)[1];
    if (count && channels.is_fixed() && *count != channels.size()) {
      return inference.refuse("input {} has {} numbers for {} channels", i, *count,
                              channels.size());
    }
  }
  return {};
}

Result<void> infer_batch_norm(Inference& inference) {
  SKERRY_TRY(check_channels(inference, 1));
  inference.set(0, inference.element(0), inference.type(0).shape);
  for (size_t i = 1; i < inference.output_count(); ++i) {
    inference.set(i, inference.element(i + 2), inference.type(i + 2).shape);
  }
  return {};
}

template <class T>
Statistics channel_statistics(const Array& in, int64_t channel, int64_t size) {
  std::vector<T> values;
  for (int64_t n = 0; n < in.shape[0]; ++n) {
    const auto plane = in.as<T>().subspan(static_cast<size_t>((n * in.shape[1] + channel) * size),
                                          static_cast<size_t>(size));
    values.insert(values.end(), plane.begin(), plane.end());
  }
  return statistics_of(std::span<const T>(values));
}

// X, scale, B, mean, variance
Result<void> batch_norm(Evaluation& run) {
  const Array& in = run.in(0);
  const double epsilon = run.node().float_of("epsilon");
  const double momentum = run.node().float_of("momentum");
  const bool training = run.node().int_of("training_mode") != 0;
  const auto scale = run.in(1).to_doubles();
  const auto bias = run.in(2).to_doubles();
  const auto mean = run.in(3).to_doubles();
  const auto variance = run.in(4).to_doubles();
  const int64_t size = product(std::span(in.shape).subspan(2));
  return visit_float(run, in.type, [&]<class T>(T) -> Result<void> {
    for (int64_t c = 0; c < in.shape[1]; ++c) {
      const auto channel = static_cast<size_t>(c);
      Statistics used{mean[channel], variance[channel]};
      if (training) {
        used = channel_statistics<T>(in, c, size);
        const auto blend = [&](double old, double now) {
          return static_cast<T>(old * momentum + now * (1 - momentum));
        };
        if (run.wants(1)) run.out(1).as<T>()[channel] = blend(mean[channel], used.mean);
        if (run.wants(2)) run.out(2).as<T>()[channel] = blend(variance[channel], used.variance);
      }
      const double factor = scale[channel] / std::sqrt(used.variance + epsilon);
      for (int64_t n = 0; n < in.shape[0]; ++n) {
        for (int64_t i = 0; i < size; ++i) {
          const auto at = static_cast<size_t>((n * in.shape[1] + c) * size + i);
          run.out(0).as<T>()[at] =
              static_cast<T>((in.as<T>()[at] - used.mean) * factor + bias[channel]);
        }
      }
    }
    return {};
  });
}

// Each of `rows` consecutive stretches of `size` elements by its own statistics;
// then affine(flat index) gives scale and bias.
template <class Affine>
Result<void> normalise_rows_of(Evaluation& run, size_t size, double epsilon, Affine&& affine) {
  return visit_float(run, run.in(0).type, [&]<class T>(T) -> Result<void> {
    const auto in = run.in(0).as<T>();
    const auto out = run.out(0).as<T>();
    for (size_t row = 0; size > 0 && row * size < in.size(); ++row) {
      const Statistics used = statistics_of(in.subspan(row * size, size));
      const double inverse = 1 / std::sqrt(used.variance + epsilon);
      for (size_t i = row * size; i < (row + 1) * size; ++i) {
        const auto [scale, bias] = affine(i);
        out[i] = static_cast<T>((in[i] - used.mean) * inverse * scale + bias);
      }
      for (const size_t extra : {1u, 2u}) {
        if (run.node().op() == "LayerNormalization" && run.wants(extra)) {
          run.out(extra).as<float>()[row] = static_cast<float>(extra == 1 ? used.mean : inverse);
        }
      }
    }
    return {};
  });
}

Result<void> infer_instance_norm(Inference& inference) {
  SKERRY_TRY(check_channels(inference, 1));
  return infer_same(inference);
}

Result<void> instance_norm(Evaluation& run) {
  const auto size = static_cast<size_t>(product(std::span(run.in(0).shape).subspan(2)));
  const auto channels = static_cast<size_t>(run.in(0).shape[1]);
  const auto scale = run.in(1).to_doubles();
  const auto bias = run.in(2).to_doubles();
  return normalise_rows_of(run, size, run.node().float_of("epsilon"), [&](size_t i) {
    const size_t channel = i / size % channels;
    return std::pair(scale[channel], bias[channel]);
  });
}

Result<void> infer_group_norm(Inference& inference) {
  SKERRY_TRY(check_channels(inference, 1));
  const int64_t groups = inference.node().int_of("num_groups");
  const bool divides = !inference.ranked(0) || !inference.shape(0)[1].is_fixed() ||
                       (groups > 0 && inference.shape(0)[1].size() % groups == 0);
  if (groups < 1 || !divides) {
    return inference.refuse("{} groups do not divide {}", groups, to_string(inference.type(0)));
  }
  return infer_same(inference);
}

Result<void> group_norm(Evaluation& run) {
  const auto plane = static_cast<size_t>(product(std::span(run.in(0).shape).subspan(2)));
  const auto channels = static_cast<size_t>(run.in(0).shape[1]);
  const auto groups = static_cast<size_t>(run.node().int_of("num_groups"));
  const auto scale = run.in(1).to_doubles();
  const auto bias = run.in(2).to_doubles();
  return normalise_rows_of(run, plane * (channels / groups), run.node().float_of("epsilon"),
                           [&](size_t i) {
                             const size_t channel = i / plane % channels;
                             return std::pair(scale[channel], bias[channel]);
                           });
}

Result<void> infer_layer_norm(Inference& inference) {
  const bool rms = inference.node().op() == "RMSNormalization";
  inference.set(0, inference.element(0), inference.type(0).shape);
  if (!inference.ranked(0)) {
    for (size_t i = 1; i < inference.output_count(); ++i) inference.set(i, DataType::kFp32);
    return {};
  }
  SKERRY_ASSIGN(const size_t axis,
                inference.axis(inference.node().int_of("axis"), inference.rank(0)));
  for (size_t i = 1; i < inference.input_count(); ++i) {
    if (!inference.has(i) || !inference.ranked(i)) continue;
    const Shape tail(inference.shape(0).begin() + static_cast<int64_t>(axis),
                     inference.shape(0).end());
    SKERRY_TRY(check_broadcast_to(inference, tail, i));
  }
  if (rms) return {};
  Shape statistics = inference.shape(0);
  std::fill(statistics.begin() + static_cast<int64_t>(axis), statistics.end(), Dim(1));
  for (size_t i = 1; i < inference.output_count(); ++i) {
    inference.set(i, DataType::kFp32, statistics);
  }
  return {};
}

// Offsets of a parameter that is broadcast over the normalised dimensions.
std::vector<size_t> tail_offsets(const Array& in, size_t axis, const Array& parameter) {
  const std::span<const int64_t> tail = std::span(in.shape).subspan(axis);
  Walk<1> walk(tail, {broadcast_strides(parameter.shape, tail)});
  std::vector<size_t> offsets(static_cast<size_t>(product(tail)));
  for (size_t& offset : offsets) {
    offset = static_cast<size_t>(walk.at()[0]);
    walk.next();
  }
  return offsets;
}

Result<void> layer_norm(Evaluation& run) {
  const size_t axis = Evaluation::axis(run.node().int_of("axis"), run.in(0).rank());
  const auto scale = run.in(1).to_doubles();
  const auto bias = run.has(2) ? run.in(2).to_doubles() : std::vector<double>();
  const auto scale_at = tail_offsets(run.in(0), axis, run.in(1));
  const auto bias_at = run.has(2) ? tail_offsets(run.in(0), axis, run.in(2)) : scale_at;
  const size_t size = scale_at.size();
  return normalise_rows_of(run, size, run.node().float_of("epsilon"), [&](size_t i) {
    return std::pair(scale[scale_at[i % size]], bias.empty() ? 0 : bias[bias_at[i % size]]);
  });
}

Result<void> rms_norm(Evaluation& run) {
  const size_t axis = Evaluation::axis(run.node().int_of("axis"), run.in(0).rank());
  const double epsilon = run.node().float_of("epsilon");
  const auto scale = run.in(1).to_doubles();
  const auto scale_at = tail_offsets(run.in(0), axis, run.in(1));
  return visit_float(run, run.in(0).type, [&]<class T>(T) -> Result<void> {
    const auto in = run.in(0).as<T>();
    for (size_t row = 0; row < in.size(); row += scale_at.size()) {
      double squares = 0;
      for (size_t i = 0; i < scale_at.size(); ++i) squares += double{in[row + i]} * in[row + i];
      const double inverse =
          1 / std::sqrt(squares / static_cast<double>(scale_at.size()) + epsilon);
      for (size_t i = 0; i < scale_at.size(); ++i) {
        run.out(0).as<T>()[row + i] = static_cast<T>(in[row + i] * inverse * scale[scale_at[i]]);
      }
    }
    return {};
  });
}

Result<void> infer_lrn(Inference& inference) {
  SKERRY_TRY(check_channels(inference, 1));
  if (inference.node().int_of("size") < 1) return inference.refuse("size is not positive");
  return infer_same(inference);
}

Result<void> lrn(Evaluation& run) {
  const Array& in = run.in(0);
  const double alpha = run.node().float_of("alpha");
  const double beta = run.node().float_of("beta");
  const double bias = run.node().float_of("bias");
  const int64_t size = run.node().int_of("size");
  const int64_t before = (size - 1) / 2;
  const AxisView view = view_along(in.shape, 1);
  return visit_float(run, in.type, [&]<class T>(T) -> Result<void> {
    for (size_t i = 0; i < in.count(); ++i) {
      const int64_t channel = static_cast<int64_t>(i) / view.inner % view.size;
      double squares = 0;
      for (int64_t c = std::max<int64_t>(0, channel - before);
           c < std::min(view.size, channel - before + size); ++c) {
        const double x =
            in.as<T>()[static_cast<size_t>(static_cast<int64_t>(i) + (c - channel) * view.inner)];
        squares += x * x;
      }
      run.out(0).as<T>()[i] = static_cast<T>(
          in.as<T>()[i] / std::pow(bias + alpha / static_cast<double>(size) * squares, beta));
    }
    return {};
  });
}

Result<void> infer_along_axis(Inference& inference) {
  if (inference.ranked(0)) {
    SKERRY_TRY(inference.axis(inference.node().int_of("axis"), inference.rank(0)));
  }
  return infer_same(inference);
}

Result<void> lp_norm(Evaluation& run) {
  const size_t axis = Evaluation::axis(run.node().int_of("axis"), run.in(0).rank());
  const bool absolute = run.node().int_of("p") == 1;
  const AxisView view = view_along(run.in(0).shape, axis);
  return visit_float(run, run.in(0).type, [&]<class T>(T) -> Result<void> {
    const auto in = run.in(0).as<T>();
    for (int64_t o = 0; o < view.outer * view.inner; ++o) {
      const int64_t first = o / view.inner * view.size * view.inner + o % view.inner;
      double norm = 0;
      for (int64_t k = 0; k < view.size; ++k) {
        const double x = in[static_cast<size_t>(first + k * view.inner)];
        norm += absolute ? std::abs(x) : x * x;
      }
      if (!absolute) norm = std::sqrt(norm);
      for (int64_t k = 0; k < view.size; ++k) {
        const auto at = static_cast<size_t>(first + k * view.inner);
        run.out(0).as<T>()[at] = norm == 0 ? T{0} : static_cast<T>(in[at] / norm);
      }
    }
    return {};
  });
}

}  // namespace

std::span<const OperatorRow> normalise_rows() {
  static const OperatorRow kRows[] = {
      {"BatchNormalization", "X scale B mean variance -> Y running_mean? running_var?",
       "epsilon:float=1e-05 momentum:float=0.9 training_mode:int=0", infer_batch_norm, batch_norm},
      {"InstanceNormalization", "X scale B -> Y", "epsilon:float=1e-05", infer_instance_norm,
       instance_norm},
      {"GroupNormalization", "X scale bias -> Y",
       "epsilon:float=1e-05 num_groups:int! stash_type:int=1", infer_group_norm, group_norm},
      {"LayerNormalization", "X Scale B? -> Y Mean? InvStdDev?",
       "axis:int=-1 epsilon:float=1e-05 stash_type:int=1", infer_layer_norm, layer_norm},
      {"RMSNormalization", "X scale -> Y", "axis:int=-1 epsilon:float=1e-05 stash_type:int=1",
       infer_layer_norm, rms_norm},
      {"LRN", "X -> Y", "alpha:float=0.0001 beta:float=0.75 bias:float=1 size:int!", infer_lrn,
       lrn},
      {"LpNormalization", "X -> Y", "axis:int=-1 p:int=2", infer_along_axis, lp_norm},
  };
  return kRows;
}

}  // namespace skerry::graph::ops
