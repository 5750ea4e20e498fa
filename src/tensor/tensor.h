// Tensors: element types, shapes, views and owned bytes; below the runtimes, the protocols and the
// documents that speak of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace skerry::tensor {

// Element types under their Open Inference Protocol names ("FP32", "INT64", …). BYTES is a list of
// strings, each with a 4-byte little-endian length before it. The last three are what graphs have
// and requests do not; of the 4-bit ones the first of two elements is in the lower half of a byte.
enum class DataType {
  kBool,
  kInt8,
  kInt16,
  kInt32,
  kInt64,
  kUint8,
  kUint16,
  kUint32,
  kUint64,
  kFp16,
  kFp32,
  kFp64,
  kBytes,
  kBf16,
  kInt4,
  kUint4
};

std::string_view name_of(DataType type);  // "FP32"
std::optional<DataType> find_data_type(std::string_view name);
// Those of the protocol alone: what a request, a model's contract and a runtime may have.
Result<DataType> parse_data_type(std::string_view name);  // kInvalidArgument lists the known names
std::vector<DataType> all_data_types();
size_t size_of(DataType type);  // bytes of one element; 0 for kBytes and the 4-bit types
// Bytes of `count` elements; 0 for kBytes. kInvalidArgument where it overflows.
Result<size_t> byte_size(DataType type, size_t count);
bool is_float(DataType type);

struct TensorSpec {
  std::string name;
  DataType type = DataType::kFp32;
  std::vector<int64_t> shape;  // -1: any size

  bool operator==(const TensorSpec&) const = default;
};

// A cache line, and what the widest vector instructions want. Kernels take other code for other
// alignments, so that the last bits of a result would depend on where a tensor happens to lie.
inline constexpr size_t kAlignment = 64;

template <class T>
struct AlignedAllocator {
  using value_type = T;
  AlignedAllocator() = default;
  template <class U>
  explicit AlignedAllocator(const AlignedAllocator<U>&) {}
  T* allocate(size_t count) {
    return static_cast<T*>(::operator new(count * sizeof(T), std::align_val_t(kAlignment)));
  }
  void deallocate(T* memory, size_t) { ::operator delete(memory, std::align_val_t(kAlignment)); }
  bool operator==(const AlignedAllocator&) const { return true; }
};

// A tensor's own bytes, aligned to kAlignment.
using Bytes = std::vector<std::byte, AlignedAllocator<std::byte>>;

// Row-major, little-endian, dense. The bytes belong to whoever made the view.
struct TensorView {
  std::string_view name;
  DataType type = DataType::kFp32;
  std::span<const int64_t> shape;
  std::span<const std::byte> bytes;
};

struct Tensor {
  std::string name;
  DataType type = DataType::kFp32;
  std::vector<int64_t> shape;
  Bytes bytes;
  TensorView view() const { return {name, type, shape, bytes}; }
};

// Valid until one of `tensors` changes or moves.
std::vector<TensorView> views_of(std::span<const Tensor> tensors);

// Product of a shape; kInvalidArgument on a negative dimension or overflow.
Result<size_t> element_count(std::span<const int64_t> shape);

// "FP32[-1,4]", for messages.
std::string describe(DataType type, std::span<const int64_t> shape);

// True where a tensor of `shape` fits `spec` (same rank; every dimension equal or -1 in the spec).
bool fits(std::span<const int64_t> shape, std::span<const int64_t> spec);

// The views in the order of `specs`, each once, of the right type, shape and byte size. Otherwise
// kInvalidArgument names the input, what it is and what was expected.
Result<std::vector<const TensorView*>> match_inputs(std::span<const TensorSpec> specs,
                                                    std::span<const TensorView> views);

// Indices into `specs` of the outputs named in `wanted`, in that order; all where it is empty.
Result<std::vector<size_t>> select_outputs(std::span<const TensorSpec> specs,
                                           std::span<const std::string> wanted);

// The `count` elements of a BYTES tensor; kInvalidArgument where the lengths do not add up.
Result<std::vector<std::string_view>> split_bytes(std::span<const std::byte> bytes, size_t count);

// Appends one element of a BYTES tensor. `element` is shorter than 4 GiB.
void append_bytes(Bytes& bytes, std::string_view element);

// The IEEE 754 binary16 nearest to `value` (ties to even); infinity where it is too large.
uint16_t half_bits(double value);
double from_half_bits(uint16_t bits);
// The same for bfloat16, the upper half of a binary32.
uint16_t bfloat16_bits(double value);
float from_bfloat16_bits(uint16_t bits);

}  // namespace skerry::tensor
