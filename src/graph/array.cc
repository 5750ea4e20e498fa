// Arrays of the reference executor, to and from tensors.
#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "graph/evaluation.h"

namespace skerry::graph {
namespace {

bool is_4_bit(DataType type) {
  return type == DataType::kInt4 || type == DataType::kUint4;
}

double load_float(DataType type, const std::byte* at) {
  const auto load = [at]<class T>(T value) {
    std::memcpy(&value, at, sizeof value);
    return value;
  };
  if (type == DataType::kFp32) return load(float{});
  if (type == DataType::kFp64) return load(double{});
  const uint16_t bits = load(uint16_t{});
  return type == DataType::kFp16 ? tensor::from_half_bits(bits) : tensor::from_bfloat16_bits(bits);
}

void store_float(DataType type, double value, std::byte* at) {
  const auto store = [at](auto stored) { std::memcpy(at, &stored, sizeof stored); };
  if (type == DataType::kFp32) return store(static_cast<float>(value));
  if (type == DataType::kFp64) return store(value);
  store(type == DataType::kFp16 ? tensor::half_bits(value) : tensor::bfloat16_bits(value));
}

template <class Out, class In>
void append(std::vector<Out>& out, std::span<const In> values) {
  for (const In value : values) out.push_back(static_cast<Out>(value));
}

template <class Out>
std::vector<Out> integers(const Array& array) {
  std::vector<Out> out;
  out.reserve(array.count());
  switch (array.type) {
    case DataType::kInt8:
    case DataType::kInt4:
      append(out, array.as<int8_t>());
      break;
    case DataType::kBool:
    case DataType::kUint8:
    case DataType::kUint4:
      append(out, array.as<uint8_t>());
      break;
    case DataType::kInt16:
      append(out, array.as<int16_t>());
      break;
    case DataType::kUint16:
      append(out, array.as<uint16_t>());
      break;
    case DataType::kInt32:
      append(out, array.as<int32_t>());
      break;
    case DataType::kUint32:
      append(out, array.as<uint32_t>());
      break;
    case DataType::kInt64:
      append(out, array.as<int64_t>());
      break;
    case DataType::kUint64:
      append(out, array.as<uint64_t>());
      break;
    default:
      break;
  }
  return out;
}

}  // namespace

size_t Array::element_size(DataType type) {
  return is_4_bit(type) ? 1 : tensor::size_of(type);
}

Result<Array> Array::make(DataType type, std::vector<int64_t> shape, uint64_t max_bytes) {
  SKERRY_ASSIGN(const size_t count, tensor::element_count(shape));
  const size_t size = type == DataType::kBytes ? sizeof(std::string) : element_size(type);
  size_t bytes = 0;
  if (__builtin_mul_overflow(count, size, &bytes) || bytes > max_bytes) {
    return fail(Code::kResourceExhausted,
                fmt::format("{} takes more than the {} MiB that one tensor may have",
                            tensor::describe(type, shape), max_bytes >> 20));
  }
  Array array{.type = type, .shape = std::move(shape)};
  if (type == DataType::kBytes) {
    array.strings.resize(count);
  } else {
    array.bytes.resize(bytes);
  }
  return array;
}

Array Array::from(const tensor::TensorView& view) {
  Array array{.type = view.type, .shape = {view.shape.begin(), view.shape.end()}};
  const size_t count = tensor::element_count(view.shape).value_or(0);
  if (view.type == DataType::kBytes) {
    const auto elements = tensor::split_bytes(view.bytes, count);
    SKERRY_CHECK(elements.has_value(), "strings that nobody has checked");
    array.strings.assign(elements->begin(), elements->end());
  } else if (is_4_bit(view.type)) {
    array.bytes.resize(count);
    for (size_t i = 0; i < count; ++i) {
      const int bits = std::to_integer<int>(view.bytes[i / 2]) >> (i % 2 * 4) & 0xf;
      array.bytes[i] = std::byte(view.type == DataType::kInt4 && bits > 7 ? bits - 16 : bits);
    }
  } else {
    array.bytes.assign(view.bytes.begin(), view.bytes.end());
  }
  return array;
}

tensor::Tensor Array::to_tensor(std::string name) const {
  tensor::Tensor tensor{.name = std::move(name), .type = type, .shape = shape};
  if (type == DataType::kBytes) {
    for (const std::string& element : strings) tensor::append_bytes(tensor.bytes, element);
  } else if (is_4_bit(type)) {
    tensor.bytes.resize((bytes.size() + 1) / 2);
    for (size_t i = 0; i < bytes.size(); ++i) {
      tensor.bytes[i / 2] |= (bytes[i] & std::byte{0xf}) << (i % 2 * 4);
    }
  } else {
    tensor.bytes = bytes;
  }
  return tensor;
}

size_t Array::count() const {
  return type == DataType::kBytes ? strings.size() : bytes.size() / element_size(type);
}

std::vector<int64_t> Array::to_ints() const {
  if (!tensor::is_float(type)) return integers<int64_t>(*this);
  std::vector<int64_t> out;
  for (const double value : to_doubles()) out.push_back(static_cast<int64_t>(value));
  return out;
}

std::vector<double> Array::to_doubles() const {
  if (!tensor::is_float(type)) return integers<double>(*this);
  std::vector<double> out(count());
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = load_float(type, bytes.data() + i * element_size(type));
  }
  return out;
}

Array convert_float(const Array& array, DataType to) {
  if (!tensor::is_float(array.type) || array.type == to) return array;
  Array out{.type = to, .shape = array.shape};
  const size_t count = array.count();
  out.bytes.resize(count * Array::element_size(to));
  for (size_t i = 0; i < count; ++i) {
    const double value =
        load_float(array.type, array.bytes.data() + i * Array::element_size(array.type));
    store_float(to, value, out.bytes.data() + i * Array::element_size(to));
  }
  return out;
}

Result<void> Evaluation::allocate(size_t output, DataType type, std::vector<int64_t> shape) {
  auto made = Array::make(type, std::move(shape), max_bytes_);
  if (!made) return fail(made.error().with_context(node_.describe()));
  outputs[output] = std::move(*made);
  return {};
}

}  // namespace skerry::graph
