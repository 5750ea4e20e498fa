// Making a model ready for training: fresh weights, a head for other classes, layers that stay.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "train/builder.h"

namespace skerry::train {

// Every parameter anew: weights by He et al. (2015), biases 0, norms as if there were none.
void reinitialise(Graph& model, uint64_t seed);

// The last layer with weights (Gemm, MatMul, with what is added behind) gets so many outputs and
// fresh weights; a softmax behind it stays. kUnsupported where the model ends otherwise.
Result<void> replace_head(Graph& model, int64_t classes, uint64_t seed);

// Parameters that `patterns` (globs such as "features.*", of parameters or of the nodes that read
// them) name; "body" names all but those of the last layer. kNotFound for one that names none.
Result<std::set<std::string, std::less<>>> frozen_by(const Graph& model,
                                                     const std::vector<std::string>& patterns);

}  // namespace skerry::train
