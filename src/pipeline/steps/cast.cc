// cast: numbers of another type. Floats lose their fraction on the way to whole numbers, and what
// is out of range becomes the nearest there is, NaN 0; all numbers pass through a double.
#include <cmath>
#include <cstring>
#include <limits>

#include "pipeline/steps/makers.h"

namespace skerry::pipeline {
namespace {

template <class T>
T narrow(double value) {
  if constexpr (std::is_floating_point_v<T>) {
    return static_cast<T>(value);
  } else {
    if (value != value) return 0;
    // 2^digits is exact as a double, which T's own maximum may not be.
    if (value >= std::ldexp(1.0, std::numeric_limits<T>::digits)) {
      return std::numeric_limits<T>::max();
    }
    if (value <= static_cast<double>(std::numeric_limits<T>::min())) {
      return std::numeric_limits<T>::min();
    }
    return static_cast<T>(value);
  }
}

Result<std::vector<double>> doubles_of(const Value& value) {
  if (value.type == DataType::kFp64) {
    std::vector<double> doubles(value.count());
    if (!doubles.empty()) std::memcpy(doubles.data(), value.bytes.data(), value.bytes.size());
    return doubles;
  }
  if (auto integers = integers_of(value)) {
    return std::vector<double>(integers->begin(), integers->end());
  }
  SKERRY_ASSIGN(const Floats floats, Floats::of(value));
  return std::vector<double>(floats.span().begin(), floats.span().end());
}

template <class T>
Value make(DataType type, const Shape& shape, const std::vector<double>& values) {
  std::vector<T> elements(values.size());
  for (size_t i = 0; i < values.size(); ++i) elements[i] = narrow<T>(values[i]);
  return own(type, shape, elements);
}

Value converted(DataType type, const std::vector<double>& values, const Shape& shape) {
  switch (type) {
    case DataType::kBool: {
      std::vector<uint8_t> flags(values.size());
      for (size_t i = 0; i < values.size(); ++i) flags[i] = values[i] != 0;
      return own(type, shape, flags);
    }
    case DataType::kInt8:
      return make<int8_t>(type, shape, values);
    case DataType::kInt16:
      return make<int16_t>(type, shape, values);
    case DataType::kInt32:
      return make<int32_t>(type, shape, values);
    case DataType::kInt64:
      return make<int64_t>(type, shape, values);
    case DataType::kUint8:
      return make<uint8_t>(type, shape, values);
    case DataType::kUint16:
      return make<uint16_t>(type, shape, values);
    case DataType::kUint32:
      return make<uint32_t>(type, shape, values);
    case DataType::kUint64:
      return make<uint64_t>(type, shape, values);
    case DataType::kFp16: {
      std::vector<uint16_t> halves(values.size());
      for (size_t i = 0; i < values.size(); ++i) halves[i] = tensor::half_bits(values[i]);
      return own(type, shape, halves);
    }
    case DataType::kFp64:
      return own(type, shape, values);
    default:
      return make<float>(DataType::kFp32, shape, values);
  }
}

class Cast : public Step {
 public:
  explicit Cast(DataType type) : type_(type) {}

  Result<std::vector<Value>> run(std::span<const Value> inputs,
                                 const std::stop_token&) const override {
    SKERRY_ASSIGN(Value value, cast_to(inputs[0], type_));
    return std::vector{std::move(value)};
  }

 private:
  DataType type_;
};

}  // namespace

Result<Value> cast_to(const Value& value, DataType type) {
  if (value.type == type) return value;
  SKERRY_ASSIGN(const auto values, doubles_of(value));
  return converted(type, values, value.shape);
}

Result<StepPtr> make_cast(Settings& settings) {
  SKERRY_ASSIGN(const auto name, settings.text("datatype"));
  if (!name) return settings.wrong("datatype", "is missing");
  const auto type = tensor::parse_data_type(*name);
  if (!type) return settings.wrong("datatype", type.error().message());
  if (*type == DataType::kBytes) return settings.wrong("datatype", "BYTES are no numbers");
  return std::make_unique<Cast>(*type);
}

}  // namespace skerry::pipeline
