// The element types of Neo's models: their names in the graph, their codes in the weights' file
// (DLPack's), and ours. Internal to this folder.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "tensor/tensor.h"

namespace skerry::runtime {

struct NeoType {
  std::string_view name;
  uint8_t kind;  // 0 signed, 1 unsigned, 2 float
  uint8_t bits;
  tensor::DataType ours;
};
inline constexpr std::array<NeoType, 11> kNeoTypes = {
    {{"float32", 2, 32, tensor::DataType::kFp32},
     {"float64", 2, 64, tensor::DataType::kFp64},
     {"float16", 2, 16, tensor::DataType::kFp16},
     {"int8", 0, 8, tensor::DataType::kInt8},
     {"int16", 0, 16, tensor::DataType::kInt16},
     {"int32", 0, 32, tensor::DataType::kInt32},
     {"int64", 0, 64, tensor::DataType::kInt64},
     {"uint8", 1, 8, tensor::DataType::kUint8},
     {"uint16", 1, 16, tensor::DataType::kUint16},
     {"uint32", 1, 32, tensor::DataType::kUint32},
     {"uint64", 1, 64, tensor::DataType::kUint64}}};

}  // namespace skerry::runtime
