// Names and sizes of element types, and the checks that stand before every run.
#include "tensor/tensor.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace skerry::tensor {
namespace {

struct TypeInfo {
  std::string_view name;
  size_t size;
};

// In the order of DataType.
constexpr std::array<TypeInfo, 16> kTypes = {{{"BOOL", 1},
                                              {"INT8", 1},
                                              {"INT16", 2},
                                              {"INT32", 4},
                                              {"INT64", 8},
                                              {"UINT8", 1},
                                              {"UINT16", 2},
                                              {"UINT32", 4},
                                              {"UINT64", 8},
                                              {"FP16", 2},
                                              {"FP32", 4},
                                              {"FP64", 8},
                                              {"BYTES", 0},
                                              {"BF16", 2},
                                              {"INT4", 0},
                                              {"UINT4", 0}}};
constexpr size_t kProtocolTypes = 13;

std::string names_of(std::span<const TensorSpec> specs) {
  std::string names;
  for (const TensorSpec& spec : specs) {
    if (!names.empty()) names += ", ";
    names += spec.name;
  }
  return names;
}

Result<void> check_size(const TensorView& view) {
  SKERRY_ASSIGN(const size_t count, element_count(view.shape));
  if (view.type == DataType::kBytes) {
    auto elements = split_bytes(view.bytes, count);
    if (!elements) return fail(elements.error().with_context(fmt::format("input '{}'", view.name)));
    return {};
  }
  size_t expected = 0;
  if (__builtin_mul_overflow(count, size_of(view.type), &expected) ||
      view.bytes.size() != expected) {
    return fail(Code::kInvalidArgument,
                fmt::format("input '{}' has {} bytes; {} takes {}", view.name, view.bytes.size(),
                            describe(view.type, view.shape), expected));
  }
  return {};
}

}  // namespace

std::vector<DataType> all_data_types() {
  std::vector<DataType> types;
  for (size_t i = 0; i < kProtocolTypes; ++i) types.push_back(static_cast<DataType>(i));
  return types;
}

std::string_view name_of(DataType type) {
  return kTypes[static_cast<size_t>(type)].name;
}

size_t size_of(DataType type) {
  return kTypes[static_cast<size_t>(type)].size;
}

std::optional<DataType> find_data_type(std::string_view name) {
  for (size_t i = 0; i < kTypes.size(); ++i) {
    if (kTypes[i].name == name) return static_cast<DataType>(i);
  }
  return {};
}

Result<size_t> byte_size(DataType type, size_t count) {
  if (type == DataType::kInt4 || type == DataType::kUint4) return count / 2 + count % 2;
  size_t bytes = 0;
  if (__builtin_mul_overflow(count, size_of(type), &bytes)) {
    return fail(Code::kInvalidArgument,
                fmt::format("{} elements of {} are too many", count, name_of(type)));
  }
  return bytes;
}

bool is_float(DataType type) {
  return type == DataType::kFp32 || type == DataType::kFp64 || type == DataType::kFp16 ||
         type == DataType::kBf16;
}

Result<DataType> parse_data_type(std::string_view name) {
  std::string known;
  for (size_t i = 0; i < kProtocolTypes; ++i) {
    if (kTypes[i].name == name) return static_cast<DataType>(i);
    known.append(i == 0 ? "" : ", ").append(kTypes[i].name);
  }
  return fail(Code::kInvalidArgument,
              fmt::format("unknown datatype '{}'; use one of {}", name, known));
}

Result<size_t> element_count(std::span<const int64_t> shape) {
  size_t count = 1;
  for (const int64_t dimension : shape) {
    if (dimension < 0) {
      return fail(Code::kInvalidArgument,
                  fmt::format("shape [{}] has a negative dimension", fmt::join(shape, ",")));
    }
    if (__builtin_mul_overflow(count, static_cast<size_t>(dimension), &count)) {
      return fail(Code::kInvalidArgument,
                  fmt::format("shape [{}] has too many elements", fmt::join(shape, ",")));
    }
  }
  return count;
}

std::string describe(DataType type, std::span<const int64_t> shape) {
  return fmt::format("{}[{}]", name_of(type), fmt::join(shape, ","));
}

bool fits(std::span<const int64_t> shape, std::span<const int64_t> spec) {
  if (shape.size() != spec.size()) return false;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (spec[i] != -1 && spec[i] != shape[i]) return false;
  }
  return true;
}

Result<std::vector<const TensorView*>> match_inputs(std::span<const TensorSpec> specs,
                                                    std::span<const TensorView> views) {
  std::vector<const TensorView*> matched(specs.size(), nullptr);
  for (const TensorView& view : views) {
    size_t i = 0;
    while (i < specs.size() && specs[i].name != view.name) ++i;
    if (i == specs.size()) {
      return fail(Code::kInvalidArgument, fmt::format("input '{}' is unknown; the model takes: {}",
                                                      view.name, names_of(specs)));
    }
    if (matched[i] != nullptr) {
      return fail(Code::kInvalidArgument, fmt::format("input '{}' is given twice", view.name));
    }
    if (view.type != specs[i].type || !fits(view.shape, specs[i].shape)) {
      return fail(Code::kInvalidArgument, fmt::format("input '{}' is {}; expected {}", view.name,
                                                      describe(view.type, view.shape),
                                                      describe(specs[i].type, specs[i].shape)));
    }
    SKERRY_TRY(check_size(view));
    matched[i] = &view;
  }
  for (size_t i = 0; i < specs.size(); ++i) {
    if (matched[i] == nullptr) {
      return fail(Code::kInvalidArgument,
                  fmt::format("input '{}' is missing; expected {}", specs[i].name,
                              describe(specs[i].type, specs[i].shape)));
    }
  }
  return matched;
}

Result<std::vector<size_t>> select_outputs(std::span<const TensorSpec> specs,
                                           std::span<const std::string> wanted) {
  std::vector<size_t> selected;
  if (wanted.empty()) {
    for (size_t i = 0; i < specs.size(); ++i) selected.push_back(i);
    return selected;
  }
  for (const std::string& name : wanted) {
    size_t i = 0;
    while (i < specs.size() && specs[i].name != name) ++i;
    if (i == specs.size()) {
      return fail(Code::kInvalidArgument, fmt::format("output '{}' is unknown; the model gives: {}",
                                                      name, names_of(specs)));
    }
    if (std::find(selected.begin(), selected.end(), i) != selected.end()) {
      return fail(Code::kInvalidArgument, fmt::format("output '{}' is asked for twice", name));
    }
    selected.push_back(i);
  }
  return selected;
}

Result<std::vector<std::string_view>> split_bytes(std::span<const std::byte> bytes, size_t count) {
  std::vector<std::string_view> elements;
  // An element takes at least its length's four bytes: an absurd count costs no memory.
  elements.reserve(std::min(count, bytes.size() / 4));
  while (!bytes.empty()) {
    uint32_t length = 0;
    if (bytes.size() < sizeof length) break;
    std::memcpy(&length, bytes.data(), sizeof length);
    bytes = bytes.subspan(sizeof length);
    if (length > bytes.size()) {
      return fail(Code::kInvalidArgument,
                  fmt::format("element {} of the BYTES tensor says {} bytes, {} are left",
                              elements.size(), length, bytes.size()));
    }
    elements.emplace_back(reinterpret_cast<const char*>(bytes.data()), length);
    bytes = bytes.subspan(length);
  }
  if (!bytes.empty() || elements.size() != count) {
    return fail(Code::kInvalidArgument,
                fmt::format("the BYTES tensor has {} whole elements and {} bytes more; its shape "
                            "says {} elements",
                            elements.size(), bytes.size(), count));
  }
  return elements;
}

void append_bytes(Bytes& bytes, std::string_view element) {
  const auto length = static_cast<uint32_t>(element.size());
  const size_t at = bytes.size();
  bytes.resize(at + sizeof length + element.size());
  std::memcpy(bytes.data() + at, &length, sizeof length);
  if (!element.empty()) {
    std::memcpy(bytes.data() + at + sizeof length, element.data(), element.size());
  }
}

uint16_t half_bits(double value) {
  const auto sign = static_cast<uint16_t>(std::signbit(value) ? 0x8000 : 0);
  const double size = std::fabs(value);
  if (std::isnan(value)) return 0x7e00;
  if (size >= 65520) return sign | 0x7c00;  // halfway between the largest half and the next one
  if (size < 0x1p-24 / 2) return sign;
  // As a count of the last bit's weight, which is the same below the smallest normal half.
  const int exponent = std::max(std::ilogb(size), -14);
  const auto count = static_cast<uint32_t>(std::nearbyint(std::ldexp(size, 10 - exponent)));
  // A count that was rounded up to the next power of two carries into the exponent by itself.
  return static_cast<uint16_t>(sign | ((static_cast<uint32_t>(exponent + 14) << 10) + count));
}

double from_half_bits(uint16_t bits) {
  const int exponent = (bits >> 10) & 0x1f;
  const int fraction = bits & 0x3ff;
  const double sign = (bits & 0x8000) != 0 ? -1 : 1;
  if (exponent == 31) return fraction != 0 ? NAN : sign * INFINITY;
  if (exponent == 0) return sign * std::ldexp(fraction, -24);
  return sign * std::ldexp(fraction + 0x400, exponent - 25);
}

uint16_t bfloat16_bits(double value) {
  const auto bits = std::bit_cast<uint32_t>(static_cast<float>(value));
  if (std::isnan(value)) return 0x7fc0;
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

float from_bfloat16_bits(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

std::vector<TensorView> views_of(std::span<const Tensor> tensors) {
  std::vector<TensorView> views;
  views.reserve(tensors.size());
  for (const Tensor& tensor : tensors) views.push_back(tensor.view());
  return views;
}

}  // namespace skerry::tensor
