// From a tensor's element type to the C++ type, and checked conversion into it.
#pragma once

#include <fmt/format.h>

#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>

#include "runtime/runtime.h"

namespace skerry::serve {

// f(T{}) with the C++ type of `type`; kUnsupported for BOOL, FP16 and BYTES, which have none here.
template <class F>
auto visit_numeric(tensor::DataType type, F f) -> decltype(f(0)) {
  using tensor::DataType;
  switch (type) {
    case DataType::kInt8:
      return f(int8_t{});
    case DataType::kInt16:
      return f(int16_t{});
    case DataType::kInt32:
      return f(int32_t{});
    case DataType::kInt64:
      return f(int64_t{});
    case DataType::kUint8:
      return f(uint8_t{});
    case DataType::kUint16:
      return f(uint16_t{});
    case DataType::kUint32:
      return f(uint32_t{});
    case DataType::kUint64:
      return f(uint64_t{});
    case DataType::kFp32:
      return f(float{});
    case DataType::kFp64:
      return f(double{});
    default:
      break;
  }
  return fail(Code::kUnsupported,
              fmt::format("{} has no value as a number", tensor::name_of(type)));
}

// The same value as a T; kInvalidArgument where T has no such value (floats may round).
template <class T>
Result<T> narrow(double value) {
  // 2^digits is exact as a double, which T's own maximum may not be.
  const double limit = std::ldexp(1.0, std::numeric_limits<T>::digits);
  bool holds = false;
  if constexpr (std::floating_point<T>) {
    holds = !(std::abs(value) > static_cast<double>(std::numeric_limits<T>::max()));
  } else {
    holds = value == std::trunc(value) && value < limit &&
            value >= (std::signed_integral<T> ? -limit : 0.0);
  }
  if (!holds) return fail(Code::kInvalidArgument, fmt::format("{} is out of range", value));
  return static_cast<T>(value);
}

}  // namespace skerry::serve
