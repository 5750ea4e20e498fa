// NumPy's .npy files: one tensor each.
// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
#pragma once

#include <string>
#include <string_view>

#include "tensor/tensor.h"

namespace skerry::tensor {

// kCorrupt where it is no such file, kUnsupported where its elements or order are not ours (big
// endian, Fortran order, structures, strings).
Result<Tensor> parse_npy(std::string_view file);

// kUnsupported for BYTES, BF16 and 4-bit types, which the format lacks.
Result<std::string> to_npy(const TensorView& tensor);

}  // namespace skerry::tensor
