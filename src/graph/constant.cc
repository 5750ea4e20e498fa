// Constants: owned or shared bytes, always aligned for their elements.
#include "graph/constant.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"

namespace skerry::graph {
namespace {

Result<void> check_size(DataType type, const std::vector<int64_t>& shape,
                        std::span<const std::byte> bytes) {
  SKERRY_ASSIGN(const size_t count, tensor::element_count(shape));
  if (type == DataType::kBytes) {
    SKERRY_TRY(tensor::split_bytes(bytes, count));
    return {};
  }
  SKERRY_ASSIGN(const size_t expected, tensor::byte_size(type, count));
  if (expected == bytes.size()) return {};
  return fail(Code::kInvalidArgument,
              fmt::format("{} takes {} bytes, it has {}", tensor::describe(type, shape), expected,
                          bytes.size()));
}

}  // namespace

Result<Constant> Constant::make(DataType type, std::vector<int64_t> shape, tensor::Bytes bytes) {
  SKERRY_TRY(check_size(type, shape, bytes));
  auto owner = std::make_shared<const tensor::Bytes>(std::move(bytes));
  const std::span<const std::byte> view = *owner;
  return Constant(type, std::move(shape), view, std::move(owner));
}

Result<Constant> Constant::share(DataType type, std::vector<int64_t> shape,
                                 std::span<const std::byte> bytes,
                                 std::shared_ptr<const void> owner) {
  const size_t alignment = std::max<size_t>(tensor::size_of(type), 1);
  if (reinterpret_cast<uintptr_t>(bytes.data()) % alignment != 0) {
    return make(type, std::move(shape), tensor::Bytes(bytes.begin(), bytes.end()));
  }
  SKERRY_TRY(check_size(type, shape, bytes));
  return Constant(type, std::move(shape), bytes, std::move(owner));
}

Constant Constant::must(Result<Constant> made) {
  SKERRY_CHECK(made.has_value(), made.error().message());
  return std::move(*made);
}

Constant Constant::of_ints(const std::vector<int64_t>& values) {
  return of(DataType::kInt64, {static_cast<int64_t>(values.size())}, values);
}

Constant Constant::of_int(int64_t value) {
  return of(DataType::kInt64, {}, std::vector<int64_t>{value});
}

Constant Constant::of_float(float value) {
  return of(DataType::kFp32, {}, std::vector<float>{value});
}

Constant Constant::of_strings(std::vector<int64_t> shape, std::span<const std::string> values) {
  tensor::Bytes bytes;
  for (const std::string& value : values) tensor::append_bytes(bytes, value);
  return must(make(DataType::kBytes, std::move(shape), std::move(bytes)));
}

size_t Constant::count() const {
  return tensor::element_count(shape_).value_or(0);
}

bool Constant::operator==(const Constant& other) const {
  return type_ == other.type_ && shape_ == other.shape_ && std::ranges::equal(bytes_, other.bytes_);
}

std::optional<std::vector<int64_t>> ints_of(const Constant& constant) {
  std::vector<int64_t> ints;
  if (constant.type() == DataType::kInt64) {
    const auto values = constant.as<int64_t>();
    ints.assign(values.begin(), values.end());
  } else if (constant.type() == DataType::kInt32) {
    const auto values = constant.as<int32_t>();
    ints.assign(values.begin(), values.end());
  } else {
    return {};
  }
  return ints;
}

}  // namespace skerry::graph
