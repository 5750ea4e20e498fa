// One step of training as one model: inputs, targets, parameters and the optimiser's memory in;
// loss and the new ones out. Whatever runs models runs it.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "train/loss.h"
#include "train/optimiser.h"

namespace skerry::train {

// What a teacher adds to the loss; its answers are one more input of a step.
struct Distillation {
  double temperature = 4;
  double weight = 0.9;     // of the teacher; the rest is the labels'
  std::string features;    // a value of the model that is to be like the teacher's; "": none
  Sizes teacher_features;  // their shape, with the batch
  double feature_weight = 1;
};

struct StepOptions {
  int64_t batch = 32;
  LossOptions loss;
  OptimiserOptions optimiser;
  std::set<std::string, std::less<>> frozen;  // names of parameters that stay
  bool keep_zeros = false;                    // of weights, as pruning made them
  std::optional<Distillation> distillation;
};

struct Step {
  std::unique_ptr<Graph> graph;
  // Inputs, targets and parameters to the answers of a batch and the loss of each of its rows.
  std::unique_ptr<Graph> forward;
  int64_t batch = 0;
  Sizes answer;                     // shape of the answers, with the batch
  float middle = 0;                 // of an answer that is one score: above it, it is class 1
  std::string target;               // an input of both graphs: shares of classes, or the answer
  std::string teacher;              // "" where there is none
  std::string teacher_features;     // the same
  std::vector<Carried> parameters;  // of both graphs, names as in the model
  std::vector<Carried> statistics;  // of batch norms that learn; of both graphs as well
  Updated updated;
  std::string loss, scores;  // outputs of `graph`

  // What goes from step to step, by the name of its input, as it is before the first one.
  std::vector<tensor::Tensor> initial(const Graph& model) const;
  std::vector<Carried> carried() const;  // in the same order
  // A copy of `model` with these values for parameters and statistics, found by name.
  std::unique_ptr<Graph> trained(const Graph& model,
                                 const std::vector<tensor::Tensor>& values) const;
};

// Names of the constants that training changes, in the order in which the model reads them:
// weights, biases, scales of norms, tables.
std::vector<std::string> parameters_of(const Graph& model);

// A teacher for batches: its scores before softmax, and the value `features` where that is not "".
Result<std::unique_ptr<Graph>> make_teacher(const Graph& model, int64_t batch,
                                            const std::string& features);

// kInvalidArgument where the model's first output has no rows, or nothing is left to train.
Result<Step> make_step(const Graph& model, const StepOptions& options);

}  // namespace skerry::train
