// What the commands that compile are told of a model's inputs.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "compile/interface.h"

namespace CLI {
class App;
}

namespace skerry::cli {

struct InterfaceWords {
  std::vector<std::string> shapes, values, states;
};

// --shape, --value, --state.
void add_interface_options(CLI::App& command, InterfaceWords& words);
Result<compile::InterfaceOptions> interface_of(const InterfaceWords& words);

}  // namespace skerry::cli
