// What runtimes and protocols share around tensors: matching a request with a model's specs, and
// the layout of BYTES tensors.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/runtime.h"

namespace skerry::runtime {

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
void append_bytes(std::vector<std::byte>& bytes, std::string_view element);

}  // namespace skerry::runtime
