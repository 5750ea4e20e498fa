// A look at a .tflite file before LiteRT sees it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace skerry::runtime {

struct TfliteScan {
  // No operator's time or output size depends on values: see Model::is_bounded().
  bool is_bounded = true;
  std::vector<std::string> custom_operators;  // that the library may lack, sorted
};

// kCorrupt where the bytes are no whole model of schema 3; kUnsupported where tensors have their
// data in another file: LiteRT would open it by itself.
Result<TfliteScan> scan_tflite(std::string_view model);

}  // namespace skerry::runtime
