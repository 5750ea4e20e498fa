// A program as C++ text.
#pragma once

#include <string>

#include "compile/interface.h"
#include "compile/program.h"
#include "tensor/tensor.h"

namespace skerry::compile {

// What the reference executor said about the inputs of kernels/check.h.
struct Expected {
  std::vector<tensor::Tensor> outputs;
  bool is_exact = false;    // whole numbers must be equal; otherwise they may be off by one
  bool is_dynamic = false;  // computed reals are quantised by their own range
};

// Some elements of each output, at equal distances, so that large ones do not make large artifacts.
inline constexpr size_t kCheckedElements = 256;

struct Emitted {
  std::string code;
  size_t scratch_bytes = 0;  // of the self-check
};

// The source of the object: it includes the kernels and, as binary data, "constants.bin", which is
// program.constants once this is done.
Emitted emit(Program& program, const graph::Graph& graph, const Interface& interface,
             const Expected* expected);

// How check.h fills an input of this type.
int fill_kind(DataType type);

// Code that has some steps alone, to be measured: layer i is all of `layers[i]`, in their order
// (kernels/layers.h).
std::string emit_layers(const Program& program, const std::vector<std::vector<size_t>>& layers);

}  // namespace skerry::compile
