// Bytes that are shared, and numbers out of them.
#include "pipeline/value.h"

#include <fmt/format.h>

#include <cstring>

namespace skerry::pipeline {
namespace {

template <class T, class Out>
void convert(std::span<const std::byte> bytes, std::vector<Out>& out) {
  for (size_t i = 0; i < out.size(); ++i) {
    T element;
    std::memcpy(&element, bytes.data() + i * sizeof(T), sizeof(T));
    // NOLINTNEXTLINE(bugprone-signed-char-misuse): an int8_t is a number here, with its sign.
    out[i] = static_cast<Out>(element);
  }
}

void convert_halves(std::span<const std::byte> bytes, std::vector<float>& out) {
  for (size_t i = 0; i < out.size(); ++i) {
    uint16_t bits = 0;
    std::memcpy(&bits, bytes.data() + 2 * i, 2);
    out[i] = static_cast<float>(tensor::from_half_bits(bits));
  }
}

// False where `type` is not made of whole numbers.
template <class Out>
bool convert_integers(DataType type, std::span<const std::byte> bytes, std::vector<Out>& out) {
  switch (type) {
    case DataType::kBool:
    case DataType::kUint8:
      convert<uint8_t>(bytes, out);
      return true;
    case DataType::kInt8:
      convert<int8_t>(bytes, out);
      return true;
    case DataType::kInt16:
      convert<int16_t>(bytes, out);
      return true;
    case DataType::kInt32:
      convert<int32_t>(bytes, out);
      return true;
    case DataType::kInt64:
      convert<int64_t>(bytes, out);
      return true;
    case DataType::kUint16:
      convert<uint16_t>(bytes, out);
      return true;
    case DataType::kUint32:
      convert<uint32_t>(bytes, out);
      return true;
    case DataType::kUint64:
      convert<uint64_t>(bytes, out);
      return true;
    default:
      return false;
  }
}

}  // namespace

size_t Value::count() const {
  size_t count = 1;
  for (const int64_t dimension : shape) count *= static_cast<size_t>(dimension);
  return count;
}

Value own(DataType type, Shape shape, tensor::Bytes bytes) {
  auto owner = std::make_shared<tensor::Bytes>(std::move(bytes));
  const std::span<const std::byte> span = *owner;
  return {type, std::move(shape), span, std::move(owner)};
}

tensor::Tensor into_tensor(Value value, std::string name) {
  tensor::Tensor tensor{std::move(name), value.type, std::move(value.shape), {}};
  const bool is_whole = value.owner && value.owner->size() == value.bytes.size();
  if (is_whole && value.owner.use_count() == 1) {
    tensor.bytes = std::move(*value.owner);
  } else {
    tensor.bytes.assign(value.bytes.begin(), value.bytes.end());
  }
  return tensor;
}

Result<Floats> Floats::of(const Value& value) {
  Floats floats;
  const size_t count = value.count();
  const bool lies_well =
      reinterpret_cast<uintptr_t>(value.bytes.data()) % alignof(float) == 0 || count == 0;
  if (value.type == DataType::kFp32 && lies_well) {
    floats.span_ = {reinterpret_cast<const float*>(value.bytes.data()), count};
    return floats;
  }
  auto converted = std::make_shared<std::vector<float>>(count);
  if (value.type == DataType::kFp32) {
    convert<float>(value.bytes, *converted);
  } else if (value.type == DataType::kFp64) {
    convert<double>(value.bytes, *converted);
  } else if (value.type == DataType::kFp16) {
    convert_halves(value.bytes, *converted);
  } else if (!convert_integers(value.type, value.bytes, *converted)) {
    return fail(Code::kInvalidArgument, fmt::format("{} are no numbers", value.describe()));
  }
  floats.span_ = *converted;
  floats.converted_ = std::move(converted);
  return floats;
}

Result<std::vector<int64_t>> integers_of(const Value& value) {
  std::vector<int64_t> integers(value.count());
  if (convert_integers(value.type, value.bytes, integers)) return integers;
  return fail(Code::kInvalidArgument, fmt::format("{} are no whole numbers", value.describe()));
}

Result<std::string_view> content_of(const Value& value) {
  if (value.type == DataType::kUint8 && value.shape.size() == 1) {
    return std::string_view(reinterpret_cast<const char*>(value.bytes.data()), value.bytes.size());
  }
  if (value.type != DataType::kBytes || value.count() != 1) {
    return fail(
        Code::kInvalidArgument,
        fmt::format("it takes one element of BYTES, or UINT8[n], not {}", value.describe()));
  }
  SKERRY_ASSIGN(const auto elements, tensor::split_bytes(value.bytes, 1));
  return elements[0];
}

Around around(const Shape& shape, size_t axis) {
  Around result;
  for (size_t i = 0; i < shape.size(); ++i) {
    size_t& part = i < axis ? result.before : i == axis ? result.size : result.behind;
    part *= static_cast<size_t>(shape[i]);
  }
  return result;
}

Result<void> need_rank(const Value& value, size_t rank, std::string_view layout) {
  if (value.shape.size() == rank) return {};
  return fail(Code::kInvalidArgument, fmt::format("it takes {}, not {}", layout, value.describe()));
}

}  // namespace skerry::pipeline
