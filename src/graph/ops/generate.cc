// Values from shapes and numbers, and what does nothing but in training.
#include <cmath>
#include <numbers>

#include "graph/ops/common.h"
#include "graph/ops/families.h"

namespace skerry::graph::ops {
namespace {

Result<void> infer_constant_of_shape(Inference& inference) {
  const Attribute* value = inference.node().find("value");
  const DataType type = value == nullptr ? DataType::kFp32 : std::get<Constant>(*value).type();
  auto shape = inference.dims(0);
  for (const Dim& dim : shape.value_or(Shape())) {
    if (dim.is_fixed() && dim.size() < 0) return inference.refuse("its shape has a negative size");
  }
  if (!shape && count_of(inference.type(0)).value_or(65) <= 64) {
    shape = Shape(static_cast<size_t>(*count_of(inference.type(0))));
  }
  inference.set(0, type, std::move(shape));
  return {};
}

Result<void> constant_of_shape(Evaluation& run) {
  const Attribute* value = run.node().find("value");
  if (value == nullptr) return {};  // zeros
  const Constant& constant = std::get<Constant>(*value);
  if (constant.count() != 1) return run.refuse("its value is not one number");
  move_elements(Array::from(constant.view()), run.out(0), [](size_t) { return 0; });
  return {};
}

Result<void> infer_range(Inference& inference) {
  SKERRY_TRY(inference.same_element(0, 1));
  SKERRY_TRY(inference.same_element(0, 2));
  inference.set(0, inference.element(0), Shape(1));
  return {};
}

Result<void> range(Evaluation& run) {
  for (size_t i = 0; i < 3; ++i) {
    if (run.in(i).count() != 1) return run.refuse("its inputs are single numbers");
  }
  return visit_number(run, run.in(0).type, [&]<class T>(T) -> Result<void> {
    const T start = run.in(0).as<T>()[0];
    const T limit = run.in(1).as<T>()[0];
    const T delta = run.in(2).as<T>()[0];
    const double steps = std::ceil((static_cast<double>(limit) - static_cast<double>(start)) /
                                   static_cast<double>(delta));
    if (delta == T{0} || !(steps < 1e15)) return run.refuse("it has no end");
    const auto count = steps > 0 ? static_cast<int64_t>(steps) : 0;
    SKERRY_TRY(run.allocate(0, run.in(0).type, {count}));
    for (int64_t i = 0; i < count; ++i) {
      run.out(0).as<T>()[static_cast<size_t>(i)] =
          static_cast<T>(start + static_cast<T>(i) * delta);
    }
    return {};
  });
}

Result<void> infer_eye(Inference& inference) {
  const Attribute* type = inference.node().find("dtype");
  if (inference.ranked(0) && inference.rank(0) != 2) return inference.refuse("takes a matrix");
  inference.set(0, type != nullptr ? std::get<DataType>(*type) : inference.element(0),
                inference.type(0).shape);
  return {};
}

Result<void> eye(Evaluation& run) {
  Array& out = run.out(0);
  const int64_t k = run.node().int_of("k");
  const auto set = [&]<class T>(T) -> Result<void> {
    for (int64_t row = 0; row < out.shape[0]; ++row) {
      const int64_t column = row + k;
      if (column < 0 || column >= out.shape[1]) continue;
      out.as<T>()[static_cast<size_t>(row * out.shape[1] + column)] = T{1};
    }
    return {};
  };
  return visit_number(run, out.type, set);
}

Result<void> infer_dropout(Inference& inference) {
  inference.set(0, inference.element(0), inference.type(0).shape);
  inference.set(1, DataType::kBool, inference.type(0).shape);
  return {};
}

// In inference it keeps everything; with a ratio of 0 in training, too.
Result<void> dropout(Evaluation& run) {
  const bool training = run.has(2) && run.in(2).count() > 0 && run.in(2).as<uint8_t>()[0] != 0;
  const double ratio = run.has(1) && run.in(1).count() > 0 ? run.in(1).to_doubles()[0] : 0.5;
  if (training && ratio != 0) {
    return fail(Code::kUnsupported,
                run.node().describe() + ": training mode is random; it has no reference result");
  }
  run.out(0) = run.in(0);
  if (run.wants(1)) std::ranges::fill(run.out(1).as<uint8_t>(), uint8_t{1});
  return {};
}

// --- Windows of signal processing ---------------------------------------------------------------

Result<void> infer_window(Inference& inference) {
  const auto size = inference.dims(0);
  if (size && (size->size() != 1 || ((*size)[0].is_fixed() && (*size)[0].size() < 0))) {
    return inference.refuse("its size is no size");
  }
  inference.set(0, std::get<DataType>(*inference.node().find("output_datatype")),
                size ? *size : Shape(1));
  return {};
}

// a0 - a1 cos(2πn/N) + a2 cos(4πn/N), N one less where the window is symmetric.
Result<void> cosine_window(Evaluation& run, double a0, double a1, double a2) {
  const auto count = static_cast<int64_t>(run.out(0).count());
  const auto size = static_cast<double>(
      run.node().int_of("periodic") != 0 ? count : std::max<int64_t>(1, count - 1));
  return visit_number(run, run.out(0).type, [&]<class T>(T) -> Result<void> {
    for (int64_t n = 0; n < count; ++n) {
      const double angle = 2 * std::numbers::pi * static_cast<double>(n) / size;
      run.out(0).as<T>()[static_cast<size_t>(n)] =
          static_cast<T>(a0 - a1 * std::cos(angle) + a2 * std::cos(2 * angle));
    }
    return {};
  });
}

Result<void> hann(Evaluation& run) {
  return cosine_window(run, 0.5, 0.5, 0);
}
Result<void> hamming(Evaluation& run) {
  return cosine_window(run, 25.0 / 46, 21.0 / 46, 0);
}
Result<void> blackman(Evaluation& run) {
  return cosine_window(run, 0.42, 0.5, 0.08);
}

constexpr const char* kWindow = "output_datatype:type=FP32 periodic:int=1";

}  // namespace

std::span<const OperatorRow> generate_rows() {
  static const OperatorRow kRows[] = {
      {"ConstantOfShape", "input:i -> output", "value:tensor", infer_constant_of_shape,
       constant_of_shape, nullptr, Halves::kAsBytes},
      {"Range", "start limit delta -> output", "", infer_range, range},
      {"EyeLike", "input -> output", "dtype:type k:int=0", infer_eye, eye},
      {"Dropout", "data ratio? training_mode?:b -> output mask?", "seed:int", infer_dropout,
       dropout},
      {"HannWindow", "size:i -> output", kWindow, infer_window, hann},
      {"HammingWindow", "size:i -> output", kWindow, infer_window, hamming},
      {"BlackmanWindow", "size:i -> output", kWindow, infer_window, blackman},
  };
  return kRows;
}

}  // namespace skerry::graph::ops
