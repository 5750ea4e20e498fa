// What the commands on a model's graph share: data for its inputs, numbers for people.
#pragma once

#include <optional>

#include "cli/command.h"
#include "graph/evaluation.h"
#include "graph/graph.h"
#include "tensor/tensor.h"

namespace skerry::cli {

struct InputOptions {
  std::vector<std::string> files;  // NAME=FILE.npy, or FILE.npy for the only input
  std::string directory;           // with NAME.npy for inputs
  uint64_t seed = 0;               // of what is given nowhere
  bool random = false;             // and whether it may be made up
};

void add_input_options(CLI::App& command, InputOptions& options);

// A tensor for each input of `graph`, in its order.
Result<std::vector<tensor::Tensor>> inputs_for(const graph::Graph& graph,
                                               const InputOptions& options);

std::string count_text(int64_t count);  // "12.5 M"
std::string bytes_text(int64_t bytes);  // "1.2 MiB"

// What a model takes and gives, as the file that skerry model publish wants.
std::string contract_of(const graph::Graph& graph);

// The graph as a picture.
std::string graph_svg(const graph::Graph& graph);

}  // namespace skerry::cli
