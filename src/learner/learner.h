// A device's part: training the model that it was given on its own rows.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "federated/plan.h"
#include "federated/update.h"
#include "train/trainer.h"

namespace skerry::learner {

using federated::LocalTraining;
using federated::Update;
using federated::Vector;

class Learner {
 public:
  static Result<Learner> open(const graph::Graph& model, const LocalTraining& training,
                              const optimise::EngineSpec& engine, const std::string& directory);

  // The model's parameters as one vector.
  const Vector& initial() const { return initial_; }
  void set_clip(double longest) { training_.clip = longest; }
  // kFailedPrecondition where there is no row, or training fails. Of SCAFFOLD, `control` is the
  // device's own variate, or empty for noughts; that of all comes behind the model in `global`, and
  // how its own changes behind the update.
  Result<Update> train(const Vector& global, const train::Batches& batches,
                       const std::vector<size_t>& rows, size_t round, uint64_t seed,
                       const Vector& control = {});
  Result<train::Evaluation> evaluate(const Vector& global, const train::Batches& batches,
                                     const std::vector<size_t>& rows);
  // A copy of `model` with these parameters.
  std::unique_ptr<graph::Graph> with(const graph::Graph& model, const Vector& global) const;
  const train::Sizes& answer() const { return trainer_->step().answer; }

 private:
  Result<void> load(const Vector& global);
  Result<void> move_by(const Vector& shift);
  Vector flat() const;

  LocalTraining training_;
  std::unique_ptr<train::Trainer> trainer_;
  Vector initial_;
  std::vector<tensor::Tensor> fresh_;  // all that goes from step to step, at the start
};

}  // namespace skerry::learner
