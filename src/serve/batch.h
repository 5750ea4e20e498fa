// Requests put one behind the other along their first dimension, run as one, and taken apart again.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "tensor/tensor.h"

namespace skerry::serve {

using Tensors = std::vector<tensor::Tensor>;

// Puts `inputs` into the order of `specs`; the error of match_inputs() where they do not match.
Result<void> sort_inputs(std::span<const tensor::TensorSpec> specs, Tensors& inputs);

// How many rows `inputs` have: their first dimension, where it is the same in all and not 0.
std::optional<int64_t> rows_of(std::span<const tensor::Tensor> inputs);

// Whether the two differ in nothing but rows and values. Both in the order of the contract.
bool is_same_form(std::span<const tensor::Tensor> a, std::span<const tensor::Tensor> b);

// The rows of all, in order. `requests`: one at least, each of the same form.
Tensors merge_rows(std::span<const Tensors* const> requests);

// `outputs` as those of requests of so many rows each; kInternal where an output has not as many
// rows as all together, so that the model does not treat rows alone.
Result<std::vector<Tensors>> split_rows(const Tensors& outputs, std::span<const int64_t> rows);

}  // namespace skerry::serve
