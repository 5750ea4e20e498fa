// Between reals and integers, and between types.
#include "graph/ops/quantisation.h"

#include <charconv>

#include "graph/ops/common.h"
#include "graph/ops/families.h"
#include "graph/ops/requantise.h"

namespace skerry::graph::ops {
namespace {

// Which scale an element has: one for all, one for each slice along an axis, or one for each block.
class ScaleIndex {
 public:
  ScaleIndex(const Node& node, const Array& x, const Array& scale) {
    if (scale.count() == 1) return;
    const size_t axis = Evaluation::axis(node.int_of("axis"), x.rank());
    block_ = std::max<int64_t>(node.int_of("block_size"), 1);
    blocked_ = scale.rank() == x.rank() && x.rank() > 1;
    const AxisView view = view_along(x.shape, axis);
    inner_ = view.inner;
    size_ = view.size;
    scales_ = blocked_ ? scale.shape[axis] : view.size;
  }
  size_t operator[](size_t element) const {
    if (size_ == 0) return 0;
    const auto i = static_cast<int64_t>(element);
    const int64_t along = i / inner_ % size_;
    if (!blocked_) return static_cast<size_t>(along);
    return static_cast<size_t>((i / inner_ / size_ * scales_ + along / block_) * inner_ +
                               i % inner_);
  }

 private:
  int64_t inner_ = 1, size_ = 0, scales_ = 0, block_ = 1;
  bool blocked_ = false;
};

Result<void> check_scales(const Inference& inference) {
  if (!inference.ranked(0)) return {};
  const auto count = count_of(inference.type(1));
  if (count && inference.has(2) && count_of(inference.type(2)).value_or(*count) != *count) {
    return inference.refuse("{} scales and {} zero points", *count, *count_of(inference.type(2)));
  }
  if (!count || *count == 1) return {};
  SKERRY_ASSIGN(const size_t axis,
                inference.axis(inference.node().int_of("axis"), inference.rank(0)));
  const auto x = sizes_of(inference.type(0));
  if (!x) return {};
  const int64_t block = inference.node().int_of("block_size");
  int64_t expected = (*x)[axis];
  if (block > 0) {
    const AxisView view = view_along(*x, axis);
    expected = view.outer * ((view.size + block - 1) / block) * view.inner;
    if (inference.rank(1) != x->size()) expected = -1;
  }
  if (*count != expected) {
    return inference.refuse("{} scales do not go with {} along axis {}", *count,
                            to_string(inference.type(0)), axis);
  }
  return {};
}

Result<void> infer_quantise(Inference& inference) {
  SKERRY_TRY(check_rounding(inference));
  SKERRY_TRY(check_scales(inference));
  const Attribute* wanted = inference.node().find("output_dtype");
  const DataType type = inference.has(2)    ? inference.element(2)
                        : wanted != nullptr ? std::get<DataType>(*wanted)
                                            : DataType::kUint8;
  inference.set(0, type, inference.type(0).shape);
  return {};
}

// x / scale is a division in FP32 where the inputs are: at a tie, its rounding decides.
Result<void> quantize_linear(Evaluation& run) {
  const ScaleIndex index(run.node(), run.in(0), run.in(1));
  const bool wide = run.in(0).type == DataType::kFp64;
  const auto x = run.in(0).to_doubles();
  const auto scale = run.in(1).to_doubles();
  const auto zero = run.has(2) ? run.in(2).to_ints() : std::vector<int64_t>(scale.size(), 0);
  for (size_t i = 0; i < x.size(); ++i) {
    const size_t at = index[i];
    const double scaled =
        wide ? x[i] / scale[at] : static_cast<float>(x[i]) / static_cast<float>(scale[at]);
    // LiteRT's halves go away from zero.
    store_quantised(run.out(0), i, is_litert(run.node()) ? std::round(scaled) : scaled, zero[at]);
  }
  return {};
}

Result<void> infer_dequantise(Inference& inference) {
  SKERRY_TRY(check_scales(inference));
  inference.set(0, inference.element(1), inference.type(0).shape);
  return {};
}

Result<void> dequantize_linear(Evaluation& run) {
  const ScaleIndex index(run.node(), run.in(0), run.in(1));
  const auto x = run.in(0).to_ints();
  const auto scale = run.in(1).to_doubles();
  const auto zero = run.has(2) ? run.in(2).to_ints() : std::vector<int64_t>(scale.size(), 0);
  return visit_float(run, run.out(0).type, [&]<class T>(T) -> Result<void> {
    for (size_t i = 0; i < x.size(); ++i) {
      const size_t at = index[i];
      run.out(0).as<T>()[i] = static_cast<T>(x[i] - zero[at]) * static_cast<T>(scale[at]);
    }
    return {};
  });
}

Result<void> infer_dynamic(Inference& inference) {
  inference.set(0, DataType::kUint8, inference.type(0).shape);
  inference.set(1, DataType::kFp32, Shape());
  inference.set(2, DataType::kUint8, Shape());
  return {};
}

Result<void> dynamic_quantize(Evaluation& run) {
  float lowest = 0;
  float highest = 0;
  const auto in = run.in(0).to_doubles();
  for (const double x : in) {
    lowest = std::min(lowest, static_cast<float>(x));
    highest = std::max(highest, static_cast<float>(x));
  }
  const float scale = (highest - lowest) / 255;
  const int64_t zero = scale == 0 ? 0 : quantise(-lowest / scale, 0, DataType::kUint8);
  for (size_t i = 0; i < in.size(); ++i) {
    store_quantised(run.out(0), i, scale == 0 ? 0 : static_cast<float>(in[i]) / scale, zero);
  }
  run.out(1).as<float>()[0] = scale;
  store_integer(run.out(2), 0, zero);
  return {};
}

// --- Casts --------------------------------------------------------------------------------------

Result<void> infer_cast(Inference& inference) {
  inference.set(0, std::get<DataType>(*inference.node().find("to")), inference.type(0).shape);
  return {};
}

std::string text_of(const Array& in, size_t at) {
  if (!tensor::is_float(in.type)) return std::to_string(in.to_ints()[at]);
  const double value = in.to_doubles()[at];
  return in.type == DataType::kFp64 ? fmt::format("{:.17g}", value) : fmt::format("{:.8g}", value);
}

Result<double> number_of(const Evaluation& run, const std::string& text) {
  double value = 0;
  const char* begin = text.data();
  const char* end = begin + text.size();
  if (begin != end && *begin == '+') ++begin;
  const auto [stop, error] = std::from_chars(begin, end, value);
  if (error != std::errc() || stop != end) {
    return run.refuse("'{}' is not a number", text.substr(0, 40));
  }
  return value;
}

void store_number(Array& out, size_t at, double value) {
  const auto store = [&](auto stored) {
    std::memcpy(out.bytes.data() + at * sizeof stored, &stored, sizeof stored);
  };
  switch (out.type) {
    case DataType::kFp32:
      return store(static_cast<float>(value));
    case DataType::kFp64:
      return store(value);
    case DataType::kFp16:
      return store(tensor::half_bits(value));
    case DataType::kBf16:
      return store(tensor::bfloat16_bits(value));
    case DataType::kBool:
      return store(static_cast<uint8_t>(value != 0));
    case DataType::kUint64:
      return store(value >= 0x1p63 ? static_cast<uint64_t>(value)
                                   : static_cast<uint64_t>(static_cast<int64_t>(value)));
    default:
      break;
  }
  // Outside the range of 64 bits a cast is undefined: what x86-64 gives.
  const bool fits_in = value > -0x1p63 && value < 0x1p63;
  store_integer(out, at, fits_in ? static_cast<int64_t>(value) : INT64_MIN);
}

Result<void> cast_to(Evaluation& run) {
  const Array& in = run.in(0);
  Array& out = run.out(0);
  const size_t count = in.count();
  if (in.type == out.type) {
    reinterpret_shape(in, out);
  } else if (out.type == DataType::kBytes) {
    for (size_t i = 0; i < count; ++i) out.strings[i] = text_of(in, i);
  } else if (in.type == DataType::kBytes) {
    for (size_t i = 0; i < count; ++i) {
      SKERRY_ASSIGN(const double value, number_of(run, in.strings[i]));
      store_number(out, i, value);
    }
  } else if (!tensor::is_float(in.type) && !tensor::is_float(out.type) &&
             out.type != DataType::kBool) {
    const auto values = in.to_ints();
    const bool narrow = out.type == DataType::kInt4 || out.type == DataType::kUint4;
    for (size_t i = 0; i < count; ++i) {
      const int64_t low = values[i] & 15;
      const int64_t nibble = out.type == DataType::kInt4 && low > 7 ? low - 16 : low;
      store_integer(out, i, narrow ? nibble : values[i]);
    }
  } else {
    const auto values = in.to_doubles();
    for (size_t i = 0; i < count; ++i) store_number(out, i, values[i]);
  }
  return {};
}

Result<void> infer_cast_like(Inference& inference) {
  inference.set(0, inference.element(1), inference.type(0).shape);
  return {};
}

}  // namespace

std::span<const OperatorRow> quantise_rows() {
  static const OperatorRow kRows[] = {
      {"QuantizeLinear", "x y_scale:f y_zero_point? -> y",
       "axis:int=1 block_size:int=0 output_dtype:type saturate:int=1 rounding:string=even",
       infer_quantise, quantize_linear},
      {"DequantizeLinear", "x x_scale:f x_zero_point? -> y", "axis:int=1 block_size:int=0",
       infer_dequantise, dequantize_linear},
      {"DynamicQuantizeLinear", "x -> y y_scale y_zero_point", "", infer_dynamic, dynamic_quantize},
      {"Cast", "input -> output", "to:type! saturate:int=1", infer_cast, cast_to, nullptr,
       Halves::kAsBytes},
      {"CastLike", "input target_type -> output", "saturate:int=1", infer_cast_like, cast_to,
       nullptr, Halves::kAsBytes},
  };
  return kRows;
}

}  // namespace skerry::graph::ops
