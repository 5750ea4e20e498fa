// A device's part: training the model that it was given on its own rows.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "federated/update.h"
#include "train/trainer.h"

namespace skerry::federated {

struct LocalTraining {
  size_t epochs = 1;
  int64_t batch = 10;
  double rate = 0.05;   // of SGD without momentum
  double proximal = 0;  // μ of FedProx
  double clip = 0;      // longest update; 0: any
};

// What a device insists on, whatever the server asks.
struct LocalPolicy {
  double longest_update = 0;  // updates are clipped to it at least; 0: as the server says
  size_t fewest_rows = 1;     // with less data it does not take part
};

class Learner {
 public:
  static Result<Learner> open(const graph::Graph& model, const LocalTraining& training,
                              const optimise::EngineSpec& engine, const std::string& directory);

  // The model's parameters as one vector.
  const Vector& initial() const { return initial_; }
  // kFailedPrecondition where the policy forbids it or training fails.
  Result<Update> train(const Vector& global, const train::Batches& batches,
                       const std::vector<size_t>& rows, size_t round, uint64_t seed,
                       const LocalPolicy& policy = {});
  Result<train::Evaluation> evaluate(const Vector& global, const train::Batches& batches,
                                     const std::vector<size_t>& rows);
  // A copy of `model` with these parameters.
  std::unique_ptr<graph::Graph> with(const graph::Graph& model, const Vector& global) const;
  const train::Sizes& answer() const { return trainer_->step().answer; }

 private:
  Result<void> load(const Vector& global);
  Vector flat() const;

  LocalTraining training_;
  std::unique_ptr<train::Trainer> trainer_;
  Vector initial_;
  std::vector<tensor::Tensor> fresh_;  // all that goes from step to step, at the start
};

}  // namespace skerry::federated
