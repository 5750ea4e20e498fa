// Parameters in, difference out.
#include "learner/learner.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace skerry::learner {
namespace {

using tensor::Tensor;

std::span<const float> floats_of(const Tensor& tensor) {
  return {reinterpret_cast<const float*>(tensor.bytes.data()), tensor.bytes.size() / sizeof(float)};
}

}  // namespace

Result<Learner> Learner::open(const graph::Graph& model, const LocalTraining& training,
                              const optimise::EngineSpec& engine, const std::string& directory) {
  train::StepOptions options;
  options.batch = training.batch;
  options.optimiser = {.optimiser = train::Optimiser::kSgd,
                       .rate = training.rate,
                       .momentum = 0,
                       .proximal = training.proximal,
                       .schedule = train::Schedule::kConstant};
  SKERRY_ASSIGN(train::Step step, train::make_step(model, options));
  SKERRY_ASSIGN(train::Trainer trainer,
                train::Trainer::open(std::move(step), model, engine, directory, 1));
  Learner learner;
  learner.training_ = training;
  learner.trainer_ = std::make_unique<train::Trainer>(std::move(trainer));
  learner.fresh_ = learner.trainer_->state();
  learner.initial_ = learner.flat();
  return learner;
}

Vector Learner::flat() const {
  Vector all;
  for (const Tensor& tensor : trainer_->learned()) {
    const auto values = floats_of(tensor);
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

Result<void> Learner::load(const Vector& global) {
  if (global.size() != initial_.size()) {
    return fail(Code::kInvalidArgument, fmt::format("the model has {} parameters, {} came",
                                                    initial_.size(), global.size()));
  }
  std::vector<Tensor> state = fresh_;
  const size_t tensors = trainer_->step().parameters.size() + trainer_->step().statistics.size();
  size_t at = 0;
  for (size_t i = 0; i < tensors; ++i) {
    std::memcpy(state[i].bytes.data(), global.data() + at, state[i].bytes.size());
    at += state[i].bytes.size() / sizeof(float);
  }
  SKERRY_TRY(trainer_->set_state(std::move(state)));
  trainer_->set_anchors();
  return {};
}

Result<Update> Learner::train(const Vector& global, const train::Batches& batches,
                              const std::vector<size_t>& rows, size_t round, uint64_t seed) {
  if (rows.empty()) return fail(Code::kFailedPrecondition, "there is no row to train on");
  SKERRY_TRY(load(global));
  Update update{.round = round, .examples = static_cast<double>(rows.size())};
  const auto batch = static_cast<size_t>(training_.batch);
  for (size_t epoch = 0; epoch < training_.epochs; ++epoch) {
    auto order = train::Batches::shuffled(rows, seed + round, epoch);
    // What does not fill a batch is filled up from the beginning.
    while (order.size() % batch != 0) order.push_back(order[order.size() % rows.size()]);
    for (size_t at = 0; at < order.size(); at += batch) {
      const auto first = order.begin() + static_cast<std::ptrdiff_t>(at);
      SKERRY_ASSIGN(const train::Batch taken,
                    batches.take({first, first + static_cast<std::ptrdiff_t>(batch)}));
      SKERRY_ASSIGN(const train::StepResult done, trainer_->run(taken));
      update.loss += done.loss;
      ++update.steps;
    }
  }
  update.loss /= std::max(update.steps, 1.0);
  update.delta = flat();
  for (size_t i = 0; i < global.size(); ++i) update.delta[i] -= global[i];
  const double length = federated::clip(update.delta, training_.clip);
  update.within = training_.clip <= 0 || length <= training_.clip;
  return update;
}

Result<train::Evaluation> Learner::evaluate(const Vector& global, const train::Batches& batches,
                                            const std::vector<size_t>& rows) {
  SKERRY_TRY(load(global));
  return trainer_->evaluate(batches, rows);
}

std::unique_ptr<graph::Graph> Learner::with(const graph::Graph& model, const Vector& global) const {
  std::vector<Tensor> values = trainer_->learned();
  size_t at = 0;
  for (Tensor& value : values) {
    const size_t count = value.bytes.size() / sizeof(float);
    if (at + count > global.size()) break;
    std::memcpy(value.bytes.data(), global.data() + at, value.bytes.size());
    at += count;
  }
  return trainer_->step().trained(model, values);
}

}  // namespace skerry::learner
