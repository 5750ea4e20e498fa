// The bytes of a file or a pipe, as they come, into what goes to the model.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "flow/source.h"

namespace skerry::flow {

class Cutter {
 public:
  virtual ~Cutter() = default;
  // A recording begins.
  virtual void begin(std::string source) = 0;
  // What is whole now. kInvalidArgument or kUnsupported where the bytes are none of their kind.
  virtual Result<std::vector<Item>> push(std::string_view bytes) = 0;
  // What was held until the end.
  virtual std::vector<Item> finish() = 0;
};

}  // namespace skerry::flow
