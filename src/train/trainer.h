// Parameters and what goes with them from step to step, and the models that change them.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "optimise/measure/engine.h"
#include "train/batches.h"
#include "train/step.h"

namespace skerry::train {

struct StepResult {
  double loss = 0;
  double gradient_norm = 0;
  size_t correct = 0;  // of the batch, where there are labels
};

struct Evaluation {
  double loss = 0;
  size_t rows = 0, correct = 0;
  double accuracy() const {
    return rows == 0 ? 0 : static_cast<double>(correct) / static_cast<double>(rows);
  }
};

class Trainer {
 public:
  // Writes step.onnx and forward.onnx into `directory` and loads them. `model` is what `step` was
  // made from.
  static Result<Trainer> open(Step step, const Graph& model, const optimise::EngineSpec& engine,
                              const std::string& directory, size_t threads);

  const Step& step() const { return step_; }
  // kFailedPrecondition where the loss is no number any more; the state is then that of before.
  // `teacher`: its answers, and its features where the step has some.
  Result<StepResult> run(const Batch& batch, std::span<const tensor::Tensor> teacher = {});
  // Of all `rows`, by the parameters as they are, or by their averages where there are some.
  // `complete` gives a batch the targets that its data does not have.
  using Complete = std::function<Result<void>(Batch& batch)>;
  Result<Evaluation> evaluate(const Batches& batches, const std::vector<size_t>& rows,
                              const Complete& complete = {});

  // In the order of Step::carried().
  const std::vector<tensor::Tensor>& state() const { return state_; }
  // kInvalidArgument where it is another step's.
  Result<void> set_state(std::vector<tensor::Tensor> state);
  // Parameters (their averages, where there are some) and statistics, named as in the model.
  std::vector<tensor::Tensor> learned() const;
  // Anchors of the proximal term: the parameters as they are now.
  void set_anchors();

 private:
  Trainer(Step step, optimise::Engine one_step, optimise::Engine forward)
      : step_(std::move(step)), one_step_(std::move(one_step)), forward_(std::move(forward)) {}

  Step step_;
  std::vector<Carried> carried_;
  optimise::Engine one_step_;
  optimise::Engine forward_;
  std::vector<tensor::Tensor> state_;
  std::vector<tensor::Tensor> anchors_;
};

}  // namespace skerry::train
