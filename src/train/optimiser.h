// Optimisers as nodes: from parameters and gradients to new parameters, with their memory as more
// inputs and outputs. The rate of a step follows from the number of the step, which is one of them.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "train/builder.h"

namespace skerry::train {

enum class Optimiser { kSgd, kAdam, kAdamW };
enum class Schedule { kConstant, kCosine, kLinear };

struct OptimiserOptions {
  Optimiser optimiser = Optimiser::kAdamW;
  double rate = 1e-3;
  double momentum = 0.9;  // of SGD
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double weight_decay = 0;  // of weights, not of biases: in the gradient (SGD, Adam) or apart
  double clip_norm = 0;     // of all gradients together; 0: none
  double average = 0;       // of the moving average of parameters; 0: none is kept
  double proximal = 0;      // μ/2·‖w − anchor‖², anchors being inputs (FedProx); 0: none
  Schedule schedule = Schedule::kCosine;
  double warmup_steps = 0;
  double total_steps = 1;
};

Result<Optimiser> parse_optimiser(std::string_view name);  // "sgd", "adam", "adamw"
Result<Schedule> parse_schedule(std::string_view name);    // "constant", "cosine", "linear"

// A value that goes from step to step: what a step takes as `input` it gives as `output`.
struct Carried {
  std::string input;
  std::string output;
  Sizes shape;
};

struct Updated {
  std::vector<Value*> parameters;    // in the order of the old ones
  std::vector<Carried> memory;       // zeros at the start, but for averages and anchors
  std::vector<Carried> averages;     // of parameters, in their order; the parameters at the start
  std::vector<std::string> anchors;  // inputs that stay, in the order of the parameters
  std::string norm;                  // output: the gradients' length before clipping
};

// Adds inputs and outputs to `graph`.
Updated add_optimiser(Builder& make, const OptimiserOptions& options,
                      std::span<Value* const> parameters, std::span<Value* const> gradients);

}  // namespace skerry::train
