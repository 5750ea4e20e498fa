// The machines that models are compiled for: one row each. A new one is a row here and, where it
// has vectors of its own, a line in kernels/isa.h.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"

namespace skerry::compile {

// How four unsigned bytes times four signed ones are added to a sum of 32 bits, and so how weights
// are packed: the forms of Dot in kernels/dot.h.
enum class Dots {
  kFours,   // an instruction for it (VNNI)
  kSigned,  // one for signed bytes (SDOT): inputs are taken less 128
  kPairs,   // one for two numbers of 16 bits times two (PMADDWD)
  kWords,   // products of 16 bits, one after the other
};

struct Target {
  std::string_view name;
  std::string_view what;      // for people
  std::string_view compiler;  // the command of the C++ compiler
  std::string_view package;   // that has it, in Debian
  std::string_view flags;     // -march and the like
  uint64_t cpu_features;      // SKERRY_CPU_… that the code uses without asking
  int lanes;                  // FP32 numbers in the widest vector
  int registers;              // vectors that the machine holds at once
  Dots dots;
  std::string_view emulator = {};          // runs its programs on other machines, and
  std::string_view emulator_package = {};  // what has it; none for machines like this one

  size_t number() const;  // of its row
  // What products are made with, for people: "AVX-512 VNNI".
  std::string_view instructions(bool of_bytes) const;
};

std::span<const Target> targets();
// By name; "native" is the best row that this machine can run. kInvalidArgument lists the names.
Result<const Target*> find_target(std::string_view name);

}  // namespace skerry::compile
