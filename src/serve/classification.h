// The protocol's classification extension: the classes with the highest scores instead of a tensor.
#pragma once

#include <cstdint>

#include "base/error.h"
#include "tensor/tensor.h"

namespace skerry::serve {

// A BYTES tensor of "SCORE:CLASS", the highest `classes` of each row, best first; equal scores in
// the order of their classes, NaN last. Rows are those of the first dimension where `spec` leaves
// it free, otherwise the whole tensor is one. kUnsupported where the elements are no numbers.
Result<tensor::Tensor> classify(const tensor::Tensor& scores, const tensor::TensorSpec& spec,
                                uint64_t classes);

}  // namespace skerry::serve
