// The weights of a model compiled by Neo: what tensors the file has, not their values. Internal to
// this folder.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "tensor/tensor.h"

namespace skerry::runtime {

struct NeoParam {
  tensor::DataType type = tensor::DataType::kFp32;
  std::vector<int64_t> shape;
};
using NeoParams = std::map<std::string, NeoParam, std::less<>>;

// Untrusted. kCorrupt unless `file` is exactly one list of tensors as TVM writes it.
Result<NeoParams> read_neo_params(std::string_view file);

}  // namespace skerry::runtime
