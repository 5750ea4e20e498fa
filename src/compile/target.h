// The machines that models are compiled for: one row each. A new one is a row here and, where it
// has vectors of its own, a line in kernels/isa.h.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"

namespace skerry::compile {

struct Target {
  std::string_view name;
  std::string_view what;      // for people
  std::string_view compiler;  // the command of the C++ compiler
  std::string_view package;   // that has it, in Debian
  std::string_view flags;     // -march and the like
  uint64_t cpu_features;      // SKERRY_CPU_… that the code uses without asking
  int lanes;                  // FP32 numbers in the widest vector
  int registers;              // vectors that the machine holds at once
  bool dots;                  // has a product of four bytes by four bytes (VNNI)
};

std::span<const Target> targets();
// By name; "native" is the best row that this machine can run. kInvalidArgument lists the names.
Result<const Target*> find_target(std::string_view name);

}  // namespace skerry::compile
